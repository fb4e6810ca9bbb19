#pragma once
// Verdicts as tables for people and as JSON for programs.
#include <string>
#include <vector>

#include "harness/claims/evaluate.h"

namespace assay::cli {

// Value of a claim with its unit: "2.00x" of a ratio, "73.0%" of a fraction-like quantity, "225 TFLOP/s".
std::string shown_value(const harness::claims::Claim& claim, double value);
// The published side with its bound: "1.70x to 3.00x", "up to 230 TFLOP/s", "at least 1.50x".
std::string shown_claim(const harness::claims::Claim& claim);

// One table a technique, remarks below the rows they belong to, `width` columns at most.
std::string claims_tables(const std::vector<harness::claims::Outcome>& outcomes, int width, bool color);
// "24 claims: 11 reproduced, 2 partial, ...; 5 untestable, 3 of them not mapped"
std::string claims_summary(const std::vector<harness::claims::Outcome>& outcomes);
std::string claims_json(const std::vector<harness::claims::Outcome>& outcomes);

}  // namespace assay::cli
