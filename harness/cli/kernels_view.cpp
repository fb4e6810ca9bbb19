#include "harness/cli/kernels_view.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using nlohmann::json;
using results_db::KernelRecord;

// "132x2x1"; "" where the shape has none (copies, fills).
std::string extent(const json& shape, const char* key) {
  if (!shape.contains(key)) return "";
  const json& sides = shape.at(key);
  return fmt::format("{}x{}x{}", sides.at(0).get<int>(), sides.at(1).get<int>(), sides.at(2).get<int>());
}

std::string number(const json& shape, const char* key) {
  return shape.contains(key) ? fmt::format("{}", shape.at(key).get<std::int64_t>()) : "";
}

// Every pass of the region over one kernel is a row of its own in the database and one line of the table.
struct Group {
  const KernelRecord* first = nullptr;
  std::int64_t count = 0;
  std::int64_t nanoseconds = 0;
};

std::string table_of(const std::vector<KernelRecord>& kernels, const Context& context) {
  std::vector<Group> groups;
  std::map<std::pair<std::string, std::string>, std::size_t> index;
  std::int64_t total = 0;
  for (const KernelRecord& kernel : kernels) {
    const auto [at, is_new] = index.try_emplace({kernel.name, kernel.launch_json}, groups.size());
    if (is_new) groups.push_back({.first = &kernel});
    ++groups[at->second].count;
    groups[at->second].nanoseconds += kernel.duration_ns;
    total += kernel.duration_ns;
  }
  harness::Table table({{"kernel", false, 16},
                        {"count", true},
                        {"each", true},
                        {"share", true},
                        {"grid", true},
                        {"block", true},
                        {"registers", true},
                        {"static smem", true},
                        {"dynamic smem", true},
                        {"bytes", true}});
  for (const Group& group : groups) {
    const json shape = json::parse(group.first->launch_json);
    const double each = 1e-9 * static_cast<double>(group.nanoseconds) / static_cast<double>(group.count);
    table.add_row(
        {group.first->name, fmt::format("{}", group.count), datasets::format_si(each, "s"),
         total > 0 ? fmt::format("{:.1f}%", 100.0 * static_cast<double>(group.nanoseconds) / static_cast<double>(total))
                   : "",
         extent(shape, "grid"), extent(shape, "block"), number(shape, "registers"), number(shape, "static_shared"),
         number(shape, "dynamic_shared"), number(shape, "bytes")});
  }
  return table.render(context.width, context.color);
}

// The counters of a launch; nullptr where it is of another pass.
const results_db::Metric* counter(const results_db::LaunchRecord& launch, const char* name) {
  for (const auto& metric : launch.metrics)
    if (metric.name == name) return &metric;
  return nullptr;
}

}  // namespace

std::string kernels_of(results_db::Store& store, const results_db::RunRecord& run, const std::string& filter,
                       const Context& context) {
  std::string out;
  json cases = json::array();
  harness::Table counted({{"case", false, 24}, {"matrix units", true}, {"DRAM", true}, {"L2 hits", true}});
  bool any_counted = false;
  for (const auto& item : store.cases_of(run.id)) {
    if (item.record.key.find(filter) == std::string::npos) continue;
    for (const auto& launch : store.launches(run.id, item.id)) {
      if (const auto* tensor = counter(launch, "tensor_active"); tensor != nullptr) {
        const auto* dram = counter(launch, "dram_bytes");
        const auto* hits = counter(launch, "l2_hit_rate");
        any_counted = true;
        counted.add_row({item.record.key, fmt::format("{:.1f}%", 100 * tensor->value),
                         dram == nullptr ? "" : datasets::format_si(dram->value, "B"),
                         hits == nullptr ? "" : fmt::format("{:.1f}%", 100 * hits->value)});
        cases.push_back({{"key", item.record.key},
                         {"counters",
                          {{"tensor_active", tensor->value},
                           {"dram_bytes", dram == nullptr ? json() : json(dram->value)},
                           {"l2_hit_rate", hits == nullptr ? json() : json(hits->value)}}}});
      }
      if (launch.kernels.empty()) continue;
      out += fmt::format("{}\n{}\n", harness::styled(item.record.key, harness::Style::bold, context.color),
                         table_of(launch.kernels, context));
      json rows = json::array();
      for (const KernelRecord& kernel : launch.kernels)
        rows.push_back({{"name", kernel.name},
                        {"stream", kernel.stream},
                        {"start_ns", kernel.start_ns},
                        {"duration_ns", kernel.duration_ns},
                        {"shape", json::parse(kernel.launch_json)}});
      cases.push_back({{"key", item.record.key}, {"kernels", std::move(rows)}});
    }
  }
  if (any_counted) out += counted.render(context.width, context.color);
  if (cases.empty())
    throw UserError(
        fmt::format("run {} has no kernels{}; `assay run SUITE --kernels` records them on a GPU, --counters "
                    "reads its counters",
                    run.id.substr(0, 8), filter.empty() ? "" : " of cases with '" + filter + "'"),
        3);
  if (!context.json) return out;
  return json{{"schema_version", 1}, {"run", run.id}, {"cases", std::move(cases)}}.dump(2) + "\n";
}

}  // namespace assay::cli
