// The engine against a second, plain implementation, against closed forms, and against itself without its shortcut.
#include "impls/serving/engine.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

#include "datasets/workloads/generator.h"
#include "impls/serving/oracle.h"
#include "impls/serving/pipeline.h"
#include "impls/serving/schedulers.h"
#include "impls/serving/summary.h"
#include "impls/substrate/models/collective_time.h"

namespace assay::serving {
namespace {

Deployment on_a100(const std::string& model = "llama2-7b", int tensor = 1) {
  const std::string root = datasets::data_root();
  return {.model = datasets::load_model(model, root),
          .device = datasets::load_device("a100-80g-sxm", root),
          .cluster = datasets::load_cluster("dgx-a100", root),
          .tensor = tensor};
}

struct System {
  const char* name;
  Policy policy;
  Plan (*schedule)(Engine&);
  std::int64_t max_tokens;
  std::int64_t reserved;
};
void PrintTo(const System& system, std::ostream* out) { *out << system.name; }

const std::vector<System> kSystems{
    {"vllm", Policy::vllm, schedule_vllm, 6000, 0},
    {"sarathi", Policy::sarathi, schedule_sarathi, 512, 0},
    {"sarathi_small_budget", Policy::sarathi, schedule_sarathi, 48, 0},
    {"chunks_only", Policy::chunks_only, schedule_chunks_only, 256, 0},
    {"orca", Policy::orca, schedule_orca, 6000, 4096},
    {"orca_paged", Policy::orca, schedule_orca, 6000, 0},
};

datasets::RequestTrace conversations(std::size_t count, double rate, std::uint64_t seed) {
  auto trace = datasets::at_rate(datasets::generate_trace("azure-conv", static_cast<std::int64_t>(count), seed),
                                 datasets::ArrivalLaw::poisson, rate, seed);
  for (auto& request : trace.requests) {
    request.input_tokens = std::min(request.input_tokens, 3000);
    request.output_tokens = std::min(request.output_tokens, 300);
  }
  return trace;
}

class Systems : public testing::TestWithParam<System> {
 protected:
  EngineOptions options(std::int64_t blocks, int max_sequences = 64) const {
    return {.schedule = GetParam().schedule,
            .blocks = blocks,
            .max_tokens = GetParam().max_tokens,
            .max_sequences = max_sequences,
            .reserved_tokens = GetParam().reserved};
  }
};

TEST_P(Systems, AgreeWithThePlainSimulatorToThePicosecond) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const auto trace = conversations(120, seed == 1 ? 3 : 60, seed);
    const EngineOptions chosen = options(seed == 3 ? 900 : 600, seed == 3 ? 9 : 64);
    IterationTime time(on_a100());
    const EngineRun run = Engine(trace, time, chosen).run();
    const OracleRun plain = simulate_plainly(GetParam().policy, trace, time, chosen);
    EXPECT_EQ(run.iterations, plain.iterations);
    for (std::size_t k = 0; k < trace.requests.size(); ++k) {
      const Outcome& ours = run.outcomes[k];
      const OracleRequest& theirs = plain.requests[k];
      ASSERT_EQ(ours.rejected, theirs.rejected);
      ASSERT_EQ(ours.scheduled, theirs.scheduled) << k;
      ASSERT_EQ(ours.tokens, static_cast<std::int32_t>(theirs.tokens.size())) << k;
      ASSERT_EQ(ours.first_token, theirs.tokens.front()) << k;
      ASSERT_EQ(ours.last_token, theirs.tokens.back()) << k;
      ASSERT_EQ(ours.preemptions, theirs.preemptions) << k;
    }
    const Summary a = summarize(run, trace, {}), b = summarize_plainly(plain, trace, {});
    EXPECT_EQ(a.tbt.count, b.tbt.count);
    EXPECT_NEAR(a.tbt.p99, b.tbt.p99, 1e-12);
    EXPECT_NEAR(a.longest_tbt.p99, b.longest_tbt.p99, 1e-12);
    EXPECT_NEAR(a.ttft.mean, b.ttft.mean, 1e-9);
    EXPECT_NEAR(a.tpot.p90, b.tpot.p90, 1e-12);
    EXPECT_EQ(a.attainment, b.attainment);
  }
}

TEST_P(Systems, AgreeWithThePlainSimulatorOverAPipeline) {
  for (const int stages : {2, 4}) {
    const auto trace = conversations(150, 60, 7);
    Deployment piped = on_a100();
    piped.pipeline = stages;
    IterationTime time(piped);
    const EngineOptions chosen = options(600 * stages, 16 * stages);
    const EngineRun run = serve(trace, time, chosen);
    const OracleRun plain = simulate_plainly(GetParam().policy, trace, time, chosen);
    EXPECT_EQ(run.iterations, plain.iterations);
    EXPECT_EQ(run.left_blocks, 0);
    for (std::size_t k = 0; k < trace.requests.size(); ++k) {
      const Outcome& ours = run.outcomes[k];
      const OracleRequest& theirs = plain.requests[k];
      ASSERT_EQ(ours.scheduled, theirs.scheduled) << k;
      ASSERT_EQ(ours.tokens, static_cast<std::int32_t>(theirs.tokens.size())) << k;
      ASSERT_EQ(ours.tokens, trace.requests[k].output_tokens);
      ASSERT_EQ(ours.first_token, theirs.tokens.front()) << k;
      ASSERT_EQ(ours.last_token, theirs.tokens.back()) << k;
      ASSERT_EQ(ours.preemptions, theirs.preemptions) << k;
    }
    const Summary a = summarize(run, trace, {}), b = summarize_plainly(plain, trace, {});
    EXPECT_NEAR(a.tbt.p99, b.tbt.p99, 1e-12);
    EXPECT_NEAR(a.delay.p50, b.delay.p50, 1e-12);
  }
}

TEST_P(Systems, TheShortcutGivesTheSameBits) {
  for (const double rate : {0.5, 8.0, 80.0}) {
    const auto trace = conversations(300, rate, 5);
    EngineOptions chosen = options(1200);
    IterationTime time(on_a100());
    const EngineRun fused = Engine(trace, time, chosen).run();
    chosen.fuse = false;
    EXPECT_EQ(fused, Engine(trace, time, chosen).run()) << "rate " << rate;
  }
}

TEST_P(Systems, DeliverEveryTokenOnceAndGiveEveryBlockBack) {
  const auto trace = conversations(400, 30, 9);
  IterationTime time(on_a100());
  const EngineRun run = Engine(trace, time, options(800)).run();
  std::int64_t wanted = 0, prompts = 0, gaps = 0, preemptions = 0;
  for (std::size_t k = 0; k < trace.requests.size(); ++k) {
    EXPECT_EQ(run.outcomes[k].tokens, trace.requests[k].output_tokens);
    wanted += trace.requests[k].output_tokens;
    prompts += trace.requests[k].input_tokens;
    preemptions += run.outcomes[k].preemptions;
  }
  for (const Gap& gap : run.gaps) gaps += gap.count;
  EXPECT_EQ(run.generated_tokens, wanted);
  EXPECT_EQ(gaps, wanted - static_cast<std::int64_t>(trace.requests.size()));
  EXPECT_EQ(run.left_blocks, 0);
  EXPECT_LE(run.peak_blocks, 800);
  if (GetParam().reserved == 0) EXPECT_GT(preemptions, 0) << "the pool is small enough to preempt";
  // Prefilled = prompts + what was lost and made again (+ the token a recomputation starts from is its last).
  EXPECT_GE(run.prefilled_tokens, prompts);
  EXPECT_LE(run.prefilled_tokens, prompts + run.recomputed_tokens + preemptions);
}

TEST_P(Systems, RequestsStartInOrderOfArrival) {
  const auto trace = conversations(300, 40, 2);
  IterationTime time(on_a100());
  const EngineRun run = Engine(trace, time, options(900)).run();
  for (std::size_t k = 1; k < run.outcomes.size(); ++k)
    EXPECT_GE(run.outcomes[k].scheduled, run.outcomes[k - 1].scheduled) << k;
}

TEST_P(Systems, OneRequestTakesWhatItsIterationsTake) {
  datasets::RequestTrace trace;
  trace.requests = {{0, 700, 5}};
  IterationTime time(on_a100());
  const EngineRun run = Engine(trace, time, options(900)).run();
  Picoseconds expected = 0;
  for (std::int64_t done = 0; done < 700;) {
    const bool chunks = GetParam().policy == Policy::sarathi || GetParam().policy == Policy::chunks_only;
    const std::int64_t tokens = chunks ? std::min(700 - done, GetParam().max_tokens) : 700;
    done += tokens;
    const PrefillSlice slice{tokens, done};
    expected += time.uncached(std::span(&slice, 1), {}, done == 700 ? 1 : 0);
  }
  EXPECT_EQ(run.outcomes[0].first_token, expected);
  for (std::int64_t keys = 701; keys <= 704; ++keys) expected += time.uncached({}, std::span(&keys, 1), 1);
  EXPECT_EQ(run.outcomes[0].last_token, expected);
}

TEST_P(Systems, WhatNeverFitsIsRejectedAndTheRestIsServed) {
  datasets::RequestTrace trace;
  trace.requests = {{0, 100, 3}, {10, 1'000'000, 3}, {20, 100, 3}};
  IterationTime time(on_a100());
  const EngineRun run = Engine(trace, time, options(900)).run();
  EXPECT_TRUE(run.outcomes[1].rejected);
  EXPECT_EQ(run.outcomes[0].tokens, 3);
  EXPECT_EQ(run.outcomes[2].tokens, 3);
  EXPECT_EQ(summarize(run, trace, {.ttft = 1e9, .tpot = 1e9}).attainment, 2.0 / 3);
}

INSTANTIATE_TEST_SUITE_P(Each, Systems, testing::ValuesIn(kSystems),
                         [](const auto& each) { return std::string(each.param.name); });

// One request at a time, each of the same length: an M/D/1 queue, whose mean wait is rho D / (2 (1 - rho)).
TEST(Queue, OneAtATimeWithEqualRequestsIsMD1) {
  IterationTime time(on_a100());
  const EngineOptions one{.schedule = schedule_vllm, .blocks = 4000, .max_tokens = 4096, .max_sequences = 1};
  auto trace = datasets::generate_trace("constant:1024:1", 40000, 3);
  datasets::RequestTrace single;
  single.requests = {trace.requests.front()};
  const double service = summarize(Engine(single, time, one).run(), single, {}).e2e.mean;
  for (const double load : {0.3, 0.6, 0.8}) {
    const auto scaled = datasets::at_rate(trace, datasets::ArrivalLaw::trace, load / service, 1);
    const EngineRun run = Engine(scaled, time, one).run();
    const Summary summary = summarize(run, scaled, {});
    EXPECT_NEAR(summary.delay.mean, load * service / (2 * (1 - load)), 0.08 * summary.delay.mean) << load;
    // Work is conserved: the engine is busy for the service times and idle otherwise.
    EXPECT_NEAR(substrate::to_seconds(run.busy), 40000 * service, 1e-6 * 40000 * service);
  }
}

TEST(Queue, LittlesLaw) {
  const auto trace = conversations(3000, 4, 8);
  IterationTime time(on_a100());
  const EngineRun run =
      Engine(trace, time, {.schedule = schedule_sarathi, .blocks = 6000, .max_tokens = 512, .max_sequences = 256})
          .run();
  // Number in the system, by sweeping arrivals and ends; N = lambda W.
  std::vector<std::pair<Picoseconds, int>> events;
  double waited = 0;
  for (const Outcome& outcome : run.outcomes) {
    events.emplace_back(outcome.arrival, 1);
    events.emplace_back(outcome.last_token, -1);
    waited += substrate::to_seconds(outcome.last_token - outcome.arrival);
  }
  std::sort(events.begin(), events.end());
  double area = 0;
  int inside = 0;
  for (std::size_t k = 1; k < events.size(); ++k) {
    inside += events[k - 1].second;
    area += inside * substrate::to_seconds(events[k].first - events[k - 1].first);
  }
  EXPECT_NEAR(area, waited, 1e-6 * waited);
}

// What the papers are about: prompts stop vLLM's decodes, chunks do not stop Sarathi's.
TEST(Stalls, AnIterationOfSarathiIsBoundedByItsBudget) {
  const auto trace = conversations(600, 5, 4);
  IterationTime time(on_a100());
  const EngineRun chunked =
      Engine(trace, time, {.schedule = schedule_sarathi, .blocks = 6000, .max_tokens = 512, .max_sequences = 128})
          .run();
  const EngineRun whole =
      Engine(trace, time, {.schedule = schedule_vllm, .blocks = 6000, .max_tokens = 8192, .max_sequences = 128}).run();
  const double most_chunked = summarize(chunked, trace, {}).tbt.most, most_whole = summarize(whole, trace, {}).tbt.most;
  const PrefillSlice chunk{512, 3000};
  std::vector<std::int64_t> none;
  const double bound = substrate::to_seconds(time.uncached(std::span(&chunk, 1), none, 128)) +
                       substrate::to_seconds(time.decode(128, 128 * 3300)) + 128 * 0.1e-3;
  EXPECT_LT(most_chunked, bound);
  EXPECT_GT(most_whole, 2 * most_chunked);
}

TEST(Faults, TheGatesMutantsChangeWhatHappens) {
  const auto trace = conversations(200, 60, 6);
  IterationTime time(on_a100());
  EngineOptions options{.schedule = schedule_vllm, .blocks = 600, .max_tokens = 6000, .max_sequences = 64};
  const EngineRun right = Engine(trace, time, options).run();
  options.fault = Fault::leaks_blocks;
  EXPECT_GT(Engine(trace, time, options).run().left_blocks, 0);
  options.fault = Fault::admits_newest_first;
  EXPECT_NE(Engine(trace, time, options).run().outcomes, right.outcomes);
}

TEST(Memory, BlocksAreWhatWeightsAndActivationsLeave) {
  const Deployment small = on_a100(), large = on_a100("llama2-70b", 4);
  EXPECT_EQ(kv_bytes_per_token(small.model, 1, 1, substrate::OpDtype::fp16), 2.0 * 32 * 32 * 128 * 2);
  EXPECT_EQ(kv_bytes_per_token(large.model, 4, 1, substrate::OpDtype::fp16), 2.0 * 80 * 2 * 128 * 2);
  const std::int64_t blocks = kv_blocks(small, 0.9, 16, 2048, 256);
  // 72 GB less 13.5 GB of weights and below 1 GB of activations, in blocks of 8 MiB.
  EXPECT_NEAR(static_cast<double>(blocks), (72e9 - 13.48e9 - 0.2e9) / 8388608, 40);
  EXPECT_THROW(kv_blocks(on_a100("llama2-70b", 1), 0.9, 16, 2048, 256), std::exception);
}

TEST(Memory, StagesShareWeightsAndTheKeysOfTheirLayers) {
  Deployment piped = on_a100("llama2-70b", 4);
  const std::int64_t one = kv_blocks(piped, 0.9, 16, 2048, 256);
  piped.pipeline = 2;
  EXPECT_GT(kv_blocks(piped, 0.9, 16, 2048, 256), 2 * one) << "half the weights, half a block each";
}

// -- stages

TEST(Stages, AnIterationWaitsForTheOneBeforeItAtEveryStage) {
  Stages stages(3);
  EXPECT_EQ(stages.pass(0, {.first = 10, .stage = 50, .last = 10, .hop = 1}), 10 + 1 + 50 + 1 + 10);
  EXPECT_EQ(stages.free_at(), 10);
  // The second stage is busy until 61: a bubble for the short one behind.
  EXPECT_EQ(stages.pass(10, {.first = 10, .stage = 10, .last = 10, .hop = 1}), 61 + 10 + 1 + 10);
}

TEST(Pipeline, OneRequestAloneTakesEveryStageInTurn) {
  Deployment piped = on_a100();
  piped.pipeline = 4;
  IterationTime time(piped);
  datasets::RequestTrace trace = conversations(1, 1, 1);
  trace.requests[0] = {.arrival_ns = 0, .input_tokens = 100, .output_tokens = 3};
  const EngineOptions options{.schedule = schedule_sarathi, .blocks = 4000, .max_tokens = 512, .max_sequences = 16};
  const EngineRun run = serve(trace, time, options);
  const PrefillSlice prompt{100, 100};
  Picoseconds expected = time.uncached(std::span(&prompt, 1), {}, 1);
  EXPECT_EQ(run.outcomes[0].first_token, expected);
  for (const std::int64_t keys : {101, 102}) expected += time.uncached({}, std::span(&keys, 1), 1);
  EXPECT_EQ(run.outcomes[0].last_token, expected);
  // The layers are the same ones, cut; the stages add hops.
  IterationTime whole(on_a100());
  EXPECT_NEAR(substrate::to_seconds(time.uncached(std::span(&prompt, 1), {}, 1) - 3 * time.hop(100)),
              substrate::to_seconds(whole.uncached(std::span(&prompt, 1), {}, 1)), 1e-9);
}

TEST(Pipeline, EqualIterationsFillItAndUnequalOnesLeaveBubbles) {
  Deployment piped = on_a100();
  piped.host = HostCost::none;
  piped.pipeline = 2;
  // Of the time from first arrival to last token, the share in which the stages work. A scheduler of whole prompts
  // sends long iterations behind short ones, one of chunks does not.
  const auto tokens_a_second = [&](Plan (*schedule)(Engine&), std::int64_t budget) {
    IterationTime time(piped);
    const auto trace = conversations(300, 400, 3);
    const EngineRun run =
        serve(trace, time, {.schedule = schedule, .blocks = 12000, .max_tokens = budget, .max_sequences = 64});
    return static_cast<double>(run.prefilled_tokens + run.generated_tokens) / substrate::to_seconds(run.end);
  };
  EXPECT_GT(tokens_a_second(schedule_sarathi, 512), 0);
  EXPECT_GT(tokens_a_second(schedule_sarathi, 512), tokens_a_second(schedule_orca, 6000));
}

TEST(AllReduce, IsThatOfTheCollectiveModel) {
  Deployment slow = on_a100("llama2-7b", 2), fast = slow;
  slow.cluster.constants.at("reduce_seconds").value *= 2;
  IterationTime a(slow), b(fast);
  const double bytes = 64.0 * 4096 * 2;
  const auto reduce = [&](const datasets::Cluster& cluster) {
    return substrate::collective_time(cluster, {.ranks = 2, .bytes = bytes}).seconds;
  };
  EXPECT_NEAR(substrate::to_seconds(a.linear(64) - b.linear(64)),
              32 * 2 * (reduce(slow.cluster) - reduce(fast.cluster)), 1e-10);
}

TEST(Percentiles, InterpolateLinearlyAlsoOverCountedSamples) {
  std::vector<Gap> gaps{{3'000'000'000'000, 1}, {1'000'000'000'000, 2}, {2'000'000'000'000, 1}};
  std::vector<double> same{3, 1, 2, 1};
  for (const double q : {0.0, 0.25, 0.5, 0.6, 0.9, 1.0})
    EXPECT_DOUBLE_EQ(percentile(gaps, q), percentile(same, q)) << q;
  EXPECT_DOUBLE_EQ(percentile(same, 0.9), 2.7);  // numpy.percentile([1, 1, 2, 3], 90)
  std::vector<double> none;
  EXPECT_EQ(percentile(none, 0.5), 0);
}

TEST(IterationLogOf, AnEngineHasEveryIterationOnceAndInOrder) {
  const auto trace = conversations(60, 3, 5);
  IterationTime time(on_a100());
  IterationLog log{.most = 1'000'000, .stays = {}};
  EngineOptions options{.schedule = schedule_sarathi, .blocks = 900, .max_tokens = 512, .max_sequences = 64};
  const EngineRun silent = serve(trace, time, options);
  options.log = &log;
  const EngineRun run = serve(trace, time, options);
  EXPECT_EQ(run, silent);  // keeping it changes nothing
  ASSERT_EQ(static_cast<std::int64_t>(log.stays.size()), run.iterations);
  Picoseconds busy = 0, last = 0;
  std::int64_t prefilled = 0;
  for (const Stay& stay : log.stays) {
    EXPECT_GE(stay.start, last);
    EXPECT_GT(stay.batch.prefilled + stay.batch.decoded, 0);
    last = stay.end;
    busy += stay.end - stay.start;
    prefilled += stay.batch.prefilled;
  }
  EXPECT_EQ(busy, run.busy);
  EXPECT_EQ(last, run.end);
  EXPECT_EQ(prefilled, run.prefilled_tokens);
  IterationLog few{.most = 10, .stays = {}};
  options.log = &few;
  serve(trace, time, options);
  EXPECT_EQ(few.stays.size(), 10U);
}

TEST(IterationLogOf, APipelineHasEveryIterationOnEveryStageAndNoStageHasTwoAtATime) {
  const auto trace = conversations(60, 20, 6);
  Deployment deployment = on_a100();
  deployment.pipeline = 2;
  IterationTime time(deployment);
  IterationLog log{.most = 1'000'000, .stays = {}};
  EngineOptions options{.schedule = schedule_sarathi, .blocks = 2000, .max_tokens = 512, .max_sequences = 64};
  options.log = &log;
  const EngineRun run = serve(trace, time, options);
  ASSERT_EQ(static_cast<std::int64_t>(log.stays.size()), 2 * run.iterations);
  std::array<Picoseconds, 2> free{};
  std::set<int> engines;
  for (const Stay& stay : log.stays) {
    Picoseconds& reached = free.at(static_cast<std::size_t>(stay.stage));
    EXPECT_GE(stay.start, reached);
    reached = stay.end;
    engines.insert(stay.engine);
  }
  EXPECT_EQ(engines, (std::set<int>{0, 1}));
}

}  // namespace
}  // namespace assay::serving
