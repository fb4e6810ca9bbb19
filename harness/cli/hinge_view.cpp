#include "harness/cli/hinge_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "harness/cli/claims_view.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Style;
using harness::claims::Hinge;
using harness::claims::HingeSide;
using harness::claims::HingeTable;
using harness::claims::Outcome;

constexpr int kArm = 9;  // columns of a bar on either side of our value

// "     ████│         ": `move` relative to our value, `full` fills an arm, what does not fit ends in an arrow.
std::string bar_text(double move, double full) {
  const double columns = full > 0 ? std::abs(move) / full * kArm : 0;
  const bool beyond = columns > kArm + 1e-9;
  const int filled = std::clamp(static_cast<int>(std::lround(columns)), move == 0 ? 0 : 1, kArm);
  std::string left, right;
  for (int i = 0; i < kArm; ++i) {
    const int distance = kArm - i;  // of the left arm's column from the middle
    left += move < 0 && distance <= filled ? (beyond && i == 0 ? "◂" : "█") : " ";
    right += move > 0 && i < filled ? (beyond && i == kArm - 1 ? "▸" : "█") : " ";
  }
  return left + "│" + right;
}

Style style_of(const HingeSide& side, harness::claims::Verdict nominal) {
  using harness::claims::Verdict;
  if (!side.ours) return Style::dim;
  if (side.verdict == nominal) return Style::plain;
  return side.verdict == Verdict::reproduced || side.verdict == Verdict::exceeded ? Style::good : Style::bad;
}

}  // namespace

std::string hinge_text(const Outcome& outcome, const HingeTable& table, int width, bool color) {
  const auto& claim = *outcome.claim;
  std::string text = fmt::format("{}: published {}, ours {}, {}\n", claim.key, shown_claim(claim),
                                 shown_value(claim, *outcome.ours), to_string(outcome.judged));
  // One condition far beyond the rest would flatten them: its bar ends in an arrow instead.
  double widest = 0, second = 0;
  for (const Hinge& bar : table.hinges) {
    second = std::max(second, std::min(widest, bar.reach));
    widest = std::max(widest, bar.reach);
  }
  const double full = std::min(second > 0 && widest > 3 * second ? 1.5 * second : widest, 1.0);
  harness::Table rows({{.title = "condition", .min_width = 14},
                       {.title = "kind", .min_width = 8},
                       {.title = "moved to", .right = true},
                       {.title = "ours", .right = true},
                       {.title = fmt::format("-{0:.0f}%    ours    +{0:.0f}%", 100 * full), .min_width = 2 * kArm + 1},
                       {.title = "verdict", .min_width = 14}});
  for (const Hinge& bar : table.hinges) {
    bool first = true;
    for (const HingeSide& side : bar.sides) {
      const double move = side.ours ? (*side.ours - *outcome.ours) / std::max(std::abs(*outcome.ours), 1e-300) : 0;
      const std::string verdict = !side.ours                       ? "no value there"
                                  : side.verdict == outcome.judged ? "same"
                                                                   : to_string(side.verdict);
      rows.add_row({first ? fmt::format("{} = {}", bar.condition, bar.nominal) : "",
                    first ? to_string(bar.kind) : "",
                    side.setting,
                    side.ours ? shown_value(claim, *side.ours) : "",
                    side.ours ? bar_text(move, full) : "",
                    {verdict, style_of(side, outcome.judged)}});
      first = false;
    }
  }
  if (rows.rows() > 0) text += rows.render(width, color);
  if (!table.without_move.empty())
    text += harness::wrap(fmt::format("no influence: {}", fmt::join(table.without_move, ", ")), width);
  if (!table.as_text.empty())
    text += harness::wrap(fmt::format("assumed in words, not moved: {}", fmt::join(table.as_text, "; ")), width);
  return text + "\n";
}

nlohmann::json hinge_json(const HingeTable& table) {
  nlohmann::json bars = nlohmann::json::array();
  for (const Hinge& bar : table.hinges) {
    nlohmann::json sides = nlohmann::json::array();
    for (const HingeSide& side : bar.sides)
      sides.push_back({{"setting", side.setting},
                       {"ours", side.ours ? nlohmann::json(*side.ours) : nlohmann::json()},
                       {"verdict", side.ours ? nlohmann::json(to_string(side.verdict)) : nlohmann::json()}});
    bars.push_back({{"condition", bar.condition},
                    {"kind", to_string(bar.kind)},
                    {"nominal", bar.nominal},
                    {"sides", std::move(sides)},
                    {"reach", bar.reach},
                    {"decides", bar.decides}});
  }
  return {{"conditions", std::move(bars)}, {"no_influence", table.without_move}, {"in_words", table.as_text}};
}

}  // namespace assay::cli
