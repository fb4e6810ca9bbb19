#include "gui/model/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "datasets/quantity.h"
#include "harness/stats/median.h"
#include "results_db/metrics.h"

namespace assay::gui {
namespace {
using results_db::LaunchSummary;
using results_db::Metric;
using results_db::Provenance;
using results_db::Status;

struct Gathered {
  std::vector<double> values;
  const Metric* only = nullptr;
  std::string unit;
  Provenance provenance = Provenance::measured;
};

Provenance sampled_provenance(const std::string& fabric) {
  if (fabric == "emulated") return Provenance::emulated;
  return fabric == "cluster" ? Provenance::projected : Provenance::measured;
}

// As the view v_values has it: reported values, and the median of the samples where no time was reported.
void reduce(CaseResult& result) {
  std::vector<std::string> order;
  std::map<std::string, Gathered> by_metric;
  std::int64_t samples = 0;
  const auto add = [&](const std::string& name, double value, const std::string& unit, Provenance provenance,
                       const Metric* metric) {
    const auto [at, is_new] = by_metric.try_emplace(name);
    if (is_new) {
      order.push_back(name);
      at->second.unit = unit;
      at->second.provenance = provenance;
      at->second.only = metric;
    }
    if (at->second.provenance == provenance && std::isfinite(value)) at->second.values.push_back(value);
  };
  for (const LaunchSummary& launch : result.launches) {
    if (launch.status != Status::ok) continue;
    bool has_time = false;
    for (const Metric& metric : launch.metrics) {
      has_time |= metric.name == "time";
      add(metric.name, metric.value, metric.unit, metric.provenance, &metric);
    }
    if (!launch.distribution) continue;
    samples += launch.distribution->n;
    if (!has_time)
      add("time", launch.distribution->median, "s", sampled_provenance(result.info.record.fabric), nullptr);
  }
  for (const std::string& name : order) {
    const Gathered& held = by_metric[name];
    if (held.values.empty()) continue;
    Value value;
    value.metric = name;
    value.unit = held.unit;
    value.provenance = held.provenance;
    value.median = harness::stats::median(held.values);
    const auto [low, high] = std::minmax_element(held.values.begin(), held.values.end());
    value.lowest = *low;
    value.highest = *high;
    value.launches = static_cast<int>(held.values.size());
    if (held.provenance == Provenance::measured || held.provenance == Provenance::emulated) value.samples = samples;
    if (const auto interval = harness::stats::median_interval(held.values); interval.bounded()) {
      value.low = interval.low;
      value.high = interval.high;
    } else if (held.values.size() == 1 && held.only != nullptr) {
      value.low = held.only->low;
      value.high = held.only->high;
    }
    result.values.push_back(std::move(value));
  }
}

}  // namespace

bool has_direction(const std::string& metric) {
  const auto* definition = results_db::find_metric(metric);
  return definition != nullptr && definition->better != results_db::Better::neither;
}

const Value* CaseResult::value(const std::string& metric) const {
  const auto found =
      std::find_if(values.begin(), values.end(), [&](const Value& held) { return held.metric == metric; });
  return found == values.end() ? nullptr : &*found;
}

const Value* CaseResult::main_value() const {
  for (const char* metric : {"time", "step_time"})
    if (const Value* held = value(metric)) return held;
  for (const Value& held : values)
    if (has_direction(held.metric)) return &held;
  return values.empty() ? nullptr : &values.front();
}

const CaseResult* RunData::find(std::int64_t case_id) const {
  const auto found =
      std::find_if(cases.begin(), cases.end(), [&](const CaseResult& result) { return result.info.id == case_id; });
  return found == cases.end() ? nullptr : &*found;
}

std::vector<std::string> RunData::metrics() const {
  std::set<std::string> names;
  for (const CaseResult& result : cases)
    for (const Value& value : result.values) names.insert(value.metric);
  return {names.begin(), names.end()};
}

RunData load_run(results_db::Store& store, const results_db::RunRecord& run) {
  RunData data;
  data.run = run;
  std::map<std::int64_t, std::size_t> index;
  for (const auto& row : store.cases_of(run.id)) {
    index[row.id] = data.cases.size();
    data.cases.emplace_back().info = case_info(row.id, row.record);
  }
  for (LaunchSummary& launch : store.summaries(run.id)) {
    const auto found = index.find(launch.case_id);
    if (found == index.end()) continue;  // appended between the two queries
    CaseResult& result = data.cases[found->second];
    if (launch.status != Status::ok && result.status != Status::failed) {
      result.status = launch.status;
      result.reason = launch.reason;
    }
    result.launches.push_back(std::move(launch));
  }
  for (CaseResult& result : data.cases) reduce(result);
  return data;
}

std::pair<int, int> usual_powers(const std::string& unit) {
  if (unit == "s") return {-4, 0};
  for (const char* counted : {"request", "token", "parameter", "cycle"})
    if (unit.starts_with(counted)) return {0, 6};
  return {-4, 6};
}

std::string value_text(double value, const std::string& unit, const std::string& metric) {
  if (std::isnan(value)) return "";
  if (unit == "1") {
    const bool share = metric.ends_with("_share") || metric.ends_with("_fraction") || metric.ends_with("_rate") ||
                       metric == "attainment" || metric == "mfu" || metric == "hfu" || metric == "utilization";
    return share ? fmt::format("{:.1f}%", 100 * value) : fmt::format("{:.4g}", value);
  }
  if (unit == "count") return fmt::format("{:.6g}", value);
  const auto [least, largest] = usual_powers(unit);
  const double size = std::abs(value);
  if ((size >= 1000 && largest == 0) || (size < 1 && least == 0))
    return size < 1 ? fmt::format("{:.3g} {}", value, unit) : fmt::format("{:.0f} {}", value, unit);
  return datasets::format_si(value, unit);
}

std::string value_text(const Value& value) { return value_text(value.median, value.unit, value.metric); }

std::string range_text(double low, double high, const std::string& unit, const std::string& metric) {
  std::string from = value_text(low, unit, metric);
  const std::string to = value_text(high, unit, metric);
  const std::size_t space = from.rfind(' ');
  // "12.1 to 12.6 ms": a unit that both ends have is written once.
  if (space != std::string::npos && to.ends_with(from.substr(space))) from.resize(space);
  return from + " to " + to;
}

std::string interval_text(const Value& value) {
  if (!value.low || !value.high) return "";
  return range_text(*value.low, *value.high, value.unit, value.metric);
}

std::string exact_text(const Value& value) {
  return fmt::format("{:.9g}{}", value.median, value.unit.empty() || value.unit == "1" ? "" : " " + value.unit);
}

std::string reach_text(const Value& value) {
  if (value.launches < 2) return "";
  return range_text(value.lowest, value.highest, value.unit, value.metric);
}

std::string metric_heading(const std::string& metric) {
  if (!has_direction(metric)) return metric_title(metric);
  const bool less = results_db::find_metric(metric)->better == results_db::Better::lower;
  return metric_title(metric) + (less ? "  ↓ less is better" : "  ↑ more is better");
}

std::string metric_title(const std::string& metric) {
  static const std::map<std::string, std::string> titles = {{"flops_rate", "FLOP rate"},
                                                            {"device_flops", "FLOP rate a device"},
                                                            {"bytes_rate", "byte rate"},
                                                            {"roof_share", "share of roof"},
                                                            {"memory_roof_share", "share of memory roof"},
                                                            {"ttft_p50", "TTFT, median"},
                                                            {"ttft_p99", "TTFT, 99th percentile"},
                                                            {"tbt_p99", "TBT, 99th percentile"},
                                                            {"ttft", "TTFT"},
                                                            {"tbt", "TBT"},
                                                            {"tpot", "TPOT"},
                                                            {"mfu", "MFU"},
                                                            {"hfu", "HFU"}};
  const auto found = titles.find(metric);
  if (found != titles.end()) return found->second;
  // ttft_p90 -> TTFT, 90th percentile
  const std::size_t p = metric.rfind("_p");
  if (p == std::string::npos || p + 2 >= metric.size() ||
      metric.find_first_not_of("0123456789", p + 2) != std::string::npos)
    return axis_title(metric);
  const std::string level = metric.substr(p + 2);
  return metric_title(metric.substr(0, p)) + (level == "50" ? ", median" : ", " + level + "th percentile");
}

std::string evidence_text(const Value& value) {
  std::string text = results_db::to_string(value.provenance);
  text += fmt::format(", {} launch{}", value.launches, value.launches == 1 ? "" : "es");
  if (value.samples > 0) text += fmt::format(", {} samples", value.samples);
  return text;
}

}  // namespace assay::gui
