#pragma once
// Results as files for other programs. Every JSON carries schema_version; reals are printed so that they read back the
// same, NaN as null (JSON) or nothing (CSV).
#include <iosfwd>
#include <vector>

#include "results_db/store.h"

namespace assay::results_db {

inline constexpr int export_schema_version = 1;

// One row a launch and metric (RFC 4180); a launch without values has one row whose metric is empty.
void export_csv(Store& store, const std::vector<RunRecord>& runs, std::ostream& out);

// {"schema_version", "kind": "assay-export", "runs": [{..., "cases": [{..., "gate", "launches": [...]}]}], "verdicts":
// [...]}. Raw samples only when asked for.
void export_json(Store& store, const std::vector<RunRecord>& runs, bool with_samples, std::ostream& out);

// Chrome trace events of all intervals and kernels: a process a launch, a thread a lane. UserError when there is none.
void export_trace(Store& store, const std::vector<RunRecord>& runs, std::ostream& out);

}  // namespace assay::results_db
