#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "harness/claims/residuals.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/program_timeline.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/cpu_features.h"
#include "impls/substrate/fork_join.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

namespace {

using results_db::Provenance;
using substrate::Rank;
using substrate::RunReport;

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
  Projected(RankProgram program, int ranks, datasets::Device device)
      : program_(std::move(program)), ranks_(ranks), device_(std::move(device)) {}

  RunReport run(const datasets::Cluster& cluster, const substrate::OperatorModel& model,
                const substrate::TimelineOptions& timeline) const {
    substrate::ClusterFabric fabric({.cluster = cluster,
                                     .operator_seconds = model,
                                     .memory_bandwidth = device_.at("memory_bandwidth"),
                                     .ranks = ranks_});
    return fabric.run([&](Rank& rank) { return program_(rank, nullptr); }, timeline);
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
    struct Moved {
      std::string cause;
      datasets::Cluster links;
      substrate::OperatorModel model;
      double seconds = 0;
    };
    std::vector<Moved> runs;
    std::set<std::string> classes;
    for (const OpWork& work : used_) classes.insert(operator_class(work));
    for (const std::string& moved : classes)
      for (const bool slow : {false, true})
        runs.push_back({.cause = moved, .links = cluster, .model = [this, moved, slow](const OpWork& work) {
                          if (operator_class(work) != moved) return substrate::operator_seconds(device_, work);
                          const auto [least, most] = operator_interval(device_, work);
                          return slow ? most : least;
                        }});
    for (const double side : {-1.0, 1.0}) {
      if (ranks_ == 1) continue;
      datasets::Cluster links = cluster;
      for (auto& [key, constant] : links.constants)
        constant.value *= std::max(0.0, 1 + (key.ends_with("latency") ? side : -side) * constant.p90_error);
      datasets::apply_constants(links);
      runs.push_back({.cause = "links", .links = links, .model = [this](const OpWork& work) {
                        return substrate::operator_seconds(device_, work);
                      }});
    }
    // Virtual times do not depend on who else runs, so the runs share the processors.
    substrate::ForkJoin pool(
        static_cast<int>(std::clamp<std::size_t>(substrate::allowed_cpus().size(), 1, runs.size())));
    pool.run(static_cast<std::int64_t>(runs.size()), [&](std::int64_t index, int) {
      Moved& each = runs[static_cast<std::size_t>(index)];
      each.seconds = substrate::to_seconds(run(each.links, each.model, {}).makespan());
    });
    Reach reach(nominal);
    for (const Moved& each : runs) reach.add(each.cause, each.seconds);
    return reach;
  }

 private:
  RankProgram program_;
  int ranks_;
  datasets::Device device_;
  std::vector<OpWork> used_;
};

void report_projection(harness::State& state, const ProgramScheme& scheme, const datasets::Cluster& cluster,
                       const Projected& projected_run, const RunReport& run) {
  state.descriptor("domain:calibrated", projected_run.domain());

  const auto& critical = run.ranks[static_cast<std::size_t>(run.critical_rank())];
  const double step = substrate::to_seconds(run.makespan());
  const double on_wire = substrate::to_seconds(critical.exposed_transfer);
  const double late = substrate::to_seconds(critical.exposed - critical.exposed_transfer);
  const Reach reach = projected_run.step_interval(cluster, step);
  state.report({"step_time", step, "s", Provenance::projected, reach.low(), reach.high()});
  // Rates follow from the step.
  const auto rate = [&](const char* name, double work, const char* unit) {
    state.report({name, work / step, unit, Provenance::projected, work / reach.high(), work / reach.low()});
  };
  if (scheme.work.flops > 0) rate("device_flops", scheme.work.flops / scheme.ranks, "FLOP/s");
  if (scheme.tokens > 0) rate("throughput", static_cast<double>(scheme.tokens), "token/s");
  state.report(
      {"exposed_comm_fraction", substrate::to_seconds(critical.exposed) / step, "1", Provenance::projected, {}, {}});
  report_counts(state, run);
  state.breakdown({"compute", "time", substrate::to_seconds(critical.busy[0]), Provenance::projected});
  state.breakdown({"exposed_comm", "time", on_wire, Provenance::projected});
  state.breakdown({"late_peer", "time", late, Provenance::projected});
  report_timeline(state, run);
}

}  // namespace

void project_program(harness::State& state, const ProgramScheme& scheme) {
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster(state.text("cluster"), root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  state.descriptor("cluster:" + cluster.id, cluster.hash);
  state.descriptor("device:" + device.id, device.hash);
  if (!device.calibration.empty()) state.descriptor("carried:" + device.id, device.calibration);

  // What cannot be is refused before anything is simulated: too few devices, no peak of the dtype.
  const substrate::ClusterFabric holds_them({.cluster = cluster,
                                             .operator_seconds = nullptr,
                                             .memory_bandwidth = device.at("memory_bandwidth"),
                                             .ranks = scheme.ranks});
  static_cast<void>(substrate::peak(device, scheme.dtype));
  Projected projected_run(scheme.program, scheme.ranks, device);
  RunReport run;
  state.project([&] { run = projected_run.run_nominal(cluster, kKeptTimeline); },
                [&] { report_projection(state, scheme, cluster, projected_run, run); });
}

harness::Axis cluster_axis() {
  return {.name = "cluster", .defaults = {harness::Value(std::string("dgx-a100"))}, .help = "cluster descriptor"};
}

}  // namespace assay::parallelism
