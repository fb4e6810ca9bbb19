// The nccl fabric with a planted NCCL and devices on host memory: what reaches NCCL, and that the contract of Rank
// holds as on threads. What GPUs make of it is not tested here.
#include "impls/substrate/fabric/nccl/nccl_fabric.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>
#include <vector>

#include "host_rank_devices.h"
#include "impls/substrate/fabric/collectives.h"
#include "tests/impls/substrate/rank_programs_for_tests.h"
#if __has_include(<nccl.h>)
#include <nccl.h>
#define ASSAY_HAVE_NCCL_HEADER 1
#endif

namespace assay::substrate {
namespace {

using nccl::HostRankDevices;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string planted_nccl() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libfixture_nccl.so").string();
}

class NcclRanks : public ::testing::Test {
 protected:
  NcclRanks() : library_(nccl::open_library({planted_nccl()})) {
    void* const handle = dlopen(planted_nccl().c_str(), RTLD_LAZY | RTLD_LOCAL);
    made_ = reinterpret_cast<int (*)()>(dlsym(handle, "fixture_nccl_made"));
    living_ = reinterpret_cast<int (*)()>(dlsym(handle, "fixture_nccl_living"));
  }
  std::unique_ptr<NcclFabric> fabric(int ranks) { return std::make_unique<NcclFabric>(devices_, library_, ranks); }

  std::shared_ptr<HostRankDevices> devices_ = std::make_shared<HostRankDevices>(4);
  nccl::Library library_;
  int (*made_)() = nullptr;
  int (*living_)() = nullptr;
};

TEST_F(NcclRanks, PassTokensAroundARingOfAnySize) {
  for (int ranks = 1; ranks <= 4; ++ranks) {
    const int before = made_();
    {
      const auto ring = fabric(ranks);
      std::vector<double> sums(static_cast<std::size_t>(ranks));
      for (int repeat = 0; repeat < 20; ++repeat) {
        const RunReport report = ring->run([&](Rank& rank) { return sum_around_ring(rank, sums); });
        for (const double sum : sums) EXPECT_EQ(sum, ranks * (ranks + 1) / 2.0);
        for (const RankReport& each : report.ranks) {
          EXPECT_EQ(each.messages_sent(), ranks);
          EXPECT_EQ(each.bytes_sent(), ranks * 8);
          EXPECT_EQ(each.memory.peak(), 16);
        }
      }
      // One communicator of two ranks for every pair of neighbours, made once; a rank alone talks to itself.
      EXPECT_EQ(made_() - before, ranks == 1 ? 1 : 2 * ranks);
    }
    EXPECT_EQ(living_(), 0);
    EXPECT_EQ(devices_->allocations(), 0U) << "buffers are given back";
    EXPECT_EQ(devices_->streams(), 0);
  }
}

TEST_F(NcclRanks, HaveTheirBuffersOnTheirDevices) {
  const auto two = fabric(2);
  two->run([&](Rank& rank) -> Task<> {
    const Buffer mine = number(rank, 1);
    const auto memory = devices_->memory();
    EXPECT_TRUE(memory.contains(const_cast<double*>(mine.read<double>().data())));
    EXPECT_EQ(rank.place()->stream(), two->stream(rank.id()));
    co_return;
  });
}

TEST_F(NcclRanks, MatchMessagesOfAPairInIssueOrder) {
  std::vector<double> got;
  fabric(2)->run([&](Rank& rank) { return two_messages(rank, got); });
  EXPECT_EQ(got, (std::vector<double>{1, 2}));
}

// Each waits for the other before it sends: on one stream a device both would hang, on one a pair they do not.
TEST_F(NcclRanks, MayReceiveBeforeTheySend) {
  std::vector<double> got(2);
  fabric(2)->run([&](Rank& rank) -> Task<> {
    Transfer theirs = rank.receive(1 - rank.id(), {.bytes = 8, .tag = kToken});
    const Buffer mine = number(rank, rank.id() + 1.0);
    Send out = rank.send(mine, 1 - rank.id(), kToken);
    const Buffer arrived = co_await theirs;
    got[static_cast<std::size_t>(rank.id())] = arrived.read<double>()[0];
    co_await out;
  });
  EXPECT_EQ(got, (std::vector<double>{2, 1}));
}

TEST_F(NcclRanks, AreRefusedOnTheHostWhereTagsOrSizesDiffer) {
  const auto two = fabric(2);
  const int before = made_();
  const auto exchange = [&](Tag theirs, std::int64_t bytes) {
    return message_of<ContractViolation>([&] {
      two->run([&](Rank& rank) -> Task<> {
        const Buffer mine = number(rank, 1);
        if (rank.id() == 0) {
          co_await rank.send(mine, 1, kToken);
        } else {
          const Buffer got = co_await rank.receive(0, {.bytes = bytes, .tag = theirs});
        }
      });
    });
  };
  EXPECT_THAT(exchange(kOther, 8), AllOf(HasSubstr("rank 0 sends tag 7 'token'"), HasSubstr("expects tag 8 'other'")));
  EXPECT_THAT(exchange(kToken, 16), AllOf(HasSubstr("rank 0 sends 8 B 'token'"), HasSubstr("expects 16 B")));
  EXPECT_EQ(made_(), before) << "nothing has reached NCCL";
}

TEST_F(NcclRanks, SeeADeadlockBeforeADeviceDoes) {
  const auto both_receive = [](Rank& rank) -> Task<> {
    const Buffer got = co_await rank.receive(1 - rank.id(), {.bytes = 8, .tag = kToken});
  };
  EXPECT_THAT(message_of<Deadlock>([&] { fabric(2)->run(both_receive); }),
              AllOf(HasSubstr("rank 0 waits to receive 8 B 'token' from rank 1"),
                    HasSubstr("rank 1 waits to receive 8 B 'token' from rank 0")));
}

TEST_F(NcclRanks, WithdrawWhatIsUnderWayWhenOneFailsAndGoOn) {
  {
    const auto four = fabric(4);
    const auto third_fails = [](Rank& rank) -> Task<> {
      const Buffer mine = number(rank, 1);
      auto first = rank.shift(mine, +1, {.tag = kToken});
      if (rank.id() == 2) throw std::runtime_error("the third rank gave up");
      const Buffer got = co_await first;
      const Buffer more = co_await rank.shift(got, +1, {.tag = kToken});
    };
    EXPECT_EQ(message_of<std::runtime_error>([&] { four->run(third_fails); }), "the third rank gave up");
    std::vector<double> sums(4);
    four->run([&](Rank& rank) { return sum_around_ring(rank, sums); });
    EXPECT_EQ(sums, std::vector<double>(4, 10.0));
  }
  EXPECT_EQ(devices_->allocations(), 0U);
}

TEST_F(NcclRanks, ReportAFaultOfADevice) {
  const auto two = fabric(2);
  std::vector<double> sums(2);
  devices_->fails = true;
  EXPECT_EQ(message_of<std::runtime_error>([&] { two->run([&](Rank& rank) { return sum_around_ring(rank, sums); }); }),
            "a fault of the device");
}

TEST_F(NcclRanks, RunTheCollectivesOfTheOtherFabrics) {
  constexpr int kRanks = 4;
  std::vector<std::vector<double>> all(kRanks), gathered(kRanks);
  std::vector<float> reduced(kRanks);
  fabric(kRanks)->run([&](Rank& rank) -> Task<> {
    const auto me = static_cast<std::size_t>(rank.id());
    std::vector<Buffer> parts;
    for (int p = 0; p < kRanks; ++p) parts.push_back(number(rank, 10 * rank.id() + p));
    const std::vector<Buffer> got =
        co_await all_to_all(rank, std::move(parts), std::vector<std::int64_t>(kRanks, 8), kToken, "part");
    for (const Buffer& each : got) all[me].push_back(each.read<double>()[0]);

    AllGather gather(rank, number(rank, rank.id()), std::vector<std::int64_t>(kRanks, 8), 2, kToken, "part");
    for (const Buffer& each : co_await gather.arrived()) gathered[me].push_back(each.read<double>()[0]);

    std::vector<Buffer> addends;
    for (int p = 0; p < kRanks; ++p) {
      addends.push_back(rank.allocate("addend", Memory::workspace, 4));
      addends.back().write<float>()[0] = static_cast<float>(rank.id() + 1) * static_cast<float>(p + 1);
    }
    ReduceScatter scatter(rank, std::move(addends), DType::f32, 0, kOther, "addend");
    const Buffer sum = co_await scatter.sum();
    reduced[me] = sum.read<float>()[0];
  });
  for (int r = 0; r < kRanks; ++r) {
    const auto me = static_cast<std::size_t>(r);
    for (std::size_t p = 0; p < kRanks; ++p) EXPECT_EQ(all[me][p], 10.0 * static_cast<double>(p) + r);
    EXPECT_EQ(gathered[me], (std::vector<double>{0, 1, 2, 3}));
    EXPECT_EQ(reduced[me], 10.0F * static_cast<float>(r + 1));
  }
}

TEST_F(NcclRanks, NeedADeviceEach) {
  EXPECT_EQ(message_of<std::invalid_argument>([&] { fabric(5); }), "5 ranks need a GPU each, here are 4");
}

TEST(NcclLibrary, SaysWhichOneIsMissing) {
  EXPECT_THAT(message_of<nccl::NcclUnavailable>([] { nccl::open_library({"libno-such-nccl.so"}); }),
              HasSubstr("libno-such-nccl.so is not installed"));
}

#ifdef ASSAY_HAVE_NCCL_HEADER
TEST(NcclLibrary, IsDeclaredAsItsHeaderHasIt) {
  EXPECT_EQ(static_cast<int>(nccl::Type::bytes), ncclUint8);
  EXPECT_EQ(static_cast<int>(nccl::Type::f32), ncclFloat32);
  EXPECT_EQ(static_cast<int>(nccl::Type::bf16), ncclBfloat16);
  EXPECT_EQ(nccl::kSum, ncclSum);
  EXPECT_EQ(sizeof(nccl::UniqueId), sizeof(ncclUniqueId));
  EXPECT_EQ(ncclInProgress, 7);
}
#endif

}  // namespace
}  // namespace assay::substrate
