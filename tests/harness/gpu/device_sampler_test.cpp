#include "harness/gpu/device_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/gpu/launch_gate.h"
#include "tests/harness/gpu/fixture/fake_device.h"

namespace assay::harness::gpu {
namespace {

constexpr double kernel_seconds = 20e-6;

long count(const FakeDevice& device, const std::string& what) {
  return std::count(device.log.begin(), device.log.end(), what);
}

TEST(DeviceSampler, EventTimeIsThatOfTheDeviceBetweenTheMarks) {
  FakeDevice device;
  DeviceSampler sampler(device, [&] { device.enqueue("kernel", kernel_seconds); }, {.timer = Timer::event});
  device.enqueue("set-up before the sample", 1.0);
  EXPECT_NEAR(sampler.take(1), kernel_seconds, 1e-12);
  EXPECT_NEAR(sampler.take(7), 7 * kernel_seconds, 1e-12);
}

TEST(DeviceSampler, TheWholeBatchIsEnqueuedBehindTheClosedGate) {
  FakeDevice device;
  std::vector<bool> open_at_launch;
  DeviceSampler sampler(device,
                        [&] {
                          open_at_launch.push_back(device.gate_is_open());
                          device.enqueue("kernel", kernel_seconds);
                        },
                        {.timer = Timer::event});
  sampler.take(3);
  EXPECT_EQ(open_at_launch, (std::vector<bool>{false, false, false}));
  device.log.clear();
  sampler.take(3);
  EXPECT_EQ(device.log, (std::vector<std::string>{"synchronize", "close", "mark", "kernel", "kernel", "kernel", "mark",
                                                  "synchronize"}));
  EXPECT_TRUE(device.gate_is_open());
}

TEST(DeviceSampler, AColdSampleFlushesBeforeEveryIterationAndDoesNotCountTheFlush) {
  FakeDevice device;
  DeviceSampler sampler(device, [&] { device.enqueue("kernel", kernel_seconds); },
                        {.timer = Timer::event, .cold = true});
  sampler.take(4);
  device.log.clear();
  EXPECT_NEAR(sampler.take(4), 4 * kernel_seconds, 1e-12);
  EXPECT_EQ(count(device, "flush"), 4);
  EXPECT_EQ(count(device, "mark"), 8);
}

// A driver that loads code when it is first used may wait for the device to do so, and the device waits at the gate.
TEST(DeviceSampler, DoesNothingForTheFirstTimeBehindTheClosedGate) {
  for (const Timer timer : {Timer::event, Timer::graph}) {
    for (const bool cold : {false, true}) {
      FakeDevice device;
      DeviceSampler sampler(device, [&] { device.enqueue("kernel", kernel_seconds); }, {.timer = timer, .cold = cold});
      EXPECT_NEAR(sampler.take(3), 3 * kernel_seconds, 1e-12);
      const auto closed = std::ranges::find(device.log, "close");
      const auto before = [&](const std::string& what) { return std::count(device.log.begin(), closed, what); };
      EXPECT_EQ(before("flush"), cold ? 1 : 0);
      EXPECT_EQ(before("mark"), cold ? 6 : 2) << "every mark of the sample";
      EXPECT_EQ(before("launch graph"), timer == Timer::graph ? 1 : 0);
      EXPECT_EQ(*(closed - 1), "synchronize") << "and it is over by then";
    }
  }
}

TEST(DeviceSampler, AGraphIsCapturedOnceABatchSizeAndReplayed) {
  FakeDevice device;
  int calls = 0;
  DeviceSampler sampler(device,
                        [&] {
                          ++calls;
                          device.enqueue("kernel", kernel_seconds);
                        },
                        {.timer = Timer::graph});
  EXPECT_NEAR(sampler.take(5), 5 * kernel_seconds, 1e-12);
  EXPECT_NEAR(sampler.take(5), 5 * kernel_seconds, 1e-12);
  EXPECT_EQ(calls, 5) << "the second sample replays";
  EXPECT_EQ(count(device, "capture 5"), 1);
  EXPECT_EQ(count(device, "launch graph"), 3) << "once before the first gate, then a sample each";
  sampler.take(2);
  EXPECT_EQ(count(device, "capture 2"), 1);
}

TEST(DeviceSampler, AColdGraphHoldsOneIteration) {
  FakeDevice device;
  DeviceSampler sampler(device, [&] { device.enqueue("kernel", kernel_seconds); },
                        {.timer = Timer::graph, .cold = true});
  EXPECT_NEAR(sampler.take(3), 3 * kernel_seconds, 1e-12);
  EXPECT_EQ(count(device, "capture 1"), 1);
  EXPECT_EQ(count(device, "launch graph"), 1 + 3);
  EXPECT_EQ(count(device, "flush"), 1 + 3);
}

TEST(DeviceSampler, HostTimeNeedsNoGateAndWaitsForTheLastKernel) {
  FakeDevice device;
  DeviceSampler sampler(device, [&] { device.enqueue("kernel", kernel_seconds); }, {.timer = Timer::host});
  EXPECT_GT(sampler.take(2), 0);
  EXPECT_EQ(device.log, (std::vector<std::string>{"synchronize", "kernel", "kernel", "synchronize"}));
}

TEST(DeviceSampler, ARegionThatWaitsForTheDeviceIsRefusedInsteadOfHanging) {
  FakeDevice device;
  DeviceSampler sampler(device,
                        [&] {
                          device.enqueue("kernel", kernel_seconds);
                          device.wait_until_open();
                        },
                        {.timer = Timer::event, .gate_patience_seconds = 0.01});
  try {
    sampler.take(1);
    FAIL() << "its time contains time of the host";
  } catch (const std::runtime_error& refused) {
    EXPECT_NE(std::string(refused.what()).find("timer = \"host\""), std::string::npos) << refused.what();
  }
}

TEST(DeviceSampler, AFaultOfTheRegionCarriesItsCudaName) {
  FakeDevice device;
  DeviceSampler sampler(device, [&] { device.fault = "cudaErrorIllegalAddress"; }, {});
  try {
    sampler.take(1);
    FAIL();
  } catch (const DeviceError& fault) {
    EXPECT_EQ(fault.name(), "cudaErrorIllegalAddress");
    EXPECT_STREQ(fault.what(), "cudaErrorIllegalAddress: as planted (in the timed region)");
  }
  EXPECT_TRUE(device.gate_is_open());
}

TEST(DeviceSampler, ARegionThatThrowsLeavesTheGateOpen) {
  FakeDevice device;
  DeviceSampler sampler(device, [] { throw std::domain_error("wrong shape"); }, {});
  EXPECT_THROW(sampler.take(1), std::domain_error);
  EXPECT_TRUE(device.gate_is_open());
}

TEST(LaunchGate, OpensOnceAndSaysThatItWasInTime) {
  FakeDevice device;
  {
    LaunchGate gate(device);
    EXPECT_FALSE(device.gate_is_open());
    EXPECT_TRUE(gate.open());
    EXPECT_TRUE(gate.open());
  }
  EXPECT_EQ(device.openings, 1);
}

TEST(LaunchGate, LosesPatienceAndSaysSo) {
  FakeDevice device;
  LaunchGate gate(device, 0.005);
  device.wait_until_open();
  EXPECT_FALSE(gate.open());
}

TEST(Timer, UnknownKindsAreRefused) {
  EXPECT_EQ(timer_named("graph"), Timer::graph);
  EXPECT_THROW(timer_named("cupti"), UserError);
}

}  // namespace
}  // namespace assay::harness::gpu
