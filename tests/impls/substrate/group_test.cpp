// Groups: some ranks as ranks of their own.
#include "impls/substrate/fabric/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {
namespace {

constexpr Tag kTag{.value = 4, .name = "id"};

std::vector<int> members(const Group& group) {
  std::vector<int> all;
  for (int i = 0; i < group.size(); ++i) all.push_back(group.member(i));
  return all;
}

TEST(Group, BlocksAndAcrossAreRowsAndColumnsOfAMesh) {
  ThreadsFabric fabric(12);
  fabric.run([](Rank& rank) -> Task<> {
    const Group all(rank);
    if (rank.id() == 7) {
      EXPECT_THAT(members(all.block(4)), ::testing::ElementsAre(4, 5, 6, 7));
      EXPECT_THAT(members(all.across(4)), ::testing::ElementsAre(3, 7, 11));
      EXPECT_THAT(members(all.across(2).block(3)), ::testing::ElementsAre(7, 9, 11)) << "of 1, 3, 5, 7, 9, 11";
      EXPECT_THAT(members(all.across(2).across(3)), ::testing::ElementsAre(1, 7));
      const Group odd = Group::split(rank, [](int r) { return r % 2; });
      EXPECT_THAT(members(odd.across(3)), ::testing::ElementsAre(1, 7));
      EXPECT_EQ(odd.id(), 3);
      EXPECT_THROW(static_cast<void>(all.block(5)), ContractViolation);
    }
    co_return;
  });
}

TEST(Group, CollectivesStayInsideIt) {
  ThreadsFabric fabric(6);
  std::vector<int> wrong(6);
  fabric.run([&](Rank& rank) -> Task<> {
    const Group group = Group::split(rank, [](int r) { return r % 3; });
    std::vector<Buffer> parts;
    for (int i = 0; i < group.size(); ++i) {
      parts.push_back(rank.allocate("part", Memory::communication, 4));
      parts.back().write<int>()[0] = 100 * rank.id() + i;
    }
    const auto got = co_await all_to_all(group, std::move(parts), {4, 4}, kTag, "got");
    for (int i = 0; i < group.size(); ++i)
      wrong[static_cast<std::size_t>(rank.id())] +=
          got[static_cast<std::size_t>(i)].read<int>()[0] == 100 * group.member(i) + group.id() ? 0 : 1;
  });
  EXPECT_EQ(wrong, std::vector<int>(6));
}

TEST(Slice, IsAPartOfItsBufferAndNotChargedAgain) {
  ThreadsFabric fabric(1);
  fabric.run([](Rank& rank) -> Task<> {
    Buffer whole = rank.allocate("whole", Memory::activation, 16);
    {
      Buffer part = rank.slice(whole, 4, 8);
      part.write<int>()[1] = 7;
      EXPECT_EQ(rank.memory().live(), 16);
      EXPECT_THROW(static_cast<void>(rank.slice(whole, 12, 8)), ContractViolation);
    }
    EXPECT_EQ(rank.memory().live(), 16);
    EXPECT_EQ(whole.read<int>()[2], 7);
    co_return;
  });
}

}  // namespace
}  // namespace assay::substrate
