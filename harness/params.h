#pragma once
// One point of a technique's axes: names to values, in canonical (sorted) order.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>

namespace assay::harness {

using Value = std::variant<std::int64_t, double, std::string>;
std::string to_text(const Value& value);

class Params {
 public:
  Params() = default;
  explicit Params(std::map<std::string, Value, std::less<>> values) : values_(std::move(values)) {}

  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  // Each throws UserError naming the axis when it is missing or of another type.
  std::int64_t integer(std::string_view name) const;
  double real(std::string_view name) const;  // integers convert
  const std::string& text(std::string_view name) const;
  bool flag(std::string_view name) const;  // integer 0 or 1

  void set(std::string name, Value value) { values_.insert_or_assign(std::move(name), std::move(value)); }
  const std::map<std::string, Value, std::less<>>& values() const { return values_; }

  std::string to_json() const;  // canonical: keys sorted, no spaces
  static Params from_json(const std::string& json);
  std::string to_line() const;  // a=1 b=x, for keys and tables

  bool operator==(const Params&) const = default;

 private:
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace assay::harness
