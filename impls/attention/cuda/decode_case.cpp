#include "impls/attention/cuda/decode_case.h"

#include <string>

namespace assay::attention::cuda {

std::vector<harness::Axis> decode_axes() {
  const auto count = [](std::int64_t value) { return harness::Value(value); };
  std::vector<harness::Axis> out = device_axes();
  for (harness::Axis& axis : out) {
    if (axis.name == "sequence_length") {
      axis.defaults = {count(1)};
      axis.help = "queries N a sequence (tokens)";
    }
    if (axis.name == "context") {
      axis.defaults = {count(8192)};
      axis.legacy_default.reset();
    }
  }
  out.push_back({.name = "splits",
                 .defaults = {count(0)},
                 .help = "ranges that the keys of a head are cut into; 0 fills the device",
                 .minimum = 0});
  return out;
}

DecodeProblem decode_problem(const Problem& p, const DeviceTensors& tensors) {
  const ForwardProblem forward = tensors.forward(p);
  DecodeProblem out;
  out.q = forward.q;
  out.k = forward.k;
  out.v = forward.v;
  out.o = forward.o;
  out.lse = forward.lse;
  out.mask = forward.mask;
  out.batch = p.batch;
  out.heads = p.heads;
  out.kv_heads = p.kv_heads;
  out.scale = p.scale;
  return out;
}

int splits_for(const Problem& p, const Device& device, int splits) {
  if (splits > 0) return splits;
  const int blocks = p.batch * p.kv_heads * parts(p.group() * p.queries, DecodeTile<64>::kRows);
  return choose_splits(blocks, parts(p.keys, DecodeTile<64>::kRound), device.facts().multiprocessors);
}

std::shared_ptr<DecodeWorkspace> decode_workspace(const Problem& p, Device& device, int splits) {
  if (splits == 1) return std::make_shared<DecodeWorkspace>();
  const auto rows = static_cast<std::size_t>(splits) * static_cast<std::size_t>(p.batch) *
                    static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries);
  return std::make_shared<DecodeWorkspace>(
      DecodeWorkspace{{device, rows * static_cast<std::size_t>(p.head_dim)}, {device, rows}});
}

void use(const DecodeWorkspace& workspace, int splits, DecodeProblem& problem) {
  problem.splits = splits;
  problem.partial_o = workspace.o.data();
  problem.partial_lse = workspace.lse.data();
}

std::uint32_t decode_shared_bytes(int head_dim) {
  return shared_bytes_of(head_dim, DecodeTile<64>::kSharedBytes, DecodeTile<128>::kSharedBytes,
                         DecodeTile<256>::kSharedBytes);
}

double decode_issued_flops(const Problem& p) {
  const double rows = rounded_up(p.group() * p.queries, DecodeTile<64>::kRows);
  return 4.0 * p.batch * p.kv_heads * rows * rounded_up(p.keys, DecodeTile<64>::kRound) * p.head_dim;
}

}  // namespace assay::attention::cuda
