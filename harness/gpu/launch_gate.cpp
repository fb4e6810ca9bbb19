#include "harness/gpu/launch_gate.h"

#include <chrono>

namespace assay::harness::gpu {

LaunchGate::LaunchGate(Device& device, double patience_seconds) : device_(device) {
  device_.close_gate();
  watch_ = std::thread([this, patience_seconds] {
    std::unique_lock lock(mutex_);
    if (told_.wait_for(lock, std::chrono::duration<double>(patience_seconds), [this] { return opened_; })) return;
    opened_ = lost_patience_ = true;
    device_.open_gate();
  });
}

LaunchGate::~LaunchGate() {
  open();
  watch_.join();
}

bool LaunchGate::open() {
  const std::scoped_lock lock(mutex_);
  if (!opened_) device_.open_gate();
  opened_ = true;
  told_.notify_one();
  return !lost_patience_;
}

}  // namespace assay::harness::gpu
