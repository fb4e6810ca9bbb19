#include "harness/claims/outcome_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/harness/claims_fixture.h"

namespace assay::harness::claims {
namespace {

int asked = 0;  // how often the slow projector ran

std::optional<Projection> slow(const Setting& setting, const std::string& quantity) {
  ++asked;
  // Longer than reading a kept outcome: that is what makes it worth keeping.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(25);
  while (std::chrono::steady_clock::now() < until) continue;
  return twice(setting, quantity);
}

Projector find_slow(const std::string& technique) {
  return technique == "attention/twice" ? slow : find_projector(technique);
}

class Cache : public ClaimsFixture {
 protected:
  void SetUp() override {
    ClaimsFixture::SetUp();
    asked = 0;
  }
  Outcome outcome_of(const Claim& claim, FindProjector find = find_slow) const {
    return evaluate_cached(claim, library_, root_.string(), OutcomeCache((root_ / "cache").string()), find);
  }
};

TEST_F(Cache, ASlowVerdictIsComputedOnceAndComesBackWhole) {
  const Claim claim = ratio(1.5);
  const Outcome first = outcome_of(claim);
  const int once = asked;
  EXPECT_GT(once, 0);
  const Outcome again = outcome_of(claim);
  EXPECT_EQ(asked, once);
  EXPECT_EQ(again.verdict, first.verdict);
  EXPECT_EQ(again.judged, first.judged);
  EXPECT_EQ(again.reason, first.reason);
  EXPECT_EQ(again.ours, first.ours);
  EXPECT_EQ(again.low, first.low);
  EXPECT_EQ(again.high, first.high);
  EXPECT_EQ(again.datasheet, first.datasheet);
  EXPECT_EQ(again.fragile, first.fragile);
  EXPECT_EQ(again.notes, first.notes);
  EXPECT_EQ(again.descriptors, first.descriptors);
  EXPECT_EQ(again.claim, &claim);
}

TEST_F(Cache, AnotherClaimConfigurationOrMachineIsJudgedAnew) {
  outcome_of(ratio(1.5));
  int before = asked;
  outcome_of(ratio(1.7));
  EXPECT_GT(asked, before);
  before = asked;
  library_.configurations["f"].at("t/one").axes.set("batch", std::int64_t{2});
  outcome_of(ratio(1.5));
  EXPECT_GT(asked, before);
  before = asked;
  std::ofstream(root_ / "hardware/devices/d.toml", std::ios::app) << "# other content, other hash\n";
  outcome_of(ratio(1.5));
  EXPECT_GT(asked, before);
}

TEST_F(Cache, ADamagedEntryIsJudgedAnew) {
  const Claim claim = ratio(1.5);
  outcome_of(claim);
  int entries = 0;
  for (const auto& each : fs::recursive_directory_iterator(root_ / "cache")) {
    if (!each.is_regular_file()) continue;
    std::ofstream(each.path()) << "{";
    ++entries;
  }
  EXPECT_EQ(entries, 1);
  const int before = asked;
  EXPECT_EQ(outcome_of(claim).verdict, Verdict::reproduced);
  EXPECT_GT(asked, before);
}

TEST_F(Cache, AFolderThatCannotBeWrittenIsNoError) {
  std::ofstream(root_ / "file") << "x";
  const OutcomeCache cache((root_ / "file" / "below").string());
  EXPECT_EQ(evaluate_cached(ratio(1.5), library_, root_.string(), cache, find_slow).verdict, Verdict::reproduced);
}

}  // namespace
}  // namespace assay::harness::claims
