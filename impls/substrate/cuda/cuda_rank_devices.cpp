#include "impls/substrate/cuda/cuda_rank_devices.h"

#include <fmt/format.h>

#include "harness/gpu/cuda/cuda_device.h"
#include "harness/gpu/cuda_check.h"
#include "impls/substrate/cuda/addition_kernels.h"

namespace assay::substrate::cuda {
namespace {

using harness::gpu::check;
using nccl::RankDevices;
using nccl::Stream;

class CudaRankDevices final : public RankDevices {
 public:
  explicit CudaRankDevices(int count) : count_(count) {
    for (int device = 0; device < count; ++device) {
      cudaMemPool_t pool = nullptr;
      check(cudaDeviceGetDefaultMemPool(&pool, device), "opening the memory pool");
      // As for one device: no run pays for growing the pool again.
      std::uint64_t keep = UINT64_MAX;
      check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up the memory pool");
      // Peers read and write a rank's buffers through NVLink or PCIe where they can.
      for (int peer = 0; peer < count; ++peer) {
        int can = 0;
        if (peer == device) continue;
        check(cudaDeviceCanAccessPeer(&can, peer, device), "asking for peer access");
        if (can == 0) continue;
        const cudaMemAccessDesc access{.location = {.type = cudaMemLocationTypeDevice, .id = peer},
                                       .flags = cudaMemAccessFlagsProtReadWrite};
        check(cudaMemPoolSetAccess(pool, &access, 1), "opening the memory pool to a peer");
      }
    }
  }

  int count() const override { return count_; }
  void use(int device) override { check(cudaSetDevice(device), "choosing a device"); }
  int in_use() const override {
    int device = 0;
    check(cudaGetDevice(&device), "asking for the device in use");
    return device;
  }

  Stream make_stream() override {
    Stream stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
    return stream;
  }
  void drop_stream(Stream stream) noexcept override {
    cudaStreamSynchronize(stream);
    cudaStreamDestroy(stream);
  }
  void synchronize(Stream stream, const char* doing) override { check(cudaStreamSynchronize(stream), doing); }

  Event record(Stream stream) override {
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "creating an event");
    Event held(event, [](void* each) { cudaEventDestroy(static_cast<cudaEvent_t>(each)); });
    check(cudaEventRecord(event, stream), "recording an event");
    return held;
  }
  void wait_in_stream(Stream stream, const Event& event) override {
    check(cudaStreamWaitEvent(stream, static_cast<cudaEvent_t>(event.get())), "ordering two streams");
  }
  void wait_on_host(const Event& event, const char* doing) override {
    check(cudaEventSynchronize(static_cast<cudaEvent_t>(event.get())), doing);
  }
  double seconds_between(const Event& first, const Event& second) override {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(first.get()),
                               static_cast<cudaEvent_t>(second.get())),
          "reading the events");
    return 1e-3 * static_cast<double>(milliseconds);
  }

  void* allocate(std::size_t bytes, Stream stream) override {
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, bytes, stream), fmt::format("allocating {} bytes", bytes).c_str());
    return memory;
  }
  void release(void* memory, Stream stream) noexcept override { cudaFreeAsync(memory, stream); }
  void fill(void* memory, unsigned char value, std::size_t bytes, Stream stream) override {
    check(cudaMemsetAsync(memory, value, bytes, stream), "filling device memory");
  }
  void move(void* to, const void* from, std::size_t bytes, Stream stream) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying on a device");
  }
  void add(void* sum, DType of_sum, const void* addend, DType of_addend, std::int64_t count, Stream stream) override {
    launch_add(sum, of_sum, addend, of_addend, count, stream);
  }
  void narrow(void* to, const float* from, std::int64_t count, Stream stream) override {
    launch_narrow(to, from, count, stream);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copying between host and device");
    check(cudaStreamSynchronize(stream), "copying between host and device");
  }

 private:
  int count_;
};

}  // namespace

std::shared_ptr<RankDevices> open_rank_devices() {
  harness::gpu::find_cuda_device();  // says why there is none
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting the devices");
  int usable = 0;
  for (; usable < count; ++usable) {
    int major = 0;
    int minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, usable), "reading a device's properties");
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, usable), "reading a device's properties");
    if (!harness::gpu::has_code_for(10 * major + minor)) break;
  }
  return std::make_shared<CudaRankDevices>(usable);
}

}  // namespace assay::substrate::cuda
