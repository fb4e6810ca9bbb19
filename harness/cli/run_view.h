#pragma once
// One run of a database as people and programs read it; `assay run` ends with the same view that `assay show` prints.
#include <string>

#include "harness/cli/commands.h"
#include "results_db/store.h"

namespace assay::cli {

struct ViewOptions {
  bool roofs = false;  // rows of the roofs themselves
  bool markdown = false;
  std::string filter;  // only cases whose key contains it
};

std::string run_as_text(results_db::Store& store, const results_db::RunRecord& run, const Context& context,
                        const ViewOptions& options);
// `against_base`: what gate_as_json said of this run; "" when it was not asked.
std::string run_as_json(results_db::Store& store, const results_db::RunRecord& run, const ViewOptions& options,
                        const std::string& against_base = "");

}  // namespace assay::cli
