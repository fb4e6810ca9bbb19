#pragma once
// What the driver said of the GPU after every sample of a launch: evidence that the clock was what one thinks it was.
#include <memory>
#include <string>
#include <vector>

#include "harness/gpu/device.h"
#include "harness/nvidia_driver.h"

namespace assay::harness::gpu {

class DeviceLog {
 public:
  // Without a monitor (no management library, or not this device) the log holds the device's facts alone and says so.
  DeviceLog(DeviceFacts facts, std::unique_ptr<NvidiaMonitor> monitor);
  void after_sample();

  // One clock a sample, or none at all.
  bool has_clocks() const { return !states_.empty() && clocks_ == states_.size(); }
  std::vector<float> clocks_hz() const;
  // {"gpu": {name, uuid, capability, runtime, driver, watts: [...], celsius: [...], throttle: [...bits],
  //  throttled_samples, throttle_reasons: [...], joules}}; what was not readable is left out.
  std::string to_json() const;

 private:
  DeviceFacts facts_;
  std::unique_ptr<NvidiaMonitor> monitor_;
  std::vector<GpuState> states_;
  std::size_t clocks_ = 0;
};

}  // namespace assay::harness::gpu
