#pragma once
// One metric against another, as a picture and as a table: Explore with a metric as its axis.
#include <memory>
#include <optional>

#include "gui/grid.h"
#include "gui/model/pareto.h"
#include "gui/plot/plot_spec.h"

namespace assay::gui {

// The limit on x is a line to drag; what lies beyond it is drawn faint.
PlotSpec front_spec(const Front& front, double limit, const std::shared_ptr<const RunData>& data);
Grid front_grid(const Front& front, double limit);  // on the front first, best y first
// "inside 120 ms: best throughput 5.1 token/s, orca, batch 8"; one part a provenance.
QString limit_text(const Front& front, double limit);
// Where the line stands before it is moved: everything is inside.
double widest_limit(const Front& front);

}  // namespace assay::gui
