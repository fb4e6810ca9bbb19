#include "impls/attention/cuda/packed_batch.h"

#include <algorithm>

#include "impls/substrate/random.h"

namespace assay::attention::cuda {

namespace {
std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }
}  // namespace

std::vector<Problem> ragged_sequences(const Problem& problem) {
  substrate::Random random(0x7261676765644cULL);
  std::vector<Problem> out;
  const int ahead = problem.keys - problem.queries;
  for (int b = 0; b < problem.batch; ++b) {
    Problem one = problem;
    one.batch = 1;
    if (b > 0) {
      one.queries = 1 + static_cast<int>(random.below(static_cast<std::uint64_t>(problem.queries)));
      one.keys = std::max(1, one.queries + ahead);
    }
    one.diagonal = one.keys - one.queries;  // bottom-right, as the kernels have it
    out.push_back(one);
  }
  return out;
}

PackedBatch::PackedBatch(Device& device, const Problem& longest)
    : problem(longest), sequences(ragged_sequences(longest)) {
  for (const Problem& one : sequences) {
    query_starts.push_back(query_starts.back() + one.queries);
    key_starts.push_back(key_starts.back() + one.keys);
  }
  device_query_starts = {device, query_starts.size()};
  device_key_starts = {device, key_starts.size()};
  device_query_starts.upload(query_starts);
  device_key_starts.upload(key_starts);
  lse = {device, size(longest.batch) * size(longest.heads) * size(longest.queries)};
}

std::size_t PackedBatch::bytes(Which which) const {
  return size(heads(which)) * size(starts(which).back()) * size(problem.head_dim) * 2;
}

PackedTensors PackedBatch::tensors(Device& device) const {
  return {{device, bytes(&Tensors::q)},
          {device, bytes(&Tensors::k)},
          {device, bytes(&Tensors::v)},
          {device, bytes(&Tensors::o)}};
}

std::vector<Storage> PackedBatch::storages() const {
  std::vector<Storage> out;
  for (const Problem& one : sequences) out.emplace_back(one);
  return out;
}

template <class Body>
void PackedBatch::each_head(Which which, std::vector<Storage>& storages, const Body& body) const {
  const std::vector<int>& first = starts(which);
  const std::size_t row = size(problem.head_dim) * 2;
  for (std::size_t b = 0; b < sequences.size(); ++b)
    for (int h = 0; h < heads(which); ++h)
      body(size(first[b + 1] - first[b]) * row, size(h * first.back() + first[b]) * row,
           (storages[b].tensors().*which).at(0, h, 0));
}

void PackedBatch::upload(Which which, std::vector<Storage>& from, DeviceBuffer<std::byte>& to) const {
  std::vector<std::byte> all(bytes(which));
  each_head(which, from, [&](std::size_t count, std::size_t at, const std::byte* host) {
    std::copy_n(host, count, all.data() + at);
  });
  to.upload(all);
}

void PackedBatch::upload_inputs(std::vector<Storage>& from, PackedTensors& to) const {
  upload(&Tensors::q, from, to.q);
  upload(&Tensors::k, from, to.k);
  upload(&Tensors::v, from, to.v);
}

void PackedBatch::download(Which which, const DeviceBuffer<std::byte>& from, std::vector<Storage>& to) const {
  const std::vector<std::byte> all = from.download();
  each_head(which, to,
            [&](std::size_t count, std::size_t at, std::byte* host) { std::copy_n(all.data() + at, count, host); });
}

void PackedBatch::download_lse(std::vector<Storage>& to) const {
  const std::vector<float> all = lse.download();
  for (std::size_t b = 0; b < sequences.size(); ++b) {
    const int rows = sequences[b].queries;
    for (int h = 0; h < problem.heads; ++h)
      std::copy_n(all.data() + (b * size(problem.heads) + size(h)) * size(problem.queries), rows,
                  to[b].tensors().lse + static_cast<std::ptrdiff_t>(h) * rows);
  }
}

Matrix PackedBatch::matrix(Which which, const DeviceBuffer<std::byte>& data) const {
  return {data.data(), 0, static_cast<std::int64_t>(starts(which).back()) * problem.head_dim, problem.head_dim};
}

ForwardProblem PackedBatch::forward(const PackedTensors& tensors) const {
  ForwardProblem out;
  out.q = matrix(&Tensors::q, tensors.q);
  out.k = matrix(&Tensors::k, tensors.k);
  out.v = matrix(&Tensors::v, tensors.v);
  out.o = matrix(&Tensors::o, tensors.o);
  out.lse = lse.data();
  out.ragged = {device_query_starts.data(), device_key_starts.data(), query_starts.back(), key_starts.back()};
  out.mask = {problem.queries, problem.keys, problem.causal, problem.diagonal};
  out.batch = problem.batch;
  out.heads = problem.heads;
  out.kv_heads = problem.kv_heads;
  out.scale = problem.scale;
  return out;
}

}  // namespace assay::attention::cuda
