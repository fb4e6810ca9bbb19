#pragma once
// What a verdict hinges on, as a tornado table for people and as JSON for programs.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "harness/claims/evaluate.h"
#include "harness/claims/hinge.h"

namespace assay::cli {

// One row a moved condition, widest first, its bar on one scale around our value; `width` columns at most.
std::string hinge_text(const harness::claims::Outcome& outcome, const harness::claims::HingeTable& table, int width,
                       bool color);
nlohmann::json hinge_json(const harness::claims::HingeTable& table);

}  // namespace assay::cli
