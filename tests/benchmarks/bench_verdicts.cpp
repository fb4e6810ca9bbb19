// How often the verdict is wrong and what it sees, on synthetic launches whose truth is known; bench_aa does the same
// with real kernels. Beside it, on the same samples, stand a Mann-Whitney test at 5% on the raw samples of one launch a
// side, the same on launch medians, and the rule of nvbench_compare (a difference of means larger than the smaller
// relative deviation of the samples).
//
//   bench_verdicts [comparisons of each kind, 1000]
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "harness/stats/decide.h"
#include "harness/stats/rank_test.h"
#include "harness/table.h"
#include "impls/substrate/random.h"

namespace {

using namespace assay;
using harness::stats::Verdict;
using substrate::Random;

constexpr int launches = 10;  // a side
constexpr int samples = 30;   // a launch

struct Machine {
  const char* name;
  double between;      // relative deviation of launches
  double within;       // of samples in a launch
  double correlation;  // of neighbouring launches
  double outliers;     // share of samples that take up to twice as long
  double drift;        // over all launches of a comparison
};

constexpr Machine machines[] = {
    {"quiet", 0.005, 0.005, 0, 0, 0},           {"ordinary", 0.015, 0.01, 0, 0.02, 0},
    {"busy", 0.05, 0.03, 0.3, 0.10, 0},         {"drifting", 0.01, 0.01, 0, 0.02, 0.10},
    {"correlated", 0.03, 0.01, 0.8, 0.02, 0.0},
};

struct Launched {
  std::vector<double> samples;
  double median;
};

struct Comparison {
  std::vector<Launched> a, b;
  harness::stats::Contest contest;
};

Comparison draw(Random& random, const Machine& machine, double effect) {
  Comparison out;
  double level = machine.between * random.normal();
  for (int at = 0; at < 2 * launches; ++at) {
    const bool is_b = (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);
    const double centre = 1e-3 * std::exp(level + machine.drift * at / (2 * launches)) * (is_b ? 1 + effect : 1);
    Launched launch;
    for (int i = 0; i < samples; ++i)
      launch.samples.push_back(centre * std::exp(machine.within * random.normal()) *
                               (random.uniform() < machine.outliers ? 1 + random.uniform() : 1));
    launch.median = harness::stats::median(launch.samples);
    (is_b ? out.contest.b : out.contest.a).push_back({launch.median, at + 1});
    (is_b ? out.b : out.a).push_back(std::move(launch));
    level = machine.correlation * level +
            std::sqrt(1 - machine.correlation * machine.correlation) * machine.between * random.normal();
  }
  return out;
}

bool nvbench_rule(const std::vector<double>& a, const std::vector<double>& b) {
  const auto moments = [](const std::vector<double>& values) {
    double mean = 0, squares = 0;
    for (const double x : values) mean += x / static_cast<double>(values.size());
    for (const double x : values) squares += (x - mean) * (x - mean);
    return std::pair(mean, std::sqrt(squares / static_cast<double>(values.size() - 1)) / mean);
  };
  const auto [mean_a, noise_a] = moments(a);
  const auto [mean_b, noise_b] = moments(b);
  return std::abs(mean_b - mean_a) / mean_a > std::min(noise_a, noise_b);
}

bool ranks_differ(const std::vector<double>& a, const std::vector<double>& b) {
  return harness::stats::rank_test(std::vector<harness::stats::Block>{{a, b}}) <= 0.05;
}

std::vector<double> medians_of(const std::vector<Launched>& side) {
  std::vector<double> out;
  for (const Launched& launch : side) out.push_back(launch.median);
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 1000;
  harness::Table table({{"machine"},
                        {"truth"},
                        {"FASTER", true},
                        {"SLOWER", true},
                        {"SAME", true},
                        {"UNSURE", true},
                        {"MW samples", true},
                        {"MW medians", true},
                        {"nvbench", true}});
  for (const Machine& machine : machines) {
    for (const double effect : {0.0, 0.02, 0.05, 0.10}) {
      Random random(20260505);
      int faster = 0, slower = 0, same = 0, unsure = 0, raw = 0, medians = 0, nvbench = 0;
      for (int i = 0; i < repeats; ++i) {
        const Comparison one = draw(random, machine, effect);
        const Verdict verdict = harness::stats::decide(one.contest).verdict;
        faster += verdict == Verdict::faster ? 1 : 0;
        slower += verdict == Verdict::slower ? 1 : 0;
        same += verdict == Verdict::same ? 1 : 0;
        unsure += verdict == Verdict::unsure ? 1 : 0;
        raw += ranks_differ(one.a[0].samples, one.b[0].samples) ? 1 : 0;
        medians += ranks_differ(medians_of(one.a), medians_of(one.b)) ? 1 : 0;
        nvbench += nvbench_rule(one.a[0].samples, one.b[0].samples) ? 1 : 0;
      }
      const auto per_thousand = [&](int count) { return fmt::format("{:.0f}", 1000.0 * count / repeats); };
      table.add_row({machine.name, effect == 0 ? "identical" : fmt::format("B +{:.0f}%", 100 * effect),
                     per_thousand(faster), per_thousand(slower), per_thousand(same), per_thousand(unsure),
                     per_thousand(raw), per_thousand(medians), per_thousand(nvbench)});
    }
    table.add_rule();
  }
  fmt::print("of 1,000 comparisons ({} made of each kind), {} launches a side, {} samples a launch\n\n{}", repeats,
             launches, samples, table.render(120));
  return 0;
}
