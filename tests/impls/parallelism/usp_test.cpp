// USP and the double ring beyond what every technique over ranks promises: every mesh of every number of ranks.
#include "impls/parallelism/sequence/usp.h"

#include <gtest/gtest.h>

#include <cstring>

#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/ulysses_case.h"
#include "impls/parallelism/sequence/usp_case.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using substrate::Rank;
using substrate::RunReport;

SequenceProblem problem(std::int64_t length, int ranks, Layout layout = Layout::zigzag, DType dtype = DType::f32) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = 24,
          .kv_heads = 24,
          .head_dim = 8,
          .dtype = dtype,
          .causal = true,
          .backward = true,
          .layout = layout};
}

// Every (Pu, w) of P ranks.
template <class Try>
void each_mesh(const SequenceProblem& p, Try&& attempt) {
  for (int by_heads = 1; by_heads <= p.ranks; ++by_heads)
    for (int inner = 1; inner <= p.ranks; ++inner)
      if (!cannot_deal(p, by_heads) && p.ranks / by_heads % inner == 0) attempt(by_heads, inner);
}

void run_real(const RankProgram& program, SequenceData& data, int ranks) {
  substrate::ThreadsFabric(ranks).run([&](Rank& rank) { return program(rank, &data); });
}

TEST(Usp, EveryMeshGivesTheResultOfTheOracle) {
  for (const int ranks : {1, 2, 3, 4, 8})
    for (const Layout layout : {Layout::contiguous, Layout::zigzag, Layout::striped}) {
      const SequenceProblem p = problem(83, ranks, layout);
      each_mesh(p, [&](int by_heads, int inner) {
        SequenceData data(UspPlan(p, by_heads, inner).held());
        data.draw(7);
        run_real(usp_program_of(UspPlan(p, by_heads, inner)), data, ranks);
        const harness::Check check = data.compare(1);
        EXPECT_LE(check.error, 1) << ranks << " ranks, " << by_heads << " by heads, rings of " << inner << ": "
                                  << check.detail;
      });
    }
}

TEST(Usp, SharedKeyHeadsAreCopiedInsideAShare) {
  SequenceProblem p = problem(90, 8);
  p.kv_heads = 2;
  for (const int by_heads : {1, 2, 4, 8}) {
    SequenceData data(UspPlan(p, by_heads).held());
    data.draw(8);
    run_real(usp_program_of(UspPlan(p, by_heads, 1)), data, p.ranks);
    EXPECT_LE(data.compare(1).error, 1) << by_heads;
  }
}

TEST(Usp, AMeshOfOneRowIsTheRingToTheLastBit) {
  const SequenceProblem p = problem(101, 4);
  SequenceData ring(SequencePlan{p}), mesh(UspPlan(p, 1).held());
  ring.draw(3);
  mesh.draw(3);
  run_real(ring_program(p), ring, p.ranks);
  run_real(usp_program_of(UspPlan(p, 1)), mesh, p.ranks);
  for (int r = 0; r < p.ranks; ++r) {
    const auto a = ring.outputs_of(r), b = mesh.outputs_of(r);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].size(), b[i].size());
      EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].size()), 0) << "output " << i << " of rank " << r;
    }
  }
}

TEST(Usp, SendsWhatTheFormulasSay) {
  for (const int ranks : {2, 4, 8}) {
    SequenceProblem p = problem(192, ranks, Layout::zigzag, DType::bf16);
    const std::int64_t element = std::int64_t{p.batch} * p.head_dim;
    const std::int64_t c = p.length / ranks;
    each_mesh(p, [&](int pu, int w) {
      const std::int64_t pr = ranks / pu, rings = pr / w;
      const std::int64_t exchange = (pu - 1) * c * (2 * p.heads + 2 * p.kv_heads) / pu * element * 2;
      const std::int64_t block = 2 * (p.length / pr) * (p.kv_heads / pu) * element;  // elements of K, V
      p.backward = false;
      const RunReport forward = count_program(usp_program_of(UspPlan(p, pu, w)), ranks);
      p.backward = true;
      const RunReport both = count_program(usp_program_of(UspPlan(p, pu, w)), ranks);
      // dK, dV: once around every inner ring, and once around the outer one.
      const std::int64_t gradients = (w > 1 ? w * rings : 0) + (rings > 1 ? rings : 0);
      for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
        EXPECT_EQ(forward.ranks[r].bytes_sent(), exchange + (pr - 1) * block * 2) << pu << " x " << pr << ", " << w;
        EXPECT_EQ(forward.ranks[r].messages_sent(), 2 * (pu - 1) + pr - 1);
        EXPECT_EQ(both.ranks[r].bytes_sent(), 2 * exchange + 2 * (pr - 1) * block * 2 + gradients * block * 4);
        EXPECT_EQ(both.ranks[r].messages_sent(), 4 * (pu - 1) + 2 * (pr - 1) + gradients);
      }
    });
  }
}

TEST(Usp, AMeshOfOneColumnSendsWhatUlyssesDoes) {
  const SequenceProblem p = problem(192, 8, Layout::contiguous, DType::bf16);
  const RunReport mesh = count_program(usp_program_of(UspPlan(p, 8)), 8),
                  ulysses = count_program(ulysses_program(p), 8);
  for (std::size_t r = 0; r < 8; ++r) {
    EXPECT_EQ(mesh.ranks[r].bytes_sent(), ulysses.ranks[r].bytes_sent());
    EXPECT_EQ(mesh.ranks[r].messages_sent(), ulysses.ranks[r].messages_sent());
  }
}

// A rank sends K and V to the next inner ring once an outer round, all else stays in its own.
TEST(DoubleRing, SendsToOtherInnerRingsOnceARound) {
  SequenceProblem p = problem(192, 8, Layout::zigzag, DType::bf16);
  p.backward = false;
  const RunReport run = count_program(usp_program_of(UspPlan(p, 1, 4)), 8);
  for (int r = 0; r < 8; ++r) {
    std::int64_t inside = 0, outside = 0;
    for (const auto& entry : run.ranks[static_cast<std::size_t>(r)].messages.entries())
      if (entry.direction == substrate::Direction::sent) (entry.peer / 4 == r / 4 ? inside : outside) += entry.messages;
    EXPECT_EQ(outside, 1);
    EXPECT_EQ(inside, 2 * 3);
  }
}

harness::Reply project(std::int64_t by_heads, std::int64_t inner, bool backward = false) {
  harness::Job job{
      .kind = harness::JobKind::time, .technique = "parallelism/sequence/usp", .backend = "cpu", .fabric = "cluster"};
  for (const harness::Axis& axis : usp_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("cluster", std::string("dgx-a100"));
  job.params.set("ranks", std::int64_t{32});
  job.params.set("heads", std::int64_t{32});
  job.params.set("head_dim", std::int64_t{128});
  job.params.set("sequence_length", std::int64_t{1} << 16);
  job.params.set("backward", std::int64_t{backward});
  job.params.set("ulysses", by_heads);
  job.params.set("inner_ring", inner);
  return harness::run_job(job);
}

double step_time(const harness::Reply& reply) {
  for (const results_db::Metric& each : reply.launch.metrics)
    if (each.name == "step_time") return each.value;
  ADD_FAILURE() << reply.reason;
  return 0;
}

TEST(DoubleRing, UsesAllNicsOfANodeWhereAPlainRingUsesOne) {
  EXPECT_LT(step_time(project(1, 8)), 0.7 * step_time(project(1, 32)));
}

TEST(Usp, RefusesMeshesThatCannotBeDealt) {
  const auto refused = [](std::int64_t by_heads, std::int64_t inner) {
    const harness::Reply reply = project(by_heads, inner);
    EXPECT_TRUE(reply.user_error);
    return reply.reason;
  };
  EXPECT_NE(refused(5, 0).find("ulysses: found 5, expected a divisor of ranks (32)"), std::string::npos);
  EXPECT_NE(refused(4, 3).find("inner_ring: found 3, expected a divisor of ranks / ulysses (8)"), std::string::npos);
}

}  // namespace
}  // namespace assay::parallelism
