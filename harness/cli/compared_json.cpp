#include "harness/cli/compared_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace assay::cli {

nlohmann::json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

nlohmann::json run_json(const results_db::RunRecord& run) {
  return {{"id", run.id},          {"suite", run.suite},         {"tags", run.tags},    {"machine", run.machine.id},
          {"build", run.build.id}, {"commit", run.build.commit}, {"status", run.status}};
}

nlohmann::json compared_json(const harness::ComparedCase& row) {
  const auto& decision = row.decision;
  return {{"metric", row.metric},
          {"unit", row.unit},
          {"provenance", results_db::to_string(row.provenance)},
          {"ratio", finite_or_null(decision.ratio)},
          {"low", finite_or_null(decision.interval.low > 0 ? decision.interval.low : INFINITY)},
          {"high", finite_or_null(decision.interval.high)},
          {"p", finite_or_null(decision.p)},
          {"q", finite_or_null(decision.q)},
          {"design", to_string(decision.design)},
          {"same_code", row.same_code},
          {"verdict", to_string(decision.verdict)},
          {"reason", decision.reason}};
}

}  // namespace assay::cli
