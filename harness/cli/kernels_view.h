#pragma once
#include <string>

#include "harness/cli/commands.h"
#include "results_db/store.h"

namespace assay::cli {

// The kernels, copies and fills of the cases of a run whose key contains `filter`: as text those of one name and shape
// together, in the order of their first start; as JSON each. Of a run that read hardware counters, these. UserError
// (exit 3) where the run has neither.
std::string kernels_of(results_db::Store& store, const results_db::RunRecord& run, const std::string& filter,
                       const Context& context);

}  // namespace assay::cli
