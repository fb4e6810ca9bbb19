#include "impls/serving/capacity.h"

#include "datasets/workloads/generator.h"

namespace assay::serving {

Fits joint_attainment(double share) {
  return [share](const Summary& summary) { return summary.attainment >= share; };
}

Fits capacity_limit(double tbt, double delay) {
  return [=](const Summary& summary) {
    return summary.rejected == 0 && summary.tbt.p99 <= tbt && summary.delay.p50 <= delay;
  };
}

RateSearch highest_rate(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& engine,
                        const Fits& fits, const SearchOptions& search) {
  RateSearch found;
  const auto passes = [&](double rate) {
    const datasets::RequestTrace scaled = datasets::at_rate(trace, datasets::ArrivalLaw::trace, rate, 1);
    const EngineRun run = Engine(scaled, time, engine).run();
    const bool ok = fits(summarize(run, scaled, search.objectives));
    found.tried.emplace_back(rate, ok);
    return ok;
  };
  double low = 0, high = search.start;
  if (passes(high)) {
    do {
      low = high;
      high *= 2;
    } while (passes(high));
  } else {
    do {
      high = found.tried.back().first;
      low = high / 2;
      if (low < search.least) return found;
    } while (!passes(low));
  }
  while (high - low > search.tolerance * high) {
    const double middle = (low + high) / 2;
    (passes(middle) ? low : high) = middle;
  }
  found.rate = low;
  return found;
}

}  // namespace assay::serving
