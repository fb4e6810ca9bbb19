#include "harness/profile/counters.h"

#if ASSAY_HAVE_CUDA && __has_include(<cupti_range_profiler.h>)
#define ASSAY_HAVE_COUNTERS 1
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_target.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>

#include "harness/gpu/library_search.h"
#endif

namespace assay::harness::profile {

#ifndef ASSAY_HAVE_COUNTERS

std::unique_ptr<HardwareCounters> open_hardware_counters(const std::vector<std::string>&) {
  throw CountersUnavailable("this build has no CUPTI range profiler (its header was not found when it was configured)");
}

#else

namespace {

// Names that sm_80 (GA100) and sm_90 (GH100) both have; five passes together.
constexpr std::array<const char*, 4> names = {"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
                                              "dram__bytes_read.sum", "dram__bytes_write.sum",
                                              "lts__t_sector_hit_rate.pct"};
constexpr int most_passes = 64;

struct Library {
  decltype(&cuptiProfilerInitialize) initialize = nullptr;
  decltype(&cuptiProfilerDeInitialize) deinitialize = nullptr;
  decltype(&cuptiDeviceGetChipName) chip_name = nullptr;
  decltype(&cuptiProfilerHostInitialize) host_initialize = nullptr;
  decltype(&cuptiProfilerHostDeinitialize) host_deinitialize = nullptr;
  decltype(&cuptiProfilerHostConfigAddMetrics) add_metrics = nullptr;
  decltype(&cuptiProfilerHostGetConfigImageSize) config_size = nullptr;
  decltype(&cuptiProfilerHostGetConfigImage) config_image = nullptr;
  decltype(&cuptiProfilerHostEvaluateToGpuValues) evaluate = nullptr;
  decltype(&cuptiRangeProfilerEnable) enable = nullptr;
  decltype(&cuptiRangeProfilerDisable) disable = nullptr;
  decltype(&cuptiRangeProfilerGetCounterDataSize) data_size = nullptr;
  decltype(&cuptiRangeProfilerCounterDataImageInitialize) data_initialize = nullptr;
  decltype(&cuptiRangeProfilerSetConfig) set_config = nullptr;
  decltype(&cuptiRangeProfilerStart) start = nullptr;
  decltype(&cuptiRangeProfilerStop) stop = nullptr;
  decltype(&cuptiRangeProfilerPushRange) push = nullptr;
  decltype(&cuptiRangeProfilerPopRange) pop = nullptr;
  decltype(&cuptiRangeProfilerDecodeData) decode = nullptr;
  decltype(&cuptiGetResultString) result_string = nullptr;
};

template <typename Function>
void load(void* handle, Function& entry, const char* name) {
  entry = reinterpret_cast<Function>(dlsym(handle, name));
  if (entry == nullptr) throw CountersUnavailable(fmt::format("CUPTI lacks {}", name));
}

// Of the calling thread, through the runtime: the driver's library is not linked. Null where there is none.
CUcontext current_context() {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult how{};
  if (cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &found, 4000, cudaEnableDefault, &how) != cudaSuccess ||
      how != cudaDriverEntryPointSuccess || found == nullptr) {
    cudaGetLastError();
    return nullptr;
  }
  CUcontext context = nullptr;
  reinterpret_cast<CUresult (*)(CUcontext*)>(found)(&context);
  return context;
}

class CuptiCounters final : public HardwareCounters {
 public:
  explicit CuptiCounters(const std::vector<std::string>& libraries) {
    const auto opened = gpu::open_library(libraries);
    if (opened.handle == nullptr) throw CountersUnavailable("no CUPTI: " + opened.reason);
    void* const handle = opened.handle;
    load(handle, library_.initialize, "cuptiProfilerInitialize");
    load(handle, library_.deinitialize, "cuptiProfilerDeInitialize");
    load(handle, library_.chip_name, "cuptiDeviceGetChipName");
    load(handle, library_.host_initialize, "cuptiProfilerHostInitialize");
    load(handle, library_.host_deinitialize, "cuptiProfilerHostDeinitialize");
    load(handle, library_.add_metrics, "cuptiProfilerHostConfigAddMetrics");
    load(handle, library_.config_size, "cuptiProfilerHostGetConfigImageSize");
    load(handle, library_.config_image, "cuptiProfilerHostGetConfigImage");
    load(handle, library_.evaluate, "cuptiProfilerHostEvaluateToGpuValues");
    load(handle, library_.enable, "cuptiRangeProfilerEnable");
    load(handle, library_.disable, "cuptiRangeProfilerDisable");
    load(handle, library_.data_size, "cuptiRangeProfilerGetCounterDataSize");
    load(handle, library_.data_initialize, "cuptiRangeProfilerCounterDataImageInitialize");
    load(handle, library_.set_config, "cuptiRangeProfilerSetConfig");
    load(handle, library_.start, "cuptiRangeProfilerStart");
    load(handle, library_.stop, "cuptiRangeProfilerStop");
    load(handle, library_.push, "cuptiRangeProfilerPushRange");
    load(handle, library_.pop, "cuptiRangeProfilerPopRange");
    load(handle, library_.decode, "cuptiRangeProfilerDecodeData");
    load(handle, library_.result_string, "cuptiGetResultString");

    CUpti_Profiler_Initialize_Params begin{};
    begin.structSize = CUpti_Profiler_Initialize_Params_STRUCT_SIZE;
    expect(library_.initialize(&begin), "starting the profiler");
  }
  ~CuptiCounters() override {
    CUpti_Profiler_DeInitialize_Params end{};
    end.structSize = CUpti_Profiler_DeInitialize_Params_STRUCT_SIZE;
    library_.deinitialize(&end);
  }
  CuptiCounters(const CuptiCounters&) = delete;
  CuptiCounters& operator=(const CuptiCounters&) = delete;

  CounterValues count(const std::function<void()>& region) override {
    const Host host(*this);
    const std::vector<std::uint8_t> config = host.config();
    Session session(*this);
    std::vector<std::uint8_t> data = session.make_data();
    session.configure(config, data);
    CounterValues values;
    for (bool done = false; !done; ++values.passes) {
      if (values.passes == most_passes) throw CountersUnavailable("CUPTI asks for ever more passes");
      done = session.pass(region);
    }
    session.decode();
    std::array<double, names.size()> read{};
    host.evaluate(data, read);
    values.tensor_active = read[0] / 100;
    values.dram_bytes = read[1] + read[2];
    values.l2_hit_rate = read[3] / 100;
    return values;
  }

 private:
  void expect(CUptiResult result, const char* doing) const {
    if (result == CUPTI_SUCCESS) return;
    if (result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES)
      throw CountersUnavailable(
          "GPU counters are for administrators here; `assay doctor` has the line that opens them");
    const char* name = nullptr;
    library_.result_string(result, &name);
    throw CountersUnavailable(
        fmt::format("CUPTI refuses: {} ({})", name == nullptr ? "an unknown error" : name, doing));
  }

  // What the counters mean: no device is needed for it.
  struct Host {
    explicit Host(const CuptiCounters& of) : owner(of) {
      CUpti_Device_GetChipName_Params chip{};
      chip.structSize = CUpti_Device_GetChipName_Params_STRUCT_SIZE;
      int device = 0;
      if (cudaGetDevice(&device) != cudaSuccess) cudaGetLastError();
      chip.deviceIndex = static_cast<std::size_t>(device);
      owner.expect(owner.library_.chip_name(&chip), "asking for the chip");
      CUpti_Profiler_Host_Initialize_Params begin{};
      begin.structSize = CUpti_Profiler_Host_Initialize_Params_STRUCT_SIZE;
      begin.profilerType = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
      begin.pChipName = chip.pChipName;
      owner.expect(owner.library_.host_initialize(&begin), "describing the counters");
      object = begin.pHostObject;
    }
    ~Host() {
      CUpti_Profiler_Host_Deinitialize_Params end{};
      end.structSize = CUpti_Profiler_Host_Deinitialize_Params_STRUCT_SIZE;
      end.pHostObject = object;
      owner.library_.host_deinitialize(&end);
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    std::vector<std::uint8_t> config() const {
      CUpti_Profiler_Host_ConfigAddMetrics_Params add{};
      add.structSize = CUpti_Profiler_Host_ConfigAddMetrics_Params_STRUCT_SIZE;
      add.pHostObject = object;
      add.ppMetricNames = const_cast<const char**>(names.data());
      add.numMetrics = names.size();
      owner.expect(owner.library_.add_metrics(&add), "choosing counters");
      CUpti_Profiler_Host_GetConfigImageSize_Params size{};
      size.structSize = CUpti_Profiler_Host_GetConfigImageSize_Params_STRUCT_SIZE;
      size.pHostObject = object;
      owner.expect(owner.library_.config_size(&size), "choosing counters");
      std::vector<std::uint8_t> image(size.configImageSize);
      CUpti_Profiler_Host_GetConfigImage_Params get{};
      get.structSize = CUpti_Profiler_Host_GetConfigImage_Params_STRUCT_SIZE;
      get.pHostObject = object;
      get.configImageSize = image.size();
      get.pConfigImage = image.data();
      owner.expect(owner.library_.config_image(&get), "choosing counters");
      return image;
    }
    void evaluate(const std::vector<std::uint8_t>& data, std::array<double, names.size()>& values) const {
      CUpti_Profiler_Host_EvaluateToGpuValues_Params get{};
      get.structSize = CUpti_Profiler_Host_EvaluateToGpuValues_Params_STRUCT_SIZE;
      get.pHostObject = object;
      get.pCounterDataImage = data.data();
      get.counterDataImageSize = data.size();
      get.ppMetricNames = const_cast<const char**>(names.data());
      get.numMetrics = names.size();
      get.pMetricValues = values.data();
      owner.expect(owner.library_.evaluate(&get), "reading the counters");
    }

    const CuptiCounters& owner;
    CUpti_Profiler_Host_Object* object = nullptr;
  };

  // The counters switched on in the context of the device.
  struct Session {
    explicit Session(const CuptiCounters& of) : owner(of) {
      CUpti_RangeProfiler_Enable_Params on{};
      on.structSize = CUpti_RangeProfiler_Enable_Params_STRUCT_SIZE;
      on.ctx = current_context();
      owner.expect(owner.library_.enable(&on), "switching the counters on");
      object = on.pRangeProfilerObject;
    }
    ~Session() {
      CUpti_RangeProfiler_Disable_Params off{};
      off.structSize = CUpti_RangeProfiler_Disable_Params_STRUCT_SIZE;
      off.pRangeProfilerObject = object;
      owner.library_.disable(&off);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    std::vector<std::uint8_t> make_data() const {
      CUpti_RangeProfiler_GetCounterDataSize_Params size{};
      size.structSize = CUpti_RangeProfiler_GetCounterDataSize_Params_STRUCT_SIZE;
      size.pRangeProfilerObject = object;
      size.pMetricNames = const_cast<const char**>(names.data());
      size.numMetrics = names.size();
      size.maxNumOfRanges = 1;
      size.maxNumRangeTreeNodes = 1;
      owner.expect(owner.library_.data_size(&size), "making room for the counters");
      std::vector<std::uint8_t> data(size.counterDataSize);
      CUpti_RangeProfiler_CounterDataImage_Initialize_Params fill{};
      fill.structSize = CUpti_RangeProfiler_CounterDataImage_Initialize_Params_STRUCT_SIZE;
      fill.pRangeProfilerObject = object;
      fill.counterDataSize = data.size();
      fill.pCounterData = data.data();
      owner.expect(owner.library_.data_initialize(&fill), "making room for the counters");
      return data;
    }
    // Ranges are ours and so is the replay: the region is run again for each pass, kernels are never replayed one by
    // one.
    void configure(const std::vector<std::uint8_t>& config, std::vector<std::uint8_t>& data) const {
      CUpti_RangeProfiler_SetConfig_Params set{};
      set.structSize = CUpti_RangeProfiler_SetConfig_Params_STRUCT_SIZE;
      set.pRangeProfilerObject = object;
      set.configSize = config.size();
      set.pConfig = config.data();
      set.counterDataImageSize = data.size();
      set.pCounterDataImage = data.data();
      set.range = CUPTI_UserRange;
      set.replayMode = CUPTI_UserReplay;
      set.maxRangesPerPass = 1;
      set.numNestingLevels = 1;
      set.minNestingLevel = 1;
      owner.expect(owner.library_.set_config(&set), "setting the counters up");
    }
    // True after the last pass.
    bool pass(const std::function<void()>& region) const {
      CUpti_RangeProfiler_Start_Params start{};
      start.structSize = CUpti_RangeProfiler_Start_Params_STRUCT_SIZE;
      start.pRangeProfilerObject = object;
      owner.expect(owner.library_.start(&start), "starting a pass");
      CUpti_RangeProfiler_PushRange_Params push{};
      push.structSize = CUpti_RangeProfiler_PushRange_Params_STRUCT_SIZE;
      push.pRangeProfilerObject = object;
      push.pRangeName = "region";
      owner.expect(owner.library_.push(&push), "starting a range");
      region();
      CUpti_RangeProfiler_PopRange_Params pop{};
      pop.structSize = CUpti_RangeProfiler_PopRange_Params_STRUCT_SIZE;
      pop.pRangeProfilerObject = object;
      owner.expect(owner.library_.pop(&pop), "ending a range");
      CUpti_RangeProfiler_Stop_Params stop{};
      stop.structSize = CUpti_RangeProfiler_Stop_Params_STRUCT_SIZE;
      stop.pRangeProfilerObject = object;
      owner.expect(owner.library_.stop(&stop), "ending a pass");
      return stop.isAllPassSubmitted != 0;
    }
    void decode() const {
      CUpti_RangeProfiler_DecodeData_Params get{};
      get.structSize = CUpti_RangeProfiler_DecodeData_Params_STRUCT_SIZE;
      get.pRangeProfilerObject = object;
      owner.expect(owner.library_.decode(&get), "collecting the counters");
      if (get.numOfRangeDropped > 0) throw CountersUnavailable("CUPTI dropped the range");
    }

    const CuptiCounters& owner;
    CUpti_RangeProfiler_Object* object = nullptr;
  };

  Library library_;
};

}  // namespace

std::unique_ptr<HardwareCounters> open_hardware_counters(const std::vector<std::string>& libraries) {
  return std::make_unique<CuptiCounters>(libraries);
}

#endif

}  // namespace assay::harness::profile
