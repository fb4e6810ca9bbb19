#include "harness/nvidia_driver.h"

#include <dlfcn.h>

#include <array>

namespace assay::harness {
namespace {

// The few NVML entry points used, with the library's stable C signatures and numbers (nvml.h).
using Device = void*;
struct Memory {
  unsigned long long total = 0, free = 0, used = 0;
};
constexpr int clock_sm = 1;
constexpr int clock_memory = 2;
constexpr int sensor_gpu = 0;

class Nvml {
 public:
  explicit Nvml(const char* name) : library_(dlopen(name, RTLD_LAZY | RTLD_LOCAL)) {
    if (library_ == nullptr) {
      reason = std::string(name) + " is not installed";
      return;
    }
    load(init_, "nvmlInit_v2");
    load(shutdown_, "nvmlShutdown");
    load(error_string_, "nvmlErrorString");
    load(driver_version, "nvmlSystemGetDriverVersion");
    load(device_count, "nvmlDeviceGetCount_v2");
    load(device_at, "nvmlDeviceGetHandleByIndex_v2");
    load(device_of_uuid, "nvmlDeviceGetHandleByUUID");
    load(device_name, "nvmlDeviceGetName");
    load(device_uuid, "nvmlDeviceGetUUID");
    load(device_memory, "nvmlDeviceGetMemoryInfo");
    if (!reason.empty()) return;
    // Older or newer libraries may lack these: what they say is then not known.
    find(clock, "nvmlDeviceGetClockInfo");
    find(max_clock, "nvmlDeviceGetMaxClockInfo");
    find(power, "nvmlDeviceGetPowerUsage");
    find(power_limit, "nvmlDeviceGetEnforcedPowerLimit");
    find(temperature, "nvmlDeviceGetTemperature");
    find(energy, "nvmlDeviceGetTotalEnergyConsumption");
    find(throttle, "nvmlDeviceGetCurrentClocksThrottleReasons");
    if (throttle == nullptr) find(throttle, "nvmlDeviceGetCurrentClocksEventReasons");
    if (const int failed = init_(); failed != 0)
      reason = error_string_(failed);
    else
      ready_ = true;
  }
  ~Nvml() {
    if (ready_) shutdown_();
    if (library_ != nullptr) dlclose(library_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  bool ready() const { return ready_; }
  GpuState state(Device device) const {
    GpuState state;
    unsigned number = 0;
    if (clock != nullptr && clock(device, clock_sm, &number) == 0) state.sm_hz = 1e6 * number;
    if (clock != nullptr && clock(device, clock_memory, &number) == 0) state.memory_hz = 1e6 * number;
    if (power != nullptr && power(device, &number) == 0) state.watts = 1e-3 * number;
    if (temperature != nullptr && temperature(device, sensor_gpu, &number) == 0) state.celsius = number;
    unsigned long long wide = 0;
    if (throttle != nullptr && throttle(device, &wide) == 0) state.throttle = wide;
    if (energy != nullptr && energy(device, &wide) == 0) state.joules = 1e-3 * static_cast<double>(wide);
    return state;
  }

  std::string reason;  // why it is not ready
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*device_count)(unsigned*) = nullptr;
  int (*device_at)(unsigned, Device*) = nullptr;
  int (*device_of_uuid)(const char*, Device*) = nullptr;
  int (*device_name)(Device, char*, unsigned) = nullptr;
  int (*device_uuid)(Device, char*, unsigned) = nullptr;
  int (*device_memory)(Device, Memory*) = nullptr;
  int (*clock)(Device, int, unsigned*) = nullptr;
  int (*max_clock)(Device, int, unsigned*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;
  int (*power_limit)(Device, unsigned*) = nullptr;
  int (*temperature)(Device, int, unsigned*) = nullptr;
  int (*energy)(Device, unsigned long long*) = nullptr;
  int (*throttle)(Device, unsigned long long*) = nullptr;

 private:
  template <typename Function>
  void find(Function*& entry, const char* name) {
    entry = reinterpret_cast<Function*>(dlsym(library_, name));
  }
  template <typename Function>
  void load(Function*& entry, const char* name) {
    find(entry, name);
    if (entry == nullptr) reason = std::string("the management library lacks ") + name;
  }

  void* library_ = nullptr;
  bool ready_ = false;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  const char* (*error_string_)(int) = nullptr;
};

class Monitor final : public NvidiaMonitor {
 public:
  Monitor(std::unique_ptr<Nvml> nvml, Device device) : nvml_(std::move(nvml)), device_(device) {}
  GpuState read() const override { return nvml_->state(device_); }

 private:
  std::unique_ptr<Nvml> nvml_;
  Device device_;
};

}  // namespace

NvidiaDriver query_nvidia_driver(const char* library) {
  NvidiaDriver found;
  const Nvml nvml(library);
  if (!nvml.ready()) {
    found.reason = nvml.reason;
    return found;
  }
  std::array<char, 96> text{};
  if (nvml.driver_version(text.data(), text.size()) == 0) found.version = text.data();
  unsigned count = 0;
  nvml.device_count(&count);
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    if (nvml.device_at(i, &device) != 0) continue;
    Gpu gpu;
    if (nvml.device_name(device, text.data(), text.size()) == 0) gpu.name = text.data();
    if (nvml.device_uuid(device, text.data(), text.size()) == 0) gpu.uuid = text.data();
    Memory memory;
    if (nvml.device_memory(device, &memory) == 0) gpu.memory_bytes = static_cast<std::int64_t>(memory.total);
    unsigned number = 0;
    if (nvml.max_clock != nullptr && nvml.max_clock(device, clock_sm, &number) == 0) gpu.max_sm_hz = 1e6 * number;
    if (nvml.max_clock != nullptr && nvml.max_clock(device, clock_memory, &number) == 0)
      gpu.max_memory_hz = 1e6 * number;
    if (nvml.power_limit != nullptr && nvml.power_limit(device, &number) == 0) gpu.limit_watts = 1e-3 * number;
    gpu.state = nvml.state(device);
    found.gpus.push_back(std::move(gpu));
  }
  if (found.gpus.empty()) found.reason = "the driver lists no GPU";
  return found;
}

std::vector<std::string> throttle_reasons(std::uint64_t bits) {
  constexpr std::pair<std::uint64_t, const char*> named[] = {
      {0x4, "power cap"},         {0x8, "hardware slowdown"},          {0x10, "sync boost"},
      {0x20, "thermal slowdown"}, {0x40, "hardware thermal slowdown"}, {0x80, "power brake"},
      {0x100, "display clocks"}};
  std::vector<std::string> reasons;
  for (const auto& [bit, name] : named)
    if ((bits & bit) != 0) reasons.emplace_back(name);
  return reasons;
}

std::unique_ptr<NvidiaMonitor> NvidiaMonitor::of(const std::string& uuid, const char* library) {
  auto nvml = std::make_unique<Nvml>(library);
  Device device = nullptr;
  if (!nvml->ready() || nvml->device_of_uuid(uuid.c_str(), &device) != 0) return nullptr;
  return std::make_unique<Monitor>(std::move(nvml), device);
}

}  // namespace assay::harness
