#include "gui/model/heat.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "gui/model/run_data.h"
#include "results_db/metrics.h"

namespace assay::gui {
namespace {

// What spreads most cases over most values; numbers before words.
std::string columns_axis(const std::vector<const CaseInfo*>& infos) {
  struct Use {
    bool numeric = true;
    std::size_t cases = 0;
    std::set<std::string> values;
  };
  std::map<std::string, Use> axes;
  for (const CaseInfo* info : infos)
    for (const Parameter& parameter : info->parameters) {
      Use& use = axes[parameter.name];
      use.numeric = use.numeric && parameter.number.has_value();
      ++use.cases;
      use.values.insert(parameter.text);
    }
  std::string best;
  std::pair<std::size_t, bool> most = {0, true};
  for (const auto& [name, use] : axes)
    if (const std::pair<std::size_t, bool> rank = {(use.values.size() - 1) * use.cases, use.numeric}; rank > most) {
      most = rank;
      best = name;
    }
  return best;
}

}  // namespace

HeatMap heat_map(const std::vector<const CaseInfo*>& infos, const std::vector<const harness::ComparedCase*>& cases) {
  HeatMap map;
  map.axis = columns_axis(infos);
  CommonAxes told = common_by_technique(infos);
  for (auto& [technique, axes] : told) axes.insert(map.axis);
  std::map<std::pair<double, std::string>, std::size_t> columns;  // in the order of their numbers
  for (const CaseInfo* info : infos) {
    const Parameter* at = info->parameter(map.axis);
    columns[{at == nullptr ? -HUGE_VAL : at->number.value_or(0), at == nullptr ? "" : at->text}] = 0;
  }
  for (auto& [key, place] : columns) {
    place = map.columns.size();
    map.columns.push_back(key.second.empty() ? "none" : key.second);
  }
  std::map<std::string, std::size_t> rows;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const CaseInfo& info = *infos[i];
    if (!std::isfinite(cases[i]->decision.ratio) || !(cases[i]->decision.ratio > 0)) continue;
    std::string name = info.name;
    if (const std::string parameters = parameters_text(info, told.at(info.record.technique)); !parameters.empty())
      name += ", " + parameters;
    if (!info.record.fabric.empty()) name += " · " + where_text(info);
    const auto [row, is_new] = rows.try_emplace(name, map.rows.size());
    if (is_new) map.rows.push_back(name);
    const Parameter* at = info.parameter(map.axis);
    const auto column = columns.at({at == nullptr ? -HUGE_VAL : at->number.value_or(0), at == nullptr ? "" : at->text});
    const auto* metric = results_db::find_metric(cases[i]->metric);
    const bool rate = metric != nullptr && metric->better == results_db::Better::higher;
    const double ratio = cases[i]->decision.ratio;
    const auto& held = *cases[i];
    map.cells.push_back(
        {row->second, column, i, ratio, rate ? -std::log(ratio) : std::log(ratio), held.decision.verdict,
         fmt::format("{} {} to {}, {}, {} + {} launches", metric_title(held.metric),
                     value_text(held.value_a, held.unit, held.metric), value_text(held.value_b, held.unit, held.metric),
                     results_db::to_string(held.provenance), held.decision.launches_a, held.decision.launches_b)});
  }
  return map;
}

}  // namespace assay::gui
