#pragma once
// A device whose memory is the host's and whose kernels are run by the emulator: cases of backend cuda go through it
// from their axes to their mutants. A kernel may touch what was allocated and nothing else.
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <vector>

#include "harness/gpu/device.h"
#include "impls/attention/cuda/emulator/emulator.h"

namespace assay::attention::cuda {

class HostDevice : public harness::gpu::Device {
 public:
  explicit HostDevice(std::int64_t shared_bytes_a_block = 227 << 10, int capability = 90) {
    facts_.name = "emulated";
    facts_.capability = capability;
    facts_.multiprocessors = 12;
    facts_.shared_bytes_a_block = shared_bytes_a_block;
    current() = this;
  }
  ~HostDevice() override { current() = nullptr; }
  // The one that launches go to.
  static HostDevice*& current() {
    static HostDevice* device = nullptr;
    return device;
  }

  std::vector<emulator::Region> regions() const {
    std::vector<emulator::Region> out;
    for (const auto& [address, block] : allocations_) out.push_back({address, block.bytes, true});
    return out;
  }
  void note(const emulator::Findings& found) {
    ++launches;
    if (found.fault_count > 0) throw std::runtime_error(found.faults.front());
  }
  int launches = 0;
  std::size_t allocations() const { return allocations_.size(); }

  const harness::gpu::DeviceFacts& facts() const override { return facts_; }
  harness::gpu::Stream stream() const override { return nullptr; }
  void synchronize(const char*) override {}
  void* allocate(std::size_t bytes) override {
    Block block{std::make_unique<Unit[]>((bytes + sizeof(Unit) - 1) / sizeof(Unit)), bytes};
    void* const address = block.memory.get();
    std::memset(address, 0xff, bytes);  // not initialised: NaN
    allocations_.emplace(address, std::move(block));
    return address;
  }
  void release(void* memory) noexcept override { allocations_.erase(memory); }
  void copy_in(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_out(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void fill(void* memory, unsigned char value, std::size_t bytes) override { std::memset(memory, value, bytes); }
  void mark(std::size_t) override {}
  double seconds_between(std::size_t, std::size_t) override { return 0; }
  void close_gate() override {}
  void open_gate() noexcept override {}
  void flush_cache() override {}
  Graph capture(const std::function<void()>&) override { return nullptr; }
  void launch(const Graph&) override {}

 private:
  struct alignas(256) Unit {
    std::byte bytes[256];
  };
  struct Block {
    std::unique_ptr<Unit[]> memory;
    std::size_t bytes;
  };
  harness::gpu::DeviceFacts facts_;
  std::map<void*, Block> allocations_;
};

}  // namespace assay::attention::cuda
