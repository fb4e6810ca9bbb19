#include "gui/model/trend.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "harness/stats/median.h"

namespace assay::gui {
namespace {
using harness::stats::Contest;
using harness::stats::Launch;

constexpr double week_seconds = 7 * 86400.0;

// Start times of the launches decide whether the sides are interleaved; two runs that do not overlap never are.
std::vector<Launch> launches_of(Database& database, const TrendPoint& point, const CaseInfo& info) {
  std::vector<Launch> launches;
  const auto data = database.run(database.runs()[point.run].id);
  const CaseResult* result = data ? data->find(info.id) : nullptr;
  if (result == nullptr) return launches;
  for (const auto& launch : result->launches) {
    if (launch.status != results_db::Status::ok) continue;
    double value = std::nan("");
    if (launch.distribution) value = launch.distribution->median;
    for (const auto& metric : launch.metrics)
      if (metric.name == "time") value = metric.value;
    if (std::isfinite(value) && value > 0) launches.push_back({value, launch.started_ns});
  }
  return launches;
}

}  // namespace

Trend trend_of(Database& database, const CaseInfo& info, const std::string& machine) {
  Trend trend;
  if (info.record.fabric == "cluster" || info.record.timer == "virtual")
    trend.provenance = results_db::Provenance::projected;
  if (info.record.fabric == "emulated") trend.provenance = results_db::Provenance::emulated;
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < database.runs().size(); ++i) index[database.runs()[i].id] = i;
  const results_db::RunRecord* before = nullptr;
  for (const auto& held : database.store().history(info.id, machine)) {
    const auto run = index.find(held.run);
    if (run == index.end() || held.medians.empty()) continue;
    TrendPoint point;
    point.at = static_cast<double>(held.started_ns) * 1e-9;
    point.median = harness::stats::median(held.medians);
    const auto [low, high] = std::minmax_element(held.medians.begin(), held.medians.end());
    point.lowest = *low;
    point.highest = *high;
    point.launches = static_cast<int>(held.medians.size());
    point.run = run->second;
    const auto& record = database.runs()[run->second];
    if (before != nullptr) {
      point.build_changed =
          before->build.compiler != record.build.compiler || before->build.flags != record.build.flags;
      point.machine_changed = before->machine.facts_json != record.machine.facts_json;
    }
    before = &record;
    trend.points.push_back(point);
  }
  return trend;
}

TrendAnswer judge_trend(Database& database, const CaseInfo& info, const Trend& trend, std::size_t at) {
  TrendAnswer answer;
  if (at >= trend.points.size()) return answer;
  const bool exact = trend.provenance == results_db::Provenance::projected;
  const auto b = launches_of(database, trend.points[at], info);
  std::vector<Contest> contests;
  if (at > 0) {
    answer.last_from = at - 1;
    contests.push_back(
        {launches_of(database, trend.points[at - 1], info), b, harness::stats::Direction::lower_is_better, exact});
  }
  for (std::size_t i = at; i-- > 0;)
    if (trend.points[i].at <= trend.points[at].at - week_seconds) {
      answer.week_from = i;
      contests.push_back(
          {launches_of(database, trend.points[i], info), b, harness::stats::Direction::lower_is_better, exact});
      break;
    }
  const auto decisions = harness::stats::decide(contests);
  if (answer.last_from) answer.last = decisions.front();
  if (answer.week_from) answer.week = decisions.back();
  return answer;
}

std::vector<Segment> min_max_segments(const std::vector<double>& x, const std::vector<double>& y, int columns) {
  std::vector<Segment> out;
  if (x.empty() || columns < 1) return out;
  const double low = x.front();
  const double width = (x.back() - low) / columns;
  int held = -1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int column = width > 0 ? std::min(columns - 1, static_cast<int>((x[i] - low) / width)) : 0;
    if (column != held) {
      held = column;
      out.push_back({x[i], y[i], y[i], y[i], y[i]});
      continue;
    }
    Segment& segment = out.back();
    segment.low = std::min(segment.low, y[i]);
    segment.high = std::max(segment.high, y[i]);
    segment.last = y[i];
  }
  return out;
}

}  // namespace assay::gui
