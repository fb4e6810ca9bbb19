#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "datasets/user_error.h"
#include "harness/ensemble.h"
#include "harness/timeline_keeper.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/program_timeline.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/real_ranks.h"

namespace assay::parallelism {

namespace {

using results_db::Provenance;
using substrate::Rank;
using substrate::RunReport;

constexpr int kMostThreads = 64;
constexpr int kMostProcesses = 1024;

// A program with the data of the ranks that this process holds.
struct Shards {
  RankProgram program;
  int ranks;
  std::unique_ptr<ProgramData> data;

  Shards(const ProgramScheme& scheme, const substrate::RealRanks& held, int me)
      : program(scheme.program),
        ranks(scheme.ranks),
        data(scheme.data(held.conducts() ? std::nullopt : std::optional(me))) {}

  substrate::Program bound(const RankProgram& which) {
    return [&](Rank& rank) { return which(rank, data.get()); };
  }
  // All processes call it; the first compares.
  harness::Check compare(substrate::RealRanks& held, std::uint64_t seed) {
    for (int r = 0; r < ranks; ++r)
      if (held.conducts() || held.holds(r))
        for (const std::span<std::byte> part : data->outputs_of(r)) held.bring_home(r, part);
    return held.conducts() ? data->compare(seed) : harness::Check{};
  }
};

struct Case {
  ProgramScheme scheme;
  int me;  // rank of this process; 0 where it holds all
  substrate::RealRanks ranks;
  Shards shards;

  Case(const harness::State& state, const ProgramScheme& s)
      : scheme(s),
        me(state.ensemble() == nullptr ? 0 : state.ensemble()->rank()),
        ranks(s.fabric ? substrate::RealRanks(s.fabric) : substrate::RealRanks(state, s.ranks)),
        shards(scheme, ranks, me) {}
  void run_gated(const RankProgram& which) {
    shards.data->outputs_to_ranks();
    ranks.run(shards.bound(which));
    shards.data->outputs_from_ranks();
  }

  harness::Check check_whole(std::uint64_t seed) {
    const ProgramScheme whole = scheme.whole();
    Shards small(whole, ranks, me);
    small.data->draw(seed);
    small.data->outputs_to_ranks();
    ranks.run(small.bound(small.program));
    small.data->outputs_from_ranks();
    harness::Check check = small.compare(ranks, seed);
    check.detail = fmt::format("{}: {}", whole.whole_name, check.detail);
    return check;
  }
};

}  // namespace

RunReport count_program(const RankProgram& program, int ranks) {
  datasets::Cluster any;
  any.devices_per_node = ranks;
  any.intra.bandwidth = 1;
  substrate::ClusterFabric counting({.cluster = any,
                                     .operator_seconds = [](const substrate::OpWork&) { return 0.0; },
                                     .memory_bandwidth = 1,
                                     .ranks = ranks});
  return counting.run([&](Rank& rank) { return program(rank, nullptr); });
}

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

void measure_program(harness::State& state, const ProgramScheme& scheme) {
  const bool threads = state.fabric() != "mpi";
  const int most = threads ? kMostThreads : kMostProcesses;
  if (scheme.ranks > most)
    throw UserError(
        fmt::format("ranks: found {}, expected at most {} on fabric {}", scheme.ranks, most, state.fabric()));
  const auto live = std::make_shared<Case>(state, scheme);

  state.declare(scheme.work);
  const std::uint64_t seed = state.seed();
  // The gate compares many times with the oracle of one draw.
  state.inputs([live, seed, gating = state.gating()](std::uint64_t drawn) {
    live->shards.data->draw(drawn);
    if (gating && live->ranks.conducts()) live->shards.data->refer(seed);
  });
  for (harness::Output& output : live->shards.data->outputs()) state.output(std::move(output));
  const auto whole = std::make_shared<std::optional<harness::Check>>();
  state.oracle([live, seed, whole] {
    harness::Check check = live->shards.compare(live->ranks, seed);
    if (live->shards.data->compares_all() || !live->scheme.whole) return check;
    if (!*whole) *whole = live->check_whole(seed + 1);
    if (!((*whole)->error <= 1)) {
      check.error = (*whole)->error;
      check.detail = (*whole)->detail;
    }
    return check;
  });
  for (std::size_t i = 0; i < scheme.mutants.size(); ++i)
    state.mutant(scheme.mutants[i].name, [live, i] { live->run_gated(live->scheme.mutants[i].program); });
  const auto counted = std::make_shared<const RunReport>(count_program(live->shards.program, scheme.ranks));
  if (scheme.counts_messages) report_counts(state, *counted);
  if (auto* keeper = dynamic_cast<harness::TimelineKeeper*>(&state); keeper != nullptr)
    keeper->trace([live, &state] {
      const RunReport run = live->ranks.run_and_report(live->shards.bound(live->shards.program), kKeptTimeline);
      if (live->ranks.conducts()) report_timeline(state, run);
    });
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
