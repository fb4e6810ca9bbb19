#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/axis.h"
#include "harness/cli/list.h"
#include "harness/cli/stored.h"
#include "harness/registry.h"
#include "harness/suite.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Axis;
using harness::Implementation;
using harness::Table;
using harness::Technique;
using harness::Value;
using nlohmann::json;

std::vector<const Technique*> chosen(const ListRequest& request) {
  std::vector<const Technique*> all;
  for (const std::string& name : request.names) all.push_back(&harness::resolve_technique(name));
  if (request.names.empty())
    for (const Technique& technique : harness::techniques()) all.push_back(&technique);
  std::vector<std::string> families;
  std::erase_if(all, [&](const Technique* technique) {
    families.push_back(technique->id.substr(0, technique->id.rfind('/')));
    return !request.families.empty() &&
           std::none_of(request.families.begin(), request.families.end(),
                        [&](const std::string& family) { return harness::in_family(technique->id, family); });
  });
  const auto unverified = [](const Implementation& held) { return !held.verified; };
  if (request.unverified) {
    std::erase_if(
        all, [&](const Technique* technique) { return std::ranges::none_of(technique->implementations, unverified); });
    return all;
  }
  if (!all.empty()) return all;
  families.erase(std::unique(families.begin(), families.end()), families.end());
  throw UserError(fmt::format("list: no technique of family {}; there are: {}", fmt::join(request.families, ", "),
                              families.empty() ? std::string("none") : fmt::format("{}", fmt::join(families, ", "))));
}

// cpu, threads, cluster, cuda (unverified): backends, and the fabrics of programs over ranks.
std::string places(const Technique& technique) {
  std::vector<std::string> list;
  for (const Implementation& held : technique.implementations) {
    const char* note = held.verified ? "" : " (unverified)";
    if (held.fabrics.empty()) list.push_back(held.backend + note);
    for (const std::string& fabric : held.fabrics) list.push_back(fabric + note);
  }
  return fmt::format("{}", fmt::join(list, ", "));
}

// The part of a source path that the repository knows.
std::string source_of(const Implementation& implementation) {
  const auto at = implementation.source_file.rfind("impls/");
  return at == std::string::npos ? implementation.source_file : implementation.source_file.substr(at);
}

const char* dimension_name(datasets::Dimension dimension) {
  switch (dimension) {
    case datasets::Dimension::count:
      return "count";
    case datasets::Dimension::bytes:
      return "bytes";
    case datasets::Dimension::seconds:
      return "seconds";
    case datasets::Dimension::fraction:
      return "fraction";
  }
  return "count";
}

std::string values_text(const Axis& axis, const std::vector<Value>& values) {
  std::vector<std::string> texts;
  for (const Value& value : values) {
    const auto* whole = std::get_if<std::int64_t>(&value);
    texts.push_back(whole != nullptr && axis.dimension == datasets::Dimension::count ? datasets::format_count(*whole)
                                                                                     : harness::written(axis, value));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string range_text(const Axis& axis) {
  if (!axis.allowed.empty()) return values_text(axis, axis.allowed);
  if (harness::kind_of(axis) == harness::AxisKind::word) return "a word";
  return fmt::format(">= {}", axis.minimum);
}

std::string score_text(const Scores& scores, const std::string& id) {
  const auto found = scores.find(id);
  return found == scores.end() ? "" : fmt::format("{}/{}", found->second.caught, found->second.total);
}

void print_table(const std::vector<const Technique*>& all, const Scores& scores, const Context& context) {
  // An id is what one types next: it is never cut.
  std::size_t longest = 0;
  for (const Technique* technique : all) longest = std::max(longest, technique->id.size());
  Table table({{"technique", false, static_cast<int>(longest)},
               {"title", false, 12},
               {"runs on", false, 24},
               {"paper", false, 8},
               {"mutants", true}});
  for (const Technique* technique : all)
    table.add_row(
        {technique->id, technique->title, places(*technique), technique->paper, score_text(scores, technique->id)});
  fmt::print("{}", table.render(context.width, context.color));
}

void print_detail(const Technique& technique, const Scores& scores, const Context& context) {
  fmt::print("{}\n  {} ({})\n  {}\n", harness::styled(technique.id, harness::Style::bold, context.color),
             technique.title, technique.paper, technique.summary);
  fmt::print("  claims: {}\n", technique.project == nullptr ? "not mapped" : "projected by this technique");
  const std::string score = score_text(scores, technique.id);
  fmt::print("  gate: {}\n", score.empty() ? std::string("not run in this database")
                                           : fmt::format("rejected {} mutants in run {}", score,
                                                         scores.at(technique.id).run.substr(0, 8)));
  for (const Implementation& held : technique.implementations) {
    fmt::print("\n  {}{}{} from {}\n", held.backend,
               held.fabrics.empty() ? std::string() : fmt::format(" over {}", fmt::join(held.fabrics, ", ")),
               held.verified ? "" : ", unverified: has not yet run on its hardware", source_of(held));
    Table table({{"axis"}, {"default", false, 4}, {"values", false, 8}, {"meaning", false, 20}});
    for (const Axis& axis : held.axes)
      table.add_row({axis.name, values_text(axis, axis.defaults), range_text(axis), axis.help});
    fmt::print("{}", table.render(context.width, context.color));
  }
}

// Every implementation that has not yet run on its hardware, with the values of its axes that choose other code. The
// same on a terminal of any width: docs/gpu.md has it.
void print_unverified(const std::vector<const Technique*>& all) {
  for (const Technique* technique : all) {
    for (const Implementation& held : technique->implementations) {
      if (held.verified) continue;
      fmt::print("{}  {}{}{}\n", technique->id, held.backend,
                 held.fabrics.empty() ? std::string() : fmt::format(" over {}", fmt::join(held.fabrics, ", ")),
                 held.needs.empty() ? std::string() : fmt::format(" ({})", held.needs));
      for (const Axis& axis : held.axes)
        if (axis.allowed.size() > 1 && axis.name != "inputs")
          fmt::print("    {}: {}\n", axis.name, values_text(axis, axis.allowed));
    }
  }
}

json to_json(const Value& value) {
  return std::visit([](const auto& held) { return json(held); }, value);
}

json to_json(const std::vector<Value>& values) {
  json list = json::array();
  for (const Value& value : values) list.push_back(to_json(value));
  return list;
}

json to_json(const Technique& technique, const Scores& scores) {
  json implementations = json::array();
  for (const Implementation& held : technique.implementations) {
    json axes = json::array();
    for (const Axis& axis : held.axes) {
      axes.push_back({{"name", axis.name},
                      {"help", axis.help},
                      {"defaults", to_json(axis.defaults)},
                      {"allowed", to_json(axis.allowed)},
                      {"minimum", axis.minimum},
                      {"dimension", dimension_name(axis.dimension)},
                      {"legacy_default", axis.legacy_default ? to_json(*axis.legacy_default) : json()}});
    }
    implementations.push_back({{"backend", held.backend},
                               {"fabrics", held.fabrics},
                               {"verified", held.verified},
                               {"needs", held.needs},
                               {"source_file", source_of(held)},
                               {"axes", std::move(axes)}});
  }
  json gate;
  if (const auto found = scores.find(technique.id); found != scores.end())
    gate = {
        {"run", found->second.run}, {"mutants_caught", found->second.caught}, {"mutants_total", found->second.total}};
  return {{"id", technique.id},           {"family", technique.id.substr(0, technique.id.rfind('/'))},
          {"title", technique.title},     {"paper", technique.paper},
          {"summary", technique.summary}, {"projects_claims", technique.project != nullptr},
          {"gate", std::move(gate)},      {"implementations", std::move(implementations)}};
}

}  // namespace

void list_techniques(const ListRequest& request, const Context& context) {
  const auto all = chosen(request);
  const Scores scores = mutation_scores(context.database);
  if (context.json) {
    json list = json::array();
    for (const Technique* technique : all) list.push_back(to_json(*technique, scores));
    fmt::print("{}\n", json{{"schema_version", list_schema_version}, {"techniques", std::move(list)}}.dump(2));
    return;
  }
  if (request.unverified) return print_unverified(all);
  if (request.names.empty()) return print_table(all, scores, context);
  for (const Technique* technique : all) {
    if (technique != all.front()) fmt::print("\n");
    print_detail(*technique, scores, context);
  }
}

}  // namespace assay::cli
