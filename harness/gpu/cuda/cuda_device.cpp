#include "harness/gpu/cuda/cuda_device.h"

#include <cuda.h>
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <vector>

#include "harness/gpu/cuda_check.h"

namespace assay::harness::gpu {
namespace {

// As nvidia-smi and NVML write it.
std::string uuid_text(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

// A driver function without linking the driver's library, which machines without a GPU do not have.
template <typename Function>
Function driver_entry(const char* name, unsigned since) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult how{};
  check(cudaGetDriverEntryPointByVersion(name, &found, since, cudaEnableDefault, &how), name);
  if (how != cudaDriverEntryPointSuccess || found == nullptr)
    throw NoDevice(fmt::format("the driver lacks {}; it is older than this build needs", name));
  return reinterpret_cast<Function>(found);
}

DeviceFacts facts_of(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "reading the device's properties");
  DeviceFacts facts;
  facts.name = properties.name;
  facts.uuid = uuid_text(properties.uuid);
  facts.capability = 10 * properties.major + properties.minor;
  facts.multiprocessors = properties.multiProcessorCount;
  facts.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  facts.l2_bytes = properties.l2CacheSize;
  facts.shared_bytes_a_block = static_cast<std::int64_t>(properties.sharedMemPerBlockOptin);
  facts.shared_bytes_a_multiprocessor = static_cast<std::int64_t>(properties.sharedMemPerMultiprocessor);
  check(cudaRuntimeGetVersion(&facts.runtime_version), "reading the runtime's version");
  check(cudaDriverGetVersion(&facts.driver_version), "reading the driver's version");
  return facts;
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(DeviceFacts facts) : facts_(std::move(facts)) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating the stream");
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, 0), "opening the memory pool");
    // What is given back stays with the process: no sample pays for growing the pool again.
    std::uint64_t keep = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the memory pool");
    pool_ = pool;
    void* flag = nullptr;
    check(cudaHostAlloc(&flag, sizeof(std::uint32_t), cudaHostAllocMapped), "allocating the launch gate");
    gate_ = static_cast<std::uint32_t*>(flag);
    *gate_ = 0;
    check(cudaHostGetDevicePointer(&flag, gate_, 0), "mapping the launch gate");
    gate_on_device_ = reinterpret_cast<CUdeviceptr>(flag);
    // Now rather than at the first flush: growing the pool behind a closed gate could wait for the gate.
    flush_ = allocate(flush_bytes());
    wait_value_ = driver_entry<decltype(wait_value_)>("cuStreamWaitValue32", 11070);
  }

  // Errors are not reported here: after a fault everything fails, and the worker ends.
  ~CudaDevice() override {
    open_gate();
    cudaStreamSynchronize(stream_);
    for (cudaEvent_t event : marks_) cudaEventDestroy(event);
    if (flush_ != nullptr) release(flush_);
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
    cudaMemPoolTrimTo(pool_, 0);
    cudaFreeHost(gate_);
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const DeviceFacts& facts() const override { return facts_; }
  Stream stream() const override { return stream_; }

  void synchronize(const char* doing) override {
    check(cudaStreamSynchronize(stream_), doing);
    check(cudaGetLastError(), doing);
  }

  void* allocate(std::size_t bytes) override {
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, bytes, stream_), fmt::format("allocating {} bytes", bytes).c_str());
    return memory;
  }
  void release(void* memory) noexcept override { cudaFreeAsync(memory, stream_); }

  void copy_in(void* device_to, const void* host_from, std::size_t bytes) override {
    check(cudaMemcpyAsync(device_to, host_from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
    synchronize("copying to the device");
  }
  void copy_out(void* host_to, const void* device_from, std::size_t bytes) override {
    check(cudaMemcpyAsync(host_to, device_from, bytes, cudaMemcpyDeviceToHost, stream_), "copying from the device");
    synchronize("copying from the device");
  }
  void fill(void* memory, unsigned char value, std::size_t bytes) override {
    check(cudaMemsetAsync(memory, value, bytes, stream_), "filling device memory");
  }

  void mark(std::size_t index) override {
    while (marks_.size() <= index) {
      cudaEvent_t event = nullptr;
      check(cudaEventCreate(&event), "creating an event");
      marks_.push_back(event);
    }
    check(cudaEventRecord(marks_[index], stream_), "recording an event");
  }
  double seconds_between(std::size_t first, std::size_t second) override {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, marks_.at(first), marks_.at(second)), "reading the events");
    return 1e-3 * static_cast<double>(milliseconds);
  }

  // The stream waits for a word of host memory instead of spinning in a kernel: no multiprocessor is taken, and the
  // first kernel behind the gate finds the device idle, as it would without one.
  void close_gate() override {
    ++closed_;
    const CUresult failed = wait_value_(stream_, gate_on_device_, closed_, CU_STREAM_WAIT_VALUE_GEQ);
    if (failed != CUDA_SUCCESS)
      throw DeviceError(fmt::format("CUresult {}", static_cast<int>(failed)), "the stream cannot wait for host memory",
                        "closing the launch gate");
  }
  void open_gate() noexcept override { std::atomic_ref<std::uint32_t>(*gate_).store(closed_); }

  void flush_cache() override { fill(flush_, ++flushed_, flush_bytes()); }

  Graph capture(const std::function<void()>& enqueue) override {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing a graph");
    cudaGraph_t graph = nullptr;
    try {
      enqueue();
    } catch (...) {  // the capture has to be ended, whatever ended the region
      cudaStreamEndCapture(stream_, &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph), "capturing a graph");
    cudaGraphExec_t ready = nullptr;
    const cudaError_t failed = cudaGraphInstantiate(&ready, graph, 0);
    cudaGraphDestroy(graph);
    check(failed, "instantiating a graph");
    Graph held(ready, [](void* each) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(each)); });
    check(cudaGraphUpload(ready, stream_), "uploading a graph");
    return held;
  }
  void launch(const Graph& graph) override {
    check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph.get()), stream_), "launching a graph");
  }

 private:
  std::size_t flush_bytes() const { return static_cast<std::size_t>(2 * facts_.l2_bytes); }

  DeviceFacts facts_;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  std::vector<cudaEvent_t> marks_;
  void* flush_ = nullptr;
  unsigned char flushed_ = 0;
  std::uint32_t* gate_ = nullptr;  // host memory that the device sees; the stream waits for it to reach `closed_`
  CUdeviceptr gate_on_device_ = 0;
  std::uint32_t closed_ = 0;
  CUresult (*wait_value_)(CUstream, CUdeviceptr, cuuint32_t, unsigned) = nullptr;
};

}  // namespace

bool has_code_for(int capability) { return capability / 10 == 8 || capability == 90; }

DeviceFacts find_cuda_device() {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorInsufficientDriver) {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    throw NoDevice(driver == 0 ? std::string("no NVIDIA driver is loaded")
                               : fmt::format("the driver knows CUDA {}.{}, this build needs {}.{}", driver / 1000,
                                             driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10));
  }
  if (counted != cudaSuccess)
    throw NoDevice(fmt::format("{}: {}", cudaGetErrorName(counted), cudaGetErrorString(counted)));
  if (count == 0) throw NoDevice("the driver shows none");
  DeviceFacts facts = facts_of(0);
  if (!has_code_for(facts.capability))
    throw NoDevice(fmt::format("{} is sm_{}; this build has code for sm_80 and its minor versions, and for sm_90a",
                               facts.name, facts.capability));
  return facts;
}

std::unique_ptr<Device> open_cuda_device() {
  DeviceFacts facts = find_cuda_device();
  check(cudaSetDevice(0), "choosing the device");
  return std::make_unique<CudaDevice>(std::move(facts));
}

}  // namespace assay::harness::gpu
