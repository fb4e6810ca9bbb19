#include "gui/plot/plot_overlay.h"

#include <QPaintEngine>
#include <QPainter>
#include <QPixmap>
#include <QtCharts/QChart>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

#include "gui/plot/name_places.h"
#include "gui/plot/plot_view.h"
#include "gui/plot/ticks.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

// Qt Charts lays out all series anew for each one that is added and keeps an item a marker: hundreds take it seconds,
// and a dozen more than a keystroke has. More than these are painted here, and look the same.
constexpr std::size_t most_chart_series = 4, most_chart_points = 64;
constexpr std::size_t crowded_points = 400;
constexpr std::size_t stamped_points = 150;  // of a plot; more markers are stamped
constexpr std::size_t many_lines = 24;       // of a plot; they are drawn thin
constexpr int stamp_side = 14;

// The shapes of QScatterSeries, in the order of PlotView.
void draw_marker(QPainter& painter, int marker, QPointF at) {
  constexpr double r = marker_reach;
  switch (marker % 4) {
    case 0:
      return painter.drawEllipse(at, r, r);
    case 1:
      return painter.drawRect(QRectF(at.x() - r, at.y() - r, 2 * r, 2 * r));
    case 2:
      return painter.drawPolygon(
          QPolygonF({at + QPointF(0, -r), at + QPointF(r, 0), at + QPointF(0, r), at + QPointF(-r, 0)}));
    default:
      return painter.drawPolygon(QPolygonF({at + QPointF(0, -r), at + QPointF(r, r), at + QPointF(-r, r)}));
  }
}

// A marker as a picture of `stamp_side` pixels a side, to be put down many times: smoothing an outline takes longer
// than copying what came of it.
QPixmap stamp_of(const PlotSeries& series, qreal ratio) {
  QPixmap stamp(QSize(stamp_side, stamp_side) * ratio);
  stamp.setDevicePixelRatio(ratio);
  stamp.fill(Qt::transparent);
  QPainter painter(&stamp);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(QPen(series.color, 1.6));
  painter.setBrush(is_real(series.provenance) ? series.color : theme().panel);
  draw_marker(painter, series.marker, QPointF(stamp_side / 2.0, stamp_side / 2.0));
  return stamp;
}

bool is_raster(const QPainter& painter) {
  return painter.paintEngine() != nullptr && painter.paintEngine()->type() == QPaintEngine::Raster;
}

}  // namespace

bool usable(double value, bool log) { return std::isfinite(value) && (!log || value > 0); }

bool is_real(results_db::Provenance provenance) {
  return provenance != results_db::Provenance::projected && provenance != results_db::Provenance::claimed;
}

bool few(const PlotSpec& spec) {
  std::size_t points = 0;
  for (const PlotSeries& series : spec.series) points += series.points.size();
  return spec.series.size() <= most_chart_series && points <= most_chart_points;
}

PlotOverlay::PlotOverlay(Layer layer, PlotView* view, QGraphicsItem* parent)
    : QGraphicsItem(parent), layer_(layer), view_(view) {
  setZValue(layer == Layer::below_series ? 2.5 : 50);
}

QRectF PlotOverlay::boundingRect() const { return {QPointF(0, 0), QSizeF(view_->size())}; }

void PlotOverlay::paint(QPainter* painter, const QStyleOptionGraphicsItem* /*option*/, QWidget* /*widget*/) {
  const QRectF area = view_->chart()->plotArea();
  painter->setRenderHint(QPainter::Antialiasing);
  QFont font = painter->font();
  font.setPixelSize(11);
  painter->setFont(font);
  if (layer_ == Layer::above_series) {
    if (!few(view_->spec_)) paint_series(*painter, area);
    paint_segment_names(*painter, area);
    paint_names(*painter, area);
    if (!view_->rubber_) return;
    QColor shade = theme().accent;
    painter->setPen(QPen(shade, 1));
    shade.setAlpha(40);
    painter->setBrush(shade);
    return painter->drawRect(view_->rubber_->normalized().intersected(area));
  }
  paint_axes(*painter, area);
  painter->setClipRect(area.adjusted(-5, -5, 5, 5));
  paint_marks(*painter, area);
  paint_intervals(*painter);
}

void PlotOverlay::paint_axes(QPainter& painter, const QRectF& area) const {
  const Theme& look = theme();
  const PlotSpec& spec = view_->spec_;
  const QFontMetricsF metrics(painter.font());
  if (std::isfinite(spec.shade_after)) {
    const double from = std::clamp(view_->position(spec.shade_after, view_->y_.first).x(), area.left(), area.right());
    QColor shade = look.line;
    shade.setAlpha(90);
    painter.fillRect(QRectF(QPointF(from, area.top()), area.bottomRight()), shade);
  }
  std::vector<QRectF> band_texts;
  for (const PlotBand& band : spec.bands) {
    const double from = view_->position(band.from, view_->y_.first).x(),
                 to = view_->position(band.to, view_->y_.first).x();
    const double left = std::max(from, area.left()), right = std::min(to, area.right());
    if (right <= left) continue;
    QColor shade = look.warn;
    shade.setAlpha(34);
    painter.fillRect(QRectF(QPointF(left, area.top()), QPointF(right, area.bottom())), shade);
    const double width = metrics.horizontalAdvance(band.text) + 4;
    const double start =
        std::clamp((left + right - width) / 2, area.left(), std::max(area.left(), area.right() - width));
    QRectF place(start, area.bottom() - text_height - 2, width, text_height);
    while (std::any_of(band_texts.begin(), band_texts.end(),
                       [&](const QRectF& other) { return other.intersects(place); }) &&
           place.top() > area.top())
      place.translate(0, -text_height);
    band_texts.push_back(place);
    painter.setPen(look.warn);
    painter.drawText(place, Qt::AlignCenter, band.text);
  }
  if (view_->band_) {
    QColor shade = look.accent;
    shade.setAlpha(50);
    painter.fillRect(QRectF(QPointF(view_->position(view_->band_->first, view_->y_.first).x(), area.top()),
                            QPointF(view_->position(view_->band_->second, view_->y_.first).x(), area.bottom()))
                         .normalized(),
                     shade);
  }
  QColor faint = look.line;
  faint.setAlpha(150);
  double last_end = -1e9;
  for (const Tick& tick :
       ticks(spec.x, view_->x_,
             std::max(2, static_cast<int>(area.width() / (spec.x.kind == AxisKind::count    ? 44
                                                          : spec.x.kind == AxisKind::moment ? 105
                                                                                            : 70))))) {
    const double x = view_->position(tick.value, view_->y_.first).x();
    if (x < area.left() - 1 || x > area.right() + 1) continue;
    painter.setPen(faint);
    painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()));
    const double width = metrics.horizontalAdvance(tick.text);
    const double start =
        std::clamp(x - width / 2, 0.0, std::max(0.0, view_->width() - width - 3));  // nothing is cut off
    if (start < last_end + 6) continue;
    last_end = start + width;
    painter.setPen(look.dim);
    painter.drawText(QRectF(start, area.bottom() + 4, width + 2, text_height), Qt::AlignLeft | Qt::AlignTop, tick.text);
  }
  for (const Tick& tick : ticks(spec.y, view_->y_, std::max(2, static_cast<int>(area.height() / 26)))) {
    const double y = view_->position(view_->x_.first, tick.value).y();
    if (y < area.top() - 1 || y > area.bottom() + 1) continue;
    painter.setPen(faint);
    painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y));
    painter.setPen(spec.y.categories.empty() ? look.dim : look.text);
    painter.drawText(QRectF(0, y - text_height / 2.0, area.left() - 7, text_height), Qt::AlignRight | Qt::AlignVCenter,
                     metrics.elidedText(tick.text, Qt::ElideMiddle, area.left() - 9));
  }
  painter.setPen(look.dim);
  painter.drawText(QRectF(area.left() - 40, area.bottom() + 20, area.width() + 80, text_height), Qt::AlignCenter,
                   spec.x.title);
  // The y title stands level above the axis, where it can be read without turning one's head.
  painter.save();
  double from = 6;
  if (!spec.title.isEmpty()) {
    QFont bold = painter.font();
    bold.setBold(true);
    painter.setFont(bold);
    const QFontMetricsF bold_metrics(bold);
    const QString title = bold_metrics.elidedText(spec.title, Qt::ElideRight, view_->width() - 12);
    painter.setPen(look.text);
    painter.drawText(QRectF(from, 4, view_->width() - 12, 18), Qt::AlignLeft | Qt::AlignVCenter, title);
    from += bold_metrics.horizontalAdvance(title) + 12;
  }
  painter.restore();
  if (const double room = view_->width() - from - 6; room > 30) {
    QString title = spec.y.title;
    if (metrics.horizontalAdvance(title) > room)  // the arrow alone says it too
      title.replace(QStringLiteral("↓ less is better"), QStringLiteral("↓"))
          .replace(QStringLiteral("↑ more is better"), QStringLiteral("↑"));
    painter.drawText(QRectF(from, 4, room, 18), Qt::AlignLeft | Qt::AlignVCenter,
                     metrics.elidedText(title, Qt::ElideRight, room));
  }
}

void PlotOverlay::paint_marks(QPainter& painter, const QRectF& area) const {
  const QFontMetricsF metrics(painter.font());
  for (const PlotSegment& segment : view_->spec_.segments) paint_segment(painter, segment);
  std::array<int, 2> beyond = {0, 0};  // references named at the top and at the bottom
  std::vector<QRectF> written;
  for (const PlotReference& reference : view_->spec_.references) {
    painter.setPen(QPen(reference.color, reference.movable ? 2.0 : 1.2, reference.pen));
    if (reference.vertical) {
      double x = view_->position(reference.value, view_->y_.first).x();
      QString text = metrics.elidedText(reference.text, Qt::ElideRight, 0.45 * area.width());
      if (x < area.left() || x > area.right()) {
        if (reference.stretches) continue;  // zoomed away
        text = x < area.left() ? QStringLiteral("← ") + text : text + QStringLiteral(" →");
        x = std::clamp(x, area.left(), area.right());
      } else {
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()));
      }
      const double width = metrics.horizontalAdvance(text);
      const bool left = x + width + 6 > area.right();
      QRectF place(left ? x - width - 4 : x + 4, area.top() + 1, width + 2, text_height);
      // Marks close to each other are named below one another.
      const auto taken = [&] {
        return std::any_of(written.begin(), written.end(),
                           [&](const QRectF& other) { return other.intersects(place); });
      };
      while (taken() && place.bottom() < area.bottom()) place.translate(0, text_height);
      written.push_back(place);
      painter.setPen(reference.color);
      painter.drawText(place, Qt::AlignLeft, text);
      continue;
    }
    const double y = view_->position(view_->x_.first, reference.value).y();
    painter.setPen(QPen(reference.color, 1.2, reference.pen));
    QRectF place(area.left() + 5, y - text_height, area.width() - 8, text_height);
    QString text = reference.text;
    if (y < area.top() || y > area.bottom()) {
      if (reference.stretches) continue;  // zoomed away
      const bool above = y < area.top();
      const int line = beyond.at(above ? 0 : 1)++;
      place.moveTop(above ? area.top() + 1 + line * text_height : area.bottom() - (line + 1) * text_height - 1);
      text = (above ? QStringLiteral("↑ ") : QStringLiteral("↓ ")) + text;
    } else {
      painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y));
    }
    painter.setPen(reference.color);
    painter.drawText(place, Qt::AlignLeft, metrics.elidedText(text, Qt::ElideRight, place.width()));
  }
}

void PlotOverlay::paint_segment(QPainter& painter, const PlotSegment& segment) const {
  const QPointF from = view_->position(segment.x0, segment.y0), to = view_->position(segment.x1, segment.y1);
  painter.setPen(QPen(segment.color, segment.width));
  if (!segment.arrow) return painter.drawLine(from, to);
  constexpr double ring = 2.6, head = 7, reach = marker_reach + 1;
  const QPointF way = to - from;
  const double length = std::hypot(way.x(), way.y());
  painter.setBrush(theme().panel);
  painter.drawEllipse(from, ring, ring);
  if (length > ring + reach + head) {  // else the marker hides it: it hardly moved
    const QPointF along = way / length, across(-along.y(), along.x());
    const QPointF tip = to - reach * along, base = tip - head * along;
    painter.drawLine(from + ring * along, base);
    painter.setBrush(segment.color);
    painter.setPen(Qt::NoPen);
    painter.drawPolygon(QPolygonF({tip, base + 0.42 * head * across, base - 0.42 * head * across}));
  }
  painter.setBrush(Qt::NoBrush);
}

// After everything else, so that each name finds a place that nothing crosses; where there is none it has a ground.
void PlotOverlay::paint_segment_names(QPainter& painter, const QRectF& area) const {
  const auto& segments = view_->spec_.segments;
  if (std::all_of(segments.begin(), segments.end(), [](const PlotSegment& held) { return held.text.isEmpty(); }))
    return;
  constexpr std::size_t most_points = 400;  // among more there is no room to look for
  Obstacles others;
  others.reach = marker_reach;
  const auto line_of = [&](const PlotSegment& held) {
    return QLineF(view_->position(held.x0, held.y0), view_->position(held.x1, held.y1));
  };
  for (const PlotSegment& held : segments) others.lines.push_back(line_of(held));
  for (const PlotSeries& series : view_->spec_.series)
    for (const PlotPoint& point : series.points) {
      if (others.points.size() >= most_points) break;
      others.points.push_back(view_->position(point.x, point.y));
      if (point.low && point.high)
        others.lines.emplace_back(view_->position(point.x, *point.low), view_->position(point.x, *point.high));
    }
  painter.save();
  painter.setClipRect(area.adjusted(-5, -5, 5, 5));
  QColor ground = theme().panel;
  ground.setAlpha(200);
  const QFontMetricsF metrics(painter.font());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const PlotSegment& segment = segments[i];
    if (segment.text.isEmpty()) continue;
    const QLineF line = others.lines[i];
    const double width = metrics.horizontalAdvance(segment.text);
    painter.setPen(segment.color);
    if (std::abs(line.dy()) < 2) {
      const QRectF place = place_of_level(line, area, width, others);
      others.names.emplace_back(place);
      painter.fillRect(place, ground);
      painter.drawText(place, Qt::AlignRight | Qt::AlignVCenter, segment.text);
      continue;
    }
    const AlongLine place = place_on_slope(line, width, others);
    others.names.push_back(place.corners(width));
    painter.save();
    painter.translate(place.at);
    painter.rotate(place.degrees);
    painter.drawText(QRectF(0, place.drop, width + 4, text_height), Qt::AlignLeft | Qt::AlignVCenter, segment.text);
    painter.restore();
  }
  painter.restore();
}

void PlotOverlay::paint_intervals(QPainter& painter) const {
  const bool rows = !view_->spec_.y.categories.empty();
  for (const PlotSeries& series : view_->spec_.series) {
    QColor color = series.color, faint = series.color;
    color.setAlpha(190);
    faint.setAlpha(175);
    for (const PlotPoint& point : series.points) {
      if (!point.low || !point.high) continue;
      const bool caps = point.spread == Spread::interval;
      painter.setPen(caps ? QPen(color, 1.5) : QPen(faint, 1.2));
      const QPointF from = rows ? view_->position(*point.low, point.y) : view_->position(point.x, *point.low);
      const QPointF to = rows ? view_->position(*point.high, point.y) : view_->position(point.x, *point.high);
      const QPointF cap = rows ? QPointF(0, 4) : QPointF(4, 0);
      painter.drawLine(from, to);
      if (!caps) continue;
      painter.drawLine(from - cap, from + cap);
      painter.drawLine(to - cap, to + cap);
    }
  }
}

void PlotOverlay::paint_series(QPainter& painter, const QRectF& area) const {
  painter.save();
  painter.setClipRect(area.adjusted(-5, -5, 5, 5));
  std::size_t markers = 0;
  for (const PlotSeries& series : view_->spec_.series) markers += series.markers ? series.points.size() : 0;
  const bool stamped = markers > stamped_points && is_raster(painter);
  // Qt draws a line of one pixel without outlining it first, in a tenth of the time; among many, thin ones are told
  // apart better.
  const bool thin = view_->spec_.series.size() > many_lines;
  std::map<std::tuple<QRgb, int, bool>, QPixmap> stamps;  // techniques share eight colours and four shapes
  for (const PlotSeries& series : view_->spec_.series) {
    QPolygonF places;
    for (const PlotPoint& point : series.points)
      if (usable(point.x, view_->spec_.x.log) && usable(point.y, view_->spec_.y.log))
        places << view_->position(point.x, point.y);
    // A line that goes up and down in every pixel column: smoothing it takes ten times as long and shows nothing more.
    const bool crowded = static_cast<std::size_t>(places.size()) > crowded_points;
    painter.setRenderHint(QPainter::Antialiasing, !crowded);
    QPen pen(series.color, crowded || thin ? 1.0 : 1.8, provenance_pen(series.provenance));
    pen.setCosmetic(thin);
    painter.setPen(pen);
    if (series.line) painter.drawPolyline(places);
    painter.setRenderHint(QPainter::Antialiasing);
    if (!series.markers) continue;
    if (stamped) {
      QPixmap& stamp = stamps[{series.color.rgba(), series.marker, is_real(series.provenance)}];
      if (stamp.isNull()) stamp = stamp_of(series, painter.device()->devicePixelRatioF());
      for (const QPointF& place : places)
        painter.drawPixmap(place - QPointF(stamp_side / 2.0, stamp_side / 2.0), stamp);
      continue;
    }
    painter.setPen(QPen(series.color, 1.6));
    painter.setBrush(is_real(series.provenance) ? series.color : theme().panel);
    for (const QPointF& place : places) draw_marker(painter, series.marker, place);
    painter.setBrush(Qt::NoBrush);
  }
  painter.restore();
}

void PlotOverlay::paint_names(QPainter& painter, const QRectF& area) const {
  if (!view_->spec_.y.categories.empty()) return;
  struct Name {
    double y = 0, from = 0;
    const PlotSeries* series = nullptr;
  };
  std::vector<Name> names;
  for (const PlotSeries& series : view_->spec_.series) {
    if (series.name.isEmpty() || series.points.empty()) continue;
    const QPointF end = view_->position(series.points.back().x, series.points.back().y);
    names.push_back({std::clamp(end.y(), area.top(), area.bottom()), end.y(), &series});
  }
  std::sort(names.begin(), names.end(), [](const Name& a, const Name& b) { return a.y < b.y; });
  // Pushed apart from the top down, then from the bottom up: no two on one another.
  for (std::size_t i = 1; i < names.size(); ++i) names[i].y = std::max(names[i].y, names[i - 1].y + text_height - 1);
  double limit = area.bottom() + 4;
  for (std::size_t i = names.size(); i-- > 0;) {
    names[i].y = std::min(names[i].y, limit);
    limit = names[i].y - text_height + 1;
  }
  const QFontMetricsF metrics(painter.font());
  const double room = view_->width() - area.right() - 12;
  if (room < 40) return;
  // More names than lines of text: how many have none is said in the uppermost line.
  const double top = area.top() + 2;
  const auto above = std::count_if(names.begin(), names.end(), [&](const Name& name) { return name.y < top; });
  if (above > 0) {
    painter.setPen(theme().dim);
    painter.drawText(QRectF(area.right() + 9, top - text_height / 2.0, room, text_height),
                     Qt::AlignLeft | Qt::AlignVCenter, QObject::tr("+ %1 more, in the table").arg(above + 1));
  }
  for (const Name& name : names) {
    if (above > 0 && name.y < top + text_height - 2) continue;
    painter.setPen(name.series->color);
    painter.drawText(QRectF(area.right() + 9, name.y - text_height / 2.0, room, text_height),
                     Qt::AlignLeft | Qt::AlignVCenter, metrics.elidedText(name.series->name, Qt::ElideMiddle, room));
  }
}

}  // namespace assay::gui
