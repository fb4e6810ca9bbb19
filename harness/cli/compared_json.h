#pragma once
// What `assay compare` and `assay gate` say of a run and of one case in their JSON, under the same names.
#include <nlohmann/json_fwd.hpp>

#include "harness/comparison.h"

namespace assay::cli {

// JSON has no infinities and no NaN.
nlohmann::json finite_or_null(double value);

// Its id, suite, tags, machine, build, commit and status.
nlohmann::json run_json(const results_db::RunRecord& run);

// Metric, ratio with interval, p and q, verdict and reason; whose launches and values these are is for the caller to
// add.
nlohmann::json compared_json(const harness::ComparedCase& row);

}  // namespace assay::cli
