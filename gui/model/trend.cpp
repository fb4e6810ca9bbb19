#include "gui/model/trend.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "harness/hand_cuts.h"
#include "harness/history.h"
#include "harness/stats/median.h"
#include "results_db/metrics.h"

namespace assay::gui {
namespace {
using harness::stats::Contest;
using harness::stats::Launch;

constexpr double week_seconds = 7 * 86400.0;

// Start times of the launches decide whether the sides are interleaved; two runs that do not overlap never are.
std::vector<Launch> launches_of(Database& database, const TrendPoint& point, const CaseInfo& info,
                                const std::string& metric) {
  std::vector<Launch> launches;
  const auto data = database.run(database.runs()[point.run].id);
  const CaseResult* result = data ? data->find(info.id) : nullptr;
  if (result == nullptr) return launches;
  for (const auto& launch : result->launches) {
    if (launch.status != results_db::Status::ok) continue;
    double value = std::nan("");
    if (launch.distribution && metric == "time") value = launch.distribution->median;
    for (const auto& held : launch.metrics)
      if (held.name == metric) value = held.value;
    if (std::isfinite(value) && value > 0) launches.push_back({value, launch.started_ns});
  }
  return launches;
}

}  // namespace

Trend trend_of(Database& database, const CaseInfo& info, const std::string& machine, const Value& value,
               const Filter& filter) {
  Trend trend;
  trend.case_id = info.id;
  trend.metric = value.metric;
  trend.unit = value.unit;
  trend.provenance = value.provenance;
  if (const auto* definition = results_db::find_metric(value.metric))
    trend.lower_is_better = definition->better != results_db::Better::higher;
  trend.judged = has_direction(value.metric);
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < database.runs().size(); ++i) index[database.runs()[i].id] = i;
  const results_db::RunRecord* before = nullptr;
  for (const auto& held : database.store().history(info.id, machine, value.metric)) {
    const auto run = index.find(held.run);
    if (run == index.end() || held.medians.empty() || !matches_run(filter, database.runs()[run->second])) continue;
    TrendPoint point;
    point.at = static_cast<double>(held.started_ns) * 1e-9;
    point.median = harness::stats::median(held.medians);
    const auto [low, high] = std::minmax_element(held.medians.begin(), held.medians.end());
    point.lowest = *low;
    point.highest = *high;
    point.interval = harness::stats::median_interval(held.medians);
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

TrendLevels levels_of(Database& database, const Trend& trend, const harness::stats::ChangeRule& rule) {
  TrendLevels out;
  std::vector<double> values;
  std::vector<std::size_t> place;  // of a value among the points
  for (std::size_t i = 0; i < trend.points.size(); ++i) {
    if (!harness::is_tracked(database.runs()[trend.points[i].run]) || !(trend.points[i].median > 0)) continue;
    values.push_back(trend.points[i].median);
    place.push_back(i);
  }
  if (values.empty()) return out;
  const auto cuts = harness::hand_cuts(database.store().alerts(), trend.case_id, trend.metric);
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < place.size(); ++i)
    if (cuts.contains(database.runs()[trend.points[place[i]].run].id)) begins.push_back(i);
  const auto found = harness::with_cuts(harness::stats::find_changes(values, rule), values, begins);
  for (const auto& segment : found.segments) {
    if (segment.end <= segment.first) continue;
    const std::span<const double> held(values.data() + segment.first, segment.end - segment.first);
    out.levels.push_back(
        {place[segment.first], place[segment.end - 1], segment.level, harness::stats::median_interval(held)});
  }
  for (const auto& change : found.changes)
    out.changes.push_back({change.kind, place[change.first == 0 ? 0 : change.first - 1], place[change.first],
                           change.ratio(), std::find(begins.begin(), begins.end(), change.first) != begins.end()});
  return out;
}

harness::stats::Decision judge_pair(Database& database, const CaseInfo& info, const Trend& trend, std::size_t from,
                                    std::size_t to) {
  return harness::stats::decide(Contest{
      launches_of(database, trend.points[from], info, trend.metric),
      launches_of(database, trend.points[to], info, trend.metric),
      trend.lower_is_better ? harness::stats::Direction::lower_is_better : harness::stats::Direction::higher_is_better,
      trend.provenance == results_db::Provenance::projected,
      {}});
}

TrendAnswer judge_trend(Database& database, const CaseInfo& info, const Trend& trend, std::size_t at) {
  TrendAnswer answer;
  if (at >= trend.points.size()) return answer;
  const bool exact = trend.provenance == results_db::Provenance::projected;
  const auto b = launches_of(database, trend.points[at], info, trend.metric);
  const auto direction =
      trend.lower_is_better ? harness::stats::Direction::lower_is_better : harness::stats::Direction::higher_is_better;
  std::vector<Contest> contests;
  if (at > 0) {
    answer.last_from = at - 1;
    contests.push_back({launches_of(database, trend.points[at - 1], info, trend.metric), b, direction, exact, {}});
  }
  for (std::size_t i = at; i-- > 0;)
    if (trend.points[i].at <= trend.points[at].at - week_seconds) {
      answer.week_from = i;
      contests.push_back({launches_of(database, trend.points[i], info, trend.metric), b, direction, exact, {}});
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
