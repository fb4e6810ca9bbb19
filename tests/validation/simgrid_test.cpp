// The network model against another simulator's: collectives on fat trees and tori by SimGrid's S4U.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/validation/simgrid/scenario.h"

namespace assay::validation {
namespace {

std::string reference() { return ASSAY_SIMGRID_REFERENCE; }

class SimGrid : public ::testing::Test {
 protected:
  void SetUp() override {
    if (reference().empty() || !std::filesystem::exists(reference()))
      GTEST_SKIP() << "built without SimGrid (Debian: libsimgrid-dev)";
  }
  // Relative difference of the virtual times.
  static double difference(const Scenario& of) {
    const Outcome ours = by_assay(of), theirs = by_simgrid(of, reference());
    EXPECT_EQ(ours.messages, theirs.messages) << of.name();
    EXPECT_GT(theirs.seconds, 0) << of.name();
    return std::abs(ours.seconds / theirs.seconds - 1);
  }
  // Every collective of 1 MiB, with and without latency.
  static void expect_agreement(Scenario on) {
    on.bytes = 1 << 20;
    for (const char* collective : {"ring", "halving-doubling", "all-to-all", "pairwise"})
      for (const double latency : {0.0, 1e-6}) {
        on.collective = collective;
        on.latency = latency;
        EXPECT_LE(difference(on), 0.05) << on.name();
      }
  }
};

TEST_F(SimGrid, CollectivesOnFatTreesTakeAsLong) {
  for (const auto& [leaf, leaves, up] :
       {std::tuple(4, 4, 4), std::tuple(4, 4, 2), std::tuple(8, 4, 2), std::tuple(8, 8, 8)})
    expect_agreement({.kind = "fat-tree", .a = leaf, .b = leaves, .c = up});
}

TEST_F(SimGrid, CollectivesOnFatTreesOfThreeLevelsTakeAsLong) {
  for (const auto& [leaf, leaves, up, pods, above] : {std::tuple(4, 2, 2, 2, 1), std::tuple(2, 4, 2, 4, 2)})
    expect_agreement({.kind = "fat-tree", .a = leaf, .b = leaves, .c = up, .pods = pods, .above = above});
}

TEST_F(SimGrid, CollectivesOnToriTakeAsLong) {
  for (const auto& [x, y, z] : {std::tuple(4, 4, 1), std::tuple(8, 4, 1), std::tuple(4, 4, 2), std::tuple(4, 4, 4)})
    expect_agreement({.kind = "torus", .a = x, .b = y, .c = z});
}

}  // namespace
}  // namespace assay::validation
