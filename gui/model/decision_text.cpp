#include "gui/model/decision_text.h"

#include <fmt/format.h>

namespace assay::gui {

std::string interval_text(const harness::stats::Decision& decision) {
  constexpr double endless = 1e6;  // times: of a handful of launches that say nothing
  if (!decision.interval.bounded() || decision.interval.high > endless) return "";
  return fmt::format("{:.3f} to {:.3f}", decision.interval.low, decision.interval.high);
}

}  // namespace assay::gui
