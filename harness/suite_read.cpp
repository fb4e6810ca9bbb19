// Reads suites from TOML; every key is known and checked against the registry, or refused with its line.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/axis.h"
#include "harness/suite.h"
#include "harness/suite_entry.h"

namespace assay::harness {
namespace {

namespace fs = std::filesystem;
using datasets::Dimension;
using Names = std::vector<std::string>;

// One table of the file, and how its keys are called in messages.
struct Place {
  const std::string& file;
  const toml::table& table;
  std::string prefix;  // "", "case." or "case.exclude."

  std::string of(const toml::node& node, std::string_view key) const {
    return fmt::format("{}:{}: {}{}", file, node.source().begin.line, prefix, key);
  }
};

[[noreturn]] void refuse(const std::string& where, std::string_view found, std::string_view expected) {
  throw UserError(fmt::format("{}: found {}, expected {}", where, found, expected));
}

std::string kind_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::boolean:
      return "a truth value";
    case toml::node_type::integer:
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::string:
      return "text";
    default:
      return "a date";
  }
}

void check_keys(const Place& place, const Names& known) {
  for (const auto& [key, node] : place.table) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    const auto near = datasets::nearest_names(key.str(), known);
    throw UserError(fmt::format("{}:{}: {}{}: unknown key; {}: {}", place.file, key.source().begin.line, place.prefix,
                                key.str(), near.empty() ? "known" : "nearest",
                                fmt::join(near.empty() ? known : near, ", ")));
  }
}

// Text or a number, as text: quantities are read in one place.
std::string scalar(const toml::node& node, const std::string& where) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto whole = node.value_exact<std::int64_t>()) return fmt::format("{}", *whole);
  if (const auto real = node.value_exact<double>()) return fmt::format("{}", *real);
  if (const auto truth = node.value_exact<bool>()) return *truth ? "true" : "false";
  refuse(where, kind_name(node), "one value");
}

std::string word(const toml::node& node, const std::string& where) {
  const auto text = node.value_exact<std::string>();
  if (!text) refuse(where, kind_name(node), "text in quotes");
  return *text;
}

std::string word_at(const Place& place, std::string_view key, std::string fallback) {
  const toml::node* node = place.table.get(key);
  return node == nullptr ? std::move(fallback) : word(*node, place.of(*node, key));
}

std::string choice_at(const Place& place, std::string_view key, std::string fallback, const Names& choices) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return fallback;
  const std::string where = place.of(*node, key);
  std::string chosen = word(*node, where);
  if (std::find(choices.begin(), choices.end(), chosen) == choices.end())
    refuse(where, fmt::format("'{}'", chosen), fmt::format("one of {}", fmt::join(choices, ", ")));
  return chosen;
}

// A word or a list of words.
Names words_at(const Place& place, std::string_view key) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return {};
  const std::string where = place.of(*node, key);
  const toml::array* list = node->as_array();
  if (list == nullptr) return {word(*node, where)};
  Names words;
  for (const toml::node& item : *list) {
    words.push_back(word(item, place.of(item, key)));
    if (std::count(words.begin(), words.end(), words.back()) > 1)
      throw UserError(fmt::format("{}: found '{}' twice", place.of(item, key), words.back()));
  }
  if (words.empty()) refuse(where, "an empty list", "at least one word");
  return words;
}

std::optional<int> count_at(const Place& place, std::string_view key, int least) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return std::nullopt;
  const std::string where = place.of(*node, key);
  const std::string text = scalar(*node, where);
  const std::int64_t value = datasets::parse_count(text, where);
  if (value < least || value > 1000000000)
    refuse(where, fmt::format("'{}'", text), fmt::format("{} to 1000000000", least));
  return static_cast<int>(value);
}

std::optional<double> quantity_at(const Place& place, std::string_view key, Dimension dimension, bool zero_too) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return std::nullopt;
  const std::string where = place.of(*node, key);
  const std::string text = scalar(*node, where);
  const double value = datasets::parse_quantity(text, dimension, where);
  if (value == 0 && !zero_too) refuse(where, fmt::format("'{}'", text), "more than 0");
  return value;
}

bool flag_at(const Place& place, std::string_view key, bool fallback) {
  const toml::node* node = place.table.get(key);
  if (node == nullptr) return fallback;
  const auto truth = node->value_exact<bool>();
  if (!truth) refuse(place.of(*node, key), kind_name(*node), "true or false");
  return *truth;
}

std::optional<Pin> pin_at(const Place& place) {
  const toml::node* node = place.table.get("pin");
  if (node == nullptr) return std::nullopt;
  const std::string where = place.of(*node, "pin");
  const char* expected = "\"auto\", \"none\" or a list of CPU numbers";
  if (const auto text = node->value_exact<std::string>()) {
    if (*text == "auto") return Pin{};
    if (*text == "none") return Pin{Pin::Mode::none, {}};
    refuse(where, fmt::format("'{}'", *text), expected);
  }
  const toml::array* list = node->as_array();
  if (list == nullptr || list->empty()) refuse(where, list == nullptr ? kind_name(*node) : "an empty list", expected);
  Pin pin{Pin::Mode::listed, {}};
  for (const toml::node& item : *list) {
    const auto cpu = item.value_exact<std::int64_t>();
    if (!cpu || *cpu < 0 || *cpu > 65535)
      refuse(place.of(item, "pin"), fmt::format("'{}'", scalar(item, where)), "a CPU number");
    if (std::find(pin.cpus.begin(), pin.cpus.end(), *cpu) != pin.cpus.end())
      throw UserError(fmt::format("{}: found {} twice", place.of(item, "pin"), *cpu));
    pin.cpus.push_back(static_cast<int>(*cpu));
  }
  return pin;
}

void check_samples(const Place& place, int least, int most) {
  if (least <= most) return;
  const toml::node* node = place.table.get("max_samples");
  if (node == nullptr) node = place.table.get("min_samples");
  refuse(node == nullptr ? fmt::format("{}: {}max_samples", place.file, place.prefix) : place.of(*node, "max_samples"),
         fmt::format("max_samples {}", most), fmt::format("at least min_samples {}", least));
}

// -- axes

// A value of a word axis must be quoted and one of a number axis may be: "4k".
std::string axis_scalar(const Axis& axis, const toml::node& node, const std::string& where) {
  if (kind_of(axis) == AxisKind::word) return word(node, where);
  return scalar(node, where);
}

AxisOverride given_axis(const Place& place, const Axis& axis, const toml::node& node) {
  AxisOverride given;
  given.name = axis.name;
  const std::string where = place.of(node, axis.name);
  if (const toml::table* range = node.as_table()) {
    const Place inside{place.file, *range, fmt::format("{}{}.", place.prefix, axis.name)};
    check_keys(inside, {"from", "to", "step"});
    for (const auto& [key, text] :
         {std::pair{"from", &given.from}, std::pair{"to", &given.to}, std::pair{"step", &given.step}}) {
      const toml::node* part = range->get(key);
      if (part == nullptr) refuse(where, fmt::format("a range without {}", key), "{ from, to, step }");
      *text = scalar(*part, where);
    }
  } else if (const toml::array* list = node.as_array()) {
    for (const toml::node& item : *list) given.values.push_back(axis_scalar(axis, item, place.of(item, axis.name)));
  } else {
    given.values.push_back(axis_scalar(axis, node, where));
  }
  return given;
}

// Tables keep no order of their own: where a key stands in the file does.
std::vector<std::pair<std::string, const toml::node*>> in_order(const toml::table& table) {
  std::vector<std::pair<toml::source_position, std::pair<std::string, const toml::node*>>> keyed;
  for (const auto& [key, node] : table) keyed.push_back({key.source().begin, {std::string(key.str()), &node}});
  std::sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::pair<std::string, const toml::node*>> ordered;
  for (auto& [position, held] : keyed) ordered.push_back(std::move(held));
  return ordered;
}

void read_axes(const Place& place, SuiteEntry& entry, const Implementation& implementation) {
  const toml::node* node = place.table.get("axes");
  if (node == nullptr) return;
  if (!node->is_table()) refuse(place.of(*node, "axes"), kind_name(*node), "a table of axes");
  const Place inside{place.file, *node->as_table(), place.prefix + "axes."};
  for (const auto& [name, given] : in_order(inside.table)) {
    const std::string where = inside.of(*given, name);
    const Axis& axis = axis_of(implementation, entry.technique, name, where);
    entry.axes.push_back({name, values_of(axis, given_axis(inside, axis, *given), where), where});
  }
}

void read_exclusions(const Place& place, SuiteEntry& entry, const Implementation& implementation) {
  const toml::node* node = place.table.get("exclude");
  if (node == nullptr) return;
  if (!node->is_array_of_tables()) refuse(place.of(*node, "exclude"), kind_name(*node), "[[case.exclude]] tables");
  for (const toml::node& item : *node->as_array()) {
    const Place inside{place.file, *item.as_table(), place.prefix + "exclude."};
    Exclusion exclusion;
    exclusion.where = fmt::format("{}:{}: {}exclude", place.file, item.source().begin.line, place.prefix);
    if (inside.table.empty()) refuse(exclusion.where, "an empty table", "axis = value");
    for (const auto& [name, given] : in_order(inside.table)) {
      const std::string where = inside.of(*given, name);
      const Axis& axis = axis_of(implementation, entry.technique, name, where);
      Value value = read_value(axis, axis_scalar(axis, *given, where), where);
      const bool there = std::any_of(entry.axes.begin(), entry.axes.end(), [&, &wanted = name](const AxisValues& held) {
        return held.name == wanted && std::find(held.values.begin(), held.values.end(), value) != held.values.end();
      });
      if (!there)
        throw UserError(fmt::format("{}: found '{}', which is none of the case's values: it excludes nothing", where,
                                    to_text(value)));
      exclusion.point.emplace_back(name, std::move(value));
    }
    entry.exclusions.push_back(std::move(exclusion));
  }
}

// -- the file

const Names suite_keys = {"id",          "title",       "description", "tags",  "launches",      "noise_target",
                          "time_budget", "min_samples", "max_samples", "order", "pin",           "max_load",
                          "cache",       "isolate",     "roofs",       "case",  "expected_cases"};
const Names entry_keys = {"technique", "backend",      "fabric",      "timer",       "cache",       "axes", "exclude",
                          "launches",  "noise_target", "time_budget", "min_samples", "max_samples", "pin",  "tags"};

// One [[case]] stands for every combination of its techniques, backends and fabrics.
void read_case(const Place& place, const std::string& where, const std::string& cache, Suite& suite) {
  check_keys(place, entry_keys);
  SuiteEntry entry;
  entry.where = where;
  entry.cache = choice_at(place, "cache", cache, {"hot", "cold"});
  entry.timer = choice_at(place, "timer", "", {"host", "event", "graph", "cupti", "virtual"});
  entry.launches = count_at(place, "launches", 1);
  entry.noise_target = quantity_at(place, "noise_target", Dimension::fraction, false);
  entry.time_budget_seconds = quantity_at(place, "time_budget", Dimension::seconds, false);
  entry.min_samples = count_at(place, "min_samples", 1);
  entry.max_samples = count_at(place, "max_samples", 1);
  check_samples(place, entry.min_samples.value_or(suite.settings.min_samples),
                entry.max_samples.value_or(suite.settings.max_samples));
  entry.pin = pin_at(place);
  entry.tags = words_at(place, "tags");
  const Names techniques = words_at(place, "technique");
  if (techniques.empty()) throw UserError(fmt::format("{}: technique is missing", where));
  Names backends = words_at(place, "backend");
  Names fabrics = words_at(place, "fabric");
  if (backends.empty()) backends.emplace_back();
  if (fabrics.empty()) fabrics.emplace_back();
  for (const std::string& technique : techniques) {
    for (const std::string& backend : backends) {
      for (const std::string& fabric : fabrics) {
        SuiteEntry one = entry;
        one.technique = technique;
        one.backend = backend;
        one.fabric = fabric;
        const Implementation& implementation = choose_implementation(one, where);
        read_axes(place, one, implementation);
        fill_axes(one, implementation);
        read_exclusions(place, one, implementation);
        suite.entries.push_back(std::move(one));
      }
    }
  }
}

Suite suite_of(const toml::table& table, const std::string& file) {
  const Place top{file, table, ""};
  check_keys(top, suite_keys);
  Suite suite;
  suite.file = file;
  suite.id = word_at(top, "id", fs::path(file).stem().string());
  suite.title = word_at(top, "title", suite.id);
  suite.description = word_at(top, "description", "");
  CaseSettings& settings = suite.settings;
  settings.tags = words_at(top, "tags");
  settings.launches = count_at(top, "launches", 1).value_or(settings.launches);
  settings.noise_target = quantity_at(top, "noise_target", Dimension::fraction, false).value_or(settings.noise_target);
  settings.time_budget_seconds =
      quantity_at(top, "time_budget", Dimension::seconds, false).value_or(settings.time_budget_seconds);
  settings.min_samples = count_at(top, "min_samples", 1).value_or(settings.min_samples);
  settings.max_samples = count_at(top, "max_samples", 1).value_or(settings.max_samples);
  check_samples(top, settings.min_samples, settings.max_samples);
  settings.pin = pin_at(top).value_or(settings.pin);
  suite.order = choice_at(top, "order", suite.order, {"interleaved", "random", "listed"});
  suite.isolate = choice_at(top, "isolate", suite.isolate, {"backend", "case"});
  suite.max_load = quantity_at(top, "max_load", Dimension::fraction, true).value_or(suite.max_load);
  suite.expected_cases = count_at(top, "expected_cases", 1);
  suite.roofs = flag_at(top, "roofs", suite.roofs);
  const std::string cache = choice_at(top, "cache", "hot", {"hot", "cold"});
  if (const toml::node* cases = table.get("case")) {
    if (!cases->is_array_of_tables()) refuse(top.of(*cases, "case"), kind_name(*cases), "[[case]] tables");
    for (const toml::node& item : *cases->as_array()) {
      const std::string where = fmt::format("{}:{}: case", file, item.source().begin.line);
      read_case({file, *item.as_table(), "case."}, where, cache, suite);
    }
  }
  expand(suite);  // refuses what selects nothing, repeats a case or misses expected_cases
  return suite;
}

// The shorter of the path and the path from here, for messages.
std::string shown(const fs::path& path) {
  std::error_code ignored;
  const fs::path here = fs::proximate(path, ignored);
  return ignored || here.empty() || *here.begin() == ".." ? path.string() : here.string();
}

}  // namespace

Suite parse_suite(std::string_view toml, const std::string& file) {
  try {
    return suite_of(toml::parse(toml, file), file);
  } catch (const toml::parse_error& wrong) {
    std::string reason(wrong.description());
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw UserError(
        fmt::format("{}:{}:{}: not TOML: {}", file, wrong.source().begin.line, wrong.source().begin.column, reason));
  }
}

bool is_suite_name(const std::string& name_or_path) {
  if (fs::path(name_or_path).extension() == ".toml") return true;
  const Names ids = suite_ids();
  return std::find(ids.begin(), ids.end(), name_or_path) != ids.end();
}

std::vector<std::string> suite_ids() {
  Names ids;
  std::error_code missing;
  // Those that set up a paper's own settings lie in a folder, so that their names do not meet those of techniques.
  for (const std::string folder : {"", "paper/"})
    for (const auto& file : fs::directory_iterator(fs::path(datasets::suites_root()) / folder, missing))
      if (file.is_regular_file() && file.path().extension() == ".toml")
        ids.push_back(folder + file.path().stem().string());
  std::sort(ids.begin(), ids.end());
  return ids;
}

Suite load_suite(const std::string& name_or_path) {
  fs::path path = name_or_path;
  if (path.extension() != ".toml") {
    const Names ids = suite_ids();
    if (std::find(ids.begin(), ids.end(), name_or_path) == ids.end()) {
      const auto near = datasets::nearest_names(name_or_path, ids);
      throw UserError(fmt::format("unknown suite '{}' in {}; {}: {}", name_or_path, shown(datasets::suites_root()),
                                  near.empty() ? "known" : "nearest", fmt::join(near.empty() ? ids : near, ", ")));
    }
    path = fs::path(datasets::suites_root()) / (name_or_path + ".toml");
  }
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  if (!stream || !fs::is_regular_file(path) || !(text << stream.rdbuf()))
    throw UserError(fmt::format("{}: no such suite file, or it cannot be read", path.string()));
  return parse_suite(text.str(), shown(path));
}

const Technique& technique_unless_suite(const std::string& name) {
  try {
    return resolve_technique(name);
  } catch (const UserError& unknown) {
    const auto near = datasets::nearest_names(name, suite_ids());
    throw UserError(fmt::format("no suite of that name{}; {}",
                                near.empty() ? std::string() : fmt::format(" (nearest: {})", fmt::join(near, ", ")),
                                unknown.what()));
  }
}

Suite suite_named(const std::string& name, const Selection& selection) {
  if (is_suite_name(name)) return select(load_suite(name), selection);
  const Technique& technique = technique_unless_suite(name);
  const Names backends = selection.backends.empty() ? Names{""} : selection.backends;
  const Names fabrics = selection.fabrics.empty() ? Names{""} : selection.fabrics;
  Suite suite;
  for (const std::string& backend : backends) {
    for (const std::string& fabric : fabrics) {
      Suite one = suite_of_technique(technique, selection.axes, backend, fabric);
      if (suite.entries.empty()) {
        suite = std::move(one);
      } else {
        suite.entries.push_back(std::move(one.entries.front()));
      }
    }
  }
  Selection rest;
  rest.techniques = selection.techniques;
  rest.families = selection.families;
  rest.tags = selection.tags;
  return select(suite, rest);
}

}  // namespace assay::harness
