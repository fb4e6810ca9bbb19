#include "impls/serving/capacity.h"

#include <algorithm>
#include <limits>

#include "datasets/workloads/generator.h"
#include "impls/serving/pipeline.h"

namespace assay::serving {

Fits joint_attainment(double share) {
  return {.summary = [share](const Summary& summary) { return summary.attainment >= share; }};
}

Fits capacity_limit(double tbt, double delay) {
  return {.summary =
              [=](const Summary& summary) {
                return summary.rejected == 0 && summary.tbt.p99 <= tbt && summary.delay.p50 <= delay;
              },
          .limits = Fits::Limits{tbt, delay}};
}

namespace {

// Of `count` ordered samples the percentile q lies between two neighbours. With at most `surely_in` samples above a
// limit it is inside; with more than `surely_out` it is not; between the two the samples decide.
struct Late {
  std::int64_t surely_in = 0, surely_out = 0;
  Late(std::int64_t count, double q) {
    const auto below = static_cast<std::int64_t>(static_cast<double>(count - 1) * q);
    const std::int64_t above = std::min(below + 1, count - 1);
    surely_in = count - 1 - above;
    surely_out = count - 1 - below;
  }
};

bool holds(const datasets::RequestTrace& scaled, IterationTime& time, EngineOptions engine, const Fits& fits,
           const Objectives& objectives) {
  if (!fits.limits) return fits(summarize(serve(scaled, time, engine), scaled, objectives));
  std::int64_t gaps = 0;
  for (const datasets::TraceRequest& request : scaled.requests) gaps += request.output_tokens - 1;
  const Late tbt(std::max<std::int64_t>(1, gaps), 0.99), delay(static_cast<std::int64_t>(scaled.requests.size()), 0.5);
  Watch watch{.gap = fits.limits->tbt,
              .delay = fits.limits->delay,
              .most_late_gaps = tbt.surely_out,
              .most_late_starts = delay.surely_out};
  engine.watch = &watch;
  const EngineRun run = serve(scaled, time, engine);
  if (watch.broken()) return false;
  if (watch.late_gaps <= tbt.surely_in && watch.late_starts <= delay.surely_in) return true;
  return fits(summarize(run, scaled, objectives));
}

// The bracket of width `tolerance` that bisection from powers of two times `start` ends in around a rate.
std::pair<double, double> bracket_around(double rate, const SearchOptions& search) {
  double low = search.start, high = 2 * search.start;
  while (rate >= high) low = std::exchange(high, 2 * high);
  while (rate < low && low >= search.least) high = std::exchange(low, low / 2);
  while (high - low > search.tolerance * high) {
    const double middle = (low + high) / 2;
    (rate >= middle ? low : high) = middle;
  }
  return {low, high};
}

}  // namespace

RateSearch highest_rate(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& engine,
                        const Fits& fits, const SearchOptions& search) {
  RateSearch found;
  double held = 0, failed = std::numeric_limits<double>::infinity();
  const auto passes = [&](double rate) {
    if (rate <= held) return true;
    if (rate >= failed) return false;
    const bool ok =
        holds(datasets::at_rate(trace, datasets::ArrivalLaw::trace, rate, 1), time, engine, fits, search.objectives);
    found.tried.emplace_back(rate, ok);
    (ok ? held : failed) = rate;
    return ok;
  };
  if (search.near > 0) {
    // Outwards from the bracket where it is thought to be, in ever longer steps, until the rate is enclosed.
    constexpr int kLongest = 16;
    auto [below, above] = bracket_around(search.near, search);
    if (passes(below)) {
      for (int k = 1; passes(above) && k <= kLongest; k *= 2)
        above = bracket_around(above * (1 + k * search.tolerance), search).second;
    } else {
      for (int k = 1; !passes(below) && k <= kLongest; k *= 2)
        below = bracket_around(below * (1 - k * search.tolerance), search).first;
    }
  }
  double low = 0, high = search.start;
  if (passes(high)) {
    do {
      low = high;
      high *= 2;
    } while (passes(high));
  } else {
    do {
      low = high / 2;
      if (low < search.least) return found;
      if (passes(low)) break;
      high = low;
    } while (true);
  }
  while (high - low > search.tolerance * high) {
    const double middle = (low + high) / 2;
    (passes(middle) ? low : high) = middle;
  }
  found.rate = low;
  return found;
}

}  // namespace assay::serving
