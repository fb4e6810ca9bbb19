#include "harness/claims/hinge.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/harness/claims_fixture.h"

namespace assay::harness::claims {
namespace {

class HingeOf : public ClaimsFixture {
 protected:
  HingeTable table_of(const Claim& claim) const {
    auto table = hinge(claim, library_, root_.string(), find_projector);
    EXPECT_TRUE(table.has_value());
    return table.value_or(HingeTable{});
  }
  static const Hinge& bar(const HingeTable& table, const std::string& condition) {
    const auto found = std::find_if(table.hinges.begin(), table.hinges.end(),
                                    [&](const Hinge& each) { return each.condition == condition; });
    EXPECT_NE(found, table.hinges.end()) << condition;
    return *found;
  }
};

TEST_F(HingeOf, AFittedConstantReachesAsFarAsItsResidual) {
  const HingeTable table = table_of(ratio(1.5));
  const Hinge& eff = bar(table, "d.eff");
  EXPECT_EQ(eff.kind, ConditionKind::fitted);
  ASSERT_EQ(eff.sides.size(), 2u);
  EXPECT_NEAR(*eff.sides[0].ours, 1.44, 1e-12);
  EXPECT_NEAR(*eff.sides[1].ours, 1.76, 1e-12);
  EXPECT_EQ(eff.sides[0].setting, "-10.0%");
  EXPECT_NEAR(eff.reach, 0.1, 1e-12);
  EXPECT_TRUE(eff.decides) << "1.76 exceeds 1.2 times the gain of 0.5";
  EXPECT_EQ(table.without_move, (std::vector<std::string>{"d.idle", "batch"}))
      << "the batch is on both sides of the ratio";
}

TEST_F(HingeOf, AStatedNumberIsHalvedAndDoubledAndTheWidestBarComesFirst) {
  Claim claim = ratio(6.4);
  claim.form = Form::absolute;
  claim.baseline = "";
  claim.configurations = {"t/two"};  // batch 4: ours 6.4
  const HingeTable table = table_of(claim);
  ASSERT_EQ(table.hinges.size(), 2u);
  const Hinge& batch = table.hinges.front();
  EXPECT_EQ(batch.condition, "batch");
  EXPECT_EQ(batch.kind, ConditionKind::stated);
  EXPECT_EQ(batch.nominal, "4");
  EXPECT_NEAR(*batch.sides[0].ours, 3.2, 1e-12);
  EXPECT_NEAR(*batch.sides[1].ours, 12.8, 1e-12);
  EXPECT_EQ(batch.sides[0].verdict, Verdict::not_reproduced);
}

TEST_F(HingeOf, WhatThePaperLeavesOpenIsMarkedOrQuoted) {
  library_.configurations["f"].at("t/two").assumed = {"batch 4 (reconstructed)", "the driver of that year",
                                                      "batched requests"};
  Claim claim = ratio(6.4);
  claim.form = Form::absolute;
  claim.baseline = "";
  claim.configurations = {"t/two"};
  const HingeTable table = table_of(claim);
  EXPECT_EQ(bar(table, "batch").kind, ConditionKind::assumed);
  EXPECT_EQ(table.as_text, (std::vector<std::string>{"the driver of that year", "batched requests"}));
}

TEST_F(HingeOf, AClaimWithoutAnAnswerHasNone) {
  Claim claim = ratio(1.5);
  claim.technique = "attention/needy";
  EXPECT_FALSE(hinge(claim, library_, root_.string(), find_projector));
  claim = ratio(1.5);
  claim.configurations = {"t/unknown"};
  EXPECT_FALSE(hinge(claim, library_, root_.string(), find_projector));
}

}  // namespace
}  // namespace assay::harness::claims
