#pragma once
// The closed registry of metrics: what a name means, its unit, and which way is better. Metrics outside it (of imports
// and plugins) are kept as given, have no direction, and are marked as not registered.
#include <span>
#include <string_view>

namespace assay::results_db {

enum class Better { lower, higher, neither };

struct MetricDefinition {
  std::string_view name;
  std::string_view unit;  // base unit; "" where it depends on the case (throughput: token/s, request/s ...)
  Better better;
  std::string_view formula;  // how it is obtained, one line
};

std::span<const MetricDefinition> metric_registry();         // sorted by name
const MetricDefinition* find_metric(std::string_view name);  // null: not registered
const char* to_string(Better better);                        // lower | higher | none, as the database has it

}  // namespace assay::results_db
