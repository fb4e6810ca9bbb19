#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/claims/claim.h"
#include "harness/cli/list.h"
#include "harness/registry.h"
#include "harness/suite.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Table;
using harness::claims::Bound;
using harness::claims::Claim;
using nlohmann::json;

// A name is a claim, or a technique by full or bare id: then all its claims.
bool named(const Claim& claim, const std::string& name) {
  return claim.id == name || claim.technique == name || claim.technique.ends_with("/" + name);
}

bool mapped(const Claim& claim) {
  const harness::Technique* technique = harness::find_technique(claim.technique);
  return technique != nullptr && technique->project != nullptr;
}

std::vector<Claim> chosen(std::vector<Claim> all, const ListRequest& request) {
  for (const std::string& name : request.names) {
    if (std::any_of(all.begin(), all.end(), [&](const Claim& claim) { return named(claim, name); })) continue;
    std::vector<std::string> ids;
    for (const Claim& claim : all) {
      ids.push_back(claim.id);
      if (std::find(ids.begin(), ids.end(), claim.technique) == ids.end()) ids.push_back(claim.technique);
    }
    const auto near = datasets::nearest_names(name, ids);
    throw UserError(fmt::format("no claim and no technique with claims is called '{}'{}", name,
                                near.empty() ? std::string() : fmt::format("; nearest: {}", fmt::join(near, ", "))));
  }
  std::erase_if(all, [&](const Claim& claim) {
    const bool wanted = request.names.empty() || std::any_of(request.names.begin(), request.names.end(),
                                                             [&](const auto& name) { return named(claim, name); });
    const bool inside = request.families.empty() ||
                        std::any_of(request.families.begin(), request.families.end(),
                                    [&](const auto& family) { return harness::in_family(claim.technique, family); });
    return !wanted || !inside;
  });
  if (all.empty()) throw UserError(fmt::format("list: no claim of family {}", fmt::join(request.families, ", ")));
  return all;
}

std::string value_text(const Claim& claim) {
  if (claim.bound == Bound::range) return fmt::format("{:g} to {:g}", claim.low, claim.high);
  return fmt::format("{:g}", claim.value);
}

void print_detail(const Claim& claim, const Context& context) {
  fmt::print("{}\n", harness::styled(claim.id, harness::Style::bold, context.color));
  const auto line = [](const char* name, const std::string& text) {
    if (!text.empty()) fmt::print("  {:<14} {}\n", name, text);
  };
  line("published", claim.published);
  line("quantity", fmt::format("{} ({}, {}) {} {}", claim.quantity, to_string(claim.form), to_string(claim.bound),
                               value_text(claim), claim.unit == "1" ? "" : claim.unit));
  line("baseline", claim.baseline);
  line("configuration", fmt::format("{}", fmt::join(claim.configurations, ", ")));
  line("kind", fmt::format("{}, {}, {}", claim.kind, claim.group, mapped(claim) ? "mapped" : "not mapped"));
  line("source", fmt::format("{} {} {} ({})", claim.paper, claim.arxiv, claim.where, claim.source));
  line("flags", fmt::format("{}", fmt::join(claim.flags, ", ")));
  line("note", claim.note);
  line("row", fmt::format("{}:{}", claim.file, claim.line));
}

json to_json(const Claim& claim) {
  json object = {{"id", claim.id},
                 {"table", to_string(claim.table)},
                 {"technique", claim.technique},
                 {"baseline", claim.baseline},
                 {"quantity", claim.quantity},
                 {"form", to_string(claim.form)},
                 {"bound", to_string(claim.bound)},
                 {"unit", claim.unit},
                 {"configurations", claim.configurations},
                 {"kind", claim.kind},
                 {"source", claim.source},
                 {"group", claim.group},
                 {"published", claim.published},
                 {"paper", claim.paper},
                 {"arxiv", claim.arxiv},
                 {"where", claim.where},
                 {"note", claim.note},
                 {"flags", claim.flags},
                 {"mapped", mapped(claim)}};
  if (claim.bound == Bound::range) {
    object["low"] = claim.low;
    object["high"] = claim.high;
  } else {
    object["value"] = claim.value;
  }
  return object;
}

}  // namespace

void list_claims(const ListRequest& request, const Context& context) {
  const auto claims = chosen(harness::claims::load_library(datasets::suites_root()).claims, request);
  if (context.json) {
    json list = json::array();
    for (const Claim& claim : claims) list.push_back(to_json(claim));
    fmt::print("{}\n", json{{"schema_version", list_schema_version}, {"claims", std::move(list)}}.dump(2));
    return;
  }
  const bool in_detail = request.names.size() == 1 && claims.size() == 1;
  if (in_detail) return print_detail(claims.front(), context);
  Table table({{"claim", false, 30, true},
               {"published", false, 20},
               {"quantity", false, 10},
               {"bound"},
               {"value", true},
               {"kind", false, 6},
               {"mapped"}});
  for (const Claim& claim : claims)
    table.add_row({claim.id, claim.published, claim.quantity, to_string(claim.bound), value_text(claim), claim.kind,
                   mapped(claim) ? "yes" : ""});
  const auto count = std::count_if(claims.begin(), claims.end(), mapped);
  fmt::print("{}{} rows, {} of techniques that project their claims\n", table.render(context.width, context.color),
             claims.size(), count);
}

}  // namespace assay::cli
