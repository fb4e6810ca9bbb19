#include "harness/cli/history_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "harness/table.h"
#include "results_db/export.h"

namespace assay::cli {
namespace {

using harness::CaseHistory;
using harness::PastRun;
using harness::Style;
using harness::stats::Change;
using harness::stats::ChangeKind;

bool is_worse(const CaseHistory& history, double ratio) {
  return (ratio > 1) == (history.direction == harness::stats::Direction::lower_is_better);
}

const char* effect_word(const CaseHistory& history, double ratio) {
  return is_worse(history, ratio) ? "worse" : "better";
}

double allowance_before(const CaseHistory& history, const Change& change) {
  return change.first > 0 ? history.runs[change.first].fence.allowance() : 0;
}

// What has changed at run `i`, in words; "" for most.
std::string mark_of(const CaseHistory& history, std::size_t i) {
  for (const Change& change : history.levels.changes) {
    const auto magnitude = harness::stats::magnitude_of(change.ratio(), allowance_before(history, change),
                                                        harness::stats::ChangeRule{}.effect_floor);
    if (change.first == i)
      return fmt::format("{} {} ({}, {})", to_string(change.kind), percent_text(change.ratio()), to_string(magnitude),
                         effect_word(history, change.ratio()));
    if (change.kind == ChangeKind::ramp && i > change.first && i <= change.last) return "ramp";
  }
  const PastRun& run = history.runs[i];
  return run.fence.known() && !run.fence.holds(run.value) ? "outside its fence" : "";
}

double level_at(const CaseHistory& history, std::size_t i) {
  for (const auto& segment : history.levels.segments)
    if (i >= segment.first && i < segment.end) return segment.level;
  return std::nan("");
}

// A plot of text: runs from left to right, several to a column where there are more runs than columns. o: a run,
// -: the level, |: a change of level.
std::string plot(const CaseHistory& history, int width) {
  constexpr int height = 9;
  const std::size_t n = history.runs.size();
  const auto [low, high] = std::minmax_element(history.runs.begin(), history.runs.end(),
                                               [](const PastRun& a, const PastRun& b) { return a.value < b.value; });
  double bottom = low->value;
  double top = high->value;
  if (top <= bottom * 1.02) {  // a flat line lies in the middle instead of filling the plot with its noise
    const double middle = std::sqrt(top * bottom);
    bottom = middle * 0.98;
    top = middle * 1.02;
  }
  constexpr int label = 11;
  const auto columns = static_cast<std::size_t>(std::max(10, width - label - 1));
  const std::size_t per_column = (n + columns - 1) / columns;
  const std::size_t stride = std::max<std::size_t>(1, std::min<std::size_t>(4, columns / n));
  const std::size_t used = (n + per_column - 1) / per_column * stride;
  std::vector<std::string> canvas(height, std::string(used, ' '));
  const auto row_of = [&](double value) {
    const double part = std::log(value / bottom) / std::log(top / bottom);
    return static_cast<std::size_t>(std::clamp(std::lround((1 - part) * (height - 1)), 0L, height - 1L));
  };
  for (const Change& change : history.levels.changes)
    for (std::string& line : canvas) line[change.first / per_column * stride] = '|';
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < stride; ++k) canvas[row_of(level_at(history, i))][i / per_column * stride + k] = '-';
  for (std::size_t i = 0; i < n; ++i) canvas[row_of(history.runs[i].value)][i / per_column * stride] = 'o';
  std::string out;
  for (int row = 0; row < height; ++row) {
    const double value = top * std::pow(bottom / top, row / (height - 1.0));
    const bool labelled = row == 0 || row == height / 2 || row == height - 1;
    std::string line = fmt::format("{:>{}} {}", labelled ? datasets::format_si(value, history.unit) : "", label,
                                   canvas[static_cast<std::size_t>(row)]);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string fence_text(const harness::stats::Fence& fence, const std::string& unit) {
  if (!fence.known())
    return fmt::format("fence: not known yet; it takes 3 runs and 6 launches at one level, there are {} and {}\n",
                       fence.runs, fence.launches);
  return fmt::format("fence: {} .. {} (±{:.2g}% of {}), from {} launches of {} runs at this level\n",
                     datasets::format_si(fence.low, unit), datasets::format_si(fence.high, unit),
                     100 * fence.allowance(), datasets::format_si(fence.centre, unit), fence.launches, fence.runs);
}

nlohmann::json fence_json(const harness::stats::Fence& fence) {
  if (!fence.known()) return nullptr;
  return {{"centre", fence.centre},         {"low", fence.low},   {"high", fence.high},
          {"allowance", fence.allowance()}, {"runs", fence.runs}, {"launches", fence.launches}};
}

}  // namespace

std::string day_text(std::int64_t unix_ns) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::gmtime(static_cast<std::time_t>(unix_ns / 1'000'000'000)));
}

std::string percent_text(double ratio) {
  if (!std::isfinite(ratio)) return "-";
  const double percent = 100 * (ratio - 1);
  return std::abs(percent) < 10 ? fmt::format("{:+.1f}%", percent) : fmt::format("{:+.0f}%", percent);
}

std::string history_as_text(const CaseHistory& history, const Context& context, int rows, bool markdown) {
  std::string out =
      harness::wrap(fmt::format("{}  {} ({}, {} is better)  on {}", history.item.record.key, history.metric,
                                results_db::to_string(history.provenance),
                                history.direction == harness::stats::Direction::lower_is_better ? "lower" : "higher",
                                history.machine.name),
                    context.width);
  out += "\n";
  if (!markdown) out += plot(history, context.width) + "\n";
  harness::Table table({{.title = "run"},
                        {.title = "started (UTC)"},
                        {.title = "commit"},
                        {.title = "launches", .right = true},
                        {.title = history.metric, .right = true},
                        {.title = "to previous", .right = true},
                        {.title = "what", .min_width = 20}});
  const std::size_t n = history.runs.size();
  const std::size_t first = rows > 0 && n > static_cast<std::size_t>(rows) ? n - static_cast<std::size_t>(rows) : 0;
  for (std::size_t i = first; i < n; ++i) {
    const PastRun& run = history.runs[i];
    const std::string mark = mark_of(history, i);
    const bool worse = is_worse(history, run.value / level_at(history, i > 0 ? i - 1 : i));
    const Style style = mark.empty() ? Style::plain : worse ? Style::bad : Style::good;
    table.add_row({run.point.run.substr(0, 8),
                   day_text(run.point.started_ns),
                   run.point.commit.substr(0, 12),
                   std::to_string(run.point.medians.size()),
                   datasets::format_si(run.value, history.unit),
                   i > 0 ? percent_text(run.value / history.runs[i - 1].value) : "",
                   {mark, style}});
  }
  out += markdown ? table.markdown() : table.render(context.width, context.color);
  out += "\n";
  if (first > 0) out += fmt::format("{} earlier runs not shown (--rows 0 shows all)\n", first);
  if (history.levels.changes.empty()) out += fmt::format("no change of level in {} runs\n", n);
  for (const Change& change : history.levels.changes) {
    const PastRun& run = history.runs[change.first];
    out += fmt::format("{} {} {}: {} -> {}, {} run {} ({}{})\n", to_string(change.kind), percent_text(change.ratio()),
                       effect_word(history, change.ratio()), datasets::format_si(change.before, history.unit),
                       datasets::format_si(change.after, history.unit),
                       change.kind == ChangeKind::step ? "from" : "climbing from", run.point.run.substr(0, 8),
                       day_text(run.point.started_ns),
                       run.point.commit.empty() ? "" : ", commit " + run.point.commit.substr(0, 12));
  }
  return out + fence_text(history.fence, history.unit);
}

std::string history_as_json(const CaseHistory& history) {
  nlohmann::json out = {
      {"schema_version", results_db::export_schema_version},
      {"case", history.item.record.key},
      {"machine", {{"id", history.machine.id}, {"name", history.machine.name}}},
      {"metric", history.metric},
      {"unit", history.unit},
      {"provenance", results_db::to_string(history.provenance)},
      {"better", history.direction == harness::stats::Direction::lower_is_better ? "lower" : "higher"},
      {"noise", history.levels.noise},
      {"correlation", history.levels.correlation},
      {"fence", fence_json(history.fence)}};
  out["runs"] = nlohmann::json::array();
  for (std::size_t i = 0; i < history.runs.size(); ++i) {
    const PastRun& run = history.runs[i];
    out["runs"].push_back({{"run", run.point.run},
                           {"started_ns", run.point.started_ns},
                           {"commit", run.point.commit},
                           {"suite", run.suite},
                           {"tags", run.tags},
                           {"launches", run.point.medians},
                           {"value", run.value},
                           {"level", level_at(history, i)},
                           {"fence", fence_json(run.fence)},
                           {"outside_fence", run.fence.known() && !run.fence.holds(run.value)}});
  }
  out["changes"] = nlohmann::json::array();
  for (const Change& change : history.levels.changes)
    out["changes"].push_back(
        {{"kind", to_string(change.kind)},
         {"first", change.first},
         {"last", change.last},
         {"run", history.runs[change.first].point.run},
         {"before", change.before},
         {"after", change.after},
         {"ratio", change.ratio()},
         {"effect", effect_word(history, change.ratio())},
         {"magnitude", to_string(harness::stats::magnitude_of(change.ratio(), allowance_before(history, change),
                                                              harness::stats::ChangeRule{}.effect_floor))}});
  return out.dump(2) + "\n";
}

}  // namespace assay::cli
