#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/cli/list.h"
#include "harness/table.h"
#include "results_db/metrics.h"

namespace assay::cli {
namespace {

using nlohmann::json;
using results_db::MetricDefinition;

std::vector<MetricDefinition> chosen(const ListRequest& request) {
  const auto all = results_db::metric_registry();
  if (request.names.empty()) return {all.begin(), all.end()};
  std::vector<MetricDefinition> some;
  for (const std::string& name : request.names) {
    if (const MetricDefinition* found = results_db::find_metric(name)) {
      some.push_back(*found);
      continue;
    }
    std::vector<std::string> names;
    for (const MetricDefinition& metric : all) names.emplace_back(metric.name);
    throw UserError(
        fmt::format("unknown metric '{}'; nearest: {}", name, fmt::join(datasets::nearest_names(name, names), ", ")));
  }
  return some;
}

}  // namespace

void list_metrics(const ListRequest& request, const Context& context) {
  if (!request.families.empty()) throw UserError("list metrics: found --family, which metrics do not have");
  const auto metrics = chosen(request);
  if (context.json) {
    json list = json::array();
    for (const MetricDefinition& metric : metrics)
      list.push_back({{"name", metric.name},
                      {"unit", metric.unit},
                      {"better", results_db::to_string(metric.better)},
                      {"formula", metric.formula}});
    fmt::print("{}\n", json{{"schema_version", list_schema_version}, {"metrics", std::move(list)}}.dump(2));
    return;
  }
  harness::Table table({{"metric"}, {"unit"}, {"better"}, {"how it is obtained", false, 30}});
  for (const MetricDefinition& metric : metrics)
    table.add_row({std::string(metric.name), std::string(metric.unit.empty() ? "of the case" : metric.unit),
                   results_db::to_string(metric.better), std::string(metric.formula)});
  fmt::print("{}", table.render(context.width, context.color));
}

}  // namespace assay::cli
