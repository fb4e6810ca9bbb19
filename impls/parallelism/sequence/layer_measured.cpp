#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "datasets/user_error.h"
#include "harness/ensemble.h"
#include "impls/parallelism/sequence/layer_case.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/real_ranks.h"

namespace assay::parallelism {

namespace {

using results_db::Provenance;
using substrate::Rank;
using substrate::RunReport;

constexpr int kMostThreads = 64;
constexpr int kMostProcesses = 1024;

// One problem with the data of the ranks that this process holds.
struct Shards {
  LayerProgram program;
  std::unique_ptr<LayerData> data;

  Shards(const LayerScheme& scheme, const SequenceProblem& problem, const substrate::RealRanks& ranks, int me)
      : program(scheme.program(problem)),
        data(scheme.data(problem, ranks.conducts() ? std::nullopt : std::optional(me))) {}

  substrate::Program bound(const LayerProgram& which) {
    return [&](Rank& rank) { return which(rank, data.get()); };
  }
  // All processes call it; the first compares.
  harness::Check compare(substrate::RealRanks& ranks, int count, std::uint64_t seed) {
    for (int r = 0; r < count; ++r)
      if (ranks.conducts() || ranks.holds(r))
        for (const std::span<std::byte> part : data->outputs_of(r)) ranks.bring_home(r, part);
    return ranks.conducts() ? data->compare(seed) : harness::Check{};
  }
};

struct Case {
  LayerScheme scheme;
  int me;  // rank of this process; 0 where it holds all
  substrate::RealRanks ranks;
  Shards shards;

  Case(const harness::State& state, const LayerScheme& s)
      : scheme(s),
        me(state.ensemble() == nullptr ? 0 : state.ensemble()->rank()),
        ranks(s.fabric ? substrate::RealRanks(s.fabric) : substrate::RealRanks(state, s.problem.ranks)),
        shards(scheme, scheme.problem, ranks, me) {}
  void run_gated(const LayerProgram& which) {
    shards.data->outputs_to_ranks();
    ranks.run(shards.bound(which));
    shards.data->outputs_from_ranks();
  }

  // The same code path at a shape small enough to compare whole.
  harness::Check check_whole(std::uint64_t seed) {
    SequenceProblem problem = scheme.problem;
    problem.batch = 1;
    while (scheme.work(problem).flops > 1e8 && problem.length > 4 * problem.ranks)
      problem.length = problem.length / 2 + 1;
    Shards small(scheme, problem, ranks, me);
    small.data->draw(seed);
    small.data->outputs_to_ranks();
    ranks.run(small.bound(small.program));
    small.data->outputs_from_ranks();
    harness::Check check = small.compare(ranks, problem.ranks, seed);
    check.detail = fmt::format("at {} tokens: {}", problem.length, check.detail);
    return check;
  }
};

// The counts need no data: they are those of the same program in virtual time.
RunReport run_counting(const LayerProgram& program, int ranks) {
  datasets::Cluster any;
  any.devices_per_node = ranks;
  any.intra.bandwidth = 1;
  substrate::ClusterFabric counting({.cluster = any,
                                     .operator_seconds = [](const substrate::OpWork&) { return 0.0; },
                                     .memory_bandwidth = 1,
                                     .ranks = ranks});
  return counting.run([&](Rank& rank) { return program(rank, nullptr); });
}

}  // namespace

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

void measure_layer(harness::State& state, const LayerScheme& scheme) {
  const SequenceProblem& problem = scheme.problem;
  const bool threads = state.fabric() == "threads";
  const int most = threads ? kMostThreads : kMostProcesses;
  if (problem.ranks > most)
    throw UserError(
        fmt::format("ranks: found {}, expected at most {} on fabric {}", problem.ranks, most, state.fabric()));
  const auto live = std::make_shared<Case>(state, scheme);

  state.declare(scheme.work(problem));
  const std::uint64_t seed = state.seed();
  // The gate compares many times with the oracle of one draw.
  state.inputs([live, seed, gating = state.gating()](std::uint64_t drawn) {
    live->shards.data->draw(drawn);
    if (gating && live->ranks.conducts()) live->shards.data->refer(seed);
  });
  for (harness::Output& output : live->shards.data->outputs()) state.output(std::move(output));
  const auto whole = std::make_shared<std::optional<harness::Check>>();
  state.oracle([live, seed, whole] {
    harness::Check check = live->shards.compare(live->ranks, live->scheme.problem.ranks, seed);
    if (live->shards.data->compares_all()) return check;
    if (!*whole) *whole = live->check_whole(seed + 1);
    if (!((*whole)->error <= 1)) {
      check.error = (*whole)->error;
      check.detail = (*whole)->detail;
    }
    return check;
  });
  for (std::size_t i = 0; i < scheme.mutants.size(); ++i)
    state.mutant(scheme.mutants[i].name, [live, i] { live->run_gated(live->scheme.mutants[i].program); });
  const auto counted = std::make_shared<const RunReport>(run_counting(live->shards.program, problem.ranks));
  report_counts(state, *counted);
  // Before a time counts the real execution must have counted what the virtual one did.
  state.measure([live, counted, gating = state.gating()] {
    if (!gating) return live->ranks.run(live->shards.bound(live->shards.program));
    live->shards.data->outputs_to_ranks();
    const RunReport real = live->ranks.run_and_report(live->shards.bound(live->shards.program));
    live->shards.data->outputs_from_ranks();
    const std::string difference = live->ranks.conducts() ? count_difference(real, *counted) : "";
    if (!difference.empty())
      throw std::logic_error("the real and the virtual execution differ in their counts: " + difference);
  });
}

}  // namespace assay::parallelism
