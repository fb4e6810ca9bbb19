#include "impls/substrate/models/collective_time.h"

#include <gtest/gtest.h>

#include <string>

#include "datasets/user_error.h"

namespace assay::substrate {
namespace {

const std::string kData = std::string(ASSAY_SOURCE_DIR) + "/datasets";

datasets::Cluster cluster(const char* id) { return datasets::load_cluster(id, kData); }

double all_reduce(const datasets::Cluster& on, int ranks, double bytes, int per_node = 0) {
  return collective_time(
             on, {.kind = CollectiveKind::all_reduce, .ranks = ranks, .devices_per_node = per_node, .bytes = bytes})
      .seconds;
}

TEST(CollectiveTime, OneRankCostsNothing) {
  EXPECT_EQ(all_reduce(cluster("dgx-a100"), 1, 1e9), 0);
  EXPECT_EQ(collective_time(cluster("dgx-a100"), {.kind = CollectiveKind::send_recv, .ranks = 1, .bytes = 1e6}).seconds,
            0);
}

TEST(CollectiveTime, MoreBytesOrMoreRanksAreNeverFaster) {
  for (const char* id : {"a100-measured", "dgx-a100", "dgx-h100"}) {
    const datasets::Cluster on = cluster(id);
    for (const int ranks : {2, 4, 8}) {
      for (double bytes = 1e3; bytes < 1e9; bytes *= 2) {
        EXPECT_LE(all_reduce(on, ranks, bytes), all_reduce(on, ranks, 2 * bytes)) << id;
        if (ranks < 8) EXPECT_LE(all_reduce(on, ranks, bytes), all_reduce(on, 2 * ranks, bytes)) << id;
      }
    }
  }
}

TEST(CollectiveTime, EveryConstantMovesItTheRightWay) {
  const datasets::Cluster before = cluster("a100-measured");
  const auto moved = [&](const char* key) {
    datasets::Cluster after = before;
    after.constants.at(key).value *= 1.2;
    datasets::apply_constants(after);
    int slower = 0, faster = 0;
    for (const int per_node : {1, 2, 4, 8}) {
      for (const int ranks : {per_node, 2 * per_node}) {
        for (const double bytes : {1e5, 1e7, 1e8}) {
          for (const auto kind : {CollectiveKind::all_reduce, CollectiveKind::send_recv}) {
            if (ranks < 2) continue;
            const CollectiveWork work{.kind = kind, .ranks = ranks, .devices_per_node = per_node, .bytes = bytes};
            const double a = collective_time(before, work).seconds, b = collective_time(after, work).seconds;
            slower += b > a * (1 + 1e-12) ? 1 : 0;
            faster += b < a * (1 - 1e-12) ? 1 : 0;
          }
        }
      }
    }
    return std::pair(slower, faster);
  };
  for (const char* rate : {"intra_bandwidth", "inter_bandwidth", "eff_intra", "eff_inter", "eff_reduce",
                           "eff_inter_reduce", "eff_shared_nic", "eff_tree"}) {
    EXPECT_EQ(moved(rate).first, 0) << rate;
    EXPECT_GT(moved(rate).second, 0) << rate;
  }
  for (const char* cost :
       {"intra_latency", "inter_latency", "reduce_seconds", "reduce_step_seconds", "inter_reduce_step_seconds"}) {
    EXPECT_EQ(moved(cost).second, 0) << cost;
    EXPECT_GT(moved(cost).first, 0) << cost;
  }
}

TEST(CollectiveTime, LargeRingsApproachTwiceTheBufferOverTheLink) {
  const datasets::Cluster on = datasets::datasheet_only(cluster("dgx-a100"));
  EXPECT_NEAR(all_reduce(on, 8, 1e10), 2.0 * 7 / 8 * 1e10 / 3e11, 1e-3 * 1e10 / 3e11);
}

TEST(CollectiveTime, TheDomainIsWhatWasMeasured) {
  const datasets::Cluster on = cluster("a100-measured");
  EXPECT_TRUE(collective_time(on, {.ranks = 8, .bytes = 1e6}).inside_domain);
  EXPECT_FALSE(collective_time(on, {.ranks = 8, .bytes = 1e4}).inside_domain);
  EXPECT_FALSE(collective_time(cluster("dgx-a100"), {.ranks = 64, .bytes = 1e6}).inside_domain);
}

TEST(CollectiveTime, RanksThatDoNotFitAreRefusedWithTheFile) {
  try {
    all_reduce(cluster("a100-measured"), 32, 1e6);
    FAIL() << "32 ranks on 16 devices";
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("a100-measured.toml: 32 ranks"), std::string::npos) << wrong.what();
  }
}

}  // namespace
}  // namespace assay::substrate
