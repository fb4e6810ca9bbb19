#include "harness/gpu/device_log.h"

#include <nlohmann/json.hpp>

namespace assay::harness::gpu {

using nlohmann::json;

DeviceLog::DeviceLog(DeviceFacts facts, std::unique_ptr<NvidiaMonitor> monitor)
    : facts_(std::move(facts)), monitor_(std::move(monitor)) {}

void DeviceLog::after_sample() {
  if (!monitor_) return;
  states_.push_back(monitor_->read());
  if (states_.back().sm_hz) ++clocks_;
}

std::vector<float> DeviceLog::clocks_hz() const {
  std::vector<float> clocks;
  for (const GpuState& state : states_) clocks.push_back(static_cast<float>(state.sm_hz.value_or(0)));
  return clocks;
}

std::string DeviceLog::to_json() const {
  json gpu = {{"name", facts_.name},
              {"uuid", facts_.uuid},
              {"capability", facts_.capability},
              {"runtime", facts_.runtime_version},
              {"driver", facts_.driver_version},
              {"monitored", monitor_ != nullptr}};
  const auto series = [&](const char* name, auto field) {
    json values = json::array();
    for (const GpuState& state : states_) {
      const auto& value = state.*field;
      if (!value) return;
      values.push_back(*value);
    }
    if (!values.empty()) gpu[name] = std::move(values);
  };
  series("watts", &GpuState::watts);
  series("celsius", &GpuState::celsius);
  series("memory_hz", &GpuState::memory_hz);
  series("throttle", &GpuState::throttle);
  std::uint64_t all = 0;
  int throttled = 0;
  for (const GpuState& state : states_) {
    const std::uint64_t bits = state.throttle.value_or(0);
    all |= bits;
    if (!throttle_reasons(bits).empty()) ++throttled;
  }
  if (gpu.contains("throttle")) {
    gpu["throttled_samples"] = throttled;
    gpu["throttle_reasons"] = throttle_reasons(all);
  }
  if (!states_.empty() && states_.front().joules && states_.back().joules)
    gpu["joules"] = *states_.back().joules - *states_.front().joules;
  return json{{"gpu", std::move(gpu)}}.dump();
}

}  // namespace assay::harness::gpu
