#include "harness/profile/activity.h"

#if ASSAY_HAVE_CUDA && __has_include(<cupti.h>)
#define ASSAY_HAVE_CUPTI 1
#include <cupti.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "harness/gpu/library_search.h"
#endif

namespace assay::harness::profile {

#ifndef ASSAY_HAVE_CUPTI

std::unique_ptr<KernelActivity> open_kernel_activity(const std::vector<std::string>&) {
  throw ActivityUnavailable("this build has no CUPTI (its header was not found when it was configured)");
}

#else

namespace {

using nlohmann::json;
using results_db::KernelRecord;

constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
constexpr std::size_t buffer_alignment = 8;
constexpr CUpti_ActivityKind kinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                        CUPTI_ACTIVITY_KIND_MEMSET};

struct Library {
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks = nullptr;
  decltype(&cuptiActivityEnable) enable = nullptr;
  decltype(&cuptiActivityDisable) disable = nullptr;
  decltype(&cuptiActivityFlushAll) flush_all = nullptr;
  decltype(&cuptiActivityGetNextRecord) next_record = nullptr;
  decltype(&cuptiActivityGetNumDroppedRecords) dropped_records = nullptr;
  decltype(&cuptiGetResultString) result_string = nullptr;
};

// CUPTI's callbacks carry nothing of ours, so what is open stands here.
struct Collected {
  Library library;
  std::vector<KernelRecord> records;
  std::size_t dropped = 0;
};
Collected* collected = nullptr;

std::string demangled(const char* name) {
  if (name == nullptr) return "";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                          std::free);
  return status == 0 && plain ? plain.get() : name;
}

const char* direction(std::uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
      return "copy to the device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
      return "copy from the device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return "copy on the device";
    default:
      return "copy";
  }
}

// Record `any` seen as `Record`, plus what its kind says.
template <typename Record>
KernelRecord timed(const Record& record, const std::string& name, json shape) {
  if (record.graphId != 0) shape["graph"] = record.graphId;
  return {.name = name,
          .stream = std::to_string(record.streamId),
          .start_ns = static_cast<std::int64_t>(record.start),
          .duration_ns = static_cast<std::int64_t>(record.end - record.start),
          .launch_json = shape.dump()};
}

void keep(const CUpti_Activity& any) {
  switch (any.kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
    case CUPTI_ACTIVITY_KIND_KERNEL: {
      const auto& record = reinterpret_cast<const CUpti_ActivityKernel10&>(any);
      json shape = {{"grid", {record.gridX, record.gridY, record.gridZ}},
                    {"block", {record.blockX, record.blockY, record.blockZ}},
                    {"registers", record.registersPerThread},
                    {"static_shared", record.staticSharedMemory},
                    {"dynamic_shared", record.dynamicSharedMemory},
                    {"local_bytes_a_thread", record.localMemoryPerThread}};
      if (record.clusterX > 0) shape["cluster"] = {record.clusterX, record.clusterY, record.clusterZ};
      collected->records.push_back(timed(record, demangled(record.name), std::move(shape)));
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto& record = reinterpret_cast<const CUpti_ActivityMemcpy6&>(any);
      collected->records.push_back(timed(record, direction(record.copyKind), {{"bytes", record.bytes}}));
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto& record = reinterpret_cast<const CUpti_ActivityMemset4&>(any);
      collected->records.push_back(timed(record, "fill", {{"bytes", record.bytes}}));
      break;
    }
    default:
      break;
  }
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* size, std::size_t* max_records) {
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(buffer_alignment, buffer_bytes));
  *size = *buffer == nullptr ? 0 : buffer_bytes;
  *max_records = 0;  // as many as fit
}

void CUPTIAPI take_buffer(CUcontext context, std::uint32_t stream, std::uint8_t* buffer, std::size_t,
                          std::size_t valid) {
  if (collected != nullptr && valid > 0) {
    CUpti_Activity* record = nullptr;
    while (collected->library.next_record(buffer, valid, &record) == CUPTI_SUCCESS) keep(*record);
    std::size_t dropped = 0;
    if (collected->library.dropped_records(context, stream, &dropped) == CUPTI_SUCCESS) collected->dropped += dropped;
  }
  std::free(buffer);
}

class CuptiActivity final : public KernelActivity {
 public:
  explicit CuptiActivity(const std::vector<std::string>& libraries) {
    if (collected != nullptr) throw std::logic_error("kernel activity is collected already");
    const auto opened = gpu::open_library(libraries);
    if (opened.handle == nullptr) throw ActivityUnavailable("no CUPTI: " + opened.reason);
    Library& library = held_.library;
    load(opened.handle, library.register_callbacks, "cuptiActivityRegisterCallbacks");
    load(opened.handle, library.enable, "cuptiActivityEnable");
    load(opened.handle, library.disable, "cuptiActivityDisable");
    load(opened.handle, library.flush_all, "cuptiActivityFlushAll");
    load(opened.handle, library.next_record, "cuptiActivityGetNextRecord");
    load(opened.handle, library.dropped_records, "cuptiActivityGetNumDroppedRecords");
    load(opened.handle, library.result_string, "cuptiGetResultString");
    expect(library.register_callbacks(give_buffer, take_buffer), "registering its buffers");
    collected = &held_;
  }
  ~CuptiActivity() override {
    if (started_) disable_all();
    collected = nullptr;
  }
  CuptiActivity(const CuptiActivity&) = delete;
  CuptiActivity& operator=(const CuptiActivity&) = delete;

  void start() override {
    held_.records.clear();
    held_.dropped = 0;
    started_ = true;
    for (const CUpti_ActivityKind kind : kinds) expect(held_.library.enable(kind), "enabling activity records");
  }

  std::vector<KernelRecord> stop() override {
    disable_all();
    started_ = false;
    expect(held_.library.flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "collecting activity records");
    if (held_.dropped > 0) throw ActivityUnavailable(fmt::format("CUPTI dropped {} records", held_.dropped));
    std::stable_sort(held_.records.begin(), held_.records.end(),
                     [](const KernelRecord& a, const KernelRecord& b) { return a.start_ns < b.start_ns; });
    return std::move(held_.records);
  }

 private:
  template <typename Function>
  static void load(void* handle, Function& entry, const char* name) {
    entry = reinterpret_cast<Function>(dlsym(handle, name));
    if (entry == nullptr) throw ActivityUnavailable(fmt::format("CUPTI lacks {}", name));
  }
  void expect(CUptiResult result, const char* doing) const {
    if (result == CUPTI_SUCCESS) return;
    const char* name = nullptr;
    held_.library.result_string(result, &name);
    throw ActivityUnavailable(
        fmt::format("CUPTI refuses: {} ({})", name == nullptr ? "an unknown error" : name, doing));
  }
  void disable_all() const {
    for (const CUpti_ActivityKind kind : kinds) held_.library.disable(kind);
  }

  Collected held_;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<KernelActivity> open_kernel_activity(const std::vector<std::string>& libraries) {
  return std::make_unique<CuptiActivity>(libraries);
}

#endif

}  // namespace assay::harness::profile
