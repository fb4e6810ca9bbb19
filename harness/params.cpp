#include "harness/params.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

const Value& find(const std::map<std::string, Value, std::less<>>& values, std::string_view name) {
  const auto it = values.find(name);
  if (it == values.end()) throw UserError(fmt::format("axis '{}' has no value", name));
  return it->second;
}

}  // namespace

std::string to_text(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  return std::get<std::string>(value);
}

std::int64_t Params::integer(std::string_view name) const {
  const Value& value = find(values_, name);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return *whole;
  throw UserError(fmt::format("axis '{}': found '{}', expected a whole number", name, to_text(value)));
}

double Params::real(std::string_view name) const {
  const Value& value = find(values_, name);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  throw UserError(fmt::format("axis '{}': found '{}', expected a number", name, to_text(value)));
}

const std::string& Params::text(std::string_view name) const {
  const Value& value = find(values_, name);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  throw UserError(fmt::format("axis '{}': found {}, expected a word", name, to_text(value)));
}

bool Params::flag(std::string_view name) const {
  const std::int64_t value = integer(name);
  if (value != 0 && value != 1) throw UserError(fmt::format("axis '{}': found {}, expected 0 or 1", name, value));
  return value == 1;
}

std::string Params::to_json() const {
  nlohmann::json object = nlohmann::json::object();
  for (const auto& [name, value] : values_) std::visit([&](const auto& held) { object[name] = held; }, value);
  return object.dump();
}

Params Params::from_json(const std::string& json) {
  Params params;
  const nlohmann::json object = nlohmann::json::parse(json);  // items() of a temporary would dangle
  for (const auto& [name, value] : object.items()) {
    if (value.is_number_integer()) {
      params.set(name, value.get<std::int64_t>());
    } else if (value.is_number()) {
      params.set(name, value.get<double>());
    } else {
      params.set(name, value.get<std::string>());
    }
  }
  return params;
}

std::string Params::to_line() const {
  std::string line;
  for (const auto& [name, value] : values_)
    line += fmt::format("{}{}={}", line.empty() ? "" : " ", name, to_text(value));
  return line;
}

}  // namespace assay::harness
