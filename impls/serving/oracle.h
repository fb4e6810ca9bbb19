#pragma once
// The same serving systems written a second time, plainly: every iteration walks over every running request, block
// counts are rounded up from contexts anew, durations are added up from the operators with nothing kept, every token
// has its own time. Slow, and sharing nothing with the engine but the operator models.
#include <vector>

#include "datasets/workloads/request_trace.h"
#include "impls/serving/engine.h"
#include "impls/serving/summary.h"

namespace assay::serving {

enum class Policy { vllm, sarathi, chunks_only, orca };

struct OracleRequest {
  std::vector<Picoseconds> tokens;  // when each came
  Picoseconds arrival = 0, scheduled = -1;
  int preemptions = 0;
  bool rejected = false;
};

struct OracleRun {
  std::vector<OracleRequest> requests;
  std::int64_t iterations = 0;
  std::int64_t left_blocks = 0;
};

OracleRun simulate_plainly(Policy policy, const datasets::RequestTrace& trace, const IterationTime& time,
                           const EngineOptions& options);

// From the token times themselves.
Summary summarize_plainly(const OracleRun& run, const datasets::RequestTrace& trace, const Objectives& objectives);

}  // namespace assay::serving
