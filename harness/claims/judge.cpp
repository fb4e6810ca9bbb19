#include "harness/claims/judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "harness/stats/median.h"

namespace assay::harness::claims {
namespace {

constexpr std::array<Verdict, 6> kVerdicts{Verdict::reproduced,   Verdict::exceeded,       Verdict::partial,
                                           Verdict::contradicted, Verdict::not_reproduced, Verdict::untestable};

// Bounds are inclusive; 1 - 0.8 is not 0.2 in binary, and a verdict must not hang on that.
constexpr double kSlack = 1e-9;
bool within(double distance, double tolerance) { return distance <= tolerance + kSlack * std::max(1.0, tolerance); }

bool says(std::string_view note, std::string_view word) { return note.find(word) != std::string_view::npos; }

struct Reduced {
  double value = 0;
  std::string how;
};

// One value for a grid: the extreme an "up to" speaks of, the mean a note names, else the median as typical value.
Reduced reduce(const Claim& claim, const std::vector<double>& grid) {
  if (grid.size() == 1) return {grid.front(), ""};
  const std::string size = fmt::format(" of {}", grid.size());
  switch (claim.bound) {
    case Bound::up_to:
      return {*std::max_element(grid.begin(), grid.end()), "maximum" + size};
    case Bound::at_least:
      return {*std::min_element(grid.begin(), grid.end()), "minimum" + size};
    case Bound::at_most:
      return {*std::max_element(grid.begin(), grid.end()), "maximum" + size};
    case Bound::point:
    case Bound::range:
      break;
  }
  if (says(claim.note, "median") || says(claim.note, "typical")) return {stats::median(grid), "median" + size};
  if (says(claim.note, "geometric") && !says(claim.note, "arithmetic")) {
    double sum = 0;
    for (const double value : grid) sum += std::log(value);
    return {std::exp(sum / static_cast<double>(grid.size())), "geometric mean" + size};
  }
  if (says(claim.note, "mean") || says(claim.note, "average")) {
    return {std::accumulate(grid.begin(), grid.end(), 0.0) / static_cast<double>(grid.size()), "mean" + size};
  }
  return {stats::median(grid), "median" + size};
}

Judgement judge_ratio(double paper, double ours) {
  const double gain = paper - 1, found = ours - 1;
  if (std::abs(gain) < 0.05 - kSlack) {
    if (within(std::abs(ours - paper), 0.02)) return {Verdict::reproduced, ours, ""};
    if (gain * found < 0) return {Verdict::contradicted, ours, "the sign of the gain flips"};
    return {Verdict::not_reproduced, ours, "a gain below 0.05 is held to 0.02"};
  }
  const double share = found / gain;
  if (share < 0) return {Verdict::contradicted, ours, "the sign of the gain flips"};
  const std::string told = fmt::format("{:.0f}% of the published gain", share * 100);
  if (within(std::abs(share - 1), 0.2)) return {Verdict::reproduced, ours, ""};
  // More of a gain exceeds the paper; more of a loss is only another loss.
  if (share > 1) return {gain > 0 ? Verdict::exceeded : Verdict::not_reproduced, ours, told};
  if (share >= 0.5 - kSlack) return {Verdict::partial, ours, told};
  return {Verdict::not_reproduced, ours, told};
}

Judgement judge_absolute(double paper, double ours) {
  const double off = paper != 0 ? std::abs(ours - paper) / std::abs(paper) : (ours == 0 ? 0 : INFINITY);
  if (within(off, 0.10)) return {Verdict::reproduced, ours, ""};
  const std::string told = paper != 0 ? fmt::format("{:+.0f}%", (ours / paper - 1) * 100) : "the paper has 0";
  return {within(off, 0.30) ? Verdict::partial : Verdict::not_reproduced, ours, told};
}

Judgement judge_exact(double paper, double ours) {
  const double off = paper != 0 ? std::abs(ours - paper) / std::abs(paper) : (ours == 0 ? 0 : INFINITY);
  if (within(off, 0.01)) return {Verdict::reproduced, ours, ""};
  return {Verdict::not_reproduced, ours,
          paper != 0 ? fmt::format("{:+.2f}%", (ours / paper - 1) * 100) : "the paper has 0"};
}

Judgement judge_difference(const Claim& claim, double ours) {
  const auto tolerance = stated_tolerance(claim.note);
  if (!tolerance) return {Verdict::untestable, ours, "the claim states no tolerance"};
  if (within(std::abs(ours - claim.value), *tolerance)) return {Verdict::reproduced, ours, ""};
  if (ours * claim.value < 0) return {Verdict::contradicted, ours, "the sign of the difference flips"};
  return {Verdict::not_reproduced, ours, fmt::format("outside the tolerance of {:g}", *tolerance)};
}

Judgement judge_value(const Claim& claim, double ours) {
  switch (claim.form) {
    case Form::ratio:
      return judge_ratio(claim.value, ours);
    case Form::absolute:
      return judge_absolute(claim.value, ours);
    case Form::exact:
      return judge_exact(claim.value, ours);
    case Form::difference:
      return judge_difference(claim, ours);
    case Form::boolean:
      return {(ours >= 0.5) == (claim.value >= 0.5) ? Verdict::reproduced : Verdict::contradicted, ours, ""};
  }
  throw std::logic_error("form not judged");
}

Judgement judge_limit(const Claim& claim, double ours, bool from_below) {
  const bool holds = from_below ? ours >= claim.value - kSlack * std::abs(claim.value)
                                : ours <= claim.value + kSlack * std::abs(claim.value);
  if (holds) return {Verdict::reproduced, ours, ""};
  if (claim.form == Form::ratio && (claim.value - 1) * (ours - 1) < 0) {
    return {Verdict::contradicted, ours, "the sign of the gain flips"};
  }
  return {Verdict::not_reproduced, ours, from_below ? "below the published bound" : "above the published bound"};
}

Judgement judge_range(const Claim& claim, const std::vector<double>& grid) {
  // A negative end is widened away from zero as well.
  const double low = claim.low >= 0 ? 0.9 * claim.low : 1.1 * claim.low;
  const double high = claim.high >= 0 ? 1.1 * claim.high : 0.9 * claim.high;
  const auto [least, most] = std::minmax_element(grid.begin(), grid.end());
  const auto inside = std::count_if(grid.begin(), grid.end(), [&](double value) {
    return value >= low - kSlack * std::abs(low) && value <= high + kSlack * std::abs(high);
  });
  Judgement judgement{Verdict::not_reproduced, stats::median(grid), ""};
  if (grid.size() > 1) judgement.reason = fmt::format("ours {:.3g} to {:.3g}", *least, *most);
  if (inside == static_cast<std::ptrdiff_t>(grid.size())) {
    judgement.verdict = Verdict::reproduced;
    return judgement;
  }
  const std::string counted = fmt::format("{} of {} points inside", inside, grid.size());
  judgement.reason = judgement.reason.empty() ? counted : judgement.reason + "; " + counted;
  const bool flipped = claim.form == Form::ratio && ((claim.low > 1 && *most < 1) || (claim.high < 1 && *least > 1));
  if (flipped) judgement.verdict = Verdict::contradicted;
  return judgement;
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::reproduced:
      return "reproduced";
    case Verdict::exceeded:
      return "exceeded";
    case Verdict::partial:
      return "partial";
    case Verdict::contradicted:
      return "contradicted";
    case Verdict::not_reproduced:
      return "not reproduced";
    case Verdict::untestable:
      return "untestable";
  }
  return "?";
}

std::optional<Verdict> verdict_from(std::string_view text) {
  for (const Verdict verdict : kVerdicts) {
    if (text == to_string(verdict)) return verdict;
  }
  return std::nullopt;
}

std::optional<double> stated_tolerance(std::string_view note) {
  const auto number_at = [&](std::size_t at) -> std::optional<double> {
    double value = 0;
    const auto [end, error] = std::from_chars(note.data() + at, note.data() + note.size(), value);
    return error == std::errc() && end != note.data() + at ? std::optional(value) : std::nullopt;
  };
  constexpr std::string_view kWord = "tolerance ";
  for (std::size_t at = note.find(kWord); at != std::string_view::npos; at = note.find(kWord, at + 1)) {
    if (const auto value = number_at(at + kWord.size())) return value;
  }
  // "no tolerance stated (0.01 taken)"
  if (const std::size_t taken = note.find(" taken)"); taken != std::string_view::npos && says(note, "tolerance")) {
    if (const std::size_t open = note.rfind('(', taken); open != std::string_view::npos) return number_at(open + 1);
  }
  return std::nullopt;
}

Judgement judge(const Claim& claim, const std::vector<double>& grid) {
  if (grid.empty()) throw std::invalid_argument("a claim is judged on at least one value");
  if (std::any_of(grid.begin(), grid.end(), [](double value) { return !std::isfinite(value); })) {
    return {Verdict::not_reproduced, grid.front(), "our value is not a finite number"};
  }
  if (claim.bound == Bound::range) return judge_range(claim, grid);
  if (claim.bound == Bound::point && (claim.form == Form::exact || claim.form == Form::boolean) && grid.size() > 1) {
    // A formula or a property must hold at every point.
    for (const double value : grid) {
      Judgement judgement = judge_value(claim, value);
      if (judgement.verdict != Verdict::reproduced) return judgement;
    }
    return {Verdict::reproduced, grid.front(), fmt::format("at all {} points", grid.size())};
  }
  const Reduced reduced = reduce(claim, grid);
  Judgement judgement = claim.bound == Bound::at_least  ? judge_limit(claim, reduced.value, true)
                        : claim.bound == Bound::at_most ? judge_limit(claim, reduced.value, false)
                                                        : judge_value(claim, reduced.value);
  if (!reduced.how.empty())
    judgement.reason = judgement.reason.empty() ? reduced.how : reduced.how + "; " + judgement.reason;
  return judgement;
}

}  // namespace assay::harness::claims
