#include "harness/cli/run_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "datasets/quantity.h"
#include "harness/axis_words.h"
#include "harness/params.h"
#include "harness/stats/median.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Params;
using nlohmann::json;
using results_db::LaunchRecord;
using results_db::Metric;
using results_db::Provenance;
using results_db::Status;

bool is_roof(const results_db::CaseRecord& record) {
  return record.technique == "hardware/cpu-roofs" || record.technique == "hardware/gpu-roofs";
}

// One case of the run: its launches reduced to the values that views show.
struct Row {
  results_db::CaseRow item;
  Params params;
  std::vector<LaunchRecord> launches;
  std::optional<results_db::GateRecord> gate;

  std::string family() const { return item.record.technique.substr(0, item.record.technique.rfind('/')); }
  std::string name() const { return item.record.technique.substr(item.record.technique.rfind('/') + 1); }

  bool ok() const {
    return !launches.empty() && std::all_of(launches.begin(), launches.end(),
                                            [](const LaunchRecord& launch) { return launch.status == Status::ok; });
  }
  // Of a pass that recorded what runs on the GPU (assay run --kernels).
  std::size_t kernels() const { return launches.empty() ? 0 : launches.front().kernels.size(); }
  // Of a run that timed nothing (assay run --check).
  bool checked_only() const { return launches.empty() && gate && gate->status == Status::ok; }
  const LaunchRecord* unfinished() const {
    for (const LaunchRecord& launch : launches)
      if (launch.status != Status::ok) return &launch;
    return nullptr;
  }
  std::vector<double> values(const std::string& metric) const {
    std::vector<double> found;
    for (const LaunchRecord& launch : launches)
      for (const Metric& held : launch.metrics)
        if (held.name == metric) found.push_back(held.value);
    return found;
  }
  std::optional<double> value(const std::string& metric) const {
    const auto found = values(metric);
    if (found.empty()) return std::nullopt;
    return harness::stats::median(found);
  }
  std::optional<Provenance> provenance() const {
    for (const LaunchRecord& launch : launches)
      for (const Metric& held : launch.metrics)
        if (held.name == "time" || held.name == "step_time") return held.provenance;
    return std::nullopt;
  }
};

std::vector<Row> rows_of(results_db::Store& store, const std::string& run, const ViewOptions& options) {
  std::vector<Row> rows;
  for (auto& item : store.cases_of(run)) {
    if (!options.filter.empty() && item.record.key.find(options.filter) == std::string::npos) continue;
    Row row;
    row.params = Params::from_json(item.record.parameters_json);
    row.launches = store.launches(run, item.id);
    row.gate = store.gate(run, item.id);
    row.item = std::move(item);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string axis_text(const harness::Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return datasets::format_count(*whole);
  return harness::to_text(value);
}

// Median over launches with half the spread between them: what one more launch may be expected to differ by.
std::string spread_text(const std::vector<double>& values, const std::string& unit) {
  const double middle = harness::stats::median(values);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  std::string text = datasets::format_si(middle, unit);
  if (values.size() > 1 && middle > 0) text += fmt::format(" ±{:.1f}%", 50 * (*high - *low) / middle);
  return text;
}

// What the residuals of the model's constants leave open about a projected value.
std::string interval_text(const Row& row, const std::string& metric) {
  for (const LaunchRecord& launch : row.launches)
    for (const Metric& held : launch.metrics)
      if (held.name == metric && held.low && held.high)
        return fmt::format("{} to {}", datasets::format_si(*held.low, held.unit),
                           datasets::format_si(*held.high, held.unit));
  return "";
}

std::string percent(const std::optional<double>& share) { return share ? fmt::format("{:.0f}%", 100 * *share) : ""; }

struct Column {
  std::string title;
  bool right = true;
  std::function<std::string(const Row&)> text;
};

// Columns that have something to say for at least one row of the group.
std::vector<Column> columns_for(const std::vector<const Row*>& group) {
  std::vector<Column> columns;
  const auto any = [&](const std::string& metric) {
    return std::any_of(group.begin(), group.end(), [&](const Row* row) { return row->value(metric).has_value(); });
  };
  const auto metric_column = [&](std::string title, const std::string& metric, const std::string& unit) {
    if (any(metric))
      columns.push_back({std::move(title), true, [metric, unit](const Row& row) {
                           const auto value = row.value(metric);
                           return value ? datasets::format_si(*value, unit) : std::string();
                         }});
  };
  const auto share_column = [&](std::string title, const std::string& metric) {
    if (any(metric))
      columns.push_back({std::move(title), true, [metric](const Row& row) { return percent(row.value(metric)); }});
  };
  columns.push_back({"time", true, [](const Row& row) {
                       for (const char* metric : {"time", "step_time"})
                         if (const auto values = row.values(metric); !values.empty()) return spread_text(values, "s");
                       const LaunchRecord* bad = row.unfinished();
                       if (bad == nullptr && row.checked_only()) return std::string("checked only");
                       if (bad == nullptr && row.kernels() > 0) return fmt::format("{} activities", row.kernels());
                       return bad == nullptr ? std::string("not run") : std::string(to_string(bad->status));
                     }});
  if (any("step_time"))
    columns.push_back({"interval", true, [](const Row& row) { return interval_text(row, "step_time"); }});
  metric_column("TTFT p50", "ttft_p50", "s");
  metric_column("TTFT p99", "ttft_p99", "s");
  metric_column("TBT p99", "tbt_p99", "s");
  if (any("ttft_p50")) metric_column("output", "throughput", "tok/s");
  share_column("in SLO", "attainment");
  metric_column("goodput", "goodput", "req/s");
  metric_column("capacity", "capacity", "req/s");
  metric_column("rate", "flops_rate", "FLOP/s");
  share_column("roof", "roof_share");
  share_column("matrix", "second_roof_share");
  // Where FLOP/s says it all, bytes a second would only take room.
  const bool bytes_alone = std::any_of(
      group.begin(), group.end(), [](const Row* row) { return !row->value("flops_rate") && row->value("bandwidth"); });
  if (bytes_alone) metric_column("bandwidth", "bandwidth", "B/s");
  metric_column("sent", "comm_bytes", "B");
  if (any("comm_messages"))
    columns.push_back({"messages", true, [](const Row& row) {
                         const auto value = row.value("comm_messages");
                         return value ? fmt::format("{:.0f}", *value) : std::string();
                       }});
  metric_column("exposed", "exposed_comm", "s");
  metric_column("memory", "memory_peak", "B");
  metric_column("energy", "energy_per_token", "J/token");
  share_column("hits", "hit_rate");
  for (const auto& [title, metric] :
       {std::pair{"vs framework", "speedup_over_gpu_framework"}, std::pair{"vs roofline", "speedup_over_gpu_roofline"}})
    if (any(metric))
      columns.push_back({title, true, [metric = std::string(metric)](const Row& row) {
                           const auto value = row.value(metric);
                           return value ? fmt::format("{:.3g}x", *value) : std::string();
                         }});
  if (std::any_of(group.begin(), group.end(), [](const Row* row) { return row->gate.has_value(); }))
    columns.push_back({"check", true, [](const Row& row) {
                         if (!row.gate) return std::string("none");
                         if (row.gate->status != Status::ok) return std::string(to_string(row.gate->status));
                         return row.gate->mutants_total == 0
                                    ? fmt::format("{:.2f}", row.gate->error)
                                    : fmt::format("{:.2f} {}/{}", row.gate->error, row.gate->mutants_caught,
                                                  row.gate->mutants_total);
                       }});
  columns.push_back({"how", false, [](const Row& row) {
                       const auto provenance = row.provenance();
                       return provenance ? std::string(to_string(*provenance)) : std::string();
                     }});
  return columns;
}

bool fits(const std::string& lines, int width) {
  std::stringstream stream(lines);
  for (std::string line; std::getline(stream, line);)
    if (harness::display_width(line) > width) return false;
  return true;
}

// Rows by the axes they have, in the order of their first row.
std::vector<std::vector<const Row*>> by_axes(const std::vector<const Row*>& group) {
  std::vector<std::vector<const Row*>> parts;
  std::map<std::vector<std::string>, std::size_t> index;
  for (const Row* row : group) {
    std::vector<std::string> names;
    for (const auto& [name, value] : row->params.values()) names.push_back(name);
    const auto [at, is_new] = index.try_emplace(std::move(names), parts.size());
    if (is_new) parts.emplace_back();
    parts[at->second].push_back(row);
  }
  return parts;
}

// What all rows share goes to the heading; every axis that varies gets a column. A table that is too wide for that is
// split where rows have different axes: each part then shares more.
void print_group(std::string& out, const std::string& family, const std::vector<const Row*>& group,
                 const Context& context, const ViewOptions& options) {
  std::map<std::string, std::set<std::string>> values;
  std::map<std::string, std::size_t> seen;
  for (const Row* row : group)
    for (const auto& [name, value] : row->params.values()) {
      values[name].insert(axis_text(value));
      ++seen[name];
    }
  // What a case is beyond its parameters gets a column where it varies.
  std::vector<std::pair<const char*, std::string results_db::CaseRecord::*>> kinds = {
      {"backend", &results_db::CaseRecord::backend},
      {"fabric", &results_db::CaseRecord::fabric},
      {"timer", &results_db::CaseRecord::timer},
      {"cache", &results_db::CaseRecord::cache}};
  std::erase_if(kinds, [&](const auto& kind) {
    return std::all_of(group.begin(), group.end(), [&](const Row* row) {
      return row->item.record.*kind.second == group.front()->item.record.*kind.second;
    });
  });
  const bool one_provenance = std::all_of(group.begin(), group.end(), [&](const Row* row) {
    return row->provenance() && row->provenance() == group.front()->provenance();
  });
  std::string heading;
  if (one_provenance) heading += fmt::format(" {}", to_string(*group.front()->provenance()));
  std::vector<std::string> varying;
  for (const auto& [name, held] : values) {
    if (held.size() == 1 && seen[name] == group.size())
      heading += fmt::format(" {}={}", harness::short_axis_name(name), *held.begin());
    else
      varying.push_back(name);
  }

  std::vector<Column> columns = columns_for(group);
  if (one_provenance) std::erase_if(columns, [](const Column& column) { return column.title == "how"; });
  int longest_name = 0;
  for (const Row* row : group) longest_name = std::max(longest_name, harness::display_width(row->name()));
  harness::Table table;
  table.add_column({.title = "technique", .min_width = std::min(longest_name, 32)});
  for (const auto& kind : kinds) table.add_column({.title = kind.first});
  for (const std::string& name : varying) table.add_column({.title = harness::short_axis_name(name), .right = true});
  for (const Column& column : columns) table.add_column({.title = column.title, .right = column.right});
  for (const Row* row : group) {
    std::vector<harness::Cell> cells = {{row->name()}};
    for (const auto& kind : kinds) cells.emplace_back(row->item.record.*kind.second);
    for (const std::string& name : varying)
      cells.emplace_back(row->params.has(name) ? axis_text(row->params.values().find(name)->second) : "");
    for (const Column& column : columns) cells.emplace_back(column.text(*row));
    table.add_row(std::move(cells));
  }
  if (options.markdown) {
    out += fmt::format("### {}\n\nall:{}\n\n{}\n", family, heading, table.markdown());
    return;
  }
  const auto parts = by_axes(group);
  if (parts.size() > 1 && !fits(table.render(context.width, false), context.width)) {
    for (const auto& part : parts) print_group(out, family, part, context, options);
    return;
  }
  out += harness::wrap(fmt::format("{}  all:{}", family, heading), context.width) +
         table.render(context.width, context.color);
  out += "\n";
}

std::string date_text(std::int64_t ns) {
  const std::time_t seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

json metric_json(const Metric& metric) {
  json object = {{"name", metric.name},
                 {"value", metric.value},
                 {"unit", metric.unit},
                 {"provenance", to_string(metric.provenance)}};
  if (metric.low) object["low"] = *metric.low;
  if (metric.high) object["high"] = *metric.high;
  return object;
}

}  // namespace

std::string run_as_text(results_db::Store& store, const results_db::RunRecord& run, const Context& context,
                        const ViewOptions& options) {
  const std::vector<Row> rows = rows_of(store, run.id, options);
  std::string out = fmt::format("run {}  suite {}  {}  {}  {}\n", run.id.substr(0, 8), run.suite,
                                date_text(run.started_ns), run.status, run.machine.cpu);
  out += fmt::format("commit {}{}  {}\n\n", run.build.commit.substr(0, 12), run.build.dirty ? " (dirty)" : "",
                     run.build.compiler);

  std::vector<std::string> families;
  std::map<std::string, std::vector<const Row*>> groups;
  std::size_t roofs = 0;
  const bool only_roofs =
      std::all_of(rows.begin(), rows.end(), [](const Row& row) { return is_roof(row.item.record); });
  for (const Row& row : rows) {
    if (is_roof(row.item.record) && !options.roofs && !only_roofs) {
      ++roofs;
      continue;
    }
    // Projected and real rows never share a table: their times must not be read against each other by accident.
    const std::string name = row.family() + (row.item.record.timer == "virtual" ? " (projected)" : "");
    if (!groups.contains(name)) families.push_back(name);
    groups[name].push_back(&row);
  }
  for (const std::string& family : families) print_group(out, family, groups[family], context, options);

  std::size_t ok = 0;
  std::vector<const Row*> unfinished;
  for (const Row& row : rows) {
    if (row.ok() || row.checked_only()) ++ok;
    if (row.unfinished() != nullptr) unfinished.push_back(&row);
  }
  std::map<std::string, std::size_t> reasons;
  for (const Row* row : unfinished) {
    const LaunchRecord& bad = *row->unfinished();
    if (bad.status == Status::skipped)
      ++reasons[bad.reason];
    else
      out += fmt::format("failed: {}\n        {}\n", row->item.record.key, bad.reason);
  }
  for (const auto& [reason, count] : reasons) out += fmt::format("skipped ({}): {}\n", count, reason);
  out += fmt::format("{} of {} cases ok", ok, rows.size());
  if (roofs > 0) out += fmt::format("; {} roof rows not shown (--roofs)", roofs);
  out += fmt::format("; database {}\n", store.path());
  return out;
}

std::string run_as_json(results_db::Store& store, const results_db::RunRecord& run, const ViewOptions& options,
                        const std::string& against_base) {
  json cases = json::array();
  for (const Row& row : rows_of(store, run.id, options)) {
    json launches = json::array();
    for (const LaunchRecord& launch : row.launches) {
      json metrics = json::array();
      for (const Metric& metric : launch.metrics) metrics.push_back(metric_json(metric));
      json parts = json::array();
      for (const auto& part : launch.breakdown)
        parts.push_back({{"component", part.component},
                         {"kind", part.kind},
                         {"value", part.value},
                         {"provenance", to_string(part.provenance)}});
      launches.push_back(
          {{"ordinal", launch.ordinal},
           {"status", to_string(launch.status)},
           {"reason", launch.reason},
           {"stderr_tail", launch.stderr_tail},
           {"stop_reason", launch.stop_reason},
           {"samples", launch.samples.size()},
           {"warmup", launch.warmup},
           {"batch", launch.batch},
           {"wall_seconds", launch.wall_seconds},
           {"code_hash", launch.code_hash},
           {"descriptors", json::parse(launch.descriptors_json.empty() ? "{}" : launch.descriptors_json)},
           {"metrics", std::move(metrics)},
           {"breakdown", std::move(parts)}});
    }
    json object = {{"key", row.item.record.key},
                   {"technique", row.item.record.technique},
                   {"backend", row.item.record.backend},
                   {"fabric", row.item.record.fabric},
                   {"timer", row.item.record.timer},
                   {"cache", row.item.record.cache},
                   {"parameters", json::parse(row.item.record.parameters_json)},
                   {"status", row.unfinished() != nullptr ? to_string(row.unfinished()->status)
                              : row.launches.empty()      ? "not run"
                                                          : "ok"},
                   {"launches", std::move(launches)}};
    if (row.gate)
      object["gate"] = {{"status", to_string(row.gate->status)},
                        {"reason", row.gate->reason},
                        {"error", std::isfinite(row.gate->error) ? json(row.gate->error) : json(nullptr)},
                        {"coverage", row.gate->coverage},
                        {"wall_seconds", row.gate->wall_seconds},
                        {"mutants_total", row.gate->mutants_total},
                        {"mutants_caught", row.gate->mutants_caught}};
    cases.push_back(std::move(object));
  }
  json out = {{"schema_version", 1},
              {"run",
               {{"id", run.id},
                {"suite", run.suite},
                {"status", run.status},
                {"command", run.command},
                {"started_ns", run.started_ns},
                {"finished_ns", run.finished_ns},
                {"seed", run.seed},
                {"tags", run.tags},
                {"machine", run.machine.id},
                {"cpu", run.machine.cpu},
                {"commit", run.build.commit},
                {"dirty", run.build.dirty},
                {"compiler", run.build.compiler},
                {"environment", json::parse(run.environment_json.empty() ? "{}" : run.environment_json)}}},
              {"cases", std::move(cases)}};
  if (!against_base.empty()) out["against_base"] = json::parse(against_base);
  return out.dump(2);
}

}  // namespace assay::cli
