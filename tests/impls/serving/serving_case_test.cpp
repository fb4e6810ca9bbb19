// The serving techniques as the harness runs them: the gate accepts them and rejects every mutant, whatever the
// workload; results say what they are; the rate search and the projections of claims.
#include "impls/serving/serving_case.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "datasets/user_error.h"
#include "datasets/workloads/generator.h"
#include "harness/case_state.h"
#include "impls/serving/capacity.h"
#include "impls/serving/schedulers.h"

namespace assay::serving {
namespace {

using harness::JobKind;
using harness::Value;
using Values = std::map<std::string, Value>;

Value word(const char* text) { return Value(std::string(text)); }
Value count(std::int64_t value) { return Value(value); }

harness::Job job_of(const std::string& technique, JobKind kind, const Values& values) {
  const harness::Technique& found = harness::resolve_technique(technique);
  harness::Job job{.kind = kind, .technique = found.id, .backend = "cpu", .fabric = "", .timer = "virtual"};
  for (const harness::Axis& axis : found.implementations.front().axes) job.params.set(axis.name, axis.defaults.front());
  for (const auto& [name, value] : values) job.params.set(name, value);
  job.seed = 1;
  job.mutant_budget_seconds = 1e9;
  return job;
}

struct Case {
  const char* name;
  const char* technique;
  Values values;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

class Gate : public testing::TestWithParam<Case> {};

TEST_P(Gate, AcceptsTheEngineAndRejectsEveryMutant) {
  for (const std::uint64_t seed : {1U, 4444U}) {
    harness::Job job = job_of(GetParam().technique, JobKind::gate, GetParam().values);
    job.seed = seed;
    const harness::Reply reply = harness::run_job(job);
    EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason << " seed " << seed;
    EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total);
    EXPECT_EQ(reply.gate.mutants_total, 7);
    EXPECT_LT(reply.gate.error, 1e-3) << "times are equal to the picosecond; sums differ in their last bits";
  }
}

std::vector<Case> gated_cases() {
  std::vector<Case> cases;
  for (const char* technique : {"vllm-paged", "sarathi", "orca"}) {
    const auto add = [&](const char* name, Values values) {
      values.try_emplace("requests", count(400));
      cases.push_back({name, technique, std::move(values)});
    };
    add("conversation", {});
    add("tiny", {{"trace", word("constant:1:1")}, {"requests", count(1)}, {"rate", Value(1.0)}});
    add("long_prompts", {{"trace", word("arxiv-summarization")}});
    add("one_at_a_time", {{"batch", count(1)}});
    add("small_blocks", {{"block", count(1)}});
    add("small_budget", {{"budget", count(64)}});
    add("large_model", {{"model", word("llama2-70b")}, {"tensor", count(8)}, {"host", word("async")}});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Each, Gate, testing::ValuesIn(gated_cases()), [](const auto& each) {
  std::string name = std::string(each.param.technique) + "_" + each.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

std::map<std::string, results_db::Metric> metrics_of(const harness::Reply& reply) {
  std::map<std::string, results_db::Metric> metrics;
  for (const auto& metric : reply.launch.metrics) metrics[metric.name] = metric;
  return metrics;
}

TEST(Result, IsProjectedWithAnIntervalAndSaysWhereTheRequestsCameFrom) {
  const auto reply = harness::run_job(job_of("sarathi", JobKind::time, {{"requests", count(300)}}));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  auto metrics = metrics_of(reply);
  for (const auto& [name, metric] : metrics) EXPECT_EQ(metric.provenance, results_db::Provenance::projected) << name;
  for (const char* name : {"ttft_p50", "tbt_p99", "tpot", "e2e_latency", "throughput"}) {
    const auto& metric = metrics.at(name);
    ASSERT_TRUE(metric.low && metric.high) << name;
    EXPECT_LT(*metric.low, metric.value);
    EXPECT_GT(*metric.high, metric.value);
  }
  const std::string& descriptors = reply.launch.descriptors_json;
  for (const char* part : {"device:a100-80g-sxm", "model:llama2-7b", "workload:azure-conv", "generated, seed 1"})
    EXPECT_NE(descriptors.find(part), std::string::npos) << part << " in " << descriptors;
}

TEST(Result, OfALongWorkloadAndOfASearchHasAnIntervalToo) {
  const auto reply =
      harness::run_job(job_of("vllm-paged", JobKind::time, {{"requests", count(6000)}, {"rate", Value(3.0)}}));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  for (const auto& [name, metric] : metrics_of(reply)) {
    ASSERT_TRUE(metric.low && metric.high) << name;
    EXPECT_LE(*metric.low, metric.value) << name;
    EXPECT_GE(*metric.high, metric.value) << name;
  }
  const auto searched = harness::run_job(
      job_of("sarathi", JobKind::time, {{"requests", count(300)}, {"rate", Value(1.0)}, {"search", word("capacity")}}));
  ASSERT_EQ(searched.status, results_db::Status::ok) << searched.reason;
  const auto capacity = metrics_of(searched).at("capacity");
  ASSERT_TRUE(capacity.low && capacity.high);
  EXPECT_LT(*capacity.low, capacity.value);
  EXPECT_GT(*capacity.high, capacity.value);
}

TEST(Result, OfOneTokenRequestsHasNoTimesBetweenTokens) {
  const auto reply = harness::run_job(
      job_of("vllm-paged", JobKind::time, {{"trace", word("constant:100:1")}, {"requests", count(20)}}));
  ASSERT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  auto metrics = metrics_of(reply);
  EXPECT_FALSE(metrics.contains("tbt_p99")) << "a zero would look like success";
  EXPECT_FALSE(metrics.contains("tpot"));
  EXPECT_EQ(metrics.at("single_token_requests").value, 20);
  EXPECT_EQ(metrics.at("attainment").value, 1);
}

TEST(Result, IsSkippedWithTheReasonWhereNothingFits) {
  for (const JobKind kind : {JobKind::gate, JobKind::time}) {
    const auto reply = harness::run_job(job_of("sarathi", kind, {{"trace", word("constant:200000:5")}}));
    EXPECT_EQ(reply.status, results_db::Status::skipped);
    EXPECT_NE(reply.reason.find("no request fits"), std::string::npos);
  }
}

TEST(Result, FasterMemoryAndLinksMakeNothingSlower) {
  const auto value = [](const Values& values, const char* metric) {
    const auto reply = harness::run_job(job_of("sarathi", JobKind::time, values));
    EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
    return metrics_of(reply).at(metric).value;
  };
  const Values base{{"requests", count(300)}, {"rate", Value(2.0)}};
  const auto with = [&](const char* name, const Value& changed) {
    Values values = base;
    values[name] = changed;
    return values;
  };
  EXPECT_LT(value(with("device", word("h100-80g-sxm")), "step_time"), value(base, "step_time"));
  EXPECT_LT(value(with("host", word("async")), "e2e_latency"), value(base, "e2e_latency"));
  EXPECT_LE(value(with("host", word("none")), "e2e_latency"), value(with("host", word("async")), "e2e_latency"));
  EXPECT_LT(value(with("rate", Value(0.5)), "ttft"), value(base, "ttft"));
  EXPECT_LT(value(with("tensor", count(2)), "tpot"), value(base, "tpot"));
}

// -- searching the highest rate

class Search : public testing::Test {
 protected:
  Search() {
    const std::string root = datasets::data_root();
    deployment_ = {.model = datasets::load_model("llama2-7b", root),
                   .device = datasets::load_device("a100-80g-sxm", root)};
    options_ = {.schedule = schedule_sarathi, .blocks = 6000, .max_tokens = 512, .max_sequences = 128};
  }
  RateSearch search(const Fits& fits) {
    IterationTime time(deployment_);
    return highest_rate(trace_, time, options_, fits, {.objectives = {.ttft = 1, .tpot = 0.05}});
  }
  bool holds(const Fits& fits, double rate) {
    IterationTime time(deployment_);
    const auto scaled = datasets::at_rate(trace_, datasets::ArrivalLaw::trace, rate, 1);
    return fits(summarize(Engine(scaled, time, options_).run(), scaled, {.ttft = 1, .tpot = 0.05}));
  }
  datasets::RequestTrace trace_ = datasets::generate_trace("azure-conv", 500, 1);
  Deployment deployment_;
  EngineOptions options_;
};

TEST_F(Search, FindsARateThatHoldsJustBelowOneThatDoesNot) {
  const Fits fits = joint_attainment(0.9);
  const RateSearch found = search(fits);
  ASSERT_GT(found.rate, 0);
  EXPECT_TRUE(holds(fits, found.rate));
  bool above = false;
  for (const auto& [rate, held] : found.tried)
    above |= !held && rate > found.rate && rate <= found.rate / (1 - 0.025) + 1e-9;
  EXPECT_TRUE(above);
}

TEST_F(Search, AGuessChangesOnlyHowManyRatesAreTried) {
  IterationTime time(deployment_);
  const Fits fits = capacity_limit(0.1, 2);
  const RateSearch blind = highest_rate(trace_, time, options_, fits, {});
  ASSERT_GT(blind.rate, 0);
  for (const double guess : {blind.rate, blind.rate * 1.01, blind.rate * 0.9, blind.rate * 1.4, blind.rate / 3, 400.0})
    EXPECT_EQ(highest_rate(trace_, time, options_, fits, {.near = guess}).rate, blind.rate) << guess;
  EXPECT_EQ(highest_rate(trace_, time, options_, fits, {.near = blind.rate}).tried.size(), 2U);
}

TEST_F(Search, ARunThatIsGivenUpEarlyWouldHaveFailed) {
  IterationTime time(deployment_);
  const Fits fits = capacity_limit(0.05, 2);
  int held = 0, failed = 0;
  for (const auto& [rate, ok] : highest_rate(trace_, time, options_, fits, {}).tried) {
    EXPECT_EQ(holds(fits, rate), ok) << rate;
    (ok ? held : failed) += 1;
  }
  EXPECT_GT(held, 1);
  EXPECT_GT(failed, 1);
}

TEST_F(Search, TighterLimitsNeverGiveMore) {
  double last = 0;
  for (const double tbt : {0.03, 0.05, 0.1, 0.2}) {
    const double rate = search(capacity_limit(tbt, 2)).rate;
    EXPECT_GE(rate, last) << tbt;
    last = rate;
  }
  EXPECT_GT(last, 0);
}

TEST_F(Search, ObjectivesThatFailAtAnyLoadGiveNoRate) { EXPECT_EQ(search(capacity_limit(1e-6, 2)).rate, 0); }

// -- answers to the papers

harness::claims::Setting setting_of(const Values& axes) {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.model = datasets::load_model("llama2-7b", root);
  setting.device = datasets::load_device("a100-80g-sxm", root);
  setting.dtype = "fp16";
  setting.workload = "openchat-sharegpt4";
  for (const auto& [name, value] : axes) setting.axes.set(name, value);
  return setting;
}

std::optional<harness::claims::Projection> ask(const char* technique, const harness::claims::Setting& setting,
                                               const char* quantity) {
  return harness::resolve_technique(technique).project(setting, quantity);
}

TEST(Projections, CapacityIsAFunctionOfTheSettingAndTheObjective) {
  Values axes{{"chunk", count(512)}, {"slo_tbt", Value(0.1)}, {"slo_delay", Value(2.0)}, {"requests", count(400)}};
  const auto strict = ask("sarathi", setting_of(axes), "goodput"), again = ask("sarathi", setting_of(axes), "goodput");
  ASSERT_TRUE(strict && again);
  EXPECT_EQ(strict->value, again->value);
  const auto baseline = ask("vllm-paged", setting_of(axes), "goodput");
  ASSERT_TRUE(baseline);
  EXPECT_GT(strict->value, baseline->value) << "a strict limit is what chunks are for";
  axes["slo_tbt"] = Value(0.5);
  EXPECT_GE(ask("vllm-paged", setting_of(axes), "goodput")->value, baseline->value);
}

TEST(Projections, WhatIsNotModelledIsNotAnswered) {
  const Values capacity{{"chunk", count(512)}, {"slo_tbt", Value(0.1)}, {"slo_delay", Value(2.0)}};
  Values piped = capacity;
  piped["pipeline"] = count(2);
  EXPECT_FALSE(ask("sarathi", setting_of(piped), "goodput")) << "no cluster";
  auto unknown = setting_of(capacity);
  unknown.workload = "sharegpt";
  EXPECT_FALSE(ask("sarathi", unknown, "goodput"));
  auto without = setting_of({{"chunk", count(512)}});
  EXPECT_FALSE(ask("sarathi", without, "goodput"));
  EXPECT_FALSE(ask("sarathi", setting_of(capacity), "energy"));
}

TEST(Projections, TheBaselineOfARatioMayBeCutOtherwise) {
  const std::string root = datasets::data_root();
  Values axes{{"chunk", count(512)},         {"slo_tbt", Value(0.5)},        {"slo_delay", Value(2.0)},
              {"requests", count(200)},      {"pipeline", count(2)},         {"tensor", count(2)},
              {"baseline_tensor", count(4)}, {"baseline_pipeline", count(1)}};
  auto setting = setting_of(axes);
  setting.cluster = datasets::load_cluster("dgx-a100", root);
  const auto ours = ask("vllm-paged", setting, "goodput");
  setting.role = "baseline";
  const auto theirs = ask("vllm-paged", setting, "goodput");
  ASSERT_TRUE(ours && theirs);
  EXPECT_NE(ours->note.find("2 stages"), std::string::npos) << ours->note;
  EXPECT_EQ(theirs->note.find("stages"), std::string::npos) << theirs->note;
  EXPECT_NE(ours->value, theirs->value);
}

TEST(Projections, SmallerChunksCostMoreAndWholePromptsNothing) {
  const auto overhead = [](std::int64_t chunk) {
    return ask("sarathi", setting_of({{"chunk", count(chunk)}, {"prompt", word("2047|4095")}}), "overhead")->value;
  };
  EXPECT_EQ(overhead(4096), 0);
  EXPECT_GT(overhead(128), overhead(512));
}

}  // namespace
}  // namespace assay::serving
