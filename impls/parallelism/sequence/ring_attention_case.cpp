#include "impls/parallelism/sequence/ring_attention_case.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "datasets/user_error.h"
#include "harness/claims/residuals.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

namespace {

using results_db::Provenance;
using substrate::Rank;
using substrate::RunReport;

constexpr int kLargestThreads = 64;
constexpr int kTimelineRanks = 16;  // the store and the eye take only so many lanes

// Counts are those of the program, the same on every fabric. Bytes and messages of the rank that sends most.
void report_counts(harness::State& state, const RunReport& run) {
  std::int64_t bytes = 0, messages = 0;
  for (const auto& rank : run.ranks) {
    bytes = std::max(bytes, rank.bytes_sent());
    messages = std::max(messages, rank.messages_sent());
  }
  state.report({"comm_bytes", static_cast<double>(bytes), "B", Provenance::derived, {}, {}});
  state.report({"comm_messages", static_cast<double>(messages), "count", Provenance::derived, {}, {}});
  state.report({"memory_peak", static_cast<double>(run.memory_peak()), "B", Provenance::derived, {}, {}});
}

substrate::Program program_of(const RingPlan& plan, SequenceData* data) {
  return [&plan, data](Rank& rank) {
    return ring_attention_layer(rank, plan, data == nullptr ? RingMemory{} : data->memory(rank.id()));
  };
}

// -- mutants: wrong in ways a ring can be wrong

void merge_without_rescaling(float* acc, float& acc_lse, const float* o, float lse, int head_dim) {
  for (int x = 0; x < head_dim; ++x) acc[x] += o[x];
  const float m = std::max(acc_lse, lse);
  acc_lse = m + std::log(std::exp(acc_lse - m) + std::exp(lse - m));
}

void merge_in_bf16(float* acc, float& acc_lse, const float* o, float lse, int head_dim) {
  merge_rescaled(acc, acc_lse, o, lse, head_dim);
  for (int x = 0; x < head_dim; ++x) acc[x] = substrate::to_float(substrate::to_bf16(acc[x]));
}

// The same code path at a shape small enough to compare whole.
harness::Check check_whole(SequenceProblem problem, substrate::ThreadsFabric& fabric, std::uint64_t seed) {
  problem.batch = 1;
  while (problem.flops() > 1e8 && problem.length > 4 * problem.ranks) problem.length = problem.length / 2 + 1;
  const RingPlan plan(problem);
  SequenceData data(plan);
  data.draw(seed);
  fabric.run(program_of(plan, &data));
  harness::Check check = data.compare(seed);
  check.detail = fmt::format("at {} tokens: {}", problem.length, check.detail);
  return check;
}

}  // namespace

void run_ring_on_threads(harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  if (problem.ranks > kLargestThreads)
    throw UserError(
        fmt::format("ranks: found {}, expected at most {} on the threads fabric", problem.ranks, kLargestThreads));
  struct Case {
    RingPlan plan;
    SequenceData data;
    substrate::ThreadsFabric fabric;
    explicit Case(const SequenceProblem& p) : plan(p), data(plan), fabric(p.ranks) {}
    void run(const RingPlan& which) { fabric.run(program_of(which, &data)); }
  };
  const auto live = std::make_shared<Case>(problem);

  const double tokens = static_cast<double>(problem.length) * problem.batch;
  const double q = tokens * problem.heads * problem.head_dim;
  const double kv = 2 * tokens * problem.kv_heads * problem.head_dim;
  const double element = size_of(problem.dtype);
  double bytes = element * (2 * q + kv) + 4 * tokens * problem.heads;
  if (problem.backward) bytes += element * (2 * q + kv) + 4 * (q + kv);  // dO, O again, K and V again; dQ, dK, dV
  state.declare({.flops = problem.flops(),
                 .bytes = bytes,
                 .exps = problem.flops() / (4.0 * problem.head_dim) * (problem.backward ? 4.0 / 7 : 1),
                 .working_set = bytes,
                 .roof = "fp32-fma"});
  const std::uint64_t seed = state.seed();
  // The gate compares many times with the oracle of one draw.
  state.inputs([live, seed, gating = state.gating()](std::uint64_t drawn) {
    live->data.draw(drawn);
    if (gating) live->data.refer(seed);
  });
  for (harness::Output& output : live->data.outputs()) state.output(std::move(output));
  const auto whole = std::make_shared<std::optional<harness::Check>>();
  state.oracle([live, seed, whole] {
    harness::Check check = live->data.compare(seed);
    if (check.coverage == 1) return check;
    if (!*whole) *whole = check_whole(live->plan.problem, live->fabric, seed + 1);
    if (!((*whole)->error <= 1)) {
      check.error = (*whole)->error;
      check.detail = (*whole)->detail;
    }
    return check;
  });
  if (problem.ranks > 1) {
    state.mutant("last-hop-skipped", [live] {
      RingPlan wrong = live->plan;
      --wrong.hops;
      live->run(wrong);
    });
    state.mutant("merge-without-rescaling", [live] {
      RingPlan wrong = live->plan;
      wrong.merge = merge_without_rescaling;
      live->run(wrong);
    });
  }
  if (problem.dtype == substrate::DType::f32)
    state.mutant("lower-precision", [live] {
      RingPlan wrong = live->plan;
      wrong.merge = merge_in_bf16;
      live->run(wrong);
    });
  state.mutant("wrong-scale", [live] {
    RingPlan wrong = live->plan;
    wrong.block.scale *= 1.0625F;
    live->run(wrong);
  });

  // The counts need no data: they are those of the same program in virtual time.
  datasets::Cluster any;
  any.devices_per_node = problem.ranks;
  any.intra.bandwidth = 1;
  substrate::ClusterFabric counting({.cluster = any,
                                     .operator_seconds = [](const substrate::OpWork&) { return 0.0; },
                                     .memory_bandwidth = 1,
                                     .ranks = problem.ranks});
  report_counts(state, counting.run(program_of(live->plan, nullptr)));
  state.measure([live] { live->run(live->plan); });
}

namespace {

using harness::claims::move_constants;
using harness::claims::Reach;
using substrate::OpKind;
using substrate::OpWork;

// A class of operators has one held-out residual.
std::string operator_class(const OpWork& work) {
  return work.kind == OpKind::attention_backward ? "attention" : std::string(to_string(work.kind));
}

// Fastest and slowest an operator may be by the residuals of the constants it uses.
std::pair<double, double> operator_interval(const datasets::Device& device, const OpWork& work) {
  Reach reach(substrate::operator_seconds(device, work));
  move_constants(device, [&](const std::string& key, const datasets::Device& moved) {
    reach.add(key, substrate::operator_seconds(moved, work));
  });
  return {reach.low(), reach.high()};
}

// One program on one cluster.
class Projected {
 public:
  Projected(const RingPlan& plan, datasets::Device device) : plan_(plan), device_(std::move(device)) {}

  RunReport run(const datasets::Cluster& cluster, const substrate::OperatorModel& model,
                const substrate::TimelineOptions& timeline) const {
    substrate::ClusterFabric fabric({.cluster = cluster,
                                     .operator_seconds = model,
                                     .memory_bandwidth = device_.at("memory_bandwidth"),
                                     .ranks = plan_.problem.ranks});
    return fabric.run(program_of(plan_, nullptr), timeline);
  }

  // Keeps which operators the program uses.
  RunReport run_nominal(const datasets::Cluster& cluster, const substrate::TimelineOptions& timeline) {
    return run(
        cluster,
        [&](const OpWork& work) {
          if (std::ranges::find(used_, work) == used_.end()) used_.push_back(work);
          return substrate::operator_seconds(device_, work);
        },
        timeline);
  }

  // "inside" where every operator is what the constants were fitted on, else which are not.
  std::string domain() const {
    std::set<std::string> outside;
    for (const OpWork& work : used_)
      if (!calibrated_for(device_, work))
        outside.insert(fmt::format("{} {}", operator_class(work), to_string(work.dtype)));
    return outside.empty() ? "inside" : fmt::format("outside: {}", fmt::join(outside, ", "));
  }

  // The step with the operators of one class, then the links, at either end of their residual, all else nominal. The
  // constants of the links were fitted together and move together.
  Reach step_interval(const datasets::Cluster& cluster, double nominal) const {
    Reach reach(nominal);
    const auto seconds = [&](const datasets::Cluster& links, const substrate::OperatorModel& model) {
      return substrate::to_seconds(run(links, model, {}).makespan());
    };
    std::set<std::string> classes;
    for (const OpWork& work : used_) classes.insert(operator_class(work));
    for (const std::string& moved : classes)
      for (const bool slow : {false, true})
        reach.add(moved, seconds(cluster, [&](const OpWork& work) {
                    if (operator_class(work) != moved) return substrate::operator_seconds(device_, work);
                    const auto [least, most] = operator_interval(device_, work);
                    return slow ? most : least;
                  }));
    for (const double side : {-1.0, 1.0}) {
      datasets::Cluster links = cluster;
      for (auto& [key, constant] : links.constants)
        constant.value *= std::max(0.0, 1 + (key.ends_with("latency") ? side : -side) * constant.p90_error);
      datasets::apply_constants(links);
      const auto nominal_model = [&](const OpWork& work) { return substrate::operator_seconds(device_, work); };
      if (plan_.problem.ranks > 1) reach.add("links", seconds(links, nominal_model));
    }
    return reach;
  }

 private:
  const RingPlan& plan_;
  datasets::Device device_;
  std::vector<OpWork> used_;
};

}  // namespace

void run_ring_on_cluster(harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster(state.text("cluster"), root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  state.descriptor("cluster:" + cluster.id, cluster.hash);
  state.descriptor("device:" + device.id, device.hash);
  if (!device.calibration.empty()) state.descriptor("carried:" + device.id, device.calibration);

  const RingPlan plan(problem);
  Projected projected_run(plan, device);
  const RunReport run = projected_run.run_nominal(cluster, {.ranks = kTimelineRanks, .per_rank = 512});
  state.descriptor("domain:calibrated", projected_run.domain());

  const auto& critical = run.ranks[static_cast<std::size_t>(run.critical_rank())];
  const double step = substrate::to_seconds(run.makespan());
  const double on_wire = substrate::to_seconds(critical.exposed_transfer);
  const double late = substrate::to_seconds(critical.exposed - critical.exposed_transfer);
  const Reach reach = state.gating() ? Reach(step) : projected_run.step_interval(cluster, step);
  state.report({"step_time", step, "s", Provenance::projected, reach.low(), reach.high()});
  // Rates follow from the step.
  const auto rate = [&](const char* name, double work, const char* unit) {
    state.report({name, work / step, unit, Provenance::projected, work / reach.high(), work / reach.low()});
  };
  rate("device_flops", problem.flops() / problem.ranks, "FLOP/s");
  rate("throughput", static_cast<double>(problem.length) * problem.batch, "token/s");
  state.report(
      {"exposed_comm_fraction", substrate::to_seconds(critical.exposed) / step, "1", Provenance::projected, {}, {}});
  report_counts(state, run);
  state.breakdown({"compute", "time", substrate::to_seconds(critical.busy[0]), Provenance::projected});
  state.breakdown({"exposed_comm", "time", on_wire, Provenance::projected});
  state.breakdown({"late_peer", "time", late, Provenance::projected});
  for (const substrate::Interval& each : run.intervals)
    state.interval({fmt::format("rank {} / {}", each.rank, to_string(each.lane)), each.name, each.start, each.end});
}

std::vector<harness::Axis> ring_cluster_axes() {
  std::vector<harness::Axis> axes = sequence_axes();
  axes.push_back(
      {.name = "cluster", .defaults = {harness::Value(std::string("dgx-a100"))}, .help = "cluster descriptor"});
  return axes;
}

}  // namespace assay::parallelism
