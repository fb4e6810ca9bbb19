#pragma once
// Judges claims: asks the registered techniques for their values on a claim's configurations, applies the verdict
// rules, and repeats both with every fitted constant moved by its residual.
#include <optional>
#include <string>
#include <vector>

#include "harness/claims/claim.h"
#include "harness/claims/judge.h"
#include "harness/claims/projection.h"
#include "harness/registry.h"

namespace assay::harness::claims {

struct Outcome {
  const Claim* claim = nullptr;
  Verdict verdict = Verdict::untestable;
  Verdict judged = Verdict::untestable;  // by the two numbers alone, before the calibrated domain caps it
  std::string reason;
  bool mapped = false;                    // a projector answered on every configuration
  std::optional<double> ours, low, high;  // judged value and its interval from the constants' residuals
  std::optional<double> datasheet;        // the same with every efficiency 1
  std::vector<std::string> fragile;       // constants whose residual changes the verdict: "a100-80g-sxm.eff_gemm"
  std::vector<std::string> carried;       // "h100-80g-sxm carries a100-80g-sxm"
  bool inside_domain = true;
  std::vector<ProjectionPart> parts;  // of the technique at the first configuration
  std::vector<std::string> notes;     // what projectors assumed; how sure the claim itself is
  std::string descriptors;            // "device:a100-80g-sxm=<hash> ...", sorted
};

// Finds the projector of a technique; null when it has none. Normally the registry's.
using FindProjector = Projector (*)(const std::string& technique);
Projector registered_projector(const std::string& technique);
// Of the claim's baseline: a technique's own, else what the claim's technique knows of the other side; null when none.
Projector baseline_projector(const Claim& claim, FindProjector find = registered_projector);

Outcome evaluate(const Claim& claim, const Library& library, std::string_view data_root,
                 FindProjector find = registered_projector);

}  // namespace assay::harness::claims
