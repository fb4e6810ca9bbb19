#include "harness/stats/stop_rule.h"

#include <algorithm>
#include <limits>

#include "harness/stats/median.h"
#include "harness/stats/shape.h"

namespace assay::harness::stats {

const char* to_string(Stop stop) {
  switch (stop) {
    case Stop::go_on:
      return "go on";
    case Stop::noise:
      return "noise";
    case Stop::budget:
      return "budget";
    case Stop::samples:
      return "samples";
  }
  return "";
}

Stopper::Stopper(const StopRule& rule)
    : rule_(rule),
      next_look_(static_cast<std::size_t>(std::max(rule.min_samples, 1))),
      half_width_(std::numeric_limits<double>::infinity()) {}

Stop Stopper::add(double seconds_per_iteration, double elapsed_seconds) {
  samples_.push_back(seconds_per_iteration);
  const std::size_t n = samples_.size();
  if (n >= static_cast<std::size_t>(std::max(rule_.max_samples, 1))) return Stop::samples;
  if (n >= next_look_) {
    next_look_ = n + std::max<std::size_t>(1, n / 8);
    const std::span<const double> steady = std::span(samples_).subspan(warmup_length(samples_));
    half_width_ = relative_half_width(steady);
    const bool quiet = half_width_ <= rule_.noise_target;
    if (quiet && was_quiet_) return Stop::noise;
    was_quiet_ = quiet;
  }
  return elapsed_seconds >= rule_.budget_seconds ? Stop::budget : Stop::go_on;
}

}  // namespace assay::harness::stats
