// `assay gui` hands every option on to the dashboard beside it, or says that this build has none.
#include <gtest/gtest.h>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

bool dashboard_is_built() {
  return std::filesystem::exists(std::filesystem::path(ASSAY_BINARY).parent_path() / "assay-gui");
}

class Gui : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(scratch.assay("db sample " + scratch.database()).code, 0); }
  Scratch scratch{"gui"};
};

TEST_F(Gui, APictureNeedsNoDisplayAndTakesTheDatabaseBeforeOrAfterTheCommand) {
  if (!dashboard_is_built()) GTEST_SKIP() << "this build has no dashboard";
  const std::string picture = scratch.path("claims.png");
  const auto before = scratch.assay("gui --screenshot claims " + picture + " --filter partial --theme dark");
  EXPECT_EQ(before.code, 0) << before.err;
  EXPECT_TRUE(read_file(picture).starts_with("\x89PNG"));
  const auto after = scratch.shell(std::string(ASSAY_BINARY) + " gui --db " + scratch.database() +
                                   " --screenshot overview " + scratch.path("overview.png").string());
  EXPECT_EQ(after.code, 0) << after.err;
  EXPECT_TRUE(std::filesystem::exists(scratch.path("overview.png")));
}

TEST_F(Gui, WhatIsWrongIsOneLineAndExitCodeTwo) {
  if (!dashboard_is_built()) GTEST_SKIP() << "this build has no dashboard";
  const auto view = scratch.assay("gui --screenshot no-such-view " + scratch.path("x.png").string());
  EXPECT_EQ(view.code, 2);
  EXPECT_NE(view.err.find("unknown view 'no-such-view'; expected overview"), std::string::npos) << view.err;
  const auto missing = scratch.assay_on("absent.db", "gui --screenshot overview " + scratch.path("x.png").string());
  EXPECT_EQ(missing.code, 2);
  EXPECT_NE(missing.err.find("absent.db"), std::string::npos) << missing.err;
}

TEST_F(Gui, ABuildWithoutItSaysWhatToInstall) {
  const std::string lonely = scratch.path("assay");
  std::filesystem::copy_file(ASSAY_BINARY, lonely);
  const auto outcome = scratch.shell(lonely + " gui");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("qt6-charts-dev"), std::string::npos) << outcome.err;
}

}  // namespace
}  // namespace assay::e2e
