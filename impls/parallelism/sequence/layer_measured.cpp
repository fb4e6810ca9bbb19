#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/layer_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::parallelism {

namespace {

using results_db::Provenance;
using substrate::Rank;
using substrate::RunReport;

constexpr int kLargestThreads = 64;

substrate::Program bound(const LayerProgram& program, SequenceData& data) {
  return [&](Rank& rank) { return program(rank, data.memory(rank.id())); };
}

// The same code path at a shape small enough to compare whole.
harness::Check check_whole(const LayerScheme& scheme, substrate::ThreadsFabric& fabric, std::uint64_t seed) {
  SequenceProblem problem = scheme.problem;
  problem.batch = 1;
  while (problem.flops() > 1e8 && problem.length > 4 * problem.ranks) problem.length = problem.length / 2 + 1;
  SequenceData data((SequencePlan(problem)));
  data.draw(seed);
  const LayerProgram program = scheme.program(problem);
  fabric.run(bound(program, data));
  harness::Check check = data.compare(seed);
  check.detail = fmt::format("at {} tokens: {}", problem.length, check.detail);
  return check;
}

// The counts need no data: they are those of the same program in virtual time.
RunReport run_counting(const LayerProgram& program, int ranks) {
  datasets::Cluster any;
  any.devices_per_node = ranks;
  any.intra.bandwidth = 1;
  substrate::ClusterFabric counting({.cluster = any,
                                     .operator_seconds = [](const substrate::OpWork&) { return 0.0; },
                                     .memory_bandwidth = 1,
                                     .ranks = ranks});
  return counting.run([&](Rank& rank) { return program(rank, {}); });
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
  if (problem.ranks > kLargestThreads)
    throw UserError(
        fmt::format("ranks: found {}, expected at most {} on the threads fabric", problem.ranks, kLargestThreads));
  struct Case {
    LayerScheme scheme;
    LayerProgram program;
    SequenceData data;
    substrate::ThreadsFabric fabric;
    explicit Case(const LayerScheme& s)
        : scheme(s), program(s.program(s.problem)), data(SequencePlan(s.problem)), fabric(s.problem.ranks) {}
    void run(const LayerProgram& which) { fabric.run(bound(which, data)); }
  };
  const auto live = std::make_shared<Case>(scheme);

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
    if (!*whole) *whole = check_whole(live->scheme, live->fabric, seed + 1);
    if (!((*whole)->error <= 1)) {
      check.error = (*whole)->error;
      check.detail = (*whole)->detail;
    }
    return check;
  });
  for (std::size_t i = 0; i < scheme.mutants.size(); ++i)
    state.mutant(scheme.mutants[i].name, [live, i] { live->run(live->scheme.mutants[i].program); });
  report_counts(state, run_counting(live->program, problem.ranks));
  state.measure([live] { live->run(live->program); });
}

}  // namespace assay::parallelism
