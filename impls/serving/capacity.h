#pragma once
// The highest request rate a serving system sustains inside its objectives.
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "impls/serving/engine.h"
#include "impls/serving/summary.h"

namespace assay::serving {

struct Fits {
  // Limits that a rate can be held against while it runs.
  struct Limits {
    double tbt = 0, delay = 0;  // s: P99 of TBT, median scheduling delay
  };
  std::function<bool(const Summary&)> summary;
  std::optional<Limits> limits = {};
  bool operator()(const Summary& of) const { return summary(of); }
};

// Goodput: joint attainment of the search's objectives of at least `share`.
Fits joint_attainment(double share);
// Sarathi-Serve's capacity: P99 of TBT within `tbt` and the median scheduling delay within `delay`; all are served.
Fits capacity_limit(double tbt, double delay);

struct SearchOptions {
  double start = 0.5;        // requests/s
  double tolerance = 0.025;  // relative width of the final bracket
  double least = 1e-3;       // below this the objectives count as infeasible at any load
  // Where the rate is thought to be, 0: nowhere. It decides only how many rates are tried, as long as a lower rate
  // holds wherever a higher one does.
  double near = 0;
  Objectives objectives;
};

struct RateSearch {
  double rate = 0;  // requests/s; 0: infeasible at any load
  std::vector<std::pair<double, bool>> tried;
};

// Brackets by doubling or halving, then bisects: the result is one of the rates that this meets. A rate below one that
// held is not tried. All rates see the same requests, arrivals scaled (common random
// numbers). `time` keeps what it computes from one rate to the next.
RateSearch highest_rate(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& engine,
                        const Fits& fits, const SearchOptions& search);

}  // namespace assay::serving
