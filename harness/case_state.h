#pragma once
// The harness's side of State: runs one job of one case in this process.
#include "harness/job.h"

namespace assay::harness {

// Runs the job's technique and returns what it found; everything a technique throws becomes a failed or skipped reply.
// `progress` is told sample counts and the relative half-width while timing.
Reply run_job(const Job& job, const std::function<void(std::size_t, double)>& progress = {});

}  // namespace assay::harness
