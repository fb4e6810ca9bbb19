#include "harness/gpu/device_sampler.h"

#include <fmt/format.h>

#include <chrono>

#include "datasets/user_error.h"
#include "harness/gpu/launch_gate.h"

namespace assay::harness::gpu {

Timer timer_named(const std::string& name) {
  if (name == "event") return Timer::event;
  if (name == "graph") return Timer::graph;
  if (name == "host") return Timer::host;
  throw UserError(fmt::format("timer: found '{}', expected event, graph or host", name));
}

DeviceSampler::DeviceSampler(Device& device, std::function<void()> region, const Options& options)
    : device_(device), region_(std::move(region)), options_(options) {}

void DeviceSampler::run_once() {
  if (options_.timer == Timer::graph)
    device_.launch(graph_);
  else
    region_();
}

// Whatever happens for the first time may load code or take memory, and the driver may wait for the device to do so:
// it must not happen behind the gate, which the device waits at.
void DeviceSampler::make_ready(std::size_t marks) {
  if (options_.cold && marks_ == 0) device_.flush_cache();
  for (; marks_ < marks; ++marks_) device_.mark(marks_);
}

double DeviceSampler::take(std::int64_t iterations) {
  // Cold iterations are marked one by one, so a graph holds one of them; hot ones are one graph together.
  const std::int64_t wanted = options_.cold ? 1 : iterations;
  if (options_.timer == Timer::graph && in_graph_ != wanted) {
    graph_ = device_.capture([&] {
      for (std::int64_t i = 0; i < wanted; ++i) region_();
    });
    in_graph_ = wanted;
    device_.launch(graph_);
  }
  if (options_.timer != Timer::host) make_ready(options_.cold ? 2 * static_cast<std::size_t>(iterations) : 2);
  // What was enqueued before (inputs, set-up) is not part of the sample, and neither are its faults.
  device_.synchronize("before the timed region");
  return options_.timer == Timer::host ? on_host(iterations) : on_device(iterations);
}

double DeviceSampler::on_device(std::int64_t iterations) {
  LaunchGate gate(device_, options_.gate_patience_seconds);
  std::size_t marks = 0;
  if (options_.cold) {
    for (std::int64_t i = 0; i < iterations; ++i) {
      device_.flush_cache();
      device_.mark(marks++);
      run_once();
      device_.mark(marks++);
    }
  } else {
    device_.mark(marks++);
    const std::int64_t launches = options_.timer == Timer::graph ? 1 : iterations;
    for (std::int64_t i = 0; i < launches; ++i) run_once();
    device_.mark(marks++);
  }
  const bool enqueued_in_time = gate.open();
  device_.synchronize("in the timed region");
  if (!enqueued_in_time)
    throw std::runtime_error(
        "the region could not be enqueued while the device waited: it waits for the device itself, or launches more "
        "than the queue holds; time it with timer = \"host\" (or \"graph\" for many launches)");
  double seconds = 0;
  for (std::size_t i = 0; i < marks; i += 2) seconds += device_.seconds_between(i, i + 1);
  return seconds;
}

double DeviceSampler::on_host(std::int64_t iterations) {
  using Clock = std::chrono::steady_clock;
  double seconds = 0;
  const std::int64_t turns = options_.cold ? iterations : 1;
  for (std::int64_t turn = 0; turn < turns; ++turn) {
    if (options_.cold) {
      device_.flush_cache();
      device_.synchronize("flushing the cache");
    }
    const Clock::time_point start = Clock::now();
    for (std::int64_t i = 0; i < iterations / turns; ++i) region_();
    device_.synchronize("in the timed region");
    seconds += std::chrono::duration<double>(Clock::now() - start).count();
  }
  return seconds;
}

}  // namespace assay::harness::gpu
