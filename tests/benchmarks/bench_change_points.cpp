// What change-point detection finds on series whose truth is known, how often it finds something in noise, and how long
// 10,000 points take.
//
//   bench_change_points [series of each kind, 400]
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "harness/stats/change_points.h"
#include "harness/table.h"
#include "impls/substrate/random.h"

namespace {

using namespace assay;
using harness::stats::ChangeKind;
using substrate::Random;

// Logarithm of the noise of each point, in time's order.
using Noise = std::function<std::vector<double>(Random&, int n)>;

Noise normal(double sd) {
  return [sd](Random& random, int n) {
    std::vector<double> out;
    for (int i = 0; i < n; ++i) out.push_back(sd * random.normal());
    return out;
  };
}
Noise correlated(double sd, double phi) {
  return [=](Random& random, int n) {
    std::vector<double> out;
    double level = sd * random.normal();
    for (int i = 0; i < n; ++i) {
      out.push_back(level);
      level = phi * level + std::sqrt(1 - phi * phi) * sd * random.normal();
    }
    return out;
  };
}
Noise with_outliers(double sd, double share) {
  return [=](Random& random, int n) {
    std::vector<double> out;
    for (int i = 0; i < n; ++i)
      out.push_back(sd * random.normal() + (random.uniform() < share ? 0.5 * random.uniform() : 0));
    return out;
  };
}
Noise two_modes(double sd, double gap, double share) {
  return [=](Random& random, int n) {
    std::vector<double> out;
    for (int i = 0; i < n; ++i) out.push_back(sd * random.normal() + (random.uniform() < share ? gap : 0));
    return out;
  };
}

std::vector<double> series(Random& random, const Noise& noise, int n, const std::function<double(int)>& level) {
  std::vector<double> out = noise(random, n);
  for (int i = 0; i < n; ++i) out[static_cast<std::size_t>(i)] = level(i) * std::exp(out[static_cast<std::size_t>(i)]);
  return out;
}

double flat(int) { return 1; }

struct Found {
  int any = 0, changes = 0, right = 0, right_kind = 0;
};

// `truth`: where it changes; found when some change lies within `near` of it.
Found look(int repeats, int n, const Noise& noise, const std::function<double(int)>& level, int truth, int near,
           ChangeKind kind) {
  Random random(20260211);
  Found found;
  for (int i = 0; i < repeats; ++i) {
    const auto result = harness::stats::find_changes(series(random, noise, n, level));
    found.any += result.changes.empty() ? 0 : 1;
    found.changes += static_cast<int>(result.changes.size());
    for (const auto& change : result.changes) {
      const int middle = static_cast<int>((change.first + change.last) / 2);
      if (std::abs(middle - truth) > near) continue;
      ++found.right;
      found.right_kind += change.kind == kind ? 1 : 0;
      break;
    }
  }
  return found;
}

void false_alarms(int repeats) {
  harness::Table table({{"noise only (sd 2% a run)"},
                        {"runs", true},
                        {"series", true},
                        {"with an alarm", true},
                        {"alarms per 1,000 runs", true}});
  const std::vector<std::pair<std::string, Noise>> kinds = {{"independent", normal(0.02)},
                                                            {"correlated 0.3", correlated(0.02, 0.3)},
                                                            {"correlated 0.7", correlated(0.02, 0.7)},
                                                            {"5% outliers up to +65%", with_outliers(0.02, 0.05)},
                                                            {"two modes 5% apart", two_modes(0.01, 0.05, 0.3)}};
  for (const auto& [name, noise] : kinds)
    for (const int n : {10, 30, 100, 1000}) {
      const Found found = look(repeats, n, noise, flat, -1000000, 0, ChangeKind::step);
      table.add_row({name, std::to_string(n), std::to_string(repeats),
                     fmt::format("{:.2f}%", 100.0 * found.any / repeats),
                     fmt::format("{:.2f}", 1000.0 * found.changes / repeats / n)});
    }
  fmt::print("{}\n", table.render(120));
}

void detections(int repeats) {
  harness::Table table(
      {{"planted in 100 runs (noise 2%)"}, {"found", true}, {"as step or ramp", true}, {"changes a series", true}});
  const auto row = [&](const std::string& name, const Noise& noise, const std::function<double(int)>& level, int truth,
                       int near, ChangeKind kind) {
    const Found found = look(repeats, 100, noise, level, truth, near, kind);
    table.add_row({name, fmt::format("{:.1f}%", 100.0 * found.right / repeats),
                   fmt::format("{:.1f}%", 100.0 * found.right_kind / repeats),
                   fmt::format("{:.2f}", static_cast<double>(found.changes) / repeats)});
  };
  const auto step = [](double size, int at) { return [=](int i) { return i < at ? 1.0 : 1 + size; }; };
  const auto ramp = [](double size, int from, int to) {
    return [=](int i) { return 1 + size * std::clamp(static_cast<double>(i - from) / (to - from), 0.0, 1.0); };
  };
  row("step +3% at 50", normal(0.02), step(0.03, 50), 50, 4, ChangeKind::step);
  row("step +5% at 50", normal(0.02), step(0.05, 50), 50, 4, ChangeKind::step);
  row("step -5% at 50", normal(0.02), step(-0.05, 50), 50, 4, ChangeKind::step);
  row("step +10% at 50", normal(0.02), step(0.10, 50), 50, 4, ChangeKind::step);
  row("step +10% at 94, six runs from the end", normal(0.02), step(0.10, 94), 94, 2, ChangeKind::step);
  row("step +10% at 50, 5% outliers", with_outliers(0.02, 0.05), step(0.10, 50), 50, 4, ChangeKind::step);
  row("step +10% at 50, correlated 0.7", correlated(0.02, 0.7), step(0.10, 50), 50, 4, ChangeKind::step);
  row("ramp +15% from 30 to 70", normal(0.02), ramp(0.15, 30, 70), 50, 12, ChangeKind::ramp);
  row("ramp +30% from 0 to 100", normal(0.02), ramp(0.30, 0, 100), 50, 25, ChangeKind::ramp);
  row(
      "one run at +50%", normal(0.02), [](int i) { return i == 50 ? 1.5 : 1.0; }, 50, 4, ChangeKind::step);
  row(
      "two runs at +50%", normal(0.02), [](int i) { return i == 50 || i == 51 ? 1.5 : 1.0; }, 50, 4, ChangeKind::step);
  fmt::print("{}\n", table.render(120));
}

void speed() {
  harness::Table table({{"10,000 points"}, {"seconds", true}, {"changes", true}});
  const auto row = [&](const std::string& name, const Noise& noise, const std::function<double(int)>& level) {
    Random random(7);
    const std::vector<double> values = series(random, noise, 10'000, level);
    const auto start = std::chrono::steady_clock::now();
    const auto found = harness::stats::find_changes(values);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    table.add_row({name, fmt::format("{:.3f}", took.count()), std::to_string(found.changes.size())});
  };
  row("noise", normal(0.02), flat);
  row("noise with outliers", with_outliers(0.02, 0.05), flat);
  row("99 steps of 6%", normal(0.02), [](int i) { return i / 100 % 2 == 0 ? 1.0 : 1.06; });
  row("one ramp of 100%", normal(0.02), [](int i) { return 1 + i / 10'000.0; });
  row("waves", normal(0.02), [](int i) { return 1 + 0.1 * std::sin(i * std::numbers::pi / 500); });
  fmt::print("{}\n", table.render(120));
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 400;
  false_alarms(repeats);
  detections(repeats);
  speed();
  return 0;
}
