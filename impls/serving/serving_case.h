#pragma once
// What the serving techniques share as cases of the harness: axes, the workload, the deployment, the gate and the
// metrics. A technique is its scheduler.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/serving/engine.h"
#include "impls/serving/summary.h"

namespace assay::serving {

// What limits the tokens of an iteration when the axis `budget` is 0.
enum class Budget {
  longest_prompt,  // whole prompts: as many as the longest request has, at least 2048
  chunk,           // 512
};

struct Serving {
  Plan (*schedule)(Engine&) = nullptr;
  Budget budget = Budget::longest_prompt;
  bool reserves = false;  // keys and values for the longest request from admission on
};

std::vector<harness::Axis> serving_axes(Budget budget);
void run_serving(harness::State& state, const Serving& serving);

}  // namespace assay::serving
