#pragma once
// Where an axis has ticks, and what is written there.
#include <string>
#include <utility>
#include <vector>

#include "gui/plot/plot_spec.h"

namespace assay::gui {

struct Tick {
  double value = 0;
  QString text;
};

// At most about `most` ticks inside `range`, at round values of the axis's kind.
std::vector<Tick> ticks(const PlotAxis& axis, std::pair<double, double> range, int most);

}  // namespace assay::gui
