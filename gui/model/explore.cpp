#include "gui/model/explore.h"

#include <algorithm>
#include <map>
#include <set>

#include "results_db/metrics.h"

namespace assay::gui {
namespace {

constexpr const char* by_technique = "technique";

struct AxisUse {
  std::set<std::string> values;
  std::set<double> numbers;
  int cases = 0;
  bool numeric = true;
};

std::map<std::string, AxisUse> axes_of(const std::vector<const CaseResult*>& cases) {
  std::map<std::string, AxisUse> axes;
  for (const CaseResult* result : cases)
    for (const Parameter& parameter : result->info.parameters) {
      AxisUse& use = axes[parameter.name];
      use.values.insert(parameter.text);
      ++use.cases;
      if (parameter.number)
        use.numbers.insert(*parameter.number);
      else
        use.numeric = false;
    }
  return axes;
}

std::string usual_metric(const std::vector<const CaseResult*>& cases) {
  std::map<std::string, int> counts;
  for (const CaseResult* result : cases)
    if (const Value* value = result->main_value()) ++counts[value->metric];
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? "time" : most->first;
}

// The axis along which most can be seen: numbers before words, flags last.
std::string best_axis(const std::map<std::string, AxisUse>& axes) {
  std::string best = by_technique;
  std::size_t most = 2;  // two sizes make no line: such points are read better side by side
  for (const auto& [name, use] : axes)
    if (use.numeric && use.values.size() > most) {
      best = name;
      most = use.values.size();
    }
  return best;
}

// Which varying axes get panels: those of most cases first, as long as there are not too many panels.
std::vector<std::string> facets_of(const std::vector<const CaseResult*>& cases,
                                   const std::map<std::string, AxisUse>& axes, const std::string& x, int most_panels) {
  std::vector<std::string> candidates;
  for (const auto& [name, use] : axes)
    if (name != x && use.values.size() > 1) candidates.push_back(name);
  std::stable_sort(candidates.begin(), candidates.end(), [&](const std::string& a, const std::string& b) {
    if (axes.at(a).cases != axes.at(b).cases) return axes.at(a).cases > axes.at(b).cases;
    return axes.at(a).values.size() < axes.at(b).values.size();
  });
  std::vector<std::string> chosen;
  for (const std::string& name : candidates) {
    std::set<std::string> combinations;
    for (const CaseResult* result : cases) {
      std::string combination;
      for (const std::string& held : chosen)
        if (const auto* parameter = result->info.parameter(held)) combination += parameter->text + "\n";
      if (const auto* parameter = result->info.parameter(name)) combination += parameter->text;
      combinations.insert(combination);
    }
    if (static_cast<int>(combinations.size()) <= most_panels) chosen.push_back(name);
  }
  return chosen;
}

std::string chosen_text(const CaseInfo& info, const std::vector<std::string>& chosen) {
  std::string text;
  for (const auto& [axis, phrase] : info.phrases)
    if (std::find(chosen.begin(), chosen.end(), axis) != chosen.end()) text += (text.empty() ? "" : ", ") + phrase;
  return text;
}

// Of each series only what another one of the panel has otherwise, or one of its technique has not at all: a name that
// repeats what all share is too long to be read.
void name_variants(ExplorePanel& panel, const std::set<std::string>& told) {
  std::map<std::string, std::set<std::string>> texts;                 // of an axis
  std::map<std::pair<std::string, std::string>, std::size_t> having;  // technique and axis: series that have it
  std::map<std::string, std::size_t> series_of;                       // technique
  std::set<std::string> places;
  for (const ExploreSeries& series : panel.series) {
    const CaseInfo& info = series.points.front().result->info;
    ++series_of[series.technique];
    places.insert(where_text(info));
    for (const auto& [axis, phrase] : info.phrases) {
      if (told.contains(axis)) continue;
      texts[axis].insert(phrase);
      ++having[{series.technique, axis}];
    }
  }
  for (ExploreSeries& series : panel.series) {
    const CaseInfo& info = series.points.front().result->info;
    series.variant.clear();
    const auto add = [&](const std::string& words) { series.variant += (series.variant.empty() ? "" : ", ") + words; };
    for (const auto& [axis, phrase] : info.phrases)
      if (!told.contains(axis) &&
          (texts[axis].size() > 1 || having[{series.technique, axis}] < series_of[series.technique]))
        add(phrase);
    if (places.size() > 1) add(where_text(info));
  }
}

// Where two series of a panel would look the same but for where they ran.
std::string where_ran(const CaseInfo& info, bool several_places) { return several_places ? where_text(info) : ""; }

}  // namespace

Kept kept_cases(const RunData& data, const Filter& filter) {
  Kept kept;
  const bool roofs = filter.text.find("roof") != std::string::npos;
  for (const CaseResult& result : data.cases) {
    if (!roofs && is_roof(result.info)) continue;
    if (matches(filter, result))
      kept.cases.push_back(&result);
    else
      ++kept.filtered_out;
  }
  return kept;
}

Exploration explore(const Kept& kept, const ExploreWish& wish) {
  Exploration out;
  const std::vector<const CaseResult*>& matching = kept.cases;
  out.filtered_out = kept.filtered_out;
  std::set<std::string> metrics;
  for (const CaseResult* result : matching)
    for (const Value& value : result->values) metrics.insert(value.metric);
  out.metrics = {metrics.begin(), metrics.end()};
  out.metric = wish.metric.empty() || !metrics.contains(wish.metric) ? usual_metric(matching) : wish.metric;
  if (const auto* definition = results_db::find_metric(out.metric))
    out.lower_is_better = definition->better != results_db::Better::higher;

  std::vector<const CaseResult*> cases;
  for (const CaseResult* result : matching) {
    if (result->value(out.metric) != nullptr)
      cases.push_back(result);
    else
      ++out.without_metric;
  }
  out.shown = static_cast<int>(cases.size());
  const auto axes = axes_of(cases);
  out.axes.emplace_back(by_technique);
  for (const auto& [name, use] : axes)
    if (use.values.size() > 1) out.axes.push_back(name);
  const bool known = std::find(out.axes.begin(), out.axes.end(), wish.axis) != out.axes.end();
  out.axis = known ? wish.axis : best_axis(axes);
  if (cases.empty()) return out;
  out.unit = cases.front()->value(out.metric)->unit;

  std::set<std::string> fixed;
  std::set<std::string> varying = {out.axis};
  for (const auto& [name, use] : axes) {
    if (use.values.size() == 1 && use.cases == out.shown)
      fixed.insert(name);
    else
      varying.insert(name);
  }
  out.common = parameters_text(cases.front()->info, varying);
  out.common_axes = fixed;
  std::set<std::string> places;
  for (const CaseResult* result : cases) places.insert(where_text(result->info));

  out.one_place = places.size() == 1;

  std::map<std::string, double> category;
  if (out.axis == by_technique) {
    out.numeric = false;
    std::set<std::string> names;
    for (const CaseResult* result : cases) names.insert(result->info.name);
    for (const std::string& name : names) {
      category[name] = static_cast<double>(out.categories.size());
      out.categories.push_back(name);
    }
  } else if (out.numeric = axes.at(out.axis).numeric; !out.numeric) {
    for (const std::string& name : axes.at(out.axis).values) {
      category[name] = static_cast<double>(out.categories.size());
      out.categories.push_back(name);
    }
  }
  const auto facets = facets_of(cases, axes, out.axis, wish.most_panels);
  std::set<std::string> told = fixed;
  told.insert(out.axis);
  told.insert(facets.begin(), facets.end());
  out.facets = facets;

  std::map<std::string, std::size_t> panel_index;
  for (const CaseResult* result : cases) {
    const Parameter* at = result->info.parameter(out.axis);
    if (out.axis != by_technique && at == nullptr) {  // has no such axis
      ++out.without_metric;
      --out.shown;
      continue;
    }
    const std::string title = chosen_text(result->info, facets);
    const auto [place, is_new] = panel_index.try_emplace(title, out.panels.size());
    if (is_new) out.panels.push_back({title, {}});
    ExplorePanel& panel = out.panels[place->second];
    ExplorePoint point;
    point.value = *result->value(out.metric);
    point.result = result;
    if (out.axis == by_technique)
      point.x = category[result->info.name];
    else
      point.x = out.numeric ? at->number.value_or(0) : category[at->text];
    std::string variant = parameters_text(result->info, told);
    if (const std::string where = where_ran(result->info, places.size() > 1); !where.empty())
      variant += (variant.empty() ? "" : ", ") + where;
    auto series = std::find_if(panel.series.begin(), panel.series.end(), [&](const ExploreSeries& held) {
      return held.technique == result->info.record.technique && held.variant == variant &&
             held.provenance == point.value.provenance;
    });
    if (series == panel.series.end()) {
      panel.series.push_back({result->info.record.technique, result->info.name, variant, point.value.provenance, {}});
      series = panel.series.end() - 1;
    }
    series->points.push_back(point);
  }
  for (ExplorePanel& panel : out.panels) name_variants(panel, told);
  for (ExplorePanel& panel : out.panels)
    for (ExploreSeries& series : panel.series)
      std::sort(series.points.begin(), series.points.end(),
                [](const ExplorePoint& a, const ExplorePoint& b) { return a.x < b.x; });
  return out;
}

std::vector<RankedPoint> ranking(const Exploration& exploration) {
  struct Placed {
    const ExplorePoint* point;
    double size;
    std::size_t panel;
  };
  std::vector<Placed> all;
  for (std::size_t panel = 0; panel < exploration.panels.size(); ++panel)
    for (const ExploreSeries& series : exploration.panels[panel].series)
      for (const ExplorePoint& point : series.points)
        all.push_back({&point, exploration.axis == by_technique ? 0 : point.x, panel});
  const auto better = [&](double a, double b) { return exploration.lower_is_better ? a < b : a > b; };
  std::stable_sort(all.begin(), all.end(), [&](const Placed& a, const Placed& b) {
    if (a.size != b.size) return a.size > b.size;
    if (a.panel != b.panel) return a.panel < b.panel;
    return better(a.point->value.median, b.point->value.median);
  });
  std::vector<RankedPoint> out;
  out.reserve(all.size());
  double best = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double value = all[i].point->value.median;
    if (i == 0 || all[i].size != all[i - 1].size || all[i].panel != all[i - 1].panel) best = value;
    out.push_back({*all[i].point, exploration.lower_is_better ? value / best : best / value});
  }
  return out;
}

}  // namespace assay::gui
