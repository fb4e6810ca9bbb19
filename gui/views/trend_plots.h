#pragma once
// A case over its runs as plots: what it measured, its levels and their changes; how far it moved.
#include "gui/model/trend.h"
#include "gui/plot/plot_spec.h"

namespace assay::gui {

QString moment(double seconds);  // since 1970

// Points are given back by the index of their run, counted from 1; what came after `now` (seconds) is shaded.
PlotSpec trend_spec(const Trend& trend, const TrendLevels& levels, const std::string& technique, double now, bool log);
PlotSpec change_spec(const Trend& trend, bool from_first, double now);  // else from the run before

}  // namespace assay::gui
