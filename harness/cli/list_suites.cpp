#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/list.h"
#include "harness/suite.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Case;
using harness::Suite;
using harness::Table;
using nlohmann::json;

struct Loaded {
  std::string id;
  std::optional<Suite> suite;
  std::vector<Case> cases;
  std::string problem;  // why it cannot be run
};

// The launches' budgets summed: no run times longer, set-up and gate aside.
double budget_of(const std::vector<Case>& cases) {
  double total = 0;
  for (const Case& held : cases) total += held.settings.launches * held.settings.time_budget_seconds;
  return total;
}

// A suite that does not load is shown with its reason: a list hides nothing.
Loaded load(const std::string& id, const ListRequest& request) {
  Loaded loaded{id, {}, {}, {}};
  try {
    loaded.suite = harness::load_suite(id);
    loaded.id = loaded.suite->id;
    loaded.cases = harness::expand(*loaded.suite);
  } catch (const UserError& wrong) {
    if (!request.names.empty()) throw;
    loaded.problem = wrong.what();
  }
  if (!request.families.empty()) {
    std::erase_if(loaded.cases, [&](const Case& held) {
      return std::none_of(request.families.begin(), request.families.end(),
                          [&](const std::string& family) { return harness::in_family(held.technique->id, family); });
    });
  }
  return loaded;
}

void print_detail(const Loaded& loaded, const Context& context) {
  const Suite& suite = *loaded.suite;
  fmt::print("{}\n  {}\n", harness::styled(suite.id, harness::Style::bold, context.color), suite.title);
  if (!suite.description.empty()) fmt::print("  {}\n", suite.description);
  fmt::print("  from {}\n  {} cases, {} launches each unless noted, order {}, at most {} of timing\n\n", suite.file,
             loaded.cases.size(), suite.settings.launches, suite.order,
             datasets::format_si(budget_of(loaded.cases), "s"));
  Table table({{"case", false, 40}, {"launches", true}, {"budget", true}, {"tags", false, 6}});
  for (const Case& held : loaded.cases)
    table.add_row({held.record().key, fmt::format("{}", held.settings.launches),
                   datasets::format_si(held.settings.time_budget_seconds, "s"),
                   fmt::format("{}", fmt::join(held.settings.tags, ", "))});
  fmt::print("{}", table.render(context.width, context.color));
}

json to_json(const Loaded& loaded, bool with_cases) {
  json object = {{"id", loaded.id}, {"error", loaded.problem.empty() ? json() : json(loaded.problem)}};
  if (!loaded.suite) return object;
  object["title"] = loaded.suite->title;
  object["description"] = loaded.suite->description;
  object["file"] = loaded.suite->file;
  object["tags"] = loaded.suite->settings.tags;
  object["order"] = loaded.suite->order;
  object["launches"] = loaded.suite->settings.launches;
  object["case_count"] = loaded.cases.size();
  object["timing_budget_seconds"] = budget_of(loaded.cases);
  if (!with_cases) return object;
  object["cases"] = json::array();
  for (const Case& held : loaded.cases) {
    const auto record = held.record();
    object["cases"].push_back({{"key", record.key},
                               {"technique", record.technique},
                               {"backend", record.backend},
                               {"fabric", record.fabric},
                               {"parameters", json::parse(held.params.to_json())},
                               {"timer", record.timer},
                               {"cache", record.cache},
                               {"launches", held.settings.launches},
                               {"time_budget_seconds", held.settings.time_budget_seconds},
                               {"tags", held.settings.tags}});
  }
  return object;
}

}  // namespace

void list_suites(const ListRequest& request, const Context& context) {
  std::vector<Loaded> all;
  for (const std::string& id : request.names.empty() ? harness::suite_ids() : request.names)
    all.push_back(load(id, request));
  if (!request.families.empty())
    std::erase_if(all, [](const Loaded& loaded) { return loaded.problem.empty() && loaded.cases.empty(); });
  if (context.json) {
    json list = json::array();
    for (const Loaded& loaded : all) list.push_back(to_json(loaded, !request.names.empty()));
    fmt::print("{}\n", json{{"schema_version", list_schema_version}, {"suites", std::move(list)}}.dump(2));
    return;
  }
  if (!request.names.empty()) {
    for (const Loaded& loaded : all) {
      if (loaded.id != all.front().id) fmt::print("\n");
      print_detail(loaded, context);
    }
    return;
  }
  Table table({{"suite", false, 10},
               {"title", false, 20},
               {"cases", true},
               {"launches", true},
               {"timing at most", true},
               {"tags", false, 6},
               {"cannot run", false, 20}});
  for (const Loaded& loaded : all) {
    if (!loaded.suite) {
      table.add_row({loaded.id, "", "", "", "", "", {loaded.problem, harness::Style::bad}});
      continue;
    }
    table.add_row({loaded.id, loaded.suite->title, fmt::format("{}", loaded.cases.size()),
                   fmt::format("{}", loaded.suite->settings.launches),
                   datasets::format_si(budget_of(loaded.cases), "s"),
                   fmt::format("{}", fmt::join(loaded.suite->settings.tags, ", ")), ""});
  }
  fmt::print("{}", table.render(context.width, context.color));
}

}  // namespace assay::cli
