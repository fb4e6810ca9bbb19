#pragma once
// Axes as tables head their columns, and what a person types back.
#include <string>
#include <string_view>

namespace assay::harness {

std::string short_axis_name(const std::string& name);  // "sequence_length" -> "seq"; others as they are
// "seq" -> "sequence_length". Names that are an axis of their own somewhere ("bytes") stay as they are.
std::string full_axis_name(std::string_view name);

// Whether two values of an axis are the same: "4k" and "4096" are.
bool same_axis_value(const std::string& one, const std::string& other);

}  // namespace assay::harness
