#pragma once
// What a plot shows, as values: views make it, PlotView draws it, tests read it.
#include <QColor>
#include <QString>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "results_db/records.h"

namespace assay::gui {

// What the bar through a point says: the interval of its number, or how far its launches lie apart where they are too
// few for one. The first has caps, the second is thin and has none.
enum class Spread { interval, launches };

struct PlotPoint {
  double x = 0;
  double y = 0;
  std::optional<double> low, high;  // of y (of x where categories are the rows)
  qint64 id = 0;                    // given back when it is clicked
  QString tip;
  Spread spread = Spread::interval;
};

struct PlotSeries {
  QString name;  // written at its right end
  QColor color;
  results_db::Provenance provenance = results_db::Provenance::measured;
  int marker = 0;
  bool line = true;
  bool markers = true;
  std::vector<PlotPoint> points;
};

enum class AxisKind { number, count, moment };  // count: powers of 1024 (4k tokens); moment: seconds since 1970

struct PlotAxis {
  QString title;
  std::string unit;
  std::string metric;  // how its values are written
  AxisKind kind = AxisKind::number;
  bool log = false;
  bool from_zero = false;           // linear only
  std::vector<QString> categories;  // names of 0, 1, ...; empty: numbers
};

struct PlotReference {
  double value = 0;
  bool vertical = false;
  QString text;
  QColor color;
  Qt::PenStyle pen = Qt::DashDotLine;
  bool movable = false;   // with the mouse, or with the arrow keys
  bool stretches = true;  // the axis reaches to it; else it is named at the edge that it lies beyond
  QString tip = {};
};

// A straight line between two points that no series is: a roof, a level, the way of a point from one run to the next.
struct PlotSegment {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  QString text;  // stands where no point and no other line crosses it
  QColor color;
  double width = 1.5;
  bool arrow = false;  // a ring where it begins, a head where it ends
};

// A stretch of x that stands out, with a word at its foot.
struct PlotBand {
  double from = 0, to = 0;
  QString text;
};

struct PlotSpec {
  QString title;
  PlotAxis x, y;
  std::vector<PlotSeries> series;
  std::vector<PlotReference> references;
  std::vector<PlotSegment> segments;
  std::vector<PlotBand> bands;
  std::optional<std::pair<double, double>> x_range;  // where several plots are to share it
  std::function<QString(qint64 id)> tip;             // of points without one of their own: made when it is asked for
  double shade_after = std::numeric_limits<double>::quiet_NaN();  // x from where on the ground is shaded
};

}  // namespace assay::gui
