#include "datasets/quantity.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "datasets/user_error.h"

namespace assay::datasets {
namespace {

// A unit scales by `times / over`. Small units divide, so that 300ms is the double nearest to 0.3.
struct Unit {
  std::string_view name;
  double times;
  double over;
};

constexpr double ki = 1024;
constexpr std::array count_units = {Unit{"", 1, 1},       Unit{"k", ki, 1},         Unit{"K", ki, 1},
                                    Unit{"M", ki* ki, 1}, Unit{"G", ki* ki* ki, 1}, Unit{"T", ki* ki* ki* ki, 1}};
constexpr std::array byte_units = {Unit{"", 1, 1},
                                   Unit{"B", 1, 1},
                                   Unit{"KB", 1e3, 1},
                                   Unit{"MB", 1e6, 1},
                                   Unit{"GB", 1e9, 1},
                                   Unit{"TB", 1e12, 1},
                                   Unit{"KiB", ki, 1},
                                   Unit{"MiB", ki* ki, 1},
                                   Unit{"GiB", ki* ki* ki, 1},
                                   Unit{"TiB", ki* ki* ki* ki, 1}};
constexpr std::array second_units = {Unit{"ns", 1, 1e9}, Unit{"us", 1, 1e6}, Unit{"ms", 1, 1e3},
                                     Unit{"s", 1, 1},    Unit{"min", 60, 1}, Unit{"h", 3600, 1}};
constexpr std::array fraction_units = {Unit{"", 1, 1}, Unit{"%", 1, 100}};

const char* expectation(Dimension dimension) {
  switch (dimension) {
    case Dimension::count:
      return "a count such as 1536, 4k or 2M (k, M, G, T: powers of 1024)";
    case Dimension::bytes:
      return "bytes such as 4096, 64KB or 16MiB (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)";
    case Dimension::seconds:
      return "a time with its unit such as 300ms (ns, us, ms, s, min, h)";
    case Dimension::fraction:
      return "a fraction such as 0.02 or 2%";
  }
  return "a quantity";
}

template <std::size_t n>
std::optional<Unit> find_unit(const std::array<Unit, n>& units, std::string_view name) {
  for (const Unit& unit : units)
    if (unit.name == name) return unit;
  return std::nullopt;
}

std::optional<Unit> find_unit(Dimension dimension, std::string_view name) {
  switch (dimension) {
    case Dimension::count:
      return find_unit(count_units, name);
    case Dimension::bytes:
      return find_unit(byte_units, name);
    case Dimension::seconds:
      return find_unit(second_units, name);
    case Dimension::fraction:
      return find_unit(fraction_units, name);
  }
  return std::nullopt;
}

[[noreturn]] void refuse(std::string_view where, std::string_view found, std::string_view expected) {
  throw UserError(fmt::format("{}: found '{}', expected {}", where, found, expected));
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

struct Parts {
  std::string_view digits;  // as written, without unit
  double number = 0;
  Unit unit{};
};

Parts split(std::string_view text, Dimension dimension, std::string_view where) {
  const std::string_view all = trimmed(text);
  if (!all.empty() && all.front() == '-')
    refuse(where, text, fmt::format("nothing negative: {}", expectation(dimension)));
  Parts parts;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), parts.number);
  if (error == std::errc::result_out_of_range) refuse(where, text, "a number that fits 64 bits");
  // from_chars also reads "inf" and "nan", which are no quantities.
  if (error != std::errc() || !std::isfinite(parts.number)) refuse(where, text, expectation(dimension));
  parts.digits = all.substr(0, static_cast<std::size_t>(end - all.data()));
  const auto unit = find_unit(dimension, trimmed(all.substr(parts.digits.size())));
  if (!unit) refuse(where, text, expectation(dimension));
  parts.unit = *unit;
  return parts;
}

constexpr double too_large = 9223372036854775808.0;  // 2^63, the first double beyond int64

}  // namespace

double parse_quantity(std::string_view text, Dimension dimension, std::string_view where) {
  const Parts parts = split(text, dimension, where);
  const double value = parts.number * parts.unit.times / parts.unit.over;
  if (!std::isfinite(value)) refuse(where, text, "a number that fits 64 bits");
  if (dimension == Dimension::bytes) {
    if (value >= too_large) refuse(where, text, "bytes that fit 64 bits");
    if (value != std::floor(value)) refuse(where, text, "a whole number of bytes");
  }
  return value;
}

std::int64_t parse_count(std::string_view text, std::string_view where) {
  const Parts parts = split(text, Dimension::count, where);
  // Whole digits stay integers: a double would round beyond 2^53.
  if (parts.digits.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t whole = 0;
    const auto read = std::from_chars(parts.digits.data(), parts.digits.data() + parts.digits.size(), whole);
    std::int64_t scaled = 0;
    if (read.ec != std::errc() || __builtin_mul_overflow(whole, static_cast<std::int64_t>(parts.unit.times), &scaled))
      refuse(where, text, "a count that fits 64 bits");
    return scaled;
  }
  const double value = parts.number * parts.unit.times;
  if (value >= too_large) refuse(where, text, "a count that fits 64 bits");
  if (value != std::floor(value)) refuse(where, text, "a whole number");
  return static_cast<std::int64_t>(value);
}

std::string format_count(std::int64_t value) {
  if (value > 0) {
    for (const auto& [suffix, shift] : {std::pair{'T', 40}, std::pair{'G', 30}, std::pair{'M', 20}, std::pair{'k', 10}})
      if (value % (std::int64_t{1} << shift) == 0) return fmt::format("{}{}", value >> shift, suffix);
  }
  return fmt::format("{}", value);
}

std::string format_si(double value, std::string_view unit) {
  constexpr std::array prefixes = {"f", "p", "n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
  constexpr int one = 5;
  const auto spaced = [&](std::string number, std::string_view prefix) {
    if (unit.empty() && prefix.empty()) return number;
    return fmt::format("{} {}{}", number, prefix, unit);
  };
  if (!std::isfinite(value) || value == 0) return spaced(fmt::format("{}", value), "");
  // The exponent after rounding to three digits: 999.96 is 1.00 k, not 1000.
  const std::string rounded = fmt::format("{:.2e}", value);
  const int exponent = std::stoi(rounded.substr(rounded.find('e') + 1));
  const int group = (exponent >= 0 ? exponent : exponent - 2) / 3;
  if (unit.empty() && group < 0) return fmt::format("{:.3g}", value);  // a bare number has no milli
  const int place = group + one;
  if (place < 0 || place >= static_cast<int>(prefixes.size())) return spaced(fmt::format("{:.3g}", value), "");
  const double scaled = value / std::pow(10.0, 3 * group);
  const int decimals = 2 - (exponent - 3 * group);
  return spaced(fmt::format("{:.{}f}", scaled, decimals), prefixes.at(static_cast<std::size_t>(place)));
}

}  // namespace assay::datasets
