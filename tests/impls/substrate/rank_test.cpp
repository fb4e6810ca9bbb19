// The contract of Rank, on the fabric with real data.
#include "impls/substrate/fabric/rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "impls/substrate/fabric/threads.h"
#include "tests/impls/substrate/rank_programs_for_tests.h"

namespace assay::substrate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class RingOfRanks : public ::testing::TestWithParam<int> {};

TEST_P(RingOfRanks, EveryRankSeesEveryToken) {
  const int ranks = GetParam();
  ThreadsFabric fabric(ranks);
  std::vector<double> sums(static_cast<std::size_t>(ranks));
  for (int repeat = 0; repeat < 20; ++repeat) {
    const RunReport report = fabric.run([&](Rank& rank) { return sum_around_ring(rank, sums); });
    for (const double sum : sums) EXPECT_EQ(sum, ranks * (ranks + 1) / 2.0);
    for (const RankReport& each : report.ranks) {
      EXPECT_EQ(each.messages_sent(), ranks);
      EXPECT_EQ(each.bytes_sent(), ranks * 8);
      EXPECT_EQ(each.memory.peak(), 16);
      EXPECT_EQ(each.memory.live(), 0);
      EXPECT_LE(each.exposed_transfer, each.exposed);
      EXPECT_LE(each.exposed, each.finish);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, RingOfRanks, ::testing::Values(1, 2, 3, 4, 8));

TEST(Rank, MessagesOfAPairMatchInIssueOrder) {
  ThreadsFabric fabric(2);
  std::vector<double> got;
  fabric.run([&](Rank& rank) { return two_messages(rank, got); });
  EXPECT_EQ(got, (std::vector<double>{1, 2}));
}

TEST(Rank, ATagIsCheckedAndDoesNotSelect) {
  ThreadsFabric fabric(2);
  const std::string text = message_of<ContractViolation>([&] {
    fabric.run([](Rank& rank) -> Task<> {
      if (rank.id() == 0) {
        const Buffer a = number(rank, 1);
        const Buffer b = number(rank, 2);
        Send first = rank.send(a, 1, kToken);
        Send second = rank.send(b, 1, kOther);
        co_await first;
        co_await second;
      } else {
        const Buffer b = co_await rank.receive(0, {.bytes = 8, .tag = kOther});
        const Buffer a = co_await rank.receive(0, {.bytes = 8, .tag = kToken});
      }
    });
  });
  EXPECT_THAT(text, AllOf(HasSubstr("rank 0 sends tag 7 'token' at rank_test.cpp:"),
                          HasSubstr("rank 1 expects tag 8 'other' at rank_test.cpp:")));
}

TEST(Rank, ASizeThatThePlanDoesNotShareIsRefused) {
  ThreadsFabric fabric(2);
  const std::string text = message_of<ContractViolation>([&] {
    fabric.run([](Rank& rank) -> Task<> {
      const Buffer mine = number(rank, 1);
      const Buffer got = co_await rank.shift(mine, +1, {.bytes = rank.id() == 0 ? 8 : 16, .tag = kToken});
    });
  });
  EXPECT_THAT(text, AllOf(HasSubstr("rank 0 sends 8 B 'token'"), HasSubstr("rank 1 expects 16 B")));
}

TEST(Rank, OverwritingABorrowedBufferThrows) {
  ThreadsFabric fabric(2);
  const auto write_early = [](Rank& rank) -> Task<> {
    Buffer held = number(rank, 1);
    auto next = rank.shift(held, +1, {.tag = kToken});
    held.write<double>()[0] = 2;
    held = co_await next;
  };
  EXPECT_THAT(message_of<ContractViolation>([&] { fabric.run(write_early); }),
              AllOf(HasSubstr("buffer 'number' is overwritten at rank_test.cpp:"), HasSubstr("has not been awaited")));
  const auto replace_early = [](Rank& rank) -> Task<> {
    Buffer held = number(rank, 1);
    auto next = rank.shift(held, +1, {.tag = kToken});
    held = number(rank, 2);
    held = co_await next;
  };
  EXPECT_THROW(fabric.run(replace_early), ContractViolation);
  const auto write_after = [](Rank& rank) -> Task<> {
    Buffer held = number(rank, 1);
    const Buffer next = co_await rank.shift(held, +1, {.tag = kToken});
    held.write<double>()[0] = 2;
  };
  EXPECT_NO_THROW(fabric.run(write_after));
}

TEST(Rank, ADeadlockNamesBothRanksAndTheirLines) {
  ThreadsFabric fabric(2);
  int line = 0;
  const auto both_receive = [&](Rank& rank) -> Task<> {
    if (rank.id() == 0) line = __LINE__ + 1;
    const Buffer got = co_await rank.receive(1 - rank.id(), {.bytes = 8, .tag = kToken});
  };
  const std::string text = message_of<Deadlock>([&] { fabric.run(both_receive); });
  const std::string place = "rank_test.cpp:" + std::to_string(line);
  EXPECT_THAT(text, AllOf(HasSubstr("rank 0 waits to receive 8 B 'token' from rank 1, posted at " + place),
                          HasSubstr("rank 1 waits to receive 8 B 'token' from rank 0, posted at " + place)));
}

TEST(Rank, WaitingForARankThatEndedIsADeadlock) {
  ThreadsFabric fabric(3);
  const auto nobody_sends = [](Rank& rank) -> Task<> {
    if (rank.id() == 2) const Buffer got = co_await rank.receive(0, {.bytes = 8, .tag = kToken});
  };
  EXPECT_THAT(message_of<Deadlock>([&] { fabric.run(nobody_sends); }), HasSubstr("rank 2 waits to receive"));
}

TEST(Rank, AnExceptionOfOneRankEndsTheRunAndTheFabricStaysUsable) {
  ThreadsFabric fabric(4);
  const auto third_fails = [](Rank& rank) -> Task<> {
    if (rank.id() == 2) throw std::runtime_error("the third rank gave up");
    const Buffer mine = number(rank, 1);
    const Buffer got = co_await rank.shift(mine, +1, {.tag = kToken});
  };
  EXPECT_EQ(message_of<std::runtime_error>([&] { fabric.run(third_fails); }), "the third rank gave up");
  std::vector<double> sums(4);
  fabric.run([&](Rank& rank) { return sum_around_ring(rank, sums); });
  EXPECT_EQ(sums, std::vector<double>(4, 10.0));
}

TEST(Rank, TheLedgerKeepsPeaksByCategoryAndWhatMadeThem) {
  ThreadsFabric fabric(1);
  const RunReport report = fabric.run([](Rank& rank) -> Task<> {
    const Buffer weights = rank.allocate("weights", Memory::state, 100);
    {
      const Buffer scratch = rank.allocate("scratch", Memory::workspace, 50);
      const Buffer more = rank.allocate("scratch", Memory::workspace, 20);
    }
    const Buffer output = rank.allocate("output", Memory::output, 30);
    co_return;
  });
  const MemoryLedger& memory = report.ranks[0].memory;
  EXPECT_EQ(memory.peak(), 170);
  EXPECT_EQ(memory.peak(Memory::state), 100);
  EXPECT_EQ(memory.peak(Memory::workspace), 70);
  EXPECT_EQ(memory.peak(Memory::output), 30);
  EXPECT_EQ(memory.live(), 0);
  ASSERT_EQ(memory.entries().size(), 3U);
  EXPECT_EQ(memory.entries()[1].allocations, 2);
  EXPECT_EQ(memory.entries()[1].at_peak, 70);
  EXPECT_EQ(memory.entries()[2].at_peak, 0);
  EXPECT_LE(memory.entries()[1].first, memory.entries()[1].last);
}

TEST(Rank, RunsThatCountDifferentlyAreToldApart) {
  const auto run_of = [](int messages, std::int64_t bytes, std::int64_t held) {
    ThreadsFabric fabric(2);
    return fabric.run([=](Rank& rank) -> Task<> {
      const Buffer scratch = rank.allocate("scratch", Memory::workspace, held);
      const Buffer mine = rank.allocate("number", Memory::workspace, bytes);
      for (int i = 0; i < messages; ++i) const Buffer got = co_await rank.shift(mine, +1, {.tag = kToken});
    });
  };
  EXPECT_EQ(count_difference(run_of(2, 8, 100), run_of(2, 8, 100)), "");
  EXPECT_EQ(count_difference(run_of(2, 8, 100), run_of(3, 8, 100)),
            "rank 0 sends 2 'token' of 16 B to rank 1, sends 3 'token' of 24 B to rank 1");
  EXPECT_EQ(count_difference(run_of(2, 8, 100), run_of(2, 8, 200)), "rank 0: peak of workspace memory 108 B, 208 B");
}

TEST(Rank, ARankOutsideTheRingIsRefused) {
  ThreadsFabric fabric(2);
  EXPECT_THROW(fabric.run([](Rank& rank) -> Task<> {
    const Buffer mine = number(rank, 1);
    co_await rank.send(mine, 2, kToken);
  }),
               ContractViolation);
}

}  // namespace
}  // namespace assay::substrate
