#pragma once
// Values of an axis from the text of a suite file or the command line, checked against what the technique declared.
#include <string>
#include <string_view>
#include <vector>

#include "harness/registry.h"

namespace assay::harness {

// What an axis holds follows from its defaults (else its allowed values, else its dimension).
enum class AxisKind { word, whole, real };
AxisKind kind_of(const Axis& axis);

// One value: a word, or a number in the axis's dimension (4k, 16MiB, 10ms, 2%). UserError beginning with `where` for a
// wrong unit, a negative or fractional size, a value outside the allowed ones or below the minimum.
Value read_value(const Axis& axis, std::string_view text, const std::string& where);

// from, from*2, ... up to `to` for step "x2"; from, from+512, ... for step "+512". Ends at or below `to`.
std::vector<Value> read_range(const Axis& axis, std::string_view from, std::string_view to, std::string_view step,
                              const std::string& where);

// A list; refuses a value given twice and an empty list.
std::vector<Value> read_values(const Axis& axis, const std::vector<std::string>& texts, const std::string& where);

// The axis of that name; else UserError with the nearest names.
const Axis& axis_of(const Implementation& implementation, const std::string& technique, std::string_view name,
                    const std::string& where);

// Text that read_value reads back to the same value: 4096, 0.5s, bf16.
std::string written(const Axis& axis, const Value& value);

}  // namespace assay::harness
