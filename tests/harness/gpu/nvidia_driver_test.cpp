#include "harness/nvidia_driver.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "harness/gpu/device_log.h"

namespace assay::harness {
namespace {

// Lies beside this program, also where both were carried elsewhere.
std::string planted_library() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libfixture_nvml.so").string();
}

TEST(NvidiaDriver, ListsGpusWithClocksPowerAndThrottleState) {
  const NvidiaDriver driver = query_nvidia_driver(planted_library().c_str());
  EXPECT_EQ(driver.version, "580.65.06");
  EXPECT_EQ(driver.reason, "");
  ASSERT_EQ(driver.gpus.size(), 2U);
  const Gpu& busy = driver.gpus[1];
  EXPECT_EQ(busy.name, "Planted GPU");
  EXPECT_EQ(busy.uuid, "GPU-1");
  EXPECT_EQ(busy.memory_bytes, std::int64_t{80} << 30);
  EXPECT_EQ(busy.max_sm_hz, 1980e6);
  EXPECT_EQ(busy.limit_watts, 700.0);
  EXPECT_EQ(busy.state.sm_hz, 1410e6);
  EXPECT_EQ(busy.state.memory_hz, 2619e6);
  EXPECT_EQ(busy.state.watts, 699.5);
  EXPECT_EQ(busy.state.celsius, std::nullopt) << "not supported is not zero";
  EXPECT_EQ(throttle_reasons(*busy.state.throttle), std::vector<std::string>{"power cap"});
  EXPECT_TRUE(throttle_reasons(*driver.gpus[0].state.throttle).empty()) << "an idle GPU is not throttled";
}

TEST(NvidiaDriver, AMissingLibraryIsAReasonNotAnError) {
  const NvidiaDriver driver = query_nvidia_driver("libno-such-nvml.so.1");
  EXPECT_EQ(driver.reason, "libno-such-nvml.so.1 is not installed");
  EXPECT_TRUE(driver.gpus.empty());
  EXPECT_EQ(NvidiaMonitor::of("GPU-1", "libno-such-nvml.so.1"), nullptr);
}

TEST(NvidiaMonitor, KnowsOnlyDevicesOfTheDriver) {
  EXPECT_EQ(NvidiaMonitor::of("GPU-of-another-machine", planted_library().c_str()), nullptr);
  ASSERT_NE(NvidiaMonitor::of("GPU-1", planted_library().c_str()), nullptr);
}

TEST(DeviceLog, KeepsClockPowerAndThrottleStateOfEverySample) {
  gpu::DeviceLog log({.name = "Planted GPU", .uuid = "GPU-1"}, NvidiaMonitor::of("GPU-1", planted_library().c_str()));
  for (int i = 0; i < 3; ++i) log.after_sample();
  ASSERT_TRUE(log.has_clocks());
  EXPECT_EQ(log.clocks_hz(), (std::vector<float>{1410e6F, 1410e6F, 1410e6F}));
  const auto gpu = nlohmann::json::parse(log.to_json()).at("gpu");
  EXPECT_EQ(gpu.at("watts").size(), 3U);
  EXPECT_EQ(gpu.at("throttle"), nlohmann::json({4, 4, 4}));
  EXPECT_EQ(gpu.at("throttled_samples"), 3);
  EXPECT_EQ(gpu.at("throttle_reasons"), nlohmann::json({"power cap"}));
  EXPECT_EQ(gpu.at("joules"), 14.0) << "from the first sample to the last";
  EXPECT_FALSE(gpu.contains("celsius")) << "what the driver does not tell is left out";
}

TEST(DeviceLog, WithoutAMonitorSaysSo) {
  gpu::DeviceLog log({.name = "Planted GPU"}, nullptr);
  log.after_sample();
  EXPECT_FALSE(log.has_clocks());
  EXPECT_EQ(nlohmann::json::parse(log.to_json()).at("gpu").at("monitored"), false);
}

}  // namespace
}  // namespace assay::harness
