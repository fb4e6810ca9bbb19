#pragma once
// The case of decoding on a GPU or CPU: axes and what is reported.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"

namespace assay::hardware {

std::vector<harness::Axis> baseline_axes(const char* device, const char* dtype);
void run_baseline(harness::State& state);

}  // namespace assay::hardware
