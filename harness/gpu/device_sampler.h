#pragma once
// One sample of a region on a GPU. Timer kinds:
//   event  marks in the stream around the region, which is enqueued behind a closed gate: the time of the device alone
//   graph  the same, of the region captured as one graph
//   host   the host's clock from the first launch to the end of the last kernel: launch and synchronisation included
// docs/gpu.md says what each is for.
#include <functional>
#include <string>

#include "harness/gpu/device.h"

namespace assay::harness::gpu {

enum class Timer { event, graph, host };
// UserError for a kind that is not one of these.
Timer timer_named(const std::string& name);

class DeviceSampler {
 public:
  struct Options {
    Timer timer = Timer::event;
    bool cold = false;  // the L2 cache is overwritten before every iteration
    double gate_patience_seconds = 2.0;
  };
  DeviceSampler(Device& device, std::function<void()> region, const Options& options);

  // Seconds of `iterations` runs of the region, without what stands between them (flushes). Throws DeviceError for a
  // fault, std::runtime_error where the region waits for the device although the timer needs it not to.
  double take(std::int64_t iterations);

 private:
  double on_device(std::int64_t iterations);
  double on_host(std::int64_t iterations);
  void run_once();
  void make_ready(std::size_t marks);

  Device& device_;
  std::function<void()> region_;
  Options options_;
  Device::Graph graph_;
  std::int64_t in_graph_ = 0;  // iterations that graph_ holds
  std::size_t marks_ = 0;      // that the device has made
};

// Shorter samples are batched: the clock of the marks ticks every half microsecond.
inline constexpr double min_device_sample_seconds = 100e-6;

}  // namespace assay::harness::gpu
