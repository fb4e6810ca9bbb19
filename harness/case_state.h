#pragma once
// The harness's side of State: runs one job of one case in this process.
#include <functional>
#include <memory>
#include <stdexcept>

#include "harness/ensemble.h"
#include "harness/gpu/device.h"
#include "harness/job.h"
#include "harness/profile/activity.h"
#include "harness/profile/counters.h"

namespace assay::harness {

// Runs the job's technique and returns what it found; everything a technique throws becomes a failed or skipped reply.
// `progress` is told sample counts and the relative half-width while timing.
// With an `ensemble` every process calls it with the same job; the conductor's reply counts. A process that falls out
// of step (it failed alone) throws OutOfStep: the job cannot go on.
// `gpu` makes the GPU of a cuda case when it is first asked for, and what records its kernels.
struct GpuAccess {
  std::function<gpu::DeviceFacts()> find_device = gpu::find_device;  // without opening it
  std::function<std::unique_ptr<gpu::Device>()> open_device = gpu::open_device;
  std::function<std::unique_ptr<profile::KernelActivity>()> open_activity = [] {
    return profile::open_kernel_activity();
  };
  std::function<std::unique_ptr<profile::HardwareCounters>()> open_counters = [] {
    return profile::open_hardware_counters();
  };
};
Reply run_job(const Job& job, const std::function<void(std::size_t, double)>& progress = {},
              Ensemble* ensemble = nullptr, const GpuAccess& gpu = {});

class OutOfStep : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace assay::harness
