#pragma once
// The one verdict on whether two sides differ, for the command line, the gate, the dashboard and the reports.
// docs/methodology.md section 4 is the reasoning.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/stats/median.h"
#include "harness/stats/rank_test.h"

namespace assay::harness::stats {

enum class Verdict { faster, slower, same, unsure };
const char* to_string(Verdict verdict);  // FASTER ...

enum class Direction { lower_is_better, higher_is_better };

// How the launches of the two sides lie in time. exact: both values are computed, not sampled.
enum class Design { none, interleaved, separate, exact };
const char* to_string(Design design);

struct Launch {
  double value = 0;             // the launch's median, in the metric's unit; positive
  std::int64_t started_ns = 0;  // 0: unknown, and the sides count as separate
};

struct DecisionRule {
  double effect_floor = 0.02;       // ratios inside [1/(1+f), 1+f] do not matter
  double false_rate = 0.01;         // Benjamini-Hochberg level over all cases of one call
  double confidence = 0.95;         // of the interval
  int min_launches = 10;            // a side
  double session_allowance = 0.05;  // what two sessions of one binary may differ by
};

// One case on two sides. B is judged against A.
struct Contest {
  std::vector<Launch> a;
  std::vector<Launch> b;
  Direction direction = Direction::lower_is_better;
  bool exact = false;  // projected or derived values: one a side, no noise to test against
  // What two sessions of this case differ by, where its own past shows it (fence.h); else the rule's.
  std::optional<double> session_allowance = {};
};

struct Decision {
  Verdict verdict = Verdict::unsure;
  double ratio = 0;   // B over A; NaN when a side has no launch
  Interval interval;  // of the ratio; (0, inf) where there is none
  double p = 0;       // NaN when no test was made
  double q = 0;       // p after Benjamini-Hochberg
  Design design = Design::none;
  double session_allowance = 0;  // that was granted: 0 for sides taken in turns
  int launches_a = 0;
  int launches_b = 0;
  int more_launches = 0;  // a side, roughly what it would take; 0: launches of this kind will not settle it
  std::string reason;     // of UNSURE; "" otherwise
};

// Judges all cases of one comparison together, in their order.
std::vector<Decision> decide(std::span<const Contest> contests, const DecisionRule& rule = {});
Decision decide(const Contest& contest, const DecisionRule& rule = {});

// Launches of both sides in the order of their start times: neighbours of different sides are paired and two
// consecutive pairs are a block. Values are logarithms. Fewer than `min_pairs` pairs: one block of everything (the
// sides were taken at separate times).
std::vector<Block> blocks_of(std::span<const Launch> a, std::span<const Launch> b, int min_pairs);

}  // namespace assay::harness::stats
