#include "harness/nvidia_driver.h"

#include <dlfcn.h>

#include <array>
#include <memory>

namespace assay::harness {
namespace {

// The few NVML entry points used, with the library's stable C signatures (nvml.h).
using Device = void*;
struct Memory {
  unsigned long long total = 0, free = 0, used = 0;
};
struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};

template <typename Signature>
Signature* entry(void* library, const char* name) {
  return reinterpret_cast<Signature*>(dlsym(library, name));
}

}  // namespace

NvidiaDriver query_nvidia_driver() {
  NvidiaDriver found;
  const std::unique_ptr<void, CloseLibrary> library(dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL));
  if (!library) {
    found.reason = "libnvidia-ml.so.1 is not installed";
    return found;
  }
  auto* init = entry<int()>(library.get(), "nvmlInit_v2");
  auto* shutdown = entry<int()>(library.get(), "nvmlShutdown");
  auto* error_string = entry<const char*(int)>(library.get(), "nvmlErrorString");
  auto* driver_version = entry<int(char*, unsigned)>(library.get(), "nvmlSystemGetDriverVersion");
  auto* device_count = entry<int(unsigned*)>(library.get(), "nvmlDeviceGetCount_v2");
  auto* device_at = entry<int(unsigned, Device*)>(library.get(), "nvmlDeviceGetHandleByIndex_v2");
  auto* device_name = entry<int(Device, char*, unsigned)>(library.get(), "nvmlDeviceGetName");
  auto* device_uuid = entry<int(Device, char*, unsigned)>(library.get(), "nvmlDeviceGetUUID");
  auto* device_memory = entry<int(Device, Memory*)>(library.get(), "nvmlDeviceGetMemoryInfo");
  if (init == nullptr || shutdown == nullptr || error_string == nullptr || driver_version == nullptr ||
      device_count == nullptr || device_at == nullptr || device_name == nullptr || device_uuid == nullptr ||
      device_memory == nullptr) {
    found.reason = "libnvidia-ml.so.1 lacks an entry point";
    return found;
  }
  if (const int failed = init(); failed != 0) {
    found.reason = error_string(failed);
    return found;
  }
  std::array<char, 96> text{};
  if (driver_version(text.data(), text.size()) == 0) found.version = text.data();
  unsigned count = 0;
  device_count(&count);
  for (unsigned i = 0; i < count; ++i) {
    Device device = nullptr;
    if (device_at(i, &device) != 0) continue;
    Gpu gpu;
    if (device_name(device, text.data(), text.size()) == 0) gpu.name = text.data();
    if (device_uuid(device, text.data(), text.size()) == 0) gpu.uuid = text.data();
    Memory memory;
    if (device_memory(device, &memory) == 0) gpu.memory_bytes = static_cast<std::int64_t>(memory.total);
    found.gpus.push_back(std::move(gpu));
  }
  shutdown();
  if (found.gpus.empty()) found.reason = "the driver lists no GPU";
  return found;
}

}  // namespace assay::harness
