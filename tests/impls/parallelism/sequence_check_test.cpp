#include "impls/parallelism/sequence/sequence_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "harness/case_state.h"
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/threads.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

using substrate::DType;

constexpr std::int64_t kLength = 200;
constexpr int kHeads = 4, kKeyHeads = 2, kWidth = 16;

OracleInputs small_inputs(bool causal) {
  OracleInputs in{.length = kLength,
                  .batch = 2,
                  .heads = kHeads,
                  .kv_heads = kKeyHeads,
                  .head_dim = kWidth,
                  .causal = causal,
                  .q = {},
                  .k = {},
                  .v = {},
                  .d_out = {}};
  substrate::Random random(3);
  const auto fill = [&](std::vector<double>& to, int heads) {
    for (std::int64_t i = 0; i < 2 * kLength * heads * kWidth; ++i)
      to.push_back(substrate::to_float(substrate::to_bf16(static_cast<float>(random.normal()))));
  };
  fill(in.q, kHeads);
  fill(in.k, kKeyHeads);
  fill(in.v, kKeyHeads);
  fill(in.d_out, kHeads);
  return in;
}

// What is wrong with an otherwise exact result.
struct Fault {
  const char* name;
  void (*plant)(OracleOutputs&);
};
std::ostream& operator<<(std::ostream& out, const Fault& fault) { return out << fault.name; }

constexpr std::size_t at(std::int64_t position, int heads, int head) {
  return static_cast<std::size_t>((position * heads + head) * kWidth);
}

class SequenceCheckSampled : public ::testing::TestWithParam<Fault> {};

TEST_P(SequenceCheckSampled, RejectsTheFaultAndAcceptsTheExactResult) {
  for (const bool causal : {false, true})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const OracleInputs in = small_inputs(causal);
      OracleOutputs got = attention_exact(in);
      const SequenceReference sampled(in, dtype, false, {99, 100}, 7);
      const harness::Check good = sampled.compare(got);
      EXPECT_LT(good.error, 0.1) << good.detail;
      EXPECT_GT(good.coverage, 64.0 / kLength - 1e-9);
      EXPECT_LT(good.coverage, 0.5);
      GetParam().plant(got);
      EXPECT_FALSE(sampled.compare(got).error <= 1);
    }
}

// 99 and 100 are on the two sides of a shard border; nothing says that 57 is sampled, so what is wrong there alone must
// show in the sums over all positions.
INSTANTIATE_TEST_SUITE_P(
    Faults, SequenceCheckSampled,
    ::testing::Values(
        Fault{"o_before_border", [](OracleOutputs& out) { out.o[at(99, kHeads, 1)] += 0.1; }},
        Fault{"o_after_border", [](OracleOutputs& out) { out.o[at(100, kHeads, 3) + 5] += 0.1; }},
        Fault{"o_of_the_last_row", [](OracleOutputs& out) { out.o[at(kLength - 1, kHeads, 0)] += 0.1; }},
        Fault{"lse_of_the_first_row", [](OracleOutputs& out) { out.lse[0] += 1e-3; }},
        Fault{"dq_before_border", [](OracleOutputs& out) { out.dq[at(99, kHeads, 2)] += 0.1; }},
        Fault{"dk_after_border", [](OracleOutputs& out) { out.dk[at(100, kKeyHeads, 1)] += 0.1; }},
        Fault{"dv_of_the_last_key", [](OracleOutputs& out) { out.dv[at(kLength - 1, kKeyHeads, 0)] += 0.1; }},
        Fault{"dk_anywhere", [](OracleOutputs& out) { out.dk[at(57, kKeyHeads, 1) + 2] += 0.3; }},
        Fault{"dv_anywhere", [](OracleOutputs& out) { out.dv[at(57, kKeyHeads, 0) + 3] += 0.1; }},
        Fault{"dq_anywhere", [](OracleOutputs& out) { out.dq[at(57, kHeads, 3) + 2] += 0.3; }},
        Fault{"gradients_of_one_head_left_out",
              [](OracleOutputs& out) {
                for (std::int64_t j = 0; j < kLength; ++j)
                  std::fill_n(out.dv.begin() + static_cast<std::ptrdiff_t>(at(j, kKeyHeads, 1)), kWidth, 0.0);
              }},
        Fault{"not_a_number", [](OracleOutputs& out) { std::ranges::fill(out.o, std::nan("")); }},
        Fault{"an_infinity",
              [](OracleOutputs& out) { out.dv[at(57, kKeyHeads, 0)] = std::numeric_limits<double>::infinity(); }}),
    [](const auto& fault) { return std::string(fault.param.name); });

TEST(SequenceCheck, NaiveAttentionIsWithinHalfOfItsOwnTolerance) {
  for (const bool causal : {false, true})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const OracleInputs in = small_inputs(causal);
      const OracleOutputs naive = attention_naive(in, dtype);
      const harness::Check all = SequenceReference(in, dtype, true, {}, 7).compare(naive);
      EXPECT_LE(all.error, 0.5) << all.detail;
      EXPECT_EQ(all.coverage, 1);
      if (dtype == DType::bf16) EXPECT_GT(all.error, 0.4);  // the rule is 2 err + 1e-5
    }
}

TEST(SequenceCheck, LateRowsAreNotExcusedByTheErrorsOfEarlyOnes) {
  const OracleInputs in = small_inputs(true);
  const SequenceReference reference(in, DType::bf16, true, {}, 7);
  const auto error_with = [&](std::int64_t position) {
    OracleOutputs got = attention_exact(in);
    got.o[at(position, kHeads, 0)] += 0.008;
    return reference.compare(got).error;
  };
  EXPECT_LT(error_with(1), 1);
  EXPECT_GT(error_with(kLength - 1), 1);
}

TEST(SequenceCheck, ColumnsAndRowsAreThoseOfTheWhole) {
  for (const bool causal : {false, true}) {
    const OracleInputs in = small_inputs(causal);
    const OracleOutputs whole = attention_exact(in);
    for (const std::int64_t position : {std::int64_t{0}, std::int64_t{63}, kLength - 1})
      for (int h = 0; h < kKeyHeads; ++h) {
        const OracleColumn column = attention_exact_column(in, whole.lse, whole.o, 1, h, position);
        const OracleRow row = attention_exact_row(in, 1, h, position);
        for (std::size_t x = 0; x < kWidth; ++x) {
          EXPECT_NEAR(column.dk[x], whole.dk[at(kLength + position, kKeyHeads, h) + x], 1e-12);
          EXPECT_NEAR(column.dv[x], whole.dv[at(kLength + position, kKeyHeads, h) + x], 1e-12);
          EXPECT_EQ(row.dq[x], whole.dq[at(kLength + position, kHeads, h) + x]);
        }
      }
  }
}

// -- above 2 GFLOP, through the ring itself

TEST(SequenceCheckAboveTheFullOracle, ARingIsSampledAndItsMutantsAreRejected) {
  const RingPlan plan({.length = 1160,
                       .ranks = 4,
                       .heads = 2,
                       .kv_heads = 1,
                       .head_dim = 64,
                       .dtype = DType::bf16,
                       .causal = false,
                       .backward = true});
  ASSERT_GT(plan.problem.flops(), 2e9);
  SequenceData data(plan);
  data.draw(8);
  substrate::ThreadsFabric fabric(4);
  const auto check = [&](const RingPlan& which) {
    for (harness::Output& output : data.outputs()) std::ranges::fill(output.bytes, std::byte{0xff});
    fabric.run([&](substrate::Rank& rank) { return ring_attention_layer(rank, which, data.memory(rank.id())); });
    return data.compare(1);
  };
  const harness::Check good = check(plan);
  EXPECT_LE(good.error, 1) << good.detail;
  EXPECT_LT(good.coverage, 0.1);
  RingPlan skipped = plan;
  --skipped.hops;
  EXPECT_GT(check(skipped).error, 1);
  RingPlan scaled = plan;
  scaled.block.scale *= 1.0625F;
  EXPECT_GT(check(scaled).error, 1);
}

TEST(SequenceCheckAboveTheFullOracle, TheGateRunsAndCatchesEveryMutantOfASampledCase) {
  harness::Job job{.kind = harness::JobKind::gate,
                   .technique = "parallelism/sequence/ring-attention",
                   .backend = "cpu",
                   .fabric = "threads",
                   .seed = 21,
                   .mutant_budget_seconds = 1e9};
  for (const harness::Axis& axis : sequence_axes()) job.params.set(axis.name, axis.defaults.front());
  for (const auto& [name, value] : {std::pair{"sequence_length", 2048}, {"heads", 2}, {"ranks", 2}, {"causal", 0}})
    job.params.set(name, harness::Value(std::int64_t{value}));
  const harness::Reply reply = harness::run_job(job);
  EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  EXPECT_LT(reply.gate.coverage, 0.1);
  EXPECT_EQ(reply.gate.mutants_total, 5);  // null, stale, last hop, rescaling, scale
  EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total);
}

}  // namespace
}  // namespace assay::parallelism
