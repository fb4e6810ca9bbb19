#pragma once
// A batch of sequences of different lengths, one after the other in device memory: what serving engines and packed
// training have (varlen). On the host each sequence is by itself, with an oracle of its own.
#include <cstddef>
#include <vector>

#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// The lengths of a ragged batch: queries from 1 to `problem.queries`, the longest of them among them, keys longer by
// what the problem's are. The same for every seed: lengths are part of the case.
std::vector<Problem> ragged_sequences(const Problem& problem);

// Q, K, V and O of all sequences as [heads][all rows][d], or their gradients.
struct PackedTensors {
  DeviceBuffer<std::byte> q, k, v, o;
};

struct PackedBatch {
  Problem problem;  // of the longest sequence
  std::vector<Problem> sequences;
  std::vector<int> query_starts{0}, key_starts{0};
  DeviceBuffer<int> device_query_starts, device_key_starts;
  DeviceBuffer<float> lse;  // [B, H, longest]

  PackedBatch(Device& device, const Problem& longest);

  PackedTensors tensors(Device& device) const;
  std::vector<Storage> storages() const;

  // One tensor of every sequence (&Tensors::q and so on).
  using Which = substrate::View Tensors::*;
  void upload(Which which, std::vector<Storage>& from, DeviceBuffer<std::byte>& to) const;
  void upload_inputs(std::vector<Storage>& from, PackedTensors& to) const;  // Q, K, V
  void download(Which which, const DeviceBuffer<std::byte>& from, std::vector<Storage>& to) const;
  void download_lse(std::vector<Storage>& to) const;

  Matrix matrix(Which which, const DeviceBuffer<std::byte>& data) const;
  ForwardProblem forward(const PackedTensors& tensors) const;

 private:
  bool of_keys(Which which) const { return which == &Tensors::k || which == &Tensors::v; }
  const std::vector<int>& starts(Which which) const { return of_keys(which) ? key_starts : query_starts; }
  int heads(Which which) const { return of_keys(which) ? problem.kv_heads : problem.heads; }
  std::size_t bytes(Which which) const;
  // body(sequence, bytes of a head's rows, where they are in the packed tensor, the host's), for every head.
  template <class Body>
  void each_head(Which which, std::vector<Storage>& storages, const Body& body) const;
};

}  // namespace assay::attention::cuda
