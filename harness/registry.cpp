#include "harness/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "datasets/nearest_names.h"
#include "datasets/user_error.h"

namespace assay::harness {
namespace {

std::vector<Technique>& store() {
  static std::vector<Technique> all;
  return all;
}

std::string_view bare_name(std::string_view id) { return id.substr(id.rfind('/') + 1); }

}  // namespace

Registration::Registration(Technique technique) {
  auto& all = store();
  const auto at = std::lower_bound(all.begin(), all.end(), technique.id,
                                   [](const Technique& held, const std::string& id) { return held.id < id; });
  if (at == all.end() || at->id != technique.id) {
    all.insert(at, std::move(technique));
    return;
  }
  if (!technique.title.empty()) {
    at->title = technique.title;
    at->paper = technique.paper;
    at->summary = technique.summary;
  }
  if (technique.project != nullptr) at->project = technique.project;
  std::move(technique.implementations.begin(), technique.implementations.end(),
            std::back_inserter(at->implementations));
}

const std::vector<Technique>& techniques() { return store(); }

const Technique* find_technique(std::string_view id) {
  const auto& all = store();
  const auto at = std::find_if(all.begin(), all.end(), [&](const Technique& held) { return held.id == id; });
  return at == all.end() ? nullptr : &*at;
}

const Technique& resolve_technique(std::string_view name) {
  if (const Technique* exact = find_technique(name)) return *exact;
  std::vector<const Technique*> matches;
  std::vector<std::string> ids;
  for (const Technique& held : store()) {
    ids.push_back(held.id);
    if (bare_name(held.id) == name) matches.push_back(&held);
  }
  if (matches.size() == 1) return *matches.front();
  if (matches.size() > 1) {
    std::vector<std::string> candidates;
    for (const Technique* held : matches) candidates.push_back(held->id);
    throw UserError(fmt::format("'{}' names several techniques: {}", name, fmt::join(candidates, ", ")));
  }
  const auto near = nearest_names(name, ids);
  throw UserError(fmt::format(
      "unknown technique '{}'{}", name,
      near.empty() ? std::string("; `assay list` shows them") : fmt::format("; nearest: {}", fmt::join(near, ", "))));
}

std::vector<std::string> nearest_names(std::string_view wanted, const std::vector<std::string>& names,
                                       std::size_t count) {
  return datasets::nearest_names(wanted, names, count);
}

}  // namespace assay::harness
