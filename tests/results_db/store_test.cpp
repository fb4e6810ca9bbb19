#include "results_db/store.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::attention_case;
using examples::launch;
using examples::run;
using examples::Scratch;

std::vector<std::uint64_t> bits(const std::vector<double>& values) {
  std::vector<std::uint64_t> result;
  for (const double value : values) result.push_back(std::bit_cast<std::uint64_t>(value));
  return result;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST(Store, GivesBackARunAsItWasGiven) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  RunRecord given = run("11111111-aaaa");
  given.tags = {"nightly", "main"};
  store.begin_run(given);
  const RunRecord got = store.find_run("11111111-aaaa");
  EXPECT_EQ(got.suite, given.suite);
  EXPECT_EQ(got.suite_toml, given.suite_toml);
  EXPECT_EQ(got.command, given.command);
  EXPECT_EQ(got.machine.name, "lab");
  EXPECT_EQ(got.machine.cores, 64);
  EXPECT_EQ(got.machine.memory_bytes, 1LL << 38);
  EXPECT_EQ(got.machine.facts_json, given.machine.facts_json);
  EXPECT_EQ(got.build.commit, "0123abcd");
  EXPECT_TRUE(got.build.dirty);
  EXPECT_EQ(got.build.compiler, "clang 16");
  EXPECT_EQ(got.started_ns, given.started_ns);
  EXPECT_EQ(got.finished_ns, 0);
  EXPECT_EQ(got.status, "running");
  EXPECT_EQ(got.seed, 42);
  EXPECT_EQ(got.expected_cases, 2);
  EXPECT_EQ(got.tags, (std::vector<std::string>{"main", "nightly"}));
  EXPECT_EQ(got.environment_json, given.environment_json);

  store.finish_run(given.id, "finished", given.started_ns + 5);
  EXPECT_EQ(store.find_run(given.id).status, "finished");
  EXPECT_EQ(store.find_run(given.id).finished_ns, given.started_ns + 5);
}

TEST(Store, ResumesARunThatIsThere) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  store.append_launch(launch("r1", id));
  store.finish_run("r1", "interrupted", 1'700'000'000'000'000'009);
  store.begin_run(run("r1"));
  EXPECT_EQ(store.find_run("r1").status, "running");
  EXPECT_EQ(store.find_run("r1").finished_ns, 0);
  EXPECT_EQ(store.launches("r1", id).size(), 1U);
}

TEST(Store, PutsACaseOnceAKey) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const std::int64_t first = store.put_case(attention_case("1024"));
  const std::int64_t second = store.put_case(attention_case("2048"));
  EXPECT_NE(first, second);
  EXPECT_EQ(store.put_case(attention_case("1024")), first);
  EXPECT_EQ(store.cases().size(), 2U);
}

TEST(Store, FindsARenamedCaseByItsOldKey) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const std::int64_t id = store.put_case(attention_case());
  store.put_alias("attention/flash-2 cpu tokens=1024", id);
  CaseRecord old = attention_case();
  old.key = "attention/flash-2 cpu tokens=1024";
  EXPECT_EQ(store.put_case(old), id);
  EXPECT_EQ(store.find_case(old.key)->record.key, attention_case().key);
  EXPECT_FALSE(store.find_case("no such case"));
}

TEST(Store, ListsTheCasesOfARunInTheOrderTheyCame) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t late = store.put_case(attention_case("1"));
  const std::int64_t early = store.put_case(attention_case("2"));
  const std::int64_t elsewhere = store.put_case(attention_case("3"));
  store.append_launch(launch("r1", early));
  store.append_launch(launch("r1", late));
  const std::vector<CaseRow> cases = store.cases_of("r1");
  ASSERT_EQ(cases.size(), 2U);
  EXPECT_EQ(cases[0].id, early);
  EXPECT_EQ(cases[1].id, late);
  EXPECT_NE(cases[1].id, elsewhere);
}

TEST(Store, RefusesASecondLaunchOfTheSameOrdinal) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  store.append_launch(launch("r1", id, 0));
  EXPECT_THROW(store.append_launch(launch("r1", id, 0)), std::logic_error);
  EXPECT_THROW(store.append_launch(launch("no such run", id, 0)), std::logic_error);
  EXPECT_EQ(store.launches("r1", id).size(), 1U);
}

TEST(Store, AppendsAllLaunchesOfAGroupOrNone) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  EXPECT_THROW(store.append_launches({launch("r1", id, 0), launch("r1", id, 1), launch("r1", id, 1)}),
               std::logic_error);
  EXPECT_TRUE(store.launches("r1", id).empty());
  EXPECT_EQ(store.append_launches({launch("r1", id, 0), launch("r1", id, 1)}).size(), 2U);
  EXPECT_EQ(store.launches("r1", id).size(), 2U);
}

TEST(Store, KnowsAMetricAgainAfterTheLaunchThatNamedItWasRolledBack) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  store.append_launch(launch("r1", id, 0));
  LaunchRecord odd = launch("r1", id, 0);
  odd.metrics = {{"not registered", 1, "x", Provenance::measured, {}, {}}};
  EXPECT_THROW(store.append_launch(odd), std::logic_error);
  odd.ordinal = 1;
  store.append_launch(odd);
  EXPECT_EQ(store.launches("r1", id)[1].metrics.at(0).name, "not registered");
}

// Random launches, bit for bit: samples of every kind of double, texts with NUL and invalid UTF-8, every optional.
TEST(Store, ReturnsRandomLaunchesBitForBit) {
  const Scratch scratch;
  std::mt19937_64 random(20240607);
  const auto below = [&](std::uint64_t n) { return static_cast<std::size_t>(random() % n); };
  const auto text = [&] {
    std::string result(below(40), ' ');
    for (char& c : result) c = static_cast<char>(random());
    return result;
  };
  const auto any_double = [&] { return std::bit_cast<double>(random()); };
  const auto provenance = [&] { return static_cast<Provenance>(below(5)); };

  std::vector<LaunchRecord> given;
  std::int64_t case_id = 0;
  {
    Store store = Store::open(scratch.file("a.db"), Open::create);
    store.begin_run(run("r1"));
    case_id = store.put_case(attention_case());
    for (int i = 0; i < 200; ++i) {
      LaunchRecord l;
      l.run = "r1";
      l.case_id = case_id;
      l.ordinal = i;
      l.status = static_cast<Status>(below(3));
      l.reason = text();
      l.stderr_tail = text();
      l.stop_reason = text();
      l.started_ns = static_cast<std::int64_t>(random());
      l.wall_seconds = any_double();
      l.pid = static_cast<int>(random());
      l.batch = 1 + static_cast<std::int64_t>(below(1000));
      l.samples.resize(below(2) == 0 ? below(5) : below(3000));
      for (double& sample : l.samples) sample = any_double();
      l.warmup = static_cast<int>(below(l.samples.size() + 1));
      if (below(2) == 0)
        for (std::size_t s = 0; s < l.samples.size(); ++s)
          l.sample_clock_hz.push_back(static_cast<float>(1e9 + static_cast<double>(below(1000))));
      if (below(2) == 0)
        for (std::size_t s = 0; s < l.samples.size(); ++s)
          l.sample_at_ns.push_back(static_cast<std::int64_t>(random()));
      for (std::size_t m = below(4); m > 0; --m) {
        Metric metric{"metric " + std::to_string(below(6)), any_double(), text(), provenance(), {}, {}};
        if (below(2) == 0) metric.low = static_cast<double>(below(100));
        if (below(2) == 0) metric.high = std::numeric_limits<double>::infinity();
        l.metrics.push_back(metric);
      }
      for (std::size_t p = below(4); p > 0; --p) l.breakdown.push_back({text(), "time", any_double(), provenance()});
      for (std::size_t p = below(4); p > 0; --p)
        l.intervals.push_back({text(), text(), static_cast<std::int64_t>(random() / 4),
                               static_cast<std::int64_t>(random() / 4), text(), static_cast<std::int64_t>(random() / 4),
                               text(), static_cast<std::int64_t>(below(9)), static_cast<std::int64_t>(below(9))});
      for (std::size_t p = below(3); p > 0; --p)
        l.kernels.push_back({text(), text(), static_cast<std::int64_t>(random()), 5, "{}"});
      l.code_hash = text();
      l.descriptors_json = text();
      l.environment_json = text();
      store.append_launch(l);
      given.push_back(l);
    }
  }
  Store store = Store::open(scratch.file("a.db"), Open::read_only);
  const std::vector<LaunchRecord> got = store.launches("r1", case_id);
  ASSERT_EQ(got.size(), given.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const LaunchRecord& want = given[i];
    const LaunchRecord& have = got[i];
    ASSERT_EQ(have.ordinal, want.ordinal);
    EXPECT_EQ(have.status, want.status);
    EXPECT_EQ(have.reason, want.reason);
    EXPECT_EQ(have.stderr_tail, want.stderr_tail);
    EXPECT_EQ(have.stop_reason, want.stop_reason);
    EXPECT_EQ(have.started_ns, want.started_ns);
    EXPECT_TRUE(same(have.wall_seconds, want.wall_seconds));
    EXPECT_EQ(have.pid, want.pid);
    EXPECT_EQ(have.batch, want.batch);
    EXPECT_EQ(bits(have.samples), bits(want.samples));
    EXPECT_EQ(have.warmup, want.warmup);
    EXPECT_EQ(have.sample_clock_hz, want.sample_clock_hz);
    EXPECT_EQ(have.sample_at_ns, want.sample_at_ns);
    ASSERT_EQ(have.metrics.size(), want.metrics.size());
    for (std::size_t m = 0; m < want.metrics.size(); ++m) {
      EXPECT_EQ(have.metrics[m].name, want.metrics[m].name);
      EXPECT_TRUE(same(have.metrics[m].value, want.metrics[m].value));
      EXPECT_EQ(have.metrics[m].unit, want.metrics[m].unit);
      EXPECT_EQ(have.metrics[m].provenance, want.metrics[m].provenance);
      EXPECT_EQ(have.metrics[m].low, want.metrics[m].low);
      EXPECT_EQ(have.metrics[m].high, want.metrics[m].high);
    }
    ASSERT_EQ(have.breakdown.size(), want.breakdown.size());
    for (std::size_t p = 0; p < want.breakdown.size(); ++p) {
      EXPECT_EQ(have.breakdown[p].component, want.breakdown[p].component);
      EXPECT_TRUE(same(have.breakdown[p].value, want.breakdown[p].value));
      EXPECT_EQ(have.breakdown[p].provenance, want.breakdown[p].provenance);
    }
    ASSERT_EQ(have.intervals.size(), want.intervals.size());
    for (std::size_t p = 0; p < want.intervals.size(); ++p) {
      EXPECT_EQ(have.intervals[p].lane, want.intervals[p].lane);
      EXPECT_EQ(have.intervals[p].name, want.intervals[p].name);
      EXPECT_EQ(have.intervals[p].start_ps, want.intervals[p].start_ps);
      EXPECT_EQ(have.intervals[p].end_ps, want.intervals[p].end_ps);
      EXPECT_EQ(have.intervals[p].peer, want.intervals[p].peer);
      EXPECT_EQ(have.intervals[p].bytes, want.intervals[p].bytes);
      EXPECT_EQ(have.intervals[p].link, want.intervals[p].link);
      EXPECT_EQ(have.intervals[p].posted_ps, want.intervals[p].posted_ps);
      EXPECT_EQ(have.intervals[p].exposed_ps, want.intervals[p].exposed_ps);
    }
    ASSERT_EQ(have.kernels.size(), want.kernels.size());
    for (std::size_t p = 0; p < want.kernels.size(); ++p) {
      EXPECT_EQ(have.kernels[p].name, want.kernels[p].name);
      EXPECT_EQ(have.kernels[p].start_ns, want.kernels[p].start_ns);
    }
    EXPECT_EQ(have.code_hash, want.code_hash);
    EXPECT_EQ(have.descriptors_json, want.descriptors_json);
    EXPECT_EQ(have.environment_json, want.environment_json);
  }
}

TEST(Store, RefusesSampleClocksThatDoNotMatchTheSamples) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  LaunchRecord odd = launch("r1", store.put_case(attention_case()));
  odd.sample_clock_hz = {1e9F};
  EXPECT_THROW(store.append_launch(odd), std::invalid_argument);
  odd.sample_clock_hz.clear();
  odd.warmup = 6;
  EXPECT_THROW(store.append_launch(odd), std::invalid_argument);
}

TEST(Store, SummarisesALaunchWithoutItsWarmup) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  LaunchRecord one = launch("r1", id);  // 5 ms warm-up, then 1 2 3 4 ms
  one.metrics = {{"flops_rate", 1e12, "FLOP/s", Provenance::derived, 9e11, 1.1e12}};
  store.append_launch(one);
  const std::vector<LaunchSummary> summaries = store.summaries("r1");
  ASSERT_EQ(summaries.size(), 1U);
  EXPECT_TRUE(summaries[0].has_samples);
  EXPECT_EQ(summaries[0].case_id, id);
  EXPECT_EQ(summaries[0].stop_reason, "noise");
  ASSERT_TRUE(summaries[0].distribution);
  EXPECT_EQ(summaries[0].distribution->n, 4);
  EXPECT_DOUBLE_EQ(summaries[0].distribution->median, 2.5e-3);
  EXPECT_DOUBLE_EQ(summaries[0].distribution->maximum, 4e-3);
  ASSERT_EQ(summaries[0].metrics.size(), 1U);
  EXPECT_EQ(summaries[0].metrics[0].name, "flops_rate");
}

TEST(Store, TellsTheHistoryOfACaseOnOneMachine) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const std::int64_t id = store.put_case(attention_case());
  const auto add = [&](const std::string& name, std::int64_t at, const std::string& machine, double seconds,
                       Status status) {
    RunRecord record = run(name, at);
    record.machine.id = machine;
    record.build.id = record.build.commit = "commit of " + name;
    store.begin_run(record);
    for (int ordinal = 0; ordinal < 2; ++ordinal) {
      LaunchRecord l = launch(name, id, ordinal);
      l.samples = {seconds, seconds + ordinal};
      l.warmup = 0;
      l.status = status;
      store.append_launch(l);
    }
  };
  add("newer", 200, "m1", 2, Status::ok);
  add("older", 100, "m1", 1, Status::ok);
  add("other machine", 150, "m2", 9, Status::ok);
  add("broken", 160, "m1", 9, Status::failed);
  const std::vector<HistoryPoint> history = store.history(id, "m1");
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].run, "older");
  EXPECT_EQ(history[0].commit, "commit of older");
  EXPECT_EQ(history[0].medians, (std::vector<double>{1, 1.5}));
  EXPECT_EQ(history[1].medians, (std::vector<double>{2, 2.5}));
}

TEST(Store, KeepsTheGateOfACaseWithAnErrorThatIsNotANumber) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  EXPECT_FALSE(store.gate("r1", id));
  store.put_gate({"r1", id, Status::failed, "NaN", 0.5, std::nan(""), 1.5, 5, 4, "{}"});
  const GateRecord gate = *store.gate("r1", id);
  EXPECT_EQ(gate.status, Status::failed);
  EXPECT_EQ(gate.reason, "NaN");
  EXPECT_EQ(gate.coverage, 0.5);
  EXPECT_TRUE(std::isnan(gate.error));
  EXPECT_EQ(gate.mutants_total, 5);
  EXPECT_EQ(gate.mutants_caught, 4);
  store.put_gate({"r1", id, Status::ok, "", 1, 0.25, 1, 5, 5, ""});
  EXPECT_EQ(store.gate("r1", id)->error, 0.25);
  EXPECT_EQ(store.cases_of("r1").size(), 1U);
}

TEST(Store, KeepsEveryVerdictAndShowsTheNewest) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  VerdictRecord v;
  v.claim = "attention/flash-attention-2#speed";
  v.verdict = "partial";
  v.ours = 1.5;
  v.paper = 2;
  v.inputs_hash = "h1";
  v.at_ns = 10;
  store.put_verdict(v);
  v.verdict = "reproduced";
  v.inputs_hash = "h2";
  v.at_ns = 20;
  v.ours_low = 1.25;
  store.put_verdicts({v, v});  // told twice, kept once
  const std::vector<VerdictRecord> newest = store.verdicts();
  ASSERT_EQ(newest.size(), 1U);
  EXPECT_EQ(newest[0].verdict, "reproduced");
  EXPECT_EQ(newest[0].ours_low, 1.25);
  EXPECT_FALSE(newest[0].ours_high);
  EXPECT_EQ(store.verdict_history(v.claim).size(), 2U);

  ClaimRecord claim;
  claim.id = v.claim;
  claim.technique = "attention/flash-attention-2";
  claim.quantity = "throughput";
  claim.value = 2;
  claim.configurations = {"fa2/a", "fa2/b"};
  claim.flags = {"inconsistent"};
  store.put_claim(claim);
  const std::vector<ClaimRecord> claims = store.claims();
  ASSERT_EQ(claims.size(), 1U);
  EXPECT_EQ(claims[0].quantity, "throughput");
  EXPECT_EQ(claims[0].configurations, claim.configurations);
  EXPECT_EQ(claims[0].flags, claim.flags);
  EXPECT_FALSE(claims[0].low);
}

TEST(Store, KeepsConfigurationsDescriptorsAlertsAndArtifacts) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  ConfigurationRecord c{
      "fa2/a", "gpt", "a100-80g-sxm", "dgx-a100", 8, "bf16", "", R"({"sequence_length":2048})", {"hidden", "batch"}};
  store.put_configuration(c);
  c.assumed = {"hidden"};
  store.put_configuration(c);
  ASSERT_EQ(store.configurations().size(), 1U);
  EXPECT_EQ(store.configurations()[0].assumed, c.assumed);
  EXPECT_EQ(store.configurations()[0].axes_json, c.axes_json);

  store.put_descriptor("beef", "device", "a100", "content");
  EXPECT_EQ(store.descriptor("beef")->content, "content");
  EXPECT_FALSE(store.descriptor("dead"));

  store.begin_run(run("r1"));
  const std::int64_t id =
      store.put_alert({0, "r1", store.put_case(attention_case()), "regression", "time", 0.1, {}, "", "", 5});
  EXPECT_EQ(store.alerts().at(0).outcome, "open");
  store.set_alert_outcome(id, "noise", "a neighbour was busy");
  EXPECT_EQ(store.alerts().at(0).outcome, "noise");
  EXPECT_EQ(store.alerts().at(0).effect, 0.1);

  store.put_artifact({"r1", "trace.json", "trace", "h", std::string("a\0b", 3), ""});
  EXPECT_EQ(store.artifacts("r1").at(0).content, std::string("a\0b", 3));
}

TEST(Store, FindsRunsByIdBeginningTagAndAge) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  EXPECT_NE(examples::user_error([&] { store.find_run("latest"); }).find("holds no run yet"), std::string::npos);
  RunRecord old = run("aaaa1111", 100);
  old.tags = {"base"};
  store.begin_run(old);
  store.begin_run(run("aaaa2222", 300));
  store.begin_run(run("bbbb3333", 200));
  EXPECT_EQ(store.find_run("latest").id, "aaaa2222");
  EXPECT_EQ(store.find_run("latest~1").id, "bbbb3333");
  EXPECT_EQ(store.find_run("latest~2").id, "aaaa1111");
  EXPECT_EQ(store.find_run("base").id, "aaaa1111");
  EXPECT_EQ(store.find_run("bb").id, "bbbb3333");
  EXPECT_EQ(store.find_run("aaaa2222").id, "aaaa2222");
  EXPECT_EQ(examples::user_error([&] { store.find_run("aaaa"); }),
            "run 'aaaa' fits 2 runs: aaaa2222 (quick), aaaa1111 (quick)");
  const std::string unknown = examples::user_error([&] { store.find_run("x"); });
  EXPECT_EQ(
      unknown,
      "unknown run 'x' (expected an id or its beginning, a tag, latest or latest~N); the newest are aaaa2222 (quick), "
      "bbbb3333 (quick), aaaa1111 (quick)");
  EXPECT_NE(examples::user_error([&] { store.find_run("latest~3"); }).find("holds 3 runs"), std::string::npos);
  EXPECT_NE(examples::user_error([&] { store.find_run("latest~x"); }).find("unknown run"), std::string::npos);
  EXPECT_NE(examples::user_error([&] { store.find_run(""); }).find("unknown run"), std::string::npos);
}

}  // namespace
}  // namespace assay::results_db
