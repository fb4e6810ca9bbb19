#pragma once
// Is the gate able to tell a slow-down from nothing? Tried on data whose truth is known.
#include <span>
#include <string>
#include <vector>

#include "harness/gate.h"

namespace assay::harness {

struct SelfTestRow {
  std::string what;   // which data
  double effect = 0;  // planted; 0: an A/A pair
  std::string expected;
  std::string found;
  bool right = false;
};

// Nights of made-up cases in a database of their own at `path` (removed afterwards), judged by gate(): one with a
// planted slow-down, one without, one that lost a case and one that measured nothing.
std::vector<SelfTestRow> self_test_of_nights(const std::string& path, const stats::DecisionRule& rule);

// Launch medians that were really measured, in the order taken, dealt to two sides in turns: judged as they are, and
// with side B made slower. The slow-down is the floor where the case's noise lets it be seen, else twice as much until
// it is; what was needed is `effect`.
std::vector<SelfTestRow> self_test_of_launches(const std::string& what, std::span<const double> medians,
                                               const stats::DecisionRule& rule);

}  // namespace assay::harness
