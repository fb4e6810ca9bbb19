#include "impls/parallelism/sequence/ring_attention_claims.h"

#include <algorithm>
#include <limits>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/attention_projection.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::RunReport;

// Enough ranks for a ring whose every hop has both neighbours; the threshold does not depend on it.
constexpr int kRingRanks = 4;
constexpr std::int64_t kLongestBlock = std::int64_t{1} << 24;

// Forward over `tokens` a rank, full attention, on devices of the setting's peak joined by links of its bandwidth. The
// table of the paper is a statement about these two numbers, so neither efficiency nor latency enters.
RunReport run_ring(const Setting& setting, std::int64_t tokens, substrate::DType dtype) {
  const double peak = setting.axes.real("peak_flops");
  const double memory = setting.device ? setting.device->get("memory_bandwidth", 0) : 0;
  datasets::Cluster ring;
  ring.id = setting.configuration;
  ring.devices_per_node = kRingRanks;
  ring.intra.bandwidth = setting.axes.real("link_bandwidth");
  const auto of_model = [&](const char* key, double otherwise) {
    return static_cast<int>(setting.model ? setting.model->at(key) : otherwise);
  };
  const int heads = of_model("heads", 32);
  const RingPlan plan({.length = tokens * kRingRanks,
                       .ranks = kRingRanks,
                       .heads = heads,
                       .kv_heads = of_model("kv_heads", heads),
                       .head_dim = of_model("head_dim", 128),
                       .dtype = dtype,
                       .causal = false});
  substrate::ClusterFabric fabric({.cluster = ring,
                                   .operator_seconds =
                                       [&](const substrate::OpWork& work) {
                                         return std::max(work.flops / peak, memory > 0 ? work.bytes / memory : 0);
                                       },
                                   .memory_bandwidth = memory > 0 ? memory : ring.intra.bandwidth,
                                   .ranks = kRingRanks});
  return fabric.run([&](substrate::Rank& rank) { return ring_attention_layer(rank, plan, {}); });
}

// Nothing of a hop shows: no rank waits more than rounding to picoseconds explains.
bool hidden(const RunReport& run) {
  return std::ranges::all_of(run.ranks, [](const auto& rank) { return rank.exposed <= 2 * kRingRanks; });
}

// The smallest block whose hops hide. Longer blocks hide more (compute grows with c^2, the message with c).
std::int64_t smallest_block(const Setting& setting) {
  std::int64_t high = 1;
  while (!hidden(run_ring(setting, high, substrate::DType::bf16))) {
    high *= 2;
    if (high > kLongestBlock) return 0;
  }
  std::int64_t low = high / 2;  // does not hide, or 0
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (hidden(run_ring(setting, middle, substrate::DType::bf16)) ? high : low) = middle;
  }
  return high;
}

// How many blocks of c tokens a device holds at once, from the ledger of the program: Q, K, V, the K and V arriving, O.
// In float32, where the accumulator is the output; lse is below a block.
std::int64_t resident_blocks(const Setting& setting, std::int64_t tokens) {
  const RunReport run = run_ring(setting, tokens, substrate::DType::f32);
  std::int64_t q = 0;
  for (const auto& entry : run.ranks.front().memory.entries())
    if (std::string_view(entry.name) == "q") q = entry.peak;
  return run.memory_peak() / q;
}

}  // namespace

std::optional<Projection> project_ring_attention(const Setting& setting, const std::string& quantity) {
  // A ring of one is the blockwise transformer: nothing is in flight.
  if (quantity == "max_sequence")
    return substrate::project_longest_sequence(
        setting, quantity,
        setting.ranks > 1 ? substrate::ActivationLayout::ring : substrate::ActivationLayout::blockwise);
  // A training step: what balanced layouts and linear attention are compared with.
  if (setting.model && setting.cluster) {
    auto layer = layer_shape(setting, true);
    if (!layer) return std::nullopt;
    if (setting.axes.has("context_parallel")) layer->ranks = static_cast<int>(setting.axes.integer("context_parallel"));
    return project_layer_step(setting, quantity, *layer, {"ring", ring_program});
  }
  const bool thresholds = setting.axes.has("peak_flops") && setting.axes.has("link_bandwidth");
  if (quantity != "count" || !thresholds) return std::nullopt;
  const bool block = setting.claim.starts_with("min-block");
  if (!block && !setting.claim.starts_with("min-seq")) return std::nullopt;

  const std::int64_t tokens = smallest_block(setting);
  if (tokens == 0) return std::nullopt;
  Projection projection;
  projection.note = "smallest block found by running the ring on the stated peak and link, no latency";
  const auto value = static_cast<double>(tokens);
  projection.parts.push_back({"block at which a hop hides", "none", value});
  projection.value = value;
  if (!block) {
    const auto blocks = static_cast<double>(resident_blocks(setting, tokens));
    projection.parts.push_back({"blocks held, from the ledger", "none", blocks});
    projection.value = value * blocks;
  }
  return projection;
}

}  // namespace assay::parallelism
