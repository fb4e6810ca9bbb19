#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "harness/stats/rank_test.h"
#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

// m values of side B among n of side A such that exactly `u` pairs have b > a.
Block block_with(std::size_t n, std::size_t m, std::size_t u) {
  Block block;
  for (std::size_t i = 1; i <= n; ++i) block.a.push_back(static_cast<double>(i));
  for (std::size_t j = 0; j < m; ++j) {
    const std::size_t above = std::min(u, n);
    u -= above;
    block.b.push_back(static_cast<double>(above) + 0.5 + 0.001 * static_cast<double>(j));
  }
  return block;
}

double mann_whitney_p(std::size_t n, std::size_t m, std::size_t u) {
  const std::vector<Block> blocks = {block_with(n, m, u)};
  return rank_test(blocks);
}

struct Critical {
  std::size_t n, m, u;  // the largest U that is significant
};

TEST(RankTest, HasThePublishedMannWhitneyCriticalValuesAtFivePercent) {
  for (const Critical& row : {Critical{4, 4, 0},
                              {5, 5, 2},
                              {6, 6, 5},
                              {7, 7, 8},
                              {8, 8, 13},
                              {9, 9, 17},
                              {10, 10, 23},
                              {8, 10, 17},
                              {10, 12, 29},
                              {12, 12, 37},
                              {15, 15, 64},
                              {20, 20, 127}}) {
    EXPECT_LE(mann_whitney_p(row.n, row.m, row.u), 0.05) << row.n << " " << row.m;
    EXPECT_GT(mann_whitney_p(row.n, row.m, row.u + 1), 0.05) << row.n << " " << row.m;
  }
}

TEST(RankTest, HasThePublishedMannWhitneyCriticalValuesAtOnePercent) {
  for (const Critical& row :
       {Critical{5, 5, 0}, {6, 6, 2}, {7, 7, 4}, {8, 8, 7}, {9, 9, 11}, {10, 10, 16}, {12, 12, 27}, {20, 20, 105}}) {
    EXPECT_LE(mann_whitney_p(row.n, row.m, row.u), 0.01) << row.n << " " << row.m;
    EXPECT_GT(mann_whitney_p(row.n, row.m, row.u + 1), 0.01) << row.n << " " << row.m;
  }
}

// Hollander and Wolfe (1973), permeability of the human chorioamnion; R's wilcox.test prints one-sided p = 0.1272.
TEST(RankTest, AgreesWithAPublishedExample) {
  const std::vector<Block> blocks = {
      {{1.15, 0.88, 0.90, 0.74, 1.21}, {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}}};
  EXPECT_NEAR(rank_test(blocks) / 2, 0.1272, 0.00005);
  EXPECT_NEAR(estimate_shift(blocks).shift, 0.305, 1e-6);
}

// All choices of the B launches within every block, one by one.
double enumerated_p(const std::vector<Block>& blocks) {
  std::vector<double> aligned;
  std::vector<std::vector<std::size_t>> members;
  std::vector<std::size_t> chosen_now;
  for (const Block& block : blocks) {
    std::vector<double> all = block.a;
    all.insert(all.end(), block.b.begin(), block.b.end());
    const double centre = median(all);
    members.emplace_back();
    for (std::size_t i = 0; i < all.size(); ++i) {
      members.back().push_back(aligned.size());
      if (i >= block.a.size()) chosen_now.push_back(aligned.size());
      aligned.push_back(all[i] - centre);
    }
  }
  const auto rank = [&](std::size_t at) {
    double r = 0.5;
    for (const double other : aligned)
      r += other < aligned[at] - 1e-9 ? 1 : std::abs(other - aligned[at]) <= 1e-9 ? 0.5 : 0;
    return r;
  };
  double observed = 0;
  for (const std::size_t at : chosen_now) observed += rank(at);
  std::vector<double> sums = {0};
  for (std::size_t k = 0; k < blocks.size(); ++k) {
    std::vector<bool> take(members[k].size(), false);
    std::fill(take.end() - static_cast<std::ptrdiff_t>(blocks[k].b.size()), take.end(), true);
    std::vector<double> next;
    do {
      double sum = 0;
      for (std::size_t i = 0; i < take.size(); ++i) sum += take[i] ? rank(members[k][i]) : 0;
      for (const double before : sums) next.push_back(before + sum);
    } while (std::next_permutation(take.begin(), take.end()));
    sums = next;
  }
  const auto share = [&](auto holds) {
    return static_cast<double>(std::count_if(sums.begin(), sums.end(), holds)) / static_cast<double>(sums.size());
  };
  return std::min(1.0, 2 * std::min(share([&](double sum) { return sum <= observed + 1e-9; }),
                                    share([&](double sum) { return sum >= observed - 1e-9; })));
}

TEST(RankTest, EqualsTheEnumerationOfAllAssignmentsInBlocks) {
  substrate::Random random(7);
  for (int repeat = 0; repeat < 40; ++repeat) {
    std::vector<Block> blocks;
    for (int k = 0; k < 4; ++k) {
      const double level = 10 * random.normal();
      // Whole numbers on some repeats, so that ties are met.
      const auto draw = [&] {
        return level + (repeat % 2 == 0 ? random.normal() : static_cast<double>(random.below(3)));
      };
      blocks.push_back({{draw(), draw()}, {draw(), draw()}});
    }
    blocks.push_back({{random.normal()}, {random.normal()}});
    EXPECT_NEAR(rank_test(blocks), enumerated_p(blocks), 1e-12);
  }
}

TEST(RankTest, TheSmallestPOfFiveBlocksOfFourIsTwoInSixToTheFifth) {
  const std::vector<Block> blocks(5, Block{{1, 2}, {3, 4}});
  EXPECT_NEAR(rank_test(blocks), 2 / 7776.0, 1e-12);
}

// Mann and Whitney's recursion for the number of arrangements with U = u.
TEST(RankTest, TheNormalLimitOfManyLaunchesIsCloseToTheExactTest) {
  constexpr std::size_t n = 25;
  constexpr std::size_t sums = n * n + 1;
  std::vector<std::vector<std::vector<double>>> ways(
      n + 1, std::vector<std::vector<double>>(n + 1, std::vector<double>(sums)));
  for (std::size_t i = 0; i <= n; ++i)
    for (std::size_t j = 0; j <= n; ++j)
      for (std::size_t u = 0; u < sums; ++u)
        ways[i][j][u] = i == 0 || j == 0 ? (u == 0 ? 1 : 0) : (u >= j ? ways[i - 1][j][u - j] : 0) + ways[i][j - 1][u];
  const double total = std::accumulate(ways[n][n].begin(), ways[n][n].end(), 0.0);
  double below = 0;
  std::size_t u = 0;
  for (const std::size_t wanted : {170, 181, 211, 250, 290}) {
    for (; u <= wanted; ++u) below += ways[n][n][u];
    const double exact = 2 * below / total;
    // In the tail it errs to the careful side.
    EXPECT_GT(mann_whitney_p(n, n, wanted) / exact, 0.98) << "U = " << wanted << ", p = " << exact;
    EXPECT_LT(mann_whitney_p(n, n, wanted) / exact, 1.15) << "U = " << wanted << ", p = " << exact;
  }
}

TEST(RankTest, SaysNothingWithoutBothSides) {
  EXPECT_EQ(rank_test(std::vector<Block>{}), 1);
  EXPECT_EQ(rank_test(std::vector<Block>{{{1, 2, 3}, {}}}), 1);
  EXPECT_EQ(rank_test(std::vector<Block>{{{5, 5, 5}, {5, 5, 5}}}), 1);
}

TEST(EstimateShift, OfOneBlockIsTheMedianOfAllPairwiseDifferences) {
  substrate::Random random(3);
  for (int repeat = 0; repeat < 20; ++repeat) {
    Block block;
    std::vector<double> differences;
    for (int i = 0; i < 9; ++i) block.a.push_back(random.normal());
    for (int i = 0; i < 12; ++i) block.b.push_back(3 + random.normal());
    for (const double a : block.a)
      for (const double b : block.b) differences.push_back(b - a);
    const ShiftEstimate estimate = estimate_shift(std::vector<Block>{block});
    EXPECT_NEAR(estimate.shift, median(differences), 1e-6);
    // For 9 and 12 at 95% the published critical U is 26: the interval is the 27th difference from either end.
    std::sort(differences.begin(), differences.end());
    EXPECT_NEAR(estimate.interval.low, differences[26], 1e-6);
    EXPECT_NEAR(estimate.interval.high, differences[differences.size() - 27], 1e-6);
  }
}

TEST(EstimateShift, IsUntouchedByWhatABlockHasInCommon) {
  substrate::Random random(5);
  std::vector<Block> blocks;
  std::vector<Block> moved;
  for (int k = 0; k < 6; ++k) {
    const Block block = {{random.normal(), random.normal()}, {1 + random.normal(), 1 + random.normal()}};
    const double level = 100 * k;
    blocks.push_back(block);
    moved.push_back({{block.a[0] + level, block.a[1] + level}, {block.b[0] + level, block.b[1] + level}});
  }
  EXPECT_NEAR(estimate_shift(blocks).shift, estimate_shift(moved).shift, 1e-6);
  EXPECT_NEAR(rank_test(blocks), rank_test(moved), 1e-9);
}

TEST(EstimateShift, HasNoIntervalWhereTheTestCanRejectNothing) {
  const ShiftEstimate estimate = estimate_shift(std::vector<Block>{{{1, 2}, {3, 4}}});
  EXPECT_NEAR(estimate.shift, 2, 1e-6);
  EXPECT_FALSE(estimate.interval.bounded());
}

TEST(EstimateShift, OfEqualConstantsIsNothingWithNoWidth) {
  const ShiftEstimate estimate =
      estimate_shift(std::vector<Block>{{std::vector<double>(10, 4.0), std::vector<double>(10, 4.0)}});
  EXPECT_NEAR(estimate.shift, 0, 1e-5);
  EXPECT_NEAR(estimate.interval.low, 0, 1e-5);
  EXPECT_NEAR(estimate.interval.high, 0, 1e-5);
}

// Benjamini and Hochberg (1995), section 3.1: of these fifteen the procedure rejects four at 5%, Bonferroni three.
TEST(BenjaminiHochberg, RejectsTheFourOfThePapersExample) {
  const std::vector<double> p = {0.0278, 0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0298, 0.0344,
                                 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000};
  const std::vector<double> q = benjamini_hochberg(p);
  EXPECT_EQ(std::count_if(q.begin(), q.end(), [](double value) { return value <= 0.05; }), 4);
  EXPECT_LE(q[4], 0.05);
  EXPECT_GT(q[5], 0.05);
}

TEST(BenjaminiHochberg, DoesNotCountTestsThatWereNotMade) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> q = benjamini_hochberg(std::vector<double>{none, 0.01, none, 0.5});
  EXPECT_TRUE(std::isnan(q[0]));
  EXPECT_DOUBLE_EQ(q[1], 0.02);
  EXPECT_DOUBLE_EQ(q[3], 0.5);
}

}  // namespace
}  // namespace assay::harness::stats
