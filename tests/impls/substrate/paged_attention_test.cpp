// Attention through block tables: public times of an A100, laws, and what a device without constants has.
#include "impls/substrate/models/paged_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "datasets/machine.h"

namespace assay::substrate {
namespace {

datasets::Device a100() { return datasets::load_device("a100-80g-sxm", std::string(ASSAY_SOURCE_DIR) + "/datasets"); }
constexpr PagedHeads kHeads{.heads = 32, .kv_heads = 4, .head_dim = 128};

// Vidur's data/profiling/a100/attention.csv (commit e2d00e9): new tokens, tokens before them, us.
TEST(PagedAttention, PrefillsAgreeWithPublicTimes) {
  const PagedRates rates = paged_rates(a100(), OpDtype::fp16);
  struct Point {
    std::int64_t tokens, before;
    double microseconds;
  };
  for (const Point& point : {Point{64, 0, 15},
                             {128, 1024, 40},
                             {256, 1024, 72},
                             {512, 1024, 147},
                             {512, 3072, 298},
                             {1024, 0, 216},
                             {1024, 3072, 537},
                             {2048, 2048, 1027},
                             {4096, 0, 2314}}) {
    const double seconds = paged_prefill_seconds(rates, kHeads, point.tokens, point.before + point.tokens);
    EXPECT_NEAR(seconds / (point.microseconds * 1e-6), 1, 0.25) << point.tokens << " behind " << point.before;
    EXPECT_TRUE(paged_prefill_calibrated(rates, kHeads, point.before + point.tokens));
  }
}

TEST(PagedAttention, EveryConstantMovesTimesTheRightWay) {
  const auto seconds = [](const datasets::Device& device, std::int64_t tokens) {
    return paged_prefill_seconds(paged_rates(device, OpDtype::fp16), kHeads, tokens, tokens + 512);
  };
  for (const auto& [key, slower] : {std::pair("eff_prefill_attention", false),
                                    {"eff_append", false},
                                    {"peak_fp16", false},
                                    {"l2_bandwidth", false},
                                    {"prefill_tail", true},
                                    {"prefill_attention_seconds", true},
                                    {"prefill_split_seconds", true}}) {
    datasets::Device moved = a100();
    moved.constants.at(key).value *= 1.2;
    bool any = false;
    for (const std::int64_t tokens : {64, 500, 2000}) {
      const double before = seconds(a100(), tokens), after = seconds(moved, tokens);
      EXPECT_GE((slower ? 1 : -1) * (after - before), 0) << key << " " << tokens;
      any |= after != before;
    }
    EXPECT_TRUE(any) << key;
  }
}

TEST(PagedAttention, MoreTokensMoreKeysAndMoreHeadsAreNeverFree) {
  const PagedRates rates = paged_rates(a100(), OpDtype::fp16);
  double last = 0;
  for (std::int64_t keys = 512; keys <= 4096; keys += 512) {
    const double seconds = paged_prefill_seconds(rates, kHeads, 512, keys);
    EXPECT_GT(seconds, last) << keys;
    last = seconds;
  }
  EXPECT_LT(paged_prefill_seconds(rates, {.heads = 16, .kv_heads = 2, .head_dim = 128}, 2048, 2048), last * 10);
  // Chunks repeat what their predecessors' keys cost: a prompt in pieces is never faster than whole, beyond its
  // appends.
  const double whole = paged_prefill_seconds(rates, kHeads, 4096, 4096);
  EXPECT_GT(whole, 3 * paged_prefill_seconds(rates, kHeads, 2048, 2048)) << "it grows with the square";
  EXPECT_EQ(paged_prefill_seconds(rates, kHeads, 0, 0), 0);
}

TEST(PagedAttention, ADeviceWithoutConstantsHasTheDenseKernelAndIsOutsideTheDomain) {
  const PagedRates ideal = paged_rates(datasets::datasheet_only(a100()), OpDtype::fp16);
  EXPECT_FALSE(paged_prefill_calibrated(ideal, kHeads, 1024));
  const double seconds = paged_prefill_seconds(ideal, kHeads, 1024, 4096);
  EXPECT_GT(seconds, 0);
  EXPECT_LT(seconds, paged_prefill_seconds(paged_rates(a100(), OpDtype::fp16), kHeads, 1024, 4096));
}

}  // namespace
}  // namespace assay::substrate
