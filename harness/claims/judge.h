#pragma once
// The verdict rules (docs/claims.md): what we found, on every configuration of a claim's grid, against what was
// published.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/claims/claim.h"

namespace assay::harness::claims {

enum class Verdict { reproduced, exceeded, partial, contradicted, not_reproduced, untestable };
const char* to_string(Verdict verdict);
std::optional<Verdict> verdict_from(std::string_view text);

struct Judgement {
  Verdict verdict = Verdict::untestable;
  double ours = 0;     // the value that was judged: the grid reduced as the claim's bound and note say
  std::string reason;  // "" where the verdict and the two numbers say it all
};

// `grid` holds our value at each configuration, in the claim's base unit and not empty; ratios are oriented so that
// more than 1 is better for the technique. A bool is 1 (holds) or 0.
Judgement judge(const Claim& claim, const std::vector<double>& grid);

// The tolerance a `difference` states in its note ("tolerance 0.05", "0.01 taken"), if any.
std::optional<double> stated_tolerance(std::string_view note);

}  // namespace assay::harness::claims
