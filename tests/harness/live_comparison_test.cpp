#include "harness/live_comparison.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <string>

#include "impls/substrate/random.h"
#include "tests/harness/own_database.h"

namespace assay::harness {
namespace {

using stats::Verdict;

void nothing(State&) {}

const Registration register_turtle(Technique{
    .id = "pond/turtle",
    .title = "Turtle",
    .paper = "baseline",
    .summary = "for comparisons",
    .implementations = {
        {.axes = {{.name = "shell", .defaults = {Value{std::int64_t{1}}}, .help = "thickness"}}, .run = nothing}}});

// Launches that are drawn instead of run; `order` is what was asked for, in turn.
class LiveTest : public OwnDatabase {
 protected:
  static Case turtle(std::int64_t shell) {
    Case item = expand(suite_of_technique(*find_technique("pond/turtle"),
                                          {parse_axis_override("shell=" + std::to_string(shell))}))
                    .at(0);
    return item;
  }

  LiveSide side(char name, double seconds, double noise) {
    LiveSide out;
    out.selector = parse_selector("latest");
    out.build = {.id = "build", .commit = "c", .dirty = false, .compiler = "clang", .flags = "", .facts_json = "{}"};
    out.launch = [this, name, seconds, noise](const Case&, int) {
      order_ += name;
      results_db::LaunchRecord record;
      record.started_ns = 1'000'000 + static_cast<std::int64_t>(order_.size());
      const double time = seconds * std::exp(noise * random_.normal());
      record.metrics = {{"time", time, "s", results_db::Provenance::measured, {}, {}}};
      return record;
    };
    return out;
  }

  std::string order_;
  substrate::Random random_{17};
};

TEST_F(LiveTest, LaunchesInBlocksThatMirrorEachOther) {
  const Comparison comparison =
      compare_live(*store_, {{turtle(1), turtle(1)}}, side('a', 1e-3, 0.002), side('b', 1.05e-3, 0.002), {});
  EXPECT_EQ(order_, "abbabaababbabaababba");
  ASSERT_EQ(comparison.cases.size(), 1U);
  EXPECT_EQ(comparison.cases[0].decision.verdict, Verdict::slower);
  EXPECT_EQ(comparison.cases[0].decision.design, stats::Design::interleaved);
}

TEST_F(LiveTest, StoresTwoRunsThatCompareToTheSameVerdict) {
  const Comparison live =
      compare_live(*store_, {{turtle(1), turtle(1)}}, side('a', 1e-3, 0.02), side('b', 1.05e-3, 0.02), {});
  EXPECT_EQ(live.run_a.status, "finished");
  const Comparison stored = compare(*store_, parse_selector("live-a"), parse_selector("live-b"), {});
  ASSERT_EQ(stored.cases.size(), 1U);
  EXPECT_EQ(stored.cases[0].decision.verdict, live.cases.at(0).decision.verdict);
  EXPECT_DOUBLE_EQ(stored.cases[0].decision.ratio, live.cases.at(0).decision.ratio);
  EXPECT_DOUBLE_EQ(stored.cases[0].decision.p, live.cases.at(0).decision.p);
}

TEST_F(LiveTest, GoesOnWithWhatIsUnsureOnlyWhenAskedTo) {
  const LiveSide a = side('a', 1e-3, 0.06);
  const LiveSide b = side('b', 1.05e-3, 0.06);
  const Comparison once = compare_live(*store_, {{turtle(1), turtle(1)}}, a, b, {});
  EXPECT_EQ(once.cases.at(0).decision.verdict, Verdict::unsure);
  EXPECT_EQ(order_.size(), 20U);
  order_.clear();
  const Comparison again =
      compare_live(*store_, {{turtle(1), turtle(1)}}, a, b, {.max_launches = 80, .rerun_unsure = true});
  EXPECT_GT(order_.size(), 20U);
  EXPECT_LE(order_.size(), 160U);
  EXPECT_EQ(again.cases.at(0).decision.launches_a, static_cast<int>(order_.size()) / 2);
}

TEST_F(LiveTest, DoesNotLaunchAgainWhatFailed) {
  LiveSide b = side('b', 1e-3, 0.01);
  b.launch = [this](const Case&, int) {
    order_ += 'b';
    results_db::LaunchRecord record;
    record.status = results_db::Status::failed;
    record.reason = "signal 11";
    return record;
  };
  const Comparison comparison = compare_live(*store_, {{turtle(1), turtle(1)}}, side('a', 1e-3, 0.01), b, {});
  EXPECT_EQ(order_, "ab");
  EXPECT_TRUE(comparison.cases.empty());
  EXPECT_NE(comparison.not_compared.at(0).second.find("signal 11"), std::string::npos);
}

TEST_F(LiveTest, TimesNothingThatItsGateRefuses) {
  LiveSide a = side('a', 1e-3, 0.01);
  a.gate = [](const Case&) {
    results_db::GateRecord record;
    record.status = results_db::Status::failed;
    record.reason = "error 3.1 of the tolerance";
    return record;
  };
  const Comparison comparison = compare_live(*store_, {{turtle(1), turtle(1)}}, a, side('b', 1e-3, 0.01), {});
  EXPECT_EQ(order_, "");
  EXPECT_NE(comparison.not_compared.at(0).second.find("error 3.1"), std::string::npos);
}

TEST_F(LiveTest, EndsInOrderOnInterruptAndKeepsWhatWasMeasured) {
  LiveSide b = side('b', 1e-3, 0.01);
  b.launch = [this, launch = b.launch](const Case& item, int ordinal) {
    if (order_.size() == 4) raise(SIGINT);
    return launch(item, ordinal);
  };
  const Comparison comparison = compare_live(*store_, {{turtle(1), turtle(1)}}, side('a', 1e-3, 0.01), b, {});
  EXPECT_EQ(order_, "abbab") << "the launch under way is the last";
  ASSERT_EQ(store_->runs().size(), 2U);
  for (const auto& run : store_->runs()) {
    EXPECT_EQ(run.status, "interrupted");
    EXPECT_GT(run.finished_ns, 0);
  }
  EXPECT_EQ(comparison.run_a.status, "interrupted");
  ASSERT_EQ(comparison.cases.size(), 1U);
  EXPECT_EQ(comparison.cases[0].decision.verdict, Verdict::unsure);
  EXPECT_EQ(comparison.cases[0].decision.launches_a, 2);
  EXPECT_EQ(comparison.cases[0].decision.launches_b, 3);
}

TEST_F(LiveTest, ALaunchThatWasStoppedIsNotStored) {
  LiveSide a = side('a', 1e-3, 0.01);
  a.launch = [](const Case&, int) {
    raise(SIGTERM);
    return std::optional<results_db::LaunchRecord>();
  };
  const Comparison comparison = compare_live(*store_, {{turtle(1), turtle(1)}}, a, side('b', 1e-3, 0.01), {});
  EXPECT_EQ(order_, "");
  EXPECT_EQ(store_->info().launches, 0);
  EXPECT_EQ(comparison.run_b.status, "interrupted");
}

TEST_F(LiveTest, LeavesNoRunUnfinishedWhenALaunchThrows) {
  LiveSide b = side('b', 1e-3, 0.01);
  b.launch = [](const Case&, int) -> results_db::LaunchRecord { throw std::runtime_error("pipe: too many files"); };
  EXPECT_THROW(compare_live(*store_, {{turtle(1), turtle(1)}}, side('a', 1e-3, 0.01), b, {}), std::runtime_error);
  for (const auto& run : store_->runs()) EXPECT_EQ(run.status, "failed");
  EXPECT_EQ(store_->info().launches, 1) << "what was measured stays";
}

TEST_F(LiveTest, TakesOneBlockOfEveryPairInTurn) {
  compare_live(*store_, {{turtle(1), turtle(1)}, {turtle(2), turtle(2)}}, side('a', 1e-3, 0.01), side('b', 1e-3, 0.01),
               {});
  EXPECT_EQ(order_.substr(0, 16), "abbaabbabaabbaab");
}

}  // namespace
}  // namespace assay::harness
