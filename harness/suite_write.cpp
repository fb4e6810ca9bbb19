// Writes a suite as TOML text that reads back to the same cases: what a run stores to be resumed or run again.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "harness/axis.h"
#include "harness/suite.h"
#include "harness/suite_entry.h"

namespace assay::harness {
namespace {

using Names = std::vector<std::string>;

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_list(const Names& words) {
  Names parts;
  std::transform(words.begin(), words.end(), std::back_inserter(parts), toml_text);
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string pin_text(const Pin& pin) {
  if (pin.mode == Pin::Mode::automatic) return "\"auto\"";
  if (pin.mode == Pin::Mode::none) return "\"none\"";
  return fmt::format("[{}]", fmt::join(pin.cpus, ", "));
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? key : toml_text(key);
}

std::string value_text(const Axis& axis, const Value& value) {
  const std::string text = written(axis, value);
  const bool bare = axis.dimension != datasets::Dimension::seconds && !std::holds_alternative<std::string>(value);
  return bare ? text : toml_text(text);
}

std::string entry_toml(const SuiteEntry& entry) {
  const Implementation& implementation = implementation_of(entry);
  const auto value = [&](const std::string& name, const Value& held) {
    return value_text(axis_of(implementation, entry.technique, name, entry.where), held);
  };
  std::string out =
      fmt::format("\n[[case]]\ntechnique = {}\nbackend = {}\n", toml_text(entry.technique), toml_text(entry.backend));
  if (!entry.fabric.empty()) out += fmt::format("fabric = {}\n", toml_text(entry.fabric));
  out += fmt::format("timer = {}\ncache = {}\n", toml_text(entry.timer), toml_text(entry.cache));
  if (entry.launches) out += fmt::format("launches = {}\n", *entry.launches);
  if (entry.noise_target) out += fmt::format("noise_target = {}\n", *entry.noise_target);
  if (entry.time_budget_seconds) out += fmt::format("time_budget = \"{}s\"\n", *entry.time_budget_seconds);
  if (entry.min_samples) out += fmt::format("min_samples = {}\n", *entry.min_samples);
  if (entry.max_samples) out += fmt::format("max_samples = {}\n", *entry.max_samples);
  if (entry.pin) out += fmt::format("pin = {}\n", pin_text(*entry.pin));
  if (!entry.tags.empty()) out += fmt::format("tags = {}\n", toml_list(entry.tags));
  if (!entry.axes.empty()) out += "[case.axes]\n";
  for (const AxisValues& axis : entry.axes) {
    Names values;
    for (const Value& held : axis.values) values.push_back(value(axis.name, held));
    out += fmt::format("{} = [{}]\n", key_text(axis.name), fmt::join(values, ", "));
  }
  for (const Exclusion& exclusion : entry.exclusions) {
    out += "[[case.exclude]]\n";
    for (const auto& [name, held] : exclusion.point) out += fmt::format("{} = {}\n", key_text(name), value(name, held));
  }
  return out;
}

}  // namespace

std::string to_toml(const Suite& suite) {
  const CaseSettings& settings = suite.settings;
  std::string out = fmt::format("id = {}\ntitle = {}\n", toml_text(suite.id), toml_text(suite.title));
  if (!suite.description.empty()) out += fmt::format("description = {}\n", toml_text(suite.description));
  if (!settings.tags.empty()) out += fmt::format("tags = {}\n", toml_list(settings.tags));
  out += fmt::format("launches = {}\nnoise_target = {}\ntime_budget = \"{}s\"\n", settings.launches,
                     settings.noise_target, settings.time_budget_seconds);
  out += fmt::format("min_samples = {}\nmax_samples = {}\npin = {}\n", settings.min_samples, settings.max_samples,
                     pin_text(settings.pin));
  out += fmt::format("order = {}\nmax_load = {}\nisolate = {}\nroofs = {}\n", toml_text(suite.order), suite.max_load,
                     toml_text(suite.isolate), suite.roofs);
  if (suite.expected_cases) out += fmt::format("expected_cases = {}\n", *suite.expected_cases);
  for (const SuiteEntry& entry : suite.entries) out += entry_toml(entry);
  return out;
}

}  // namespace assay::harness
