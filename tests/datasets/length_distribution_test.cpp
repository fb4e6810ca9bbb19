// Length distributions: that the shipped ones say what their sources say, what a batch drawn from them promises, and
// which line of a bad file is named.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "datasets/workloads/length_distribution.h"

namespace assay::datasets {
namespace {

LengthDistribution shipped(const char* id) { return load_length_distribution(id, data_root()); }
std::int64_t sum(const std::vector<std::int64_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
}

TEST(LengthDistributions, SayWhatTheTextOfByteScaleSays) {
  const LengthDistribution byted = shipped("byted"), github = shipped("github");
  EXPECT_NEAR(byted.tokens_from(128 << 10), 0.443, 0.001);
  EXPECT_NEAR(byted.tokens_from(256 << 10), 0.37, 0.001);
  EXPECT_NEAR(byted.tokens_from(2 << 20), 0.121, 0.001);
  EXPECT_NEAR(byted.sequences_from(2 << 20), 0.0005, 0.0001);
  EXPECT_NEAR(byted.sequences_from(128 << 10), 0.01, 0.004);
  EXPECT_NEAR(1 - byted.sequences_from(4096), 0.80, 0.06);
  EXPECT_NEAR(github.tokens_from(128 << 10), 0.162, 0.001);
  EXPECT_NEAR(github.tokens_from(256 << 10), 0.098, 0.001);
}

TEST(LengthDistributions, OfWikipediaHasTheMeanOfTheLengthsItWasCountedFrom) {
  EXPECT_NEAR(shipped("wikipedia").mean(), 1013.6, 1013.6 * 0.02);
  EXPECT_GT(1 - shipped("wikipedia").sequences_from(8192), 0.96);  // as the FlexSP paper says
}

TEST(LengthDistributions, AllHaveASourceAndDrawWhatTheySay) {
  const auto ids = length_distribution_ids(data_root());
  EXPECT_GE(ids.size(), 6U);
  for (const std::string& id : ids) {
    const LengthDistribution each = shipped(id.c_str());
    EXPECT_FALSE(each.source.empty()) << id;
    const std::int64_t far = each.edges.back(), middle = each.edges[each.edges.size() / 2];
    const auto drawn = draw_lengths(each, 50'000, far, Overlong::drop, 7);
    double above = 0;
    for (const std::int64_t length : drawn) {
      EXPECT_GE(length, each.edges.front()) << id;
      EXPECT_LT(length, far) << id;
      above += length >= middle ? 1 : 0;
    }
    const double share = each.sequences_from(middle);
    EXPECT_NEAR(above / 50'000, share, 5 * std::sqrt(share * (1 - share) / 50'000) + 1e-9) << id;
  }
}

TEST(DrawnLengths, DependOnSeedAndIndexAlone) {
  const LengthDistribution github = shipped("github");
  const auto few = draw_lengths(github, 10, 1 << 20, Overlong::drop, 3);
  const auto many = draw_lengths(github, 100, 1 << 20, Overlong::drop, 3);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
  EXPECT_NE(few, draw_lengths(github, 10, 1 << 20, Overlong::drop, 4));
}

TEST(DrawnLengths, AreNeverLongerThanAllowed) {
  const LengthDistribution byted = shipped("byted");
  const auto cut = draw_lengths(byted, 20'000, 65536, Overlong::cut, 1);
  const auto dropped = draw_lengths(byted, 20'000, 65536, Overlong::drop, 1);
  EXPECT_EQ(*std::max_element(cut.begin(), cut.end()), 65536);
  EXPECT_LE(*std::max_element(dropped.begin(), dropped.end()), 65536);
  EXPECT_LT(std::count(dropped.begin(), dropped.end(), 65536), std::count(cut.begin(), cut.end(), 65536));
  EXPECT_THROW(draw_lengths(byted, 1, 64, Overlong::drop, 1), UserError);
}

TEST(DrawnTokens, AreExactlyAsManyAsAsked) {
  for (const std::int64_t tokens : {1, 1000, 1 << 22})
    EXPECT_EQ(sum(draw_tokens(shipped("byted"), tokens, 1 << 20, Overlong::cut, 5)), tokens);
}

class BadFile : public testing::Test {
 protected:
  std::string refusal(const std::string& text) {
    std::ofstream(path_) << text;
    try {
      load_length_distribution(path_.string(), data_root());
    } catch (const UserError& wrong) {
      const std::string line = wrong.what();
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      EXPECT_EQ(line.rfind(path_.string(), 0), 0U) << line;
      return line.substr(path_.string().size());
    }
    return "accepted";
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("assay-lengths-" + std::to_string(getpid()) + ".toml");
};

TEST_F(BadFile, IsRefusedInOneLineThatNamesLineKeyFoundAndExpected) {
  const std::string head = "source = \"x\"\nof = \"tokens\"\n";
  EXPECT_EQ(refusal("of = \"tokens\"\n"), ":1: source: found nothing, expected text");
  EXPECT_EQ(refusal("source = \"x\"\nof = \"words\"\n"), ":2: of: found 'words', expected sequences or tokens");
  EXPECT_EQ(refusal(head + "edges = [1, 8, 8]\nshares = [0.5, 0.5]\n"),
            ":3: edges: found 8 as entry 3, expected rising whole numbers of at least 1");
  EXPECT_EQ(refusal(head + "edges = [1, 8]\nshares = [0.5, 0.5]\n"),
            ":4: shares: found 2 entries, expected 1, one less than edges");
  EXPECT_EQ(refusal(head + "edges = [1, 8, 16]\nshares = [0.5, 0.4]\n"),
            ":4: shares: found a sum of 0.9, expected 1, within 0.01");
  EXPECT_EQ(refusal(head + "edges = [1, 8, 16]\nshares = [1.5, -0.5]\n"),
            ":4: shares: found -0.5, expected at least 0");
  EXPECT_EQ(refusal(head + "edges = [1, \"8\"]\nshares = [1]\n"), ":3: edges: found entry 2, expected a number");
  EXPECT_NE(refusal(head + "edges = [1,\n").find(":"), std::string::npos);
}

TEST(LengthDistributions, ThatAreNotKnownAreAnsweredWithThoseThatAre) {
  try {
    shipped("commoncrawl");
    FAIL();
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("unknown length distribution 'commoncrawl'"), std::string::npos);
    EXPECT_NE(std::string(wrong.what()).find("github"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay::datasets
