// The paged pool: counting, sharing, copies on write; its invariants hold after every operation of random sequences.
#include "impls/serving/kv_pool.h"

#include <gtest/gtest.h>

#include <map>

#include "impls/substrate/random.h"

namespace assay::serving {
namespace {

TEST(KvPool, BlocksAreCountedUpAndComeBack) {
  KvPool pool(10, 16, 0, 4);
  pool.allocate(0, 17);
  EXPECT_EQ(pool.table(0).size(), 2U);
  EXPECT_EQ(pool.free_blocks(), 8);
  EXPECT_TRUE(pool.grow(0));
  EXPECT_EQ(pool.used_blocks(), 3);
  pool.release(0);
  EXPECT_EQ(pool.free_blocks(), 10);
  EXPECT_FALSE(pool.broken_invariant());
}

TEST(KvPool, TheWatermarkStaysFreeAtAdmissionsAndNotWhileGrowing) {
  KvPool pool(10, 16, 2, 4);
  EXPECT_TRUE(pool.can_admit(8 * 16));
  EXPECT_FALSE(pool.can_admit(8 * 16 + 1));
  EXPECT_FALSE(pool.can_ever_admit(9 * 16));
  pool.allocate(0, 8 * 16);
  EXPECT_TRUE(pool.grow(0));
  EXPECT_TRUE(pool.grow(0));
  EXPECT_FALSE(pool.grow(0));
}

TEST(KvPool, ABlockFreedLongestAgoIsUsedAgainFirst) {
  KvPool pool(4, 16, 0, 3);
  pool.allocate(0, 32);  // 0 1
  pool.allocate(1, 32);  // 2 3
  pool.release(1);
  pool.release(0);
  pool.allocate(2, 16);
  EXPECT_EQ(pool.table(2)[0], 2);
}

TEST(KvPool, WritingASharedBlockCopiesItAndTheOtherKeepsItsOwn) {
  KvPool pool(8, 16, 0, 3);
  pool.allocate(0, 20);
  pool.fork(0, 1);
  EXPECT_EQ(pool.used_blocks(), 2);
  EXPECT_EQ(pool.references(pool.table(0)[1]), 2);
  std::optional<KvPool::Copy> copy;
  const std::int32_t shared = pool.table(1)[1];
  ASSERT_TRUE(pool.make_writable(1, 1, copy));
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->from, shared);
  EXPECT_EQ(pool.table(1)[1], copy->to);
  EXPECT_EQ(pool.table(0)[1], shared);
  EXPECT_TRUE(pool.make_writable(1, 1, copy));
  EXPECT_FALSE(copy) << "its own now";
  EXPECT_EQ(pool.used_blocks(), 3);
  pool.release(0);
  EXPECT_EQ(pool.used_blocks(), 2) << "the first block is still held by the child";
  pool.release(1);
  EXPECT_EQ(pool.used_blocks(), 0);
}

TEST(KvPool, MisuseIsABrokenPromise) {
  KvPool pool(2, 16, 0, 2);
  pool.allocate(0, 16);
  EXPECT_THROW(pool.allocate(0, 16), std::logic_error);
  EXPECT_THROW(pool.allocate(1, 64), std::logic_error);
  EXPECT_TRUE(pool.broken_invariant(0, 17));
  EXPECT_FALSE(pool.broken_invariant(0, 16));
}

TEST(KvPool, RandomOperationsKeepTheInvariantsAndTheCountOfAPlainModel) {
  substrate::Random random(11);
  constexpr std::size_t kSequences = 12;
  KvPool pool(40, 4, 3, kSequences);
  std::map<std::size_t, std::vector<std::int32_t>> tables;  // of sequences that have one
  for (int step = 0; step < 4000; ++step) {
    const auto id = static_cast<std::size_t>(random.below(kSequences));
    const auto other = static_cast<std::size_t>(random.below(kSequences));
    const auto tokens = static_cast<std::int64_t>(1 + random.below(30));
    switch (random.below(5)) {
      case 0:
        if (!tables.contains(id) && pool.can_admit(tokens)) {
          pool.allocate(id, tokens);
          tables[id];
        }
        break;
      case 1:
        if (tables.contains(id)) {
          const bool room = pool.free_blocks() > 0;
          EXPECT_EQ(pool.grow(id), room);
        }
        break;
      case 2:
        pool.release(id);
        tables.erase(id);
        break;
      case 3:
        if (tables.contains(id) && !tables.contains(other)) {
          pool.fork(id, other);
          tables[other];
        }
        break;
      default:
        if (tables.contains(id)) {
          std::optional<KvPool::Copy> copy;
          const std::size_t last = pool.table(id).size() - 1;
          if (pool.make_writable(id, last, copy)) EXPECT_EQ(pool.references(pool.table(id)[last]), 1);
        }
    }
    ASSERT_FALSE(pool.broken_invariant()) << *pool.broken_invariant() << " at step " << step;
  }
  for (std::size_t id = 0; id < kSequences; ++id) pool.release(id);
  EXPECT_EQ(pool.free_blocks(), 40);
}

}  // namespace
}  // namespace assay::serving
