#pragma once
// Where the name of a line in a plot can stand so that nothing crosses it: pure geometry, in pixels.
#include <QLineF>
#include <QPointF>
#include <QPolygonF>
#include <QRectF>
#include <vector>

namespace assay::gui {

constexpr int text_height = 15;  // of the small letters of plots

// What a name must not stand on.
struct Obstacles {
  double reach = 4;  // of a point around its middle
  std::vector<QPointF> points;
  std::vector<QLineF> lines;
  std::vector<QPolygonF> names;  // that have found their place

  bool named(const QPolygonF& place) const;
  bool crossed(const QPolygonF& place) const;  // by a point or a line
};

// Of a text `width` wide along a level line: from its right end leftwards, above it or below it. Where each place is
// crossed one that no other name has, and where there is none of these the right end.
QRectF place_of_level(const QLineF& line, const QRectF& area, double width, const Obstacles& others);

// A text along a line that rises or falls.
struct AlongLine {
  QPointF at;          // on the line, where the text begins
  double degrees = 0;  // of the line
  double drop = 0;     // of the top of the text from the line
  QPolygonF corners(double width) const;
};
// From the line's beginning on, above it or below it; its beginning where each place is crossed.
AlongLine place_on_slope(const QLineF& line, double width, const Obstacles& others);

}  // namespace assay::gui
