#pragma once
// What a verdict hinges on: the claim judged again with one condition at a time moved. Conditions are the fitted
// constants (by their residual), what the paper states (its configuration) and what it leaves open (rows of `assumed`,
// and axes of the technique the configuration does not set).
#include <optional>
#include <string>
#include <vector>

#include "harness/claims/evaluate.h"

namespace assay::harness::claims {

enum class ConditionKind { fitted, stated, assumed, unstated };
const char* to_string(ConditionKind kind);

// One end of a bar: the condition with this setting.
struct HingeSide {
  std::string setting;         // "-15.9%", "8k", "bf16"
  std::optional<double> ours;  // nothing: the projector has no value there
  Verdict verdict = Verdict::untestable;
};

struct Hinge {
  std::string condition;  // "a100-80g-sxm.eff_gemm", "batch", "dtype"
  ConditionKind kind = ConditionKind::fitted;
  std::string nominal;  // its setting in the claim; "16k to 512k" over a grid
  std::vector<HingeSide> sides;
  double reach = 0;      // largest move of the judged value, relative to it, of the sides that have one
  bool decides = false;  // a side has another verdict
};

struct HingeTable {
  std::vector<Hinge> hinges;              // widest first
  std::vector<std::string> without_move;  // conditions whose move changes nothing
  std::vector<std::string> as_text;       // assumptions in words, which no axis carries
};

// Nothing for a claim that no projector answers. Numbers are halved and doubled (counts stay whole and at least the
// axis's minimum), flags flipped, closed sets tried whole, data types exchanged for another of half or double width.
std::optional<HingeTable> hinge(const Claim& claim, const Library& library, std::string_view data_root,
                                FindProjector find = registered_projector);

}  // namespace assay::harness::claims
