#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "impls/parallelism/sequence/batch_claims.h"
#include "impls/parallelism/sequence/flexsp_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/variable_length/batch_costs.h"
#include "impls/parallelism/variable_length/packing.h"
#include "impls/parallelism/variable_length/token_slices.h"

namespace assay::parallelism {
namespace {

using harness::claims::Projection;
using harness::claims::Setting;

// Ranks of a replica in a grid: tensor parallelism among neighbours, context parallelism beyond.
struct Mesh {
  int tensor = 1, context = 1, replicas = 1;
  TokenMemory memory;
  double pair_seconds = 0, token_seconds = 0;  // of one rank, all layers
  bool inside_domain = true;

  int ranks() const { return tensor * context; }
  std::int64_t room() const { return memory.capacity * ranks(); }  // tokens of a replica
};

// All meshes that hold the longest sequence: 16-bit weights and 32-bit gradients on the tensor ranks, states of the
// optimizer over all that share a cut (6 + 12/n bytes a parameter).
std::vector<Mesh> meshes_of(const Setting& setting) {
  const datasets::Model& model = *setting.model;
  const std::int64_t longest = setting.axes.integer("context");
  const BatchProblem shape = batch_shape(setting);
  std::vector<Mesh> all;
  for (int tensor = 1; tensor <= setting.ranks; tensor *= 2)
    for (int context = 1; tensor * context <= setting.ranks; context *= 2) {
      if (shape.heads % tensor != 0 || shape.kv_heads % tensor != 0 || setting.ranks % (tensor * context) != 0)
        continue;
      Mesh mesh{.tensor = tensor, .context = context, .replicas = setting.ranks / (tensor * context), .memory = {}};
      const double states =
          model.at("parameters") / tensor * (6 + 12.0 / (static_cast<double>(context) * mesh.replicas));
      mesh.memory =
          token_memory(model, setting.device->at("memory_bytes"), states, (longest + mesh.ranks() - 1) / mesh.ranks());
      if (mesh.room() < longest) continue;
      const LayerCosts costs = model_costs(model, shape, *setting.device, mesh.memory.capacity, mesh.memory.recomputed);
      mesh.pair_seconds = costs.pair_seconds;
      mesh.token_seconds = costs.token_seconds;
      mesh.inside_domain = costs.inside_domain;
      all.push_back(mesh);
    }
  return all;
}

struct Times {
  double seconds = 0, tensors = 0, ring = 0, gradients = 0, tokens = 0;
};

// What of the links of a node each of those gets that leave it side by side.
double leaving(const datasets::Cluster& cluster, int side_by_side) {
  return cluster.inter.bandwidth * cluster.nics_per_node / std::min(side_by_side, cluster.devices_per_node);
}

// One row of sequences on a replica: products and attention shared evenly (zigzag for every sequence), all gathers and
// scatters of activations shown, and what the ring's hops take beyond attention.
Times row_of(const Setting& setting, const Mesh& mesh, const std::vector<std::int64_t>& lengths,
             const std::vector<int>& row) {
  const datasets::Model& model = *setting.model;
  const datasets::Cluster& cluster = *setting.cluster;
  const double layers = model.at("layers"), ranks = mesh.ranks(), context = mesh.context;
  Times times;
  double pairs = 0;
  for (const int sequence : row) {
    const std::int64_t length = lengths[static_cast<std::size_t>(sequence)];
    pairs += static_cast<double>(causal_pairs(length));
    times.tokens += static_cast<double>(length);
  }
  const double local = times.tokens / context;  // tokens of a tensor group
  const double gathering = mesh.tensor <= cluster.devices_per_node
                               ? cluster.intra.bandwidth
                               : std::min(cluster.intra.bandwidth, leaving(cluster, 1));
  const double share = static_cast<double>(mesh.tensor - 1) / mesh.tensor;
  times.tensors = layers * 10 * share * local * model.at("hidden") * 2 / gathering;
  const double attention = mesh.pair_seconds * pairs / ranks;
  if (mesh.context > 1) {
    const bool one_node = mesh.ranks() <= cluster.devices_per_node;
    // K and V forward, K and V and their gradients (32 bit) backward: 2, 2 + 4 bytes an element a hop.
    const double bytes = 2 * local * model.at("kv_heads") * model.at("head_dim") / mesh.tensor * (2 + 2 + 4);
    const double hop = bytes / (one_node ? cluster.intra.bandwidth : leaving(cluster, mesh.tensor)) +
                       3 * (one_node ? cluster.intra.latency : cluster.inter.latency);
    times.ring = std::max(0.0, layers * (context - 1) * hop - attention * (context - 1) / context);
  }
  times.seconds = attention + mesh.token_seconds * times.tokens / ranks + times.tensors + times.ring;
  return times;
}

// A batch in rows of `room` tokens, longest first to the replica that is done first.
Times batch_on(const Setting& setting, const Mesh& mesh, const std::vector<std::int64_t>& lengths, std::int64_t room) {
  const datasets::Cluster& cluster = *setting.cluster;
  std::vector<Times> rows;
  for (const std::vector<int>& row : best_fit_rows(lengths, longest_first(lengths), room))
    rows.push_back(row_of(setting, mesh, lengths, row));
  std::ranges::stable_sort(rows, std::greater{}, &Times::seconds);
  std::vector<Times> replicas(static_cast<std::size_t>(mesh.replicas));
  for (const Times& row : rows) {
    Times& next = *std::ranges::min_element(replicas, {}, &Times::seconds);
    next.seconds += row.seconds;
    next.tensors += row.tensors;
    next.ring += row.ring;
  }
  Times batch = *std::ranges::max_element(replicas, {}, &Times::seconds);
  for (const Times& row : rows) batch.tokens += row.tokens;
  // Gradients scattered and weights gathered once, hidden behind a row.
  const double sharers = static_cast<double>(mesh.context) * mesh.replicas;
  if (sharers > 1) {
    const double bandwidth =
        setting.ranks <= cluster.devices_per_node ? cluster.intra.bandwidth : leaving(cluster, mesh.tensor);
    const double sent = (sharers - 1) / sharers * (4 + 2) * setting.model->at("parameters") / mesh.tensor / bandwidth;
    batch.gradients = std::max(0.0, sent - rows.back().seconds);
  }
  const double optimizer =
      16 * 2 * setting.model->at("parameters") / setting.ranks / setting.device->at("memory_bandwidth");
  batch.seconds += batch.gradients + optimizer;
  return batch;
}

struct Tuned {
  Mesh mesh;
  std::int64_t room = 0;
  Times times;  // of all batches
  int tried = 0;
};

std::optional<Tuned> tuned(const Setting& setting) {
  static std::mutex guard;
  static std::map<std::string, Tuned> known;
  const std::vector<Mesh> meshes = meshes_of(setting);
  if (meshes.empty()) return std::nullopt;
  // A batch depends on the device through these numbers alone.
  std::string key = fmt::format("{} {} {} {} {}", setting.model->id, setting.workload, setting.ranks,
                                setting.axes.integer("context"), setting.axes.integer("global_batch"));
  for (const auto& [name, constant] : setting.cluster->constants) key += fmt::format(" {}", constant.value);
  for (const Mesh& mesh : meshes)
    key += fmt::format(" {} {} {}", mesh.pair_seconds, mesh.token_seconds, mesh.memory.capacity);
  {
    const std::lock_guard lock(guard);
    if (const auto found = known.find(key); found != known.end()) return found->second;
  }
  Tuned best;
  for (const Mesh& mesh : meshes)
    // Rows as long as the longest sequence, which are dealt more evenly, or as long as the memory.
    for (const std::int64_t room : {setting.axes.integer("context"), mesh.room()}) {
      Times sum;
      for (std::uint64_t seed = 1; seed <= kFlexSpBatches; ++seed) {
        const Times batch = batch_on(setting, mesh, flexsp_batch(setting, seed), room);
        sum.seconds += batch.seconds;
        sum.tensors += batch.tensors;
        sum.ring += batch.ring;
        sum.gradients += batch.gradients;
        sum.tokens += batch.tokens;
      }
      if (best.tried++ == 0 || sum.tokens / sum.seconds > best.times.tokens / best.times.seconds) {
        best.mesh = mesh;
        best.room = room;
        best.times = sum;
      }
    }
  const std::lock_guard lock(guard);
  return known.emplace(std::move(key), best).first->second;
}

}  // namespace

// One mesh for all batches, the fastest there is: the paper tunes the degrees of its baselines.
std::optional<Projection> project_flexsp_megatron(const Setting& setting, const std::string& quantity) {
  if (quantity != "throughput" || !has_step_model(setting) || !setting.device || !setting.cluster ||
      !setting.axes.has("context"))
    return std::nullopt;
  const auto best = tuned(setting);
  if (!best) return std::nullopt;
  const double batches = static_cast<double>(kFlexSpBatches);
  const Times& sum = best->times;
  Projection projection;
  projection.value = sum.tokens / sum.seconds;
  projection.inside_domain = best->mesh.inside_domain;
  projection.parts = {{"tensor-parallel gathers and scatters", "collective", sum.tensors / batches},
                      {"exposed ring", "link", sum.ring / batches},
                      {"exposed gradients", "collective", sum.gradients / batches},
                      {"computing", "gemm", (sum.seconds - sum.ring - sum.tensors - sum.gradients) / batches}};
  projection.note = fmt::format(
      "the fastest of {} meshes and rows: tensor parallelism {}, context parallelism {}, {} replicas, best-fit rows of "
      "{} tokens ({:.2f} of the forward products recomputed)",
      best->tried, best->mesh.tensor, best->mesh.context, best->mesh.replicas, best->room,
      best->mesh.memory.recomputed);
  return projection;
}

}  // namespace assay::parallelism
