// What a loaded suite expands to, how it is narrowed, and in which order its launches come.
#include "harness/suite.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "datasets/user_error.h"
#include "harness/axis.h"
#include "harness/suite_entry.h"

namespace assay::harness {
namespace {

constexpr double most_cases = 100000;

std::string name_of(const Suite& suite) { return suite.id.empty() ? suite.file : suite.id; }

std::string_view family_of(std::string_view id) {
  const auto slash = id.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : id.substr(0, slash);
}

bool excluded(const SuiteEntry& entry, const Params& point) {
  return std::any_of(entry.exclusions.begin(), entry.exclusions.end(), [&](const Exclusion& exclusion) {
    return std::all_of(exclusion.point.begin(), exclusion.point.end(), [&](const auto& part) {
      const auto held = point.values().find(part.first);
      return held != point.values().end() && held->second == part.second;
    });
  });
}

// Every point of the axes that no exclusion removes; the last axis varies fastest.
std::vector<Params> points_of(const SuiteEntry& entry) {
  double count = 1;
  for (const AxisValues& axis : entry.axes) count *= static_cast<double>(axis.values.size());
  if (count > most_cases)
    throw UserError(fmt::format("{}: found {:.0f} points, expected at most {:.0f}", entry.where, count, most_cases));
  std::vector<Params> points;
  std::vector<std::size_t> index(entry.axes.size(), 0);
  for (auto left = static_cast<std::size_t>(count); left > 0; --left) {
    Params point;
    for (std::size_t a = 0; a < index.size(); ++a) point.set(entry.axes[a].name, entry.axes[a].values[index[a]]);
    if (!excluded(entry, point)) points.push_back(std::move(point));
    for (std::size_t a = index.size(); a-- > 0;) {
      if (++index[a] < entry.axes[a].values.size()) break;
      index[a] = 0;
    }
  }
  return points;
}

CaseSettings settings_of(const Suite& suite, const SuiteEntry& entry) {
  CaseSettings settings = suite.settings;
  settings.launches = entry.launches.value_or(settings.launches);
  settings.noise_target = entry.noise_target.value_or(settings.noise_target);
  settings.time_budget_seconds = entry.time_budget_seconds.value_or(settings.time_budget_seconds);
  settings.min_samples = entry.min_samples.value_or(settings.min_samples);
  settings.max_samples = entry.max_samples.value_or(settings.max_samples);
  settings.pin = entry.pin.value_or(settings.pin);
  for (const std::string& tag : entry.tags)
    if (std::find(settings.tags.begin(), settings.tags.end(), tag) == settings.tags.end()) settings.tags.push_back(tag);
  return settings;
}

std::vector<Case> cases_of(const Suite& suite, const SuiteEntry& entry) {
  std::vector<Case> cases;
  const Implementation& implementation = implementation_of(entry);
  const CaseSettings settings = settings_of(suite, entry);
  for (Params& point : points_of(entry)) {
    cases.push_back({find_technique(entry.technique), &implementation, entry.backend, entry.fabric, entry.timer,
                     entry.cache, std::move(point), settings});
  }
  return cases;
}

[[noreturn]] void selects_nothing(const Suite& suite, const std::string& reason) {
  throw UserError(fmt::format("suite {} selects nothing: {}", name_of(suite), reason));
}

// Keeps the entries of which `key` is wanted; says which keys there are when none is.
void keep(Suite& suite, const char* what, const std::vector<std::string>& wanted,
          const std::function<bool(const SuiteEntry&, const std::string&)>& is,
          const std::function<std::string(const SuiteEntry&)>& key) {
  if (wanted.empty()) return;
  std::vector<std::string> there;
  for (const SuiteEntry& entry : suite.entries) {
    const std::string held = key(entry);
    if (!held.empty() && std::find(there.begin(), there.end(), held) == there.end()) there.push_back(held);
  }
  std::erase_if(suite.entries, [&](const SuiteEntry& entry) {
    return std::none_of(wanted.begin(), wanted.end(), [&](const std::string& word) { return is(entry, word); });
  });
  if (!suite.entries.empty()) return;
  selects_nothing(suite, fmt::format("no case of {} {}; it has {}", what, fmt::join(wanted, ", "),
                                     there.empty() ? std::string("none") : fmt::format("{}", fmt::join(there, ", "))));
}

void apply(Suite& suite, const AxisOverride& given) {
  const std::string where = fmt::format("--axis {}", given.text);
  std::vector<std::string> names;
  bool used = false;
  for (SuiteEntry& entry : suite.entries) {
    for (AxisValues& axis : entry.axes) {
      names.push_back(axis.name);
      if (axis.name != given.name) continue;
      axis.values = values_of(axis_of(implementation_of(entry), entry.technique, axis.name, where), given, where);
      axis.where = where;
      used = true;
    }
    // An exclusion of a value that is gone says nothing any more.
    std::erase_if(entry.exclusions, [&](const Exclusion& exclusion) {
      return std::any_of(exclusion.point.begin(), exclusion.point.end(), [&](const auto& part) {
        return std::none_of(entry.axes.begin(), entry.axes.end(), [&](const AxisValues& axis) {
          return axis.name == part.first &&
                 std::find(axis.values.begin(), axis.values.end(), part.second) != axis.values.end();
        });
      });
    });
  }
  if (used) return;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const auto near = nearest_names(given.name, names);
  throw UserError(fmt::format("{}: no case of {} has axis '{}'; {}: {}", where, name_of(suite), given.name,
                              near.empty() ? "known" : "nearest", fmt::join(near.empty() ? names : near, ", ")));
}

// An override can make two entries meet in one case: the first keeps it.
void exclude_repeats(Suite& suite) {
  std::map<std::string, bool> seen;
  for (SuiteEntry& entry : suite.entries) {
    for (const Case& held : cases_of(suite, entry)) {
      if (seen.emplace(held.record().key, true).second) continue;
      Exclusion repeat{{}, entry.where};
      for (const auto& part : held.params.values()) repeat.point.emplace_back(part);
      entry.exclusions.push_back(std::move(repeat));
    }
  }
  std::erase_if(suite.entries, [&](const SuiteEntry& entry) { return points_of(entry).empty(); });
}

// Own generator: std distributions differ from library to library, and an order must be repeatable from its seed.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  std::uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31U);
}

}  // namespace

results_db::CaseRecord Case::record() const {
  Params canonical;
  for (const auto& [name, value] : params.values()) {
    const auto axis = std::find_if(implementation->axes.begin(), implementation->axes.end(),
                                   [&, &wanted = name](const Axis& held) { return held.name == wanted; });
    const bool legacy = axis != implementation->axes.end() && axis->legacy_default == value;
    if (!legacy) canonical.set(name, value);
  }
  results_db::CaseRecord record;
  record.technique = technique->id;
  record.backend = backend;
  record.fabric = fabric;
  record.parameters_json = canonical.to_json();
  record.timer = timer;
  record.cache = cache;
  record.key = fmt::format("{} {}{}{}", technique->id, backend, fabric.empty() ? "" : "/", fabric);
  if (const std::string line = canonical.to_line(); !line.empty()) record.key += " " + line;
  if (timer != "host") record.key += " " + timer;
  if (cache != "hot") record.key += " " + cache;
  return record;
}

AxisOverride parse_axis_override(std::string_view text) {
  AxisOverride given;
  given.text = text;
  const auto refuse = [&]() {
    throw UserError(fmt::format(
        "--axis: found '{}', expected NAME=VALUE,VALUE or NAME=FROM..TO:STEP such as tokens=1k..16k:x2", text));
  };
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) refuse();
  given.name = text.substr(0, equals);
  std::string_view rest = text.substr(equals + 1);
  if (const auto dots = rest.find(".."); dots != std::string_view::npos) {
    given.from = rest.substr(0, dots);
    rest = rest.substr(dots + 2);
    const auto colon = rest.find(':');
    given.to = rest.substr(0, colon);
    given.step = colon == std::string_view::npos ? std::string_view("x2") : rest.substr(colon + 1);
    if (given.from.empty() || given.to.empty() || given.step.empty()) refuse();
    return given;
  }
  for (;;) {
    const auto comma = rest.find(',');
    if (comma == 0 || rest.empty()) refuse();
    given.values.emplace_back(rest.substr(0, comma));
    if (comma == std::string_view::npos) return given;
    rest = rest.substr(comma + 1);
  }
}

bool in_family(std::string_view technique_id, std::string_view family) {
  const std::string_view folder = family_of(technique_id);
  if (folder == family) return !family.empty();
  if (family.empty() || folder.size() <= family.size()) return false;
  return folder.substr(0, family.size() + 1) == std::string(family) + "/" ||
         folder.substr(folder.size() - family.size() - 1) == "/" + std::string(family);
}

Suite suite_of_technique(const Technique& technique, const std::vector<AxisOverride>& overrides,
                         const std::string& backend, const std::string& fabric) {
  SuiteEntry entry;
  entry.technique = technique.id;
  entry.backend = backend;
  entry.fabric = fabric;
  entry.where = technique.id;
  const Implementation& implementation = choose_implementation(entry, technique.id);
  for (const AxisOverride& given : overrides) {
    const std::string where = fmt::format("--axis {}", given.text);
    const bool twice = std::any_of(entry.axes.begin(), entry.axes.end(),
                                   [&](const AxisValues& axis) { return axis.name == given.name; });
    if (twice) throw UserError(fmt::format("{}: axis '{}' is given twice", where, given.name));
    const Axis& axis = axis_of(implementation, technique.id, given.name, where);
    entry.axes.push_back({axis.name, values_of(axis, given, where), where});
  }
  fill_axes(entry, implementation);
  Suite suite;
  suite.id = technique.id;
  suite.title = technique.title;
  suite.description = technique.summary;
  suite.entries.push_back(std::move(entry));
  return suite;
}

Suite suite_of_record(const results_db::CaseRecord& record) {
  SuiteEntry entry;
  entry.technique = record.technique;
  entry.backend = record.backend;
  entry.fabric = record.fabric;
  entry.timer = record.timer;
  entry.cache = record.cache;
  entry.where = record.key;
  const Implementation& implementation = choose_implementation(entry, record.key);
  const Params stored = Params::from_json(record.parameters_json);
  for (const auto& [name, value] : stored.values()) {
    const Axis& axis = axis_of(implementation, entry.technique, name, record.key);
    const std::string where = fmt::format("{}: {}", record.key, name);
    entry.axes.push_back({axis.name, {read_value(axis, written(axis, value), where)}, where});
  }
  for (const Axis& axis : implementation.axes) {
    const bool named = std::any_of(entry.axes.begin(), entry.axes.end(),
                                   [&](const AxisValues& given) { return given.name == axis.name; });
    if (named) continue;
    if (!axis.legacy_default)
      throw UserError(fmt::format("{}: the row has no value of axis '{}'", record.key, axis.name));
    entry.axes.push_back({axis.name, {*axis.legacy_default}, record.key});
  }
  Suite suite;
  suite.id = record.technique;
  suite.title = record.key;
  suite.entries.push_back(std::move(entry));
  return suite;
}

Suite select(const Suite& suite, const Selection& selection) {
  Suite chosen = suite;
  std::vector<std::string> techniques;
  for (const std::string& name : selection.techniques) techniques.push_back(resolve_technique(name).id);
  keep(
      chosen, "technique", techniques, [](const auto& entry, const auto& word) { return entry.technique == word; },
      [](const auto& entry) { return entry.technique; });
  keep(
      chosen, "family", selection.families,
      [](const auto& entry, const auto& word) { return in_family(entry.technique, word); },
      [](const auto& entry) { return std::string(family_of(entry.technique)); });
  keep(
      chosen, "backend", selection.backends, [](const auto& entry, const auto& word) { return entry.backend == word; },
      [](const auto& entry) { return entry.backend; });
  keep(
      chosen, "fabric", selection.fabrics, [](const auto& entry, const auto& word) { return entry.fabric == word; },
      [](const auto& entry) { return entry.fabric; });
  keep(
      chosen, "tag", selection.tags,
      [&](const auto& entry, const auto& word) {
        const auto tags = settings_of(suite, entry).tags;
        return std::find(tags.begin(), tags.end(), word) != tags.end();
      },
      [&](const auto& entry) { return fmt::format("{}", fmt::join(settings_of(suite, entry).tags, ", ")); });
  for (const AxisOverride& given : selection.axes) apply(chosen, given);
  if (!selection.axes.empty()) exclude_repeats(chosen);
  if (chosen.entries.size() != suite.entries.size() || !selection.axes.empty()) chosen.expected_cases.reset();
  return chosen;
}

std::vector<Case> expand(const Suite& suite) {
  std::vector<Case> cases;
  std::map<std::string, std::string> seen;  // key to the entry that named it
  if (suite.entries.empty()) selects_nothing(suite, "it has no [[case]]");
  for (const SuiteEntry& entry : suite.entries) {
    std::vector<Case> more = cases_of(suite, entry);
    if (more.empty()) selects_nothing(suite, fmt::format("{} excludes every point", entry.where));
    for (Case& held : more) {
      const std::string key = held.record().key;
      const auto [first, fresh] = seen.emplace(key, entry.where);
      if (!fresh)
        throw UserError(fmt::format("{}: found '{}', which {} names already", entry.where, key, first->second));
      cases.push_back(std::move(held));
    }
    if (static_cast<double>(cases.size()) > most_cases)
      throw UserError(fmt::format("suite {}: found more than {:.0f} cases", name_of(suite), most_cases));
  }
  if (suite.expected_cases && static_cast<std::size_t>(*suite.expected_cases) != cases.size()) {
    const bool missing = cases.size() < static_cast<std::size_t>(*suite.expected_cases);
    throw UserError(fmt::format("suite {}: expected_cases: found {} cases, expected {}", name_of(suite), cases.size(),
                                *suite.expected_cases),
                    missing ? 3 : 2);
  }
  return cases;
}

std::vector<LaunchSlot> launch_order(const std::vector<Case>& cases, const std::string& order, std::uint64_t seed) {
  std::vector<LaunchSlot> slots;
  if (order == "listed") {
    for (std::size_t i = 0; i < cases.size(); ++i)
      for (int ordinal = 0; ordinal < cases[i].settings.launches; ++ordinal) slots.push_back({i, ordinal});
    return slots;
  }
  int rounds = 0;
  for (const Case& held : cases) rounds = std::max(rounds, held.settings.launches);
  for (int round = 0; round < rounds; ++round) {
    std::vector<LaunchSlot> turn;
    for (std::size_t i = 0; i < cases.size(); ++i)
      if (round < cases[i].settings.launches) turn.push_back({i, round});
    if (order == "random") {
      for (std::size_t left = turn.size(); left > 1; --left) std::swap(turn[left - 1], turn[next_random(seed) % left]);
    } else if (round % 2 == 1) {
      std::reverse(turn.begin(), turn.end());
    }
    slots.insert(slots.end(), turn.begin(), turn.end());
  }
  return slots;
}

}  // namespace assay::harness
