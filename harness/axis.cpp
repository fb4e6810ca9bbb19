#include "harness/axis.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

using datasets::Dimension;

constexpr std::size_t most_values = 4096;
constexpr double most_exact = 9007199254740992;  // 2^53: doubles are whole up to here

double number_of(const Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
  return std::get<double>(value);
}

// "did you mean" or, where nothing is near, everything there is.
std::string known(std::string_view wanted, const std::vector<std::string>& names) {
  const auto near = nearest_names(wanted, names);
  if (!near.empty()) return fmt::format("nearest: {}", fmt::join(near, ", "));
  return fmt::format("known: {}", fmt::join(names, ", "));
}

std::vector<std::string> texts_of(const std::vector<Value>& values) {
  std::vector<std::string> texts;
  std::transform(values.begin(), values.end(), std::back_inserter(texts), to_text);
  return texts;
}

Value read_number(const Axis& axis, std::string_view text, const std::string& where) {
  // An axis may be declared to go below zero; the quantities of suites themselves never do.
  const bool negative = axis.minimum < 0 && text.substr(0, 1) == "-";
  if (negative) text.remove_prefix(1);
  if (kind_of(axis) == AxisKind::real) {
    const double value = datasets::parse_quantity(text, axis.dimension, where);
    return negative ? -value : value;
  }
  std::int64_t value = 0;
  if (axis.dimension == Dimension::count) {
    value = datasets::parse_count(text, where);
  } else {
    const double parsed = datasets::parse_quantity(text, axis.dimension, where);
    if (parsed != std::floor(parsed))
      throw UserError(fmt::format("{}: found '{}', expected a whole number", where, text));
    value = static_cast<std::int64_t>(parsed);
  }
  return negative ? -value : value;
}

bool is_switch(const Axis& axis) {
  return axis.allowed == std::vector<Value>{std::int64_t{0}, std::int64_t{1}} ||
         axis.allowed == std::vector<Value>{std::int64_t{1}, std::int64_t{0}};
}

void check(const Axis& axis, const Value& value, std::string_view text, const std::string& where) {
  if (!axis.allowed.empty()) {
    if (std::find(axis.allowed.begin(), axis.allowed.end(), value) != axis.allowed.end()) return;
    throw UserError(
        fmt::format("{}: found '{}', expected one of {}", where, text, fmt::join(texts_of(axis.allowed), ", ")));
  }
  if (kind_of(axis) != AxisKind::word && number_of(value) < axis.minimum)
    throw UserError(fmt::format("{}: found '{}', expected at least {}", where, text, axis.minimum));
}

}  // namespace

AxisKind kind_of(const Axis& axis) {
  const Value* example = nullptr;
  if (!axis.defaults.empty()) {
    example = &axis.defaults.front();
  } else if (!axis.allowed.empty()) {
    example = &axis.allowed.front();
  }
  if (example == nullptr)
    return axis.dimension == Dimension::count || axis.dimension == Dimension::bytes ? AxisKind::whole : AxisKind::real;
  if (std::holds_alternative<std::string>(*example)) return AxisKind::word;
  return std::holds_alternative<double>(*example) ? AxisKind::real : AxisKind::whole;
}

Value read_value(const Axis& axis, std::string_view text, const std::string& where) {
  Value value;
  if (kind_of(axis) == AxisKind::word) {
    if (text.empty()) throw UserError(fmt::format("{}: found '', expected a word", where));
    value = std::string(text);
  } else if (is_switch(axis) && (text == "true" || text == "false")) {
    value = std::int64_t{text == "true" ? 1 : 0};
  } else {
    value = read_number(axis, text, where);
  }
  check(axis, value, text, where);
  return value;
}

std::vector<Value> read_range(const Axis& axis, std::string_view from, std::string_view to, std::string_view step,
                              const std::string& where) {
  if (kind_of(axis) == AxisKind::word)
    throw UserError(fmt::format("{}: found a range, expected words: {} has no order", where, axis.name));
  const double first = number_of(read_value(axis, from, where));
  const double last = number_of(read_value(axis, to, where));
  if (first > last)
    throw UserError(fmt::format("{}: found a range from {} to {}, expected from <= to", where, from, to));
  if (std::abs(last) > most_exact)
    throw UserError(fmt::format("{}: found '{}', expected at most 2^53 in a range", where, to));
  const bool multiplies = step.substr(0, 1) == "x";
  if (!multiplies && step.substr(0, 1) != "+")
    throw UserError(
        fmt::format("{}: step: found '{}', expected a factor such as x2 or a distance such as +512", where, step));
  const double amount = datasets::parse_quantity(step.substr(1), multiplies ? Dimension::count : axis.dimension,
                                                 fmt::format("{}: step", where));
  if (multiplies ? amount <= 1 || first <= 0 : amount <= 0)
    throw UserError(fmt::format("{}: step: found '{}' from {}, expected one that grows", where, step, from));

  std::vector<Value> values;
  for (double value = first; value <= last;
       value = multiplies ? value * amount : first + amount * static_cast<double>(values.size())) {
    if (values.size() == most_values)
      throw UserError(fmt::format("{}: found a range of more than {} values", where, most_values));
    if (kind_of(axis) == AxisKind::whole) {
      if (value != static_cast<double>(static_cast<std::int64_t>(value)))
        throw UserError(
            fmt::format("{}: step: found '{}' from {}, expected whole values; it gives {}", where, step, from, value));
      values.emplace_back(static_cast<std::int64_t>(value));
    } else {
      values.emplace_back(value);
    }
    check(axis, values.back(), to_text(values.back()), where);
  }
  return values;
}

std::vector<Value> read_values(const Axis& axis, const std::vector<std::string>& texts, const std::string& where) {
  if (texts.empty()) throw UserError(fmt::format("{}: found an empty list, expected values", where));
  std::vector<Value> values;
  for (const std::string& text : texts) {
    Value value = read_value(axis, text, where);
    if (std::find(values.begin(), values.end(), value) != values.end())
      throw UserError(fmt::format("{}: found '{}' twice", where, text));
    values.push_back(std::move(value));
  }
  return values;
}

const Axis& axis_of(const Implementation& implementation, const std::string& technique, std::string_view name,
                    const std::string& where) {
  std::vector<std::string> names;
  for (const Axis& axis : implementation.axes) {
    if (axis.name == name) return axis;
    names.push_back(axis.name);
  }
  throw UserError(fmt::format("{}: {} has no axis '{}'; {}", where, technique, name, known(name, names)));
}

std::string written(const Axis& axis, const Value& value) {
  const bool time = axis.dimension == Dimension::seconds && !std::holds_alternative<std::string>(value);
  return to_text(value) + (time ? "s" : "");
}

}  // namespace assay::harness
