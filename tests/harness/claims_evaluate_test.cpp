#include "harness/claims/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "datasets/user_error.h"
#include "harness/claims/expectations.h"
#include "harness/claims/select.h"
#include "tests/harness/claims_fixture.h"

namespace assay::harness::claims {
namespace {

using Evaluate = ClaimsFixture;

TEST_F(Evaluate, ARatioIsTechniqueOverBaselineAtTheSameConfiguration) {
  const Claim claim = ratio(1.6);
  const Outcome outcome = judged(claim);
  EXPECT_EQ(outcome.verdict, Verdict::reproduced);
  EXPECT_DOUBLE_EQ(*outcome.ours, 1.6);
  EXPECT_DOUBLE_EQ(*outcome.datasheet, 2.0);
  EXPECT_EQ(outcome.notes.front(), "technique attention/twice k");
}

TEST_F(Evaluate, ARatioOfTimesIsTurnedSoThatFasterIsMore) {
  Claim claim = ratio(1.6);
  claim.quantity = "step_time";
  EXPECT_DOUBLE_EQ(*judged(claim).ours, 1.6);
}

TEST_F(Evaluate, AnAbsoluteClaimNeedsNoBaselineAndADifferenceSubtractsIt) {
  Claim claim = ratio(1.6);
  claim.form = Form::absolute;
  claim.baseline = "";
  EXPECT_EQ(judged(claim).verdict, Verdict::reproduced);
  claim = ratio(0.6);
  claim.form = Form::difference;
  claim.note = "tolerance 0.01";
  EXPECT_EQ(judged(claim).verdict, Verdict::reproduced);
}

TEST_F(Evaluate, TheIntervalIsWhatTheResidualsReach) {
  const Claim claim = ratio(1.6);
  const Outcome outcome = judged(claim);
  EXPECT_NEAR(*outcome.low, 1.44, 1e-12);
  EXPECT_NEAR(*outcome.high, 1.76, 1e-12);
}

TEST_F(Evaluate, AVerdictThatAResidualChangesNamesTheConstant) {
  const Claim near_edge = ratio(1.5);  // gain 0.5, ours 0.6: the upper end 0.76 exceeds 1.2 of it
  EXPECT_EQ(judged(near_edge).verdict, Verdict::reproduced);
  EXPECT_EQ(judged(near_edge).fragile, std::vector<std::string>{"d.eff"});
  const Claim far = ratio(9);
  EXPECT_EQ(judged(far).verdict, Verdict::not_reproduced);
  EXPECT_TRUE(judged(far).fragile.empty());
}

TEST_F(Evaluate, ConstantsCarriedFromAnotherDeviceAreTold) {
  Claim claim = ratio(1.6);
  claim.configurations = {"t/carried"};
  EXPECT_EQ(judged(claim).carried, std::vector<std::string>{"e carries d"});
}

TEST_F(Evaluate, OutsideTheCalibratedDomainNothingIsReproduced) {
  Claim claim = ratio(1.6);
  claim.configurations = {"t/exotic"};
  const Outcome outcome = judged(claim);
  EXPECT_EQ(outcome.verdict, Verdict::partial);
  EXPECT_NE(outcome.reason.find("outside the calibrated domain"), std::string::npos);
  claim.value = 9;
  EXPECT_EQ(judged(claim).verdict, Verdict::not_reproduced);
}

TEST_F(Evaluate, WhatIsNotMappedIsUntestableWithItsReason) {
  const auto reason = [&](auto change) {
    Claim claim = ratio(1.6);
    change(claim);
    const Outcome outcome = judged(claim);
    EXPECT_EQ(outcome.verdict, Verdict::untestable);
    EXPECT_FALSE(outcome.mapped);
    EXPECT_FALSE(outcome.ours.has_value());
    return outcome.reason;
  };
  EXPECT_EQ(reason([](Claim& c) { c.technique = "attention/absent"; }), "not mapped");
  EXPECT_EQ(reason([](Claim& c) { c.baseline = "external:x"; }), "not mapped: baseline external:x");
  EXPECT_NE(reason([](Claim& c) { c.quantity = "energy"; }).find("has no value of energy"), std::string::npos);
  EXPECT_NE(reason([](Claim& c) { c.configurations = {"t/unknown"}; }).find("no descriptor of device 'z'"),
            std::string::npos);
  EXPECT_NE(reason([](Claim& c) { c.technique = "attention/needy"; }).find("absent_axis"), std::string::npos);
  EXPECT_EQ(reason([](Claim& c) { c.configurations.clear(); }), "not mapped: no configuration");
}

TEST_F(Evaluate, AnUntestableClaimKeepsItsPublishedReason) {
  Claim claim = ratio(1.6);
  claim.kind = "untestable";
  claim.note = "needs people";
  EXPECT_EQ(judged(claim).reason, "needs people");
  EXPECT_EQ(judged(claim).verdict, Verdict::untestable);
}

TEST(Expectations, ReadLinesAndToml) {
  const std::string file = testing::TempDir() + "/expect_" + std::to_string(::getpid());
  std::ofstream(file) << "# verdicts\n\nattention/t#k = not reproduced\n\"attention/t#l\" = \"reproduced\"\r\n"
                         "attention/t#m = untestable: not mapped\n";
  const auto read = read_expectations(file);
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].claim, "attention/t#k");
  EXPECT_EQ(read[0].verdict, Verdict::not_reproduced);
  EXPECT_EQ(read[0].line, 3);
  EXPECT_EQ(read[1].claim, "attention/t#l");
  EXPECT_EQ(read[1].verdict, Verdict::reproduced);
  EXPECT_EQ(read[2].verdict, Verdict::untestable);
  const auto refused = [&](const std::string& text, const std::string& says) {
    std::ofstream(file) << text;
    try {
      read_expectations(file);
      return false;
    } catch (const UserError& wrong) {
      return std::string(wrong.what()).find(says) != std::string::npos;
    }
  };
  EXPECT_TRUE(refused("a#b = good\n", ":1: verdict is 'good'"));
  EXPECT_TRUE(refused("a#b reproduced\n", ":1: found 'a#b reproduced'"));
  EXPECT_TRUE(refused("a#b = partial\na#b = partial\n", ":2: a#b also stands at line 1"));
  EXPECT_TRUE(refused("# nothing\n", "no expectation"));
  fs::remove(file);
  EXPECT_THROW(read_expectations(file), UserError);
}

class Selection : public testing::Test {
 protected:
  static void SetUpTestSuite() { library_ = new Library(load_library(std::string(ASSAY_SOURCE_DIR) + "/suites")); }
  static void TearDownTestSuite() { delete library_; }
  static std::string refusal(const std::string& name, const std::string& family) {
    try {
      select(*library_, name, family);
    } catch (const UserError& wrong) {
      return wrong.what();
    }
    return "accepted";
  }
  static inline const Library* library_ = nullptr;
};

TEST_F(Selection, TakesPapersTechniquesAndFamilies) {
  EXPECT_EQ(select(*library_, "", "").size(), library_->claims.size());
  const auto technique = select(*library_, "flash-attention-2", "");
  EXPECT_EQ(technique.size(), 24u);  // 18 claims and 6 targets
  EXPECT_EQ(select(*library_, "attention/flash-attention-2", "").size(), 24u);
  const auto paper = select(*library_, "2307.08691", "");
  EXPECT_TRUE(std::any_of(paper.begin(), paper.end(),
                          [](const Claim* claim) { return claim->technique == "attention/naive-attention"; }));
  EXPECT_EQ(select(*library_, "2307.08691v2", "").size(), paper.size());
  const auto sequence = select(*library_, "", "sequence");
  EXPECT_EQ(sequence.size(), select(*library_, "", "parallelism/sequence").size());
  EXPECT_GT(select(*library_, "", "parallelism").size(), sequence.size());
}

TEST_F(Selection, NamesTheNearestOfWhatItDoesNotKnow) {
  EXPECT_NE(refusal("flash-atention-2", "").find("nearest: attention/flash-attention-2"), std::string::npos);
  EXPECT_NE(refusal("2307.08692", "").find("2307.08691"), std::string::npos);
  EXPECT_NE(refusal("", "atention").find("nearest: attention"), std::string::npos);
  EXPECT_NE(refusal("flash-attention-2", "moe").find("no claim of"), std::string::npos);
  EXPECT_THROW(find_claim(*library_, "attention/flash-attention-2#train-mfa", "x:1"), UserError);
}

}  // namespace
}  // namespace assay::harness::claims
