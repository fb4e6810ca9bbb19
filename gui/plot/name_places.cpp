#include "gui/plot/name_places.h"

#include <QTransform>
#include <algorithm>
#include <cmath>
#include <optional>

namespace assay::gui {
namespace {

QPolygonF corners_of(const QRectF& place) {
  return QPolygonF({place.topLeft(), place.topRight(), place.bottomRight(), place.bottomLeft()});
}

}  // namespace

bool Obstacles::named(const QPolygonF& place) const {
  return std::any_of(names.begin(), names.end(), [&](const QPolygonF& other) { return other.intersects(place); });
}

bool Obstacles::crossed(const QPolygonF& place) const {
  const auto inside = [&](QPointF at) { return place.containsPoint(at, Qt::OddEvenFill); };
  const QRectF box = place.boundingRect().adjusted(-reach, -reach, reach, reach);
  for (const QPointF& point : points)
    if (box.contains(point))
      for (const QPointF& off :
           {QPointF(), QPointF(reach, 0), QPointF(-reach, 0), QPointF(0, reach), QPointF(0, -reach)})
        if (inside(point + off)) return true;
  return std::any_of(lines.begin(), lines.end(), [&](const QLineF& line) {
    if (inside(line.p1()) || inside(line.p2())) return true;
    for (qsizetype i = 0; i < place.size(); ++i)
      if (line.intersects(QLineF(place[i], place[(i + 1) % place.size()]), nullptr) == QLineF::BoundedIntersection)
        return true;
    return false;
  });
}

QRectF place_of_level(const QLineF& line, const QRectF& area, double width, const Obstacles& others) {
  constexpr double step = 8;
  const double right = std::min(std::max(line.x1(), line.x2()), area.right()) - 4;
  const double left = std::max(std::min(line.x1(), line.x2()), area.left());
  const auto above = [&](double end) {
    return QRectF(end - width, line.y1() - text_height - 1, width + 2, text_height);
  };
  std::optional<QRectF> second_best;
  for (double end = right; end - width >= left; end -= step)
    for (const QRectF& place : {above(end), above(end).translated(0, text_height + 3)}) {
      const QPolygonF corners = corners_of(place);
      if (place.top() < area.top() || others.named(corners)) continue;
      if (!others.crossed(corners)) return place;
      if (!second_best) second_best = place;
    }
  return second_best.value_or(above(right));
}

QPolygonF AlongLine::corners(double width) const {
  QTransform turned;
  turned.translate(at.x(), at.y());
  turned.rotate(degrees);
  return turned.map(corners_of(QRectF(0, drop, width, text_height)));
}

AlongLine place_on_slope(const QLineF& line, double width, const Obstacles& others) {
  constexpr double from = 0.04, step = 0.03, above = -text_height - 2, below = 2;
  const double degrees = std::atan2(line.dy(), line.dx()) * 57.29577951, length = line.length();
  for (double share = from; share * length + width < length; share += step)
    for (const double drop : {above, below}) {
      const AlongLine place{line.pointAt(share), degrees, drop};
      const QPolygonF corners = place.corners(width);
      if (!others.crossed(corners) && !others.named(corners)) return place;
    }
  return {line.pointAt(from), degrees, above};
}

}  // namespace assay::gui
