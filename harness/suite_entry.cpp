#include "harness/suite_entry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "datasets/user_error.h"
#include "harness/axis.h"

namespace assay::harness {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::vector<std::string> backends_of(const Technique& technique) {
  std::vector<std::string> backends;
  for (const Implementation& held : technique.implementations)
    if (!contains(backends, held.backend)) backends.push_back(held.backend);
  return backends;
}

// "" stands for an implementation without ranks.
std::vector<std::string> fabrics_of(const Technique& technique, const std::string& backend) {
  std::vector<std::string> fabrics;
  for (const Implementation& held : technique.implementations) {
    if (held.backend != backend) continue;
    if (held.fabrics.empty() && !contains(fabrics, "")) fabrics.emplace_back();
    for (const std::string& fabric : held.fabrics)
      if (!contains(fabrics, fabric)) fabrics.push_back(fabric);
  }
  return fabrics;
}

// A fabric that one backend alone has (nccl) says which backend is meant.
void choose_backend(const Technique& technique, const std::string& fabric, std::string& backend,
                    const std::string& where) {
  const auto backends = backends_of(technique);
  if (backends.empty()) throw UserError(fmt::format("{}: {} has no implementation in this build", where, technique.id));
  if (backend.empty()) {
    backend = contains(backends, "cpu") ? "cpu" : backends.front();
    if (!fabric.empty() && !contains(fabrics_of(technique, backend), fabric))
      for (const std::string& other : backends)
        if (contains(fabrics_of(technique, other), fabric)) backend = other;
  }
  if (contains(backends, backend)) return;
  throw UserError(fmt::format("{}: backend: found '{}', expected one that {} has: {}", where, backend, technique.id,
                              fmt::join(backends, ", ")));
}

void choose_fabric(const Technique& technique, const std::string& backend, std::string& fabric,
                   const std::string& where) {
  const auto fabrics = fabrics_of(technique, backend);
  if (fabric.empty() && !contains(fabrics, "")) fabric = contains(fabrics, "threads") ? "threads" : fabrics.front();
  if (contains(fabrics, fabric)) return;
  std::vector<std::string> named;
  std::copy_if(fabrics.begin(), fabrics.end(), std::back_inserter(named),
               [](const auto& name) { return !name.empty(); });
  if (named.empty())
    throw UserError(fmt::format("{}: fabric: found '{}', but {} on {} is no program over ranks", where, fabric,
                                technique.id, backend));
  throw UserError(fmt::format("{}: fabric: found '{}', expected one that {} on {} has: {}", where, fabric, technique.id,
                              backend, fmt::join(named, ", ")));
}

void choose_timer(SuiteEntry& entry, const Implementation& implementation, const std::string& where) {
  std::vector<std::string> possible;
  if (entry.fabric == "cluster" || implementation.projects) {
    possible = {"virtual"};
  } else if (entry.backend == "cuda" && entry.fabric != "nccl") {
    possible = {"event", "graph", "cupti", "host"};
  } else {
    possible = {"host"};  // nccl too: more than one device, and ranks that wait for each other on the host
  }
  if (entry.timer.empty()) entry.timer = possible.front();
  if (!contains(possible, entry.timer))
    throw UserError(fmt::format("{}: timer: found '{}', expected one of {} for {}{}{}", where, entry.timer,
                                fmt::join(possible, ", "), entry.backend, entry.fabric.empty() ? "" : "/",
                                entry.fabric));
}

// An implementation over ranks and one without may share a backend; each fabric belongs to the first that has it.
const Implementation* find(const Technique& technique, const std::string& backend, const std::string& fabric) {
  for (const Implementation& held : technique.implementations) {
    if (held.backend != backend) continue;
    if (fabric.empty() ? held.fabrics.empty() : contains(held.fabrics, fabric)) return &held;
  }
  return nullptr;
}

}  // namespace

const Implementation& choose_implementation(SuiteEntry& entry, const std::string& where) {
  const Technique* technique = nullptr;
  try {
    technique = &resolve_technique(entry.technique);
  } catch (const UserError& unknown) {
    throw UserError(fmt::format("{}: technique: {}", where, unknown.what()));
  }
  entry.technique = technique->id;
  choose_backend(*technique, entry.fabric, entry.backend, where);
  choose_fabric(*technique, entry.backend, entry.fabric, where);
  const Implementation& implementation = *find(*technique, entry.backend, entry.fabric);
  choose_timer(entry, implementation, where);
  if (entry.cache.empty()) entry.cache = "hot";
  if (entry.cache != "hot" && entry.cache != "cold")
    throw UserError(fmt::format("{}: cache: found '{}', expected hot or cold", where, entry.cache));
  if (entry.cache == "cold" && entry.fabric == "nccl")
    throw UserError(fmt::format("{}: cache: found 'cold', expected hot on fabric nccl", where));
  return implementation;
}

void fill_axes(SuiteEntry& entry, const Implementation& implementation) {
  for (const Axis& axis : implementation.axes) {
    const bool named = std::any_of(entry.axes.begin(), entry.axes.end(),
                                   [&](const AxisValues& given) { return given.name == axis.name; });
    if (named) continue;
    if (axis.defaults.empty())
      throw UserError(
          fmt::format("{}: axis '{}' of {} has no default, expected values", entry.where, axis.name, entry.technique));
    entry.axes.push_back({axis.name, axis.defaults, fmt::format("{}: {}", entry.where, axis.name)});
  }
}

std::vector<Value> values_of(const Axis& axis, const AxisOverride& given, const std::string& where) {
  return given.from.empty() ? read_values(axis, given.values, where)
                            : read_range(axis, given.from, given.to, given.step, where);
}

const Implementation& implementation_of(const SuiteEntry& entry) {
  const Technique* technique = find_technique(entry.technique);
  const Implementation* held = technique == nullptr ? nullptr : find(*technique, entry.backend, entry.fabric);
  if (held == nullptr)
    throw UserError(fmt::format("{}: {} on {}{}{} is not in this build", entry.where, entry.technique, entry.backend,
                                entry.fabric.empty() ? "" : "/", entry.fabric));
  return *held;
}

}  // namespace assay::harness
