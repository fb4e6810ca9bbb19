#include "impls/attention/cuda/decode_case.h"

#include <algorithm>
#include <string>

#include "impls/attention/cuda/hopper_decode.h"
#include "impls/substrate/random.h"

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
  out.push_back({.name = "lengths",
                 .defaults = {harness::Value(std::string("even"))},
                 .help = "keys of the sequences of a batch: all of `context`, or ragged: as many as queries to all",
                 .allowed = {harness::Value(std::string("even")), harness::Value(std::string("ragged"))},
                 .legacy_default = harness::Value(std::string("even"))});
  out.push_back({.name = "path",
                 .defaults = {harness::Value(std::string("sm_80"))},
                 .help = "instructions: those of sm_80, or TMA and wgmma of sm_90a (compute capability 9.0 alone)",
                 .allowed = {harness::Value(std::string("sm_80")), harness::Value(std::string("sm_90a"))},
                 .legacy_default = harness::Value(std::string("sm_80"))});
  return out;
}

namespace {

template <int kHeadDim>
DecodePath path_of(bool hopper) {
  const auto of = [](auto tile, int only_on, auto launch) -> DecodePath {
    using Tile = decltype(tile);
    return {Tile::kRows, Tile::kRound, Tile::kSharedBytes, only_on, launch};
  };
  return hopper ? of(HopperDecodeTile<kHeadDim>{}, 90, hopper_decoding) : of(DecodeTile<kHeadDim>{}, 0, flash_decoding);
}

}  // namespace

DecodePath decode_path(const std::string& name, int head_dim) {
  const bool hopper = name == "sm_90a";
  return head_dim == 64 ? path_of<64>(hopper) : head_dim == 128 ? path_of<128>(hopper) : path_of<256>(hopper);
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

std::vector<int> decode_lengths(const Problem& p) {
  substrate::Random random(0x6465636f646cULL);
  std::vector<int> out;
  for (int b = 0; b < p.batch; ++b) {
    const int least = std::min(p.queries, p.keys);
    out.push_back(b == 0 ? p.keys
                         : least + static_cast<int>(random.below(static_cast<std::uint64_t>(p.keys - least + 1))));
  }
  return out;
}

std::shared_ptr<DecodeWorkspace> decode_workspace(const Problem& p, Device& device, const DecodeChoice& choice) {
  auto out = std::make_shared<DecodeWorkspace>();
  const DecodePath path = decode_path(choice.path, p.head_dim);
  const int blocks = p.batch * p.kv_heads * parts(p.group() * p.queries, path.rows);
  out->splits = choice.splits > 0 ? choice.splits
                                  : choose_splits(blocks, parts(p.keys, path.keys), device.facts().multiprocessors);
  if (out->splits > 1) {
    const auto rows = static_cast<std::size_t>(out->splits) * static_cast<std::size_t>(p.batch) *
                      static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries);
    out->o = {device, rows * static_cast<std::size_t>(p.head_dim)};
    out->lse = {device, rows};
  }
  if (choice.ragged) {
    out->lengths = {device, static_cast<std::size_t>(p.batch)};
    out->lengths.upload(decode_lengths(p));
  }
  return out;
}

void use(const DecodeWorkspace& workspace, DecodeProblem& problem) {
  problem.splits = workspace.splits;
  problem.partial_o = workspace.o.data();
  problem.partial_lse = workspace.lse.data();
  problem.lengths = workspace.lengths.data();
}

namespace {

// FLOPs of the tiles that all splits compute together.
double issued(const Problem& p, const DecodePath& path, const std::vector<int>& lengths) {
  const double rows = rounded_up(p.group() * p.queries, path.rows);
  double sum = 0;
  for (const int keys : lengths) sum += 4.0 * p.kv_heads * rows * rounded_up(keys, path.keys) * p.head_dim;
  return sum;
}

}  // namespace

void run_decode(harness::State& state, const MakeDecode& make) {
  const Problem p = read_device_problem(state);
  const DecodeChoice asked{state.text("path"), static_cast<int>(state.integer("splits")),
                           state.text("lengths") == "ragged"};
  const DecodePath path = decode_path(asked.path, p.head_dim);
  const std::vector<int> lengths =
      asked.ragged ? decode_lengths(p) : std::vector<int>(static_cast<std::size_t>(p.batch), p.keys);
  const auto technique = [&](bool ragged) -> MakeDeviceTechnique {
    DecodeChoice choice = asked;
    choice.ragged = ragged;
    return [=](const Problem& of, Device& device) { return make(of, device, choice); };
  };
  run_on_device(state, p,
                {.issued = issued(p, path, lengths), .shared_bytes = path.shared_bytes, .only_on = path.only_on},
                technique(asked.ragged), asked.ragged ? UnevenKeys{decode_lengths, technique(false)} : UnevenKeys{});
}

}  // namespace assay::attention::cuda
