#include "harness/stats/decide.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace assay::harness::stats {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

bool all_positive(const Contest& contest) {
  const auto positive = [](const Launch& launch) { return launch.value > 0 && std::isfinite(launch.value); };
  return std::all_of(contest.a.begin(), contest.a.end(), positive) &&
         std::all_of(contest.b.begin(), contest.b.end(), positive);
}

double median_of(std::span<const Launch> launches) {
  std::vector<double> values;
  for (const Launch& launch : launches) values.push_back(launch.value);
  return median(values);
}

// The part that looks at one case alone: everything but q and the verdict.
Decision measure(const Contest& contest, const DecisionRule& rule) {
  Decision decision;
  decision.ratio = not_a_number;
  decision.interval = {0, infinity};
  decision.p = decision.q = not_a_number;
  decision.launches_a = static_cast<int>(contest.a.size());
  decision.launches_b = static_cast<int>(contest.b.size());
  if (contest.a.empty() || contest.b.empty()) {
    decision.reason = "nothing measured on one side";
    return decision;
  }
  if (!all_positive(contest)) {
    decision.reason = "a value is not positive: no ratio";
    return decision;
  }
  decision.ratio = median_of(contest.b) / median_of(contest.a);
  if (contest.exact) {
    decision.design = Design::exact;
    decision.interval = {decision.ratio, decision.ratio};
    return decision;
  }
  const int fewest = std::min(decision.launches_a, decision.launches_b);
  const std::vector<Block> blocks = blocks_of(contest.a, contest.b, std::min(fewest, rule.min_launches));
  decision.design = blocks.size() > 1 ? Design::interleaved : Design::separate;
  const ShiftEstimate estimate = estimate_shift(blocks, rule.confidence);
  if (decision.design == Design::separate)
    decision.session_allowance = contest.session_allowance.value_or(rule.session_allowance);
  const double allowance = std::log1p(decision.session_allowance);
  decision.ratio = std::exp(estimate.shift);
  decision.interval = {std::exp(estimate.interval.low - allowance), std::exp(estimate.interval.high + allowance)};
  if (fewest < rule.min_launches) {
    decision.more_launches = rule.min_launches - fewest;
    decision.reason =
        fmt::format("needs {} more launch{} a side", decision.more_launches, decision.more_launches == 1 ? "" : "es");
    return decision;
  }
  // With an allowance the hypothesis is "inside the allowance", tested at the end nearest to the estimate.
  decision.p = std::abs(estimate.shift) <= allowance && allowance > 0
                   ? 1.0
                   : rank_test(blocks, std::copysign(allowance, estimate.shift));
  return decision;
}

// Launches a side at which the smallest p of blocks of four, 2/6^(n/2), passes Benjamini-Hochberg for one case of
// `tests`.
int launches_to_stand_out(double false_rate, std::size_t tests) {
  const double wanted = std::log(2 * static_cast<double>(tests) / false_rate) / std::log(6.0);
  return 2 * static_cast<int>(std::ceil(wanted));
}

void explain_unsure(Decision& decision, const DecisionRule& rule, std::size_t tests) {
  const double half = std::log(decision.interval.high / decision.interval.low) / 2;
  const double effect = std::abs(std::log(decision.ratio));
  const double floor = std::log1p(rule.effect_floor);
  const int have = std::min(decision.launches_a, decision.launches_b);
  if (decision.design == Design::separate) {
    decision.reason = fmt::format("taken at separate times ({:.2g}% allowed): compare --live settles it",
                                  100 * decision.session_allowance);
    return;
  }
  // Beyond the floor the test has to reject at false_rate: about 1.35 half-widths of the interval. Inside it the
  // interval has to fit between the estimate and the floor.
  constexpr double test_over_interval = 1.35;
  const double room = effect >= floor ? effect / test_over_interval : floor - effect;
  double wanted = room > 0 && std::isfinite(half) ? have * (half / room) * (half / room) : infinity;
  if (effect >= floor) wanted = std::max(wanted, static_cast<double>(launches_to_stand_out(rule.false_rate, tests)));
  const char* what = effect >= floor ? "effect not certain" : "cannot exclude an effect above the floor";
  if (wanted > 1000 + have) {
    decision.reason = fmt::format("{}: too close to the floor for any number of launches", what);
    return;
  }
  decision.more_launches = std::max(2, static_cast<int>(std::ceil(wanted)) - have);
  decision.reason = fmt::format("{}: about {} more launches a side", what, decision.more_launches);
}

void judge(Decision& decision, const Contest& contest, const DecisionRule& rule, std::size_t tests) {
  if (!decision.reason.empty()) return;
  const double limit = 1 + rule.effect_floor;
  const bool matters = decision.ratio >= limit || decision.ratio <= 1 / limit;
  const bool certain = decision.design == Design::exact || decision.q <= rule.false_rate;
  if (certain && matters) {
    const bool better = (decision.ratio < 1) == (contest.direction == Direction::lower_is_better);
    decision.verdict = better ? Verdict::faster : Verdict::slower;
  } else if (decision.interval.low >= 1 / limit && decision.interval.high <= limit) {
    decision.verdict = Verdict::same;
  } else {
    explain_unsure(decision, rule, tests);
  }
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return "FASTER";
    case Verdict::slower:
      return "SLOWER";
    case Verdict::same:
      return "SAME";
    case Verdict::unsure:
      return "UNSURE";
  }
  return "";
}

const char* to_string(Design design) {
  switch (design) {
    case Design::none:
      return "none";
    case Design::interleaved:
      return "interleaved";
    case Design::separate:
      return "separate";
    case Design::exact:
      return "exact";
  }
  return "";
}

std::vector<Block> blocks_of(std::span<const Launch> a, std::span<const Launch> b, int min_pairs) {
  struct Started {
    std::int64_t at;
    double log_value;
    bool is_b;
  };
  std::vector<Started> order;
  for (const Launch& launch : a) order.push_back({launch.started_ns, std::log(launch.value), false});
  for (const Launch& launch : b) order.push_back({launch.started_ns, std::log(launch.value), true});
  const bool timed = std::none_of(order.begin(), order.end(), [](const Started& one) { return one.at == 0; });
  std::stable_sort(order.begin(), order.end(), [](const Started& x, const Started& y) { return x.at < y.at; });

  std::vector<Block> blocks;
  int pairs = 0;
  for (std::size_t i = 0; timed && i + 1 < order.size();) {
    if (order[i].is_b == order[i + 1].is_b) {
      ++i;
      continue;
    }
    if (pairs % 2 == 0) blocks.emplace_back();
    for (const Started& one : {order[i], order[i + 1]})
      (one.is_b ? blocks.back().b : blocks.back().a).push_back(one.log_value);
    ++pairs;
    i += 2;
  }
  if (pairs >= std::max(min_pairs, 2)) return blocks;

  Block everything;
  for (const Started& one : order) (one.is_b ? everything.b : everything.a).push_back(one.log_value);
  return {everything};
}

std::vector<Decision> decide(std::span<const Contest> contests, const DecisionRule& rule) {
  std::vector<Decision> decisions;
  std::vector<double> p;
  for (const Contest& contest : contests) {
    decisions.push_back(measure(contest, rule));
    p.push_back(decisions.back().p);
  }
  const std::vector<double> q = benjamini_hochberg(p);
  const auto tests =
      static_cast<std::size_t>(std::count_if(p.begin(), p.end(), [](double value) { return !std::isnan(value); }));
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    decisions[i].q = q[i];
    judge(decisions[i], contests[i], rule, tests);
  }
  return decisions;
}

Decision decide(const Contest& contest, const DecisionRule& rule) {
  return decide(std::span(&contest, 1), rule).front();
}

}  // namespace assay::harness::stats
