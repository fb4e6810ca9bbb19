#include "impls/parallelism/sequence/flexsp_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/sequence/batch_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/variable_length/batch_costs.h"
#include "impls/parallelism/variable_length/flexsp_solver.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

std::vector<std::int64_t> drawn_batch(const Setting& setting, std::uint64_t seed) {
  const auto distribution = datasets::load_length_distribution(setting.workload, datasets::data_root());
  const std::int64_t context =
      setting.axes.has("context") ? setting.axes.integer("context") : distribution.edges.back();
  const std::int64_t multiple = 2 * std::max(1, setting.ranks);
  auto lengths = datasets::draw_lengths(distribution, setting.axes.integer("global_batch"), context - multiple,
                                        datasets::Overlong::drop, seed);
  for (std::int64_t& length : lengths) length = (length + multiple - 1) / multiple * multiple;
  return lengths;
}

struct Machine {
  FlexSpCosts costs;
  double optimizer = 0;
  bool inside_domain = true;
  BatchProblem shape;
  TokenMemory memory;
};

Machine make_machine(const Setting& setting) {
  const datasets::Model& model = *setting.model;
  const datasets::Cluster& cluster = *setting.cluster;
  Machine machine;
  machine.shape = batch_shape(setting);
  const std::int64_t context = setting.axes.integer("context");
  machine.memory = token_memory(model, setting.device->at("memory_bytes"), held_states(setting),
                                (context + setting.ranks - 1) / setting.ranks);
  const LayerCosts layer =
      model_costs(model, machine.shape, *setting.device, machine.memory.capacity, machine.memory.recomputed);
  machine.inside_domain = layer.inside_domain;
  machine.costs = {.pair_seconds = layer.pair_seconds,
                   .token_seconds = layer.token_seconds,
                   .fixed_seconds = 0,
                   .exchange_seconds = {},
                   .exchange_fixed_seconds = {},
                   .capacity = machine.memory.capacity};
  const double layers = model.at("layers");
  for (int degree = 1; degree <= setting.ranks && machine.shape.heads % degree == 0; degree *= 2) {
    const ExchangeCosts exchange = heads_exchange_costs(machine.shape, degree, *setting.device, cluster);
    machine.costs.exchange_seconds.push_back(layers * exchange.token_seconds);
    machine.costs.exchange_fixed_seconds.push_back(layers * exchange.fixed_seconds);
  }
  // Parameters gathered for each pass and gradients scattered, a ring through all NICs of a node.
  // Gathering hides behind computing.
  machine.costs.least_seconds =
      3 * 2 * model.at("parameters") * (setting.ranks - 1) / setting.ranks / ring_bandwidth(cluster, setting.ranks);
  machine.optimizer = 16 * 2 * model.at("parameters") / setting.ranks / setting.device->at("memory_bandwidth");
  return machine;
}

// Several claims ask for the same machine.
const Machine& machine_of(const Setting& setting) {
  static std::mutex guard;
  static std::map<std::string, Machine> known;
  const std::string key = fmt::format("{} {} {} {}", setting.model->id, setting.ranks, setting.axes.integer("context"),
                                      machine_key(*setting.device, *setting.cluster));
  {
    const std::lock_guard lock(guard);
    if (const auto found = known.find(key); found != known.end()) return found->second;
  }
  Machine machine = make_machine(setting);
  const std::lock_guard lock(guard);
  return known.emplace(key, std::move(machine)).first->second;
}

// Of one batch; exchange: what of it the slowest groups spend in all-to-alls.
struct Step {
  double seconds = 0, exchange = 0;
};

Step step_of(const std::vector<std::int64_t>& lengths, const Machine& machine, const FlexSpPlan& plan) {
  Step step{.seconds = machine.optimizer};
  for (const FlexSpMicroBatch& micro_batch : plan.micro_batches) {
    const FlexSpGroup* slowest = &micro_batch.groups.front();
    for (const FlexSpGroup& group : micro_batch.groups)
      if (group.seconds > slowest->seconds) slowest = &group;
    const auto level = static_cast<std::size_t>(std::countr_zero(static_cast<unsigned>(slowest->degree)));
    double tokens = 0;
    for (const int sequence : slowest->sequences)
      tokens += static_cast<double>(lengths[static_cast<std::size_t>(sequence)]);
    step.exchange += machine.costs.exchange_fixed_seconds[level] + machine.costs.exchange_seconds[level] * tokens;
    step.seconds += micro_batch.seconds;
  }
  return step;
}

enum class Arm : std::uint8_t { flexsp, batch_adaptive, deepspeed };

std::optional<Arm> arm_of(const Setting& setting) {
  const std::string arm = setting.axes.has("arm") ? setting.axes.text("arm") : "flexsp";
  if (arm == "flexsp") return Arm::flexsp;
  if (arm == "batchada") return Arm::batch_adaptive;
  if (arm == "deepspeed") return Arm::deepspeed;
  return std::nullopt;
}

// The same batch is planned for several claims; a plan follows from lengths and costs alone.
FlexSpPlan planned(const std::vector<std::int64_t>& lengths, int ranks, std::int64_t context, const FlexSpCosts& costs,
                   Arm arm) {
  if (arm == Arm::deepspeed) return plan_one_degree(lengths, ranks, costs.least_level(context), costs);
  if (arm == Arm::batch_adaptive) return plan_batch_adaptive(lengths, ranks, costs);
  return plan_flexsp(lengths, ranks, costs);
}

struct Totals {
  double seconds = 0, exchange = 0, tokens = 0;
};

std::optional<Totals> totals_of(const Setting& setting, const Machine& machine, Arm arm) {
  static std::mutex guard;
  static std::map<std::string, Totals> known;
  const FlexSpCosts& costs = machine.costs;
  std::string key =
      fmt::format("{} {} {} {} {} {} {} {} {} {} {}", static_cast<int>(arm), setting.workload, setting.ranks,
                  setting.axes.integer("context"), setting.axes.integer("global_batch"), costs.pair_seconds,
                  costs.token_seconds, costs.capacity, costs.least_seconds, machine.optimizer, setting.model->id);
  for (std::size_t k = 0; k < costs.exchange_seconds.size(); ++k)
    key += fmt::format(" {} {}", costs.exchange_seconds[k], costs.exchange_fixed_seconds[k]);
  {
    const std::lock_guard lock(guard);
    if (const auto found = known.find(key); found != known.end()) return found->second;
  }
  Totals totals;
  for (std::uint64_t seed = 1; seed <= kFlexSpBatches; ++seed) {
    const std::vector<std::int64_t> lengths = flexsp_batch(setting, seed);
    const FlexSpPlan plan = planned(lengths, setting.ranks, setting.axes.integer("context"), costs, arm);
    if (plan.micro_batches.empty() || !std::isfinite(plan.seconds)) return std::nullopt;
    const Step step = step_of(lengths, machine, plan);
    totals.seconds += step.seconds;
    totals.exchange += step.exchange;
    for (const std::int64_t length : lengths) totals.tokens += static_cast<double>(length);
  }
  const std::lock_guard lock(guard);
  known.emplace(std::move(key), totals);
  return totals;
}

std::optional<Projection> answer(const Setting& setting, const std::string& quantity, Arm arm) {
  if (!has_step_model(setting) || !setting.device || !setting.cluster || !setting.axes.has("context"))
    return std::nullopt;
  const Machine& machine = machine_of(setting);
  // Every degree up to all ranks has to have heads.
  if (machine.costs.exchange_seconds.size() !=
      static_cast<std::size_t>(std::bit_width(static_cast<unsigned>(setting.ranks))))
    return std::nullopt;
  const auto totals = totals_of(setting, machine, arm);
  if (!totals) return std::nullopt;
  Projection projection;
  projection.inside_domain = machine.inside_domain;
  const double batches = static_cast<double>(kFlexSpBatches);
  if (quantity == "throughput") {
    projection.value = totals->tokens / totals->seconds;
  } else if (quantity == "step_time") {
    projection.value = totals->seconds / batches;
  } else if (quantity == "comm_fraction") {
    projection.value = totals->exchange / totals->seconds;
  } else if (quantity == "comm_time") {
    projection.value = totals->exchange / batches;
  } else {
    return std::nullopt;
  }
  projection.parts = {{"all-to-all of the slowest groups", "collective", totals->exchange / batches},
                      {"everything else", "gemm", (totals->seconds - totals->exchange) / batches}};
  projection.note = fmt::format(
      "mean of {} batches of the published histogram, lengths padded to a multiple of {}; {} tokens a device beside "
      "ZeRO-3 states ({:.2f} of the forward products recomputed); costs of pairs, tokens and exchanges from the models "
      "of operators and links; ZeRO-3 traffic hides behind a micro-batch",
      kFlexSpBatches, 2 * setting.ranks, machine.memory.capacity, machine.memory.recomputed);
  return projection;
}

// What rounding to buckets adds to the tokens of a batch.
std::optional<Projection> bucket_projection(const Setting& setting) {
  double error = 0;
  for (std::uint64_t seed = 1; seed <= kFlexSpBatches; ++seed) {
    const std::vector<std::int64_t> lengths = flexsp_batch(setting, seed);
    std::vector<std::int64_t> tops;
    if (setting.axes.has("interval")) {
      const std::int64_t interval = setting.axes.integer("interval");
      for (const std::int64_t length : lengths) tops.push_back((length + interval - 1) / interval * interval);
      std::ranges::sort(tops);
    } else {
      tops = bucket_tops(lengths, static_cast<int>(setting.axes.integer("buckets")));
    }
    error += bucket_error(lengths, tops) / static_cast<double>(kFlexSpBatches);
  }
  Projection projection;
  projection.value = error;
  projection.note = fmt::format("counted on {} batches drawn from the published histogram", kFlexSpBatches);
  return projection;
}

}  // namespace

// The same few batches are asked for by every arm on every perturbed machine.
std::vector<std::int64_t> flexsp_batch(const Setting& setting, std::uint64_t seed) {
  static std::mutex guard;
  static std::map<std::string, std::vector<std::int64_t>> known;
  const std::string key =
      fmt::format("{} {} {} {} {}", setting.workload, setting.ranks, setting.axes.integer("global_batch"),
                  setting.axes.has("context") ? setting.axes.integer("context") : 0, seed);
  const std::lock_guard lock(guard);
  if (const auto found = known.find(key); found != known.end()) return found->second;
  return known.emplace(key, drawn_batch(setting, seed)).first->second;
}

bool is_flexsp_batch(const Setting& setting) { return setting.axes.has("global_batch") && !setting.workload.empty(); }

std::optional<Projection> project_flexsp(const Setting& setting, const std::string& quantity) {
  if (!is_flexsp_batch(setting)) return std::nullopt;
  if (quantity == "error_max" && (setting.axes.has("interval") || setting.axes.has("buckets")))
    return bucket_projection(setting);
  const auto arm = arm_of(setting);
  if (!arm) return std::nullopt;
  // As the other side of a ratio to itself: the best single degree of each batch.
  return answer(setting, quantity, setting.role == "baseline" ? Arm::batch_adaptive : *arm);
}

std::optional<Projection> project_flexsp_deepspeed(const Setting& setting, const std::string& quantity) {
  return answer(setting, quantity, Arm::deepspeed);
}

}  // namespace assay::parallelism
