#include "impls/substrate/fabric/task.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace assay::substrate {
namespace {

Task<int> answer() { co_return 42; }
Task<std::unique_ptr<int>> boxed(int value) { co_return std::make_unique<int>(value); }
Task<int> fails() {
  throw std::runtime_error("inner");
  co_return 0;
}
Task<> nothing() { co_return; }

TEST(Task, IsLazyAndGivesItsValueToTheAwaiter) {
  int reached = 0;
  const auto outer = [&]() -> Task<> {
    reached = co_await answer();
    reached += *co_await boxed(1);
  };
  const Task<> task = outer();
  EXPECT_EQ(reached, 0);
  task.handle().resume();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(reached, 43);
}

TEST(Task, AnExceptionLeavesThroughTheAwait) {
  std::string caught;
  const auto outer = [&]() -> Task<> {
    try {
      co_await fails();
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
  };
  const Task<> task = outer();
  task.handle().resume();
  EXPECT_EQ(caught, "inner");
  EXPECT_NO_THROW(task.result());
}

TEST(Task, AnUncaughtExceptionIsTheResult) {
  const auto outer = []() -> Task<> { co_await fails(); };
  const Task<> task = outer();
  task.handle().resume();
  EXPECT_THROW(task.result(), std::runtime_error);
}

TEST(Task, ANamedTaskIsAwaitedLikeATemporary) {
  int got = 0;
  const auto outer = [&]() -> Task<> {
    auto inner = answer();
    got = co_await inner;
  };
  const Task<> task = outer();
  task.handle().resume();
  EXPECT_EQ(got, 42);
}

TEST(Task, AMillionAwaitsInARowDoNotGrowTheStack) {
  const auto outer = []() -> Task<> {
    for (int i = 0; i < 1'000'000; ++i) co_await nothing();
  };
  const Task<> task = outer();
  task.handle().resume();
  EXPECT_TRUE(task.done());
}

}  // namespace
}  // namespace assay::substrate
