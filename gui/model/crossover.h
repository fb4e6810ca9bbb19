#pragma once
// Where along an axis another technique becomes the best: what a line plot is mostly looked at for.
#include <string>
#include <vector>

#include "gui/model/explore.h"

namespace assay::gui {

// Somewhere between the two values the lines cross.
struct Crossover {
  double from = 0, to = 0;    // the last value at which `before` leads, the first at which `after` does
  std::string before, after;  // names of techniques, with what varies
};

// Of series of one provenance; values at which the best two have overlapping intervals (or launches, where those are
// too few for an interval) belong to nobody and widen the stretch. Ascending.
std::vector<Crossover> crossovers(const ExplorePanel& panel, bool lower_is_better);

}  // namespace assay::gui
