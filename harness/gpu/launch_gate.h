#pragma once
// The gate in front of a timed region: closed while the host enqueues, so that the device never waits for the host.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "harness/gpu/device.h"

namespace assay::harness::gpu {

// Closes the device's gate; opens it when told, or from a thread of its own after `patience_seconds`: a region that
// waits for the device, or enqueues more than the driver's queue holds, would otherwise wait for ever.
class LaunchGate {
 public:
  explicit LaunchGate(Device& device, double patience_seconds = 2.0);
  ~LaunchGate();
  LaunchGate(const LaunchGate&) = delete;
  LaunchGate& operator=(const LaunchGate&) = delete;

  // True: everything enqueued since was behind the closed gate. False: patience ran out before, and what the marks
  // say contains time of the host.
  bool open();

 private:
  Device& device_;
  std::mutex mutex_;
  std::condition_variable told_;
  bool opened_ = false;
  bool lost_patience_ = false;
  std::thread watch_;
};

}  // namespace assay::harness::gpu
