#include "gui/plot/plot_view.h"

#include <QApplication>
#include <QGraphicsItem>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPaintEngine>
#include <QPainter>
#include <QPixmap>
#include <QToolTip>
#include <QWheelEvent>
#include <QtCharts/QChart>
#include <QtCharts/QLineSeries>
#include <QtCharts/QLogValueAxis>
#include <QtCharts/QScatterSeries>
#include <QtCharts/QValueAxis>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>
#include <utility>

#include "gui/letter_widths.h"
#include "gui/plot/ticks.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

constexpr double top_margin = 26, bottom_margin = 40, least_right = 16;
constexpr int text_height = 15;
// Qt Charts lays out all series anew for each one that is added and keeps an item a marker: hundreds take it seconds,
// and a dozen more than a keystroke has. More than these are painted here, and look the same.
constexpr std::size_t most_chart_series = 4, most_chart_points = 64;
constexpr std::size_t crowded_points = 400;
constexpr std::size_t stamped_points = 150;  // of a plot; more markers are stamped
constexpr std::size_t many_lines = 24;       // of a plot; they are drawn thin
constexpr int stamp_side = 14;
constexpr double marker_reach = 4;  // pixels from its middle

bool usable(double value, bool log) { return std::isfinite(value) && (!log || value > 0); }

void widen(std::pair<double, double>& range, double value, bool log) {
  if (!usable(value, log)) return;
  range.first = std::min(range.first, value);
  range.second = std::max(range.second, value);
}

// Room around the data; one value alone gets a decent neighbourhood.
std::pair<double, double> padded(std::pair<double, double> range, const PlotAxis& axis) {
  if (!axis.categories.empty()) return {-0.6, static_cast<double>(axis.categories.size()) - 0.4};
  if (range.first > range.second) return axis.log ? std::pair{1.0, 10.0} : std::pair{0.0, 1.0};
  if (axis.log) {
    const double room = range.second > range.first ? std::pow(range.second / range.first, 0.06) : 1.5;
    return {range.first / room, range.second * room};
  }
  if (axis.kind == AxisKind::moment && range.first == range.second) return {range.first - 43200, range.first + 43200};
  if (axis.from_zero) return {std::min(0.0, range.first * 1.06), std::max(range.second, 0.0) * 1.06};
  // What rounding alone tells apart is one value: ticks between such have no digits to tell them by.
  const bool apart = range.second - range.first > 1e-9 * std::max(std::abs(range.first), std::abs(range.second));
  const double room = apart ? 0.09 * (range.second - range.first) : std::max(std::abs(range.first) * 0.1, 1e-12);
  return {range.first - room, range.second + room};
}

// Somebody's clock has been there, or a formula over such a number.
bool is_real(results_db::Provenance provenance) {
  return provenance != results_db::Provenance::projected && provenance != results_db::Provenance::claimed;
}

QScatterSeries::MarkerShape shape_of(int marker) {
  switch (marker % 4) {
    case 0:
      return QScatterSeries::MarkerShapeCircle;
    case 1:
      return QScatterSeries::MarkerShapeRectangle;
    case 2:
      return QScatterSeries::MarkerShapeRotatedRectangle;
    default:
      return QScatterSeries::MarkerShapeTriangle;
  }
}

bool few(const PlotSpec& spec) {
  std::size_t points = 0;
  for (const PlotSeries& series : spec.series) points += series.points.size();
  return spec.series.size() <= most_chart_series && points <= most_chart_points;
}

// The shapes of QScatterSeries, in the order of shape_of.
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

QAbstractAxis* make_axis(const PlotAxis& axis, QObject* parent) {
  QAbstractAxis* made = nullptr;
  if (axis.log)
    made = new QLogValueAxis(parent);
  else
    made = new QValueAxis(parent);
  made->setVisible(false);
  return made;
}

}  // namespace

// Qt Charts stacks its own items from -1 (ground) over 2 (grid) to 4 (series) and on.
enum class Layer { below_series, above_series };

class PlotOverlay : public QGraphicsItem {
 public:
  PlotOverlay(Layer layer, PlotView* view, QGraphicsItem* parent) : QGraphicsItem(parent), layer_(layer), view_(view) {
    setZValue(layer == Layer::below_series ? 2.5 : 50);
  }
  QRectF boundingRect() const override { return QRectF(QPointF(0, 0), QSizeF(view_->size())); }
  void paint(QPainter* painter, const QStyleOptionGraphicsItem* /*option*/, QWidget* /*widget*/) override;

 private:
  void paint_axes(QPainter& painter, const QRectF& area) const;
  void paint_marks(QPainter& painter, const QRectF& area) const;
  void paint_intervals(QPainter& painter) const;
  void paint_series(QPainter& painter, const QRectF& area) const;
  void paint_names(QPainter& painter, const QRectF& area) const;

  Layer layer_;
  PlotView* view_;
};

void PlotOverlay::paint(QPainter* painter, const QStyleOptionGraphicsItem* /*option*/, QWidget* /*widget*/) {
  const QRectF area = view_->chart()->plotArea();
  painter->setRenderHint(QPainter::Antialiasing);
  QFont font = painter->font();
  font.setPixelSize(11);
  painter->setFont(font);
  if (layer_ == Layer::above_series) {
    if (!few(view_->spec_)) paint_series(*painter, area);
    return paint_names(*painter, area);
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
  if (const double room = view_->width() - from - 6; room > 30)
    painter.drawText(QRectF(from, 4, room, 18), Qt::AlignLeft | Qt::AlignVCenter,
                     metrics.elidedText(spec.y.title, Qt::ElideRight, room));
}

void PlotOverlay::paint_marks(QPainter& painter, const QRectF& area) const {
  const QFontMetricsF metrics(painter.font());
  std::vector<QRectF> named;
  for (const PlotSegment& segment : view_->spec_.segments) {
    const QPointF from = view_->position(segment.x0, segment.y0), to = view_->position(segment.x1, segment.y1);
    painter.setPen(QPen(segment.color, segment.width));
    painter.drawLine(from, to);
    if (segment.text.isEmpty()) continue;
    const double width = metrics.horizontalAdvance(segment.text);
    const bool flat = std::abs(from.y() - to.y()) < 2;
    painter.setPen(segment.color);
    if (flat) {
      // Above the line, below it, or further left, where no other level's name is.
      const double right = std::min(to.x(), area.right()) - 4;
      QRectF place(right - width, from.y() - text_height - 1, width + 2, text_height);
      const auto taken = [&] {
        return std::any_of(named.begin(), named.end(), [&](const QRectF& other) { return other.intersects(place); });
      };
      if (taken()) place.moveTop(from.y() + 2);
      while (taken() && place.left() > area.left()) place.translate(-12, 0);
      named.push_back(place);
      painter.drawText(place, Qt::AlignRight, segment.text);
    } else {
      painter.save();
      const double share = 0.04;
      const QPointF at = from + share * (to - from);
      painter.translate(at);
      painter.rotate(std::atan2(to.y() - from.y(), to.x() - from.x()) * 57.29577951);
      painter.drawText(QPointF(0, -4), segment.text);
      painter.restore();
    }
  }
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

void PlotOverlay::paint_intervals(QPainter& painter) const {
  const bool rows = !view_->spec_.y.categories.empty();
  for (const PlotSeries& series : view_->spec_.series) {
    QColor color = series.color;
    color.setAlpha(170);
    painter.setPen(QPen(color, 1.3));
    for (const PlotPoint& point : series.points) {
      if (!point.low || !point.high) continue;
      const QPointF from = rows ? view_->position(*point.low, point.y) : view_->position(point.x, *point.low);
      const QPointF to = rows ? view_->position(*point.high, point.y) : view_->position(point.x, *point.high);
      const QPointF cap = rows ? QPointF(0, 4) : QPointF(4, 0);
      painter.drawLine(from, to);
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
  for (const Name& name : names) {
    if (name.y < area.top() - 12) continue;  // more names than lines of text
    painter.setPen(name.series->color);
    painter.drawText(QRectF(area.right() + 9, name.y - text_height / 2.0, room, text_height),
                     Qt::AlignLeft | Qt::AlignVCenter, metrics.elidedText(name.series->name, Qt::ElideMiddle, room));
  }
}

PlotView::PlotView(QWidget* parent) : QChartView(parent) {
  auto* chart = new QChart;
  chart->legend()->hide();
  chart->setAnimationOptions(QChart::NoAnimation);
  chart->setBackgroundRoundness(0);
  chart->setMargins(QMargins());
  setChart(chart);
  ground_ = new PlotOverlay(Layer::below_series, this, chart);
  overlay_ = new PlotOverlay(Layer::above_series, this, chart);
  setRenderHint(QPainter::Antialiasing);
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setFrameShape(QFrame::NoFrame);
  setMinimumSize(160, 120);
}

void PlotView::show_spec(PlotSpec spec) {
  spec_ = std::move(spec);
  setAccessibleName(spec_.title.isEmpty() ? tr("plot of %1 over %2").arg(spec_.y.title, spec_.x.title) : spec_.title);
  chart()->setBackgroundBrush(theme().panel);
  setBackgroundBrush(theme().panel);
  chart()->removeAllSeries();
  for (QAbstractAxis* axis : {x_axis_, y_axis_})
    if (axis != nullptr) {
      chart()->removeAxis(axis);
      delete axis;
    }
  x_axis_ = y_axis_ = nullptr;
  if (few(spec_)) {
    x_axis_ = make_axis(spec_.x, chart());
    y_axis_ = make_axis(spec_.y, chart());
    chart()->addAxis(x_axis_, Qt::AlignBottom);
    chart()->addAxis(y_axis_, Qt::AlignLeft);
  }
  find_ranges();
  lay_out();
  apply_ranges();
  add_series();
  ground_->update();
  overlay_->update();
}

void PlotView::find_ranges() {
  constexpr double none = std::numeric_limits<double>::infinity();
  std::pair<double, double> x = {none, -none}, y = {none, -none};
  const bool rows = !spec_.y.categories.empty();
  for (const PlotSeries& series : spec_.series)
    for (const PlotPoint& point : series.points) {
      widen(x, point.x, spec_.x.log);
      widen(y, point.y, spec_.y.log);
      for (const auto& end : {point.low, point.high})
        if (end) widen(rows ? x : y, *end, rows ? spec_.x.log : spec_.y.log);
    }
  for (const PlotReference& reference : spec_.references)
    if (reference.stretches)
      widen(reference.vertical ? x : y, reference.value, reference.vertical ? spec_.x.log : spec_.y.log);
  for (const PlotSegment& segment : spec_.segments) {
    widen(x, segment.x0, spec_.x.log);
    widen(x, segment.x1, spec_.x.log);
    widen(y, segment.y0, spec_.y.log);
    widen(y, segment.y1, spec_.y.log);
  }
  whole_x_ = x_ = padded(spec_.x_range.value_or(x), spec_.x);
  whole_y_ = y_ = padded(y, spec_.y);
}

void PlotView::apply_ranges() {
  const auto set = [](QAbstractAxis* axis, std::pair<double, double> range) {
    if (auto* log = qobject_cast<QLogValueAxis*>(axis))
      log->setRange(range.first, range.second);
    else if (auto* linear = qobject_cast<QValueAxis*>(axis))
      linear->setRange(range.first, range.second);
  };
  if (x_axis_ != nullptr) {
    set(x_axis_, x_);
    set(y_axis_, y_);
  }
  ground_->update();
  overlay_->update();
}

void PlotView::add_series() {
  if (!few(spec_)) return;
  for (const PlotSeries& series : spec_.series) {
    QList<QPointF> points;
    points.reserve(static_cast<qsizetype>(series.points.size()));
    for (const PlotPoint& point : series.points)
      if (usable(point.x, spec_.x.log) && usable(point.y, spec_.y.log)) points << QPointF(point.x, point.y);
    const auto attach = [&](QXYSeries* drawn) {
      drawn->replace(points);
      chart()->addSeries(drawn);
      drawn->attachAxis(x_axis_);
      drawn->attachAxis(y_axis_);
    };
    if (series.line && points.size() > 1) {
      auto* line = new QLineSeries;
      QPen pen(series.color, 1.8);
      pen.setStyle(provenance_pen(series.provenance));
      line->setPen(pen);
      attach(line);
    }
    if (series.markers) {
      auto* markers = new QScatterSeries;
      markers->setMarkerShape(shape_of(series.marker));
      markers->setMarkerSize(8);
      // Hollow where nobody's clock has been.
      markers->setBrush(is_real(series.provenance) ? series.color : theme().panel);
      markers->setPen(QPen(series.color, 1.6));
      attach(markers);
    }
  }
}

void PlotView::lay_out() {
  QFont small = font();
  small.setPixelSize(11);
  const QFontMetricsF metrics(small);
  double left = 30, right = least_right;
  const int y_ticks = std::max(2, static_cast<int>((height() - top_margin - bottom_margin) / 26));
  for (const Tick& tick : ticks(spec_.y, y_, y_ticks)) left = std::max(left, metrics.horizontalAdvance(tick.text) + 16);
  left = std::min(left, std::max(30.0, 0.34 * width()));
  LetterWidths names(small);
  if (spec_.y.categories.empty())
    for (const PlotSeries& series : spec_.series)
      if (!series.name.isEmpty()) right = std::max(right, names.of(series.name) + 22.0);
  right = std::min(right, std::max(least_right, 0.34 * width()));
  const double area_width = std::max(20.0, width() - left - right);
  const double area_height = std::max(20.0, height() - top_margin - bottom_margin);
  chart()->setPlotArea(QRectF(left, top_margin, area_width, area_height));
}

double PlotView::along(double value, bool vertical) const {
  const auto [low, high] = vertical ? y_ : x_;
  if (vertical ? spec_.y.log : spec_.x.log) return std::log(value / low) / std::log(high / low);
  return (value - low) / (high - low);
}

double PlotView::back(double share, bool vertical) const {
  const auto [low, high] = vertical ? y_ : x_;
  if (vertical ? spec_.y.log : spec_.x.log) return low * std::pow(high / low, share);
  return low + share * (high - low);
}

double PlotView::x_at(double pixel) const {
  const QRectF area = chart()->plotArea();
  return back((pixel - area.left()) / area.width(), false);
}

QPointF PlotView::position(double x, double y) const {
  const QRectF area = chart()->plotArea();
  return {area.left() + along(x, false) * area.width(), area.bottom() - along(y, true) * area.height()};
}

QString PlotView::tip_of(const PlotPoint& point) const {
  return point.tip.isEmpty() && spec_.tip ? spec_.tip(point.id) : point.tip;
}

void PlotView::reset_zoom() {
  x_ = whole_x_;
  y_ = whole_y_;
  apply_ranges();
}

const PlotPoint* PlotView::nearest(QPointF at) const {
  const PlotPoint* best = nullptr;
  double distance = 14;
  for (const PlotSeries& series : spec_.series)
    for (const PlotPoint& point : series.points) {
      const QPointF place = position(point.x, point.y) - at;
      const double away = std::hypot(place.x(), place.y());
      if (away < distance) {
        distance = away;
        best = &point;
      }
    }
  return best;
}

void PlotView::resizeEvent(QResizeEvent* event) {
  QChartView::resizeEvent(event);
  lay_out();
}

void PlotView::wheelEvent(QWheelEvent* event) {
  if (!event->modifiers().testFlag(Qt::ControlModifier) && chart()->plotArea().width() < 300) {
    event->ignore();  // a small one among many: the wheel scrolls the page
    return;
  }
  const QRectF area = chart()->plotArea();
  zoom(std::pow(0.999, event->angleDelta().y()), (event->position().x() - area.left()) / area.width(),
       (area.bottom() - event->position().y()) / area.height());
  event->accept();
}

// The shares of the area are what stays where it is.
void PlotView::zoom(double factor, double share_x, double share_y) {
  const auto zoomed = [&](bool vertical, double share) {
    return std::pair{back(share - share * factor, vertical), back(share + (1 - share) * factor, vertical)};
  };
  if (spec_.x.categories.empty()) x_ = zoomed(false, share_x);
  if (spec_.y.categories.empty()) y_ = zoomed(true, share_y);
  apply_ranges();
}

void PlotView::shift(double share_x, double share_y, std::pair<double, double> from_x,
                     std::pair<double, double> from_y) {
  x_ = from_x;
  y_ = from_y;
  const std::pair shifted_x = {back(share_x, false), back(1 + share_x, false)};
  const std::pair shifted_y = {back(share_y, true), back(1 + share_y, true)};
  if (spec_.x.categories.empty()) x_ = shifted_x;
  if (spec_.y.categories.empty()) y_ = shifted_y;
  apply_ranges();
}

PlotReference* PlotView::movable() {
  const auto found = std::find_if(spec_.references.begin(), spec_.references.end(),
                                  [](const PlotReference& reference) { return reference.movable; });
  return found == spec_.references.end() ? nullptr : &*found;
}

void PlotView::move_reference(double value) {
  PlotReference* line = movable();
  if (line == nullptr || !usable(value, spec_.x.log)) return;
  line->value = std::clamp(value, x_.first, x_.second);
  ground_->update();
  Q_EMIT reference_moved(line->value);
}

void PlotView::keyPressEvent(QKeyEvent* event) {
  const bool left = event->key() == Qt::Key_Left, right = event->key() == Qt::Key_Right;
  constexpr double step = 0.02;
  if ((left || right) && movable() != nullptr)
    return move_reference(back(along(movable()->value, false) + (left ? -step : step), false));
  if (left || right) return shift(left ? -5 * step : 5 * step, 0, x_, y_);
  switch (event->key()) {
    case Qt::Key_Up:
      return shift(0, 5 * step, x_, y_);
    case Qt::Key_Down:
      return shift(0, -5 * step, x_, y_);
    case Qt::Key_Plus:
    case Qt::Key_Equal:
      return zoom(0.8, 0.5, 0.5);
    case Qt::Key_Minus:
      return zoom(1.25, 0.5, 0.5);
    case Qt::Key_0:
      return reset_zoom();
    default:
      event->ignore();  // a command of the window
  }
}

void PlotView::mousePressEvent(QMouseEvent* event) {
  drag_ = event->pos();
  drag_x_ = x_;
  drag_y_ = y_;
  band_.reset();
  const PlotReference* line = movable();
  moving_ = line != nullptr && std::abs(position(line->value, y_.first).x() - event->position().x()) < 6;
  if (!moving_ && event->modifiers().testFlag(Qt::ShiftModifier)) {
    const double at = x_at(event->position().x());
    band_ = {at, at};
  }
  setFocus();
}

void PlotView::mouseMoveEvent(QMouseEvent* event) {
  if (drag_ && band_ && event->buttons().testFlag(Qt::LeftButton)) {
    band_->second = x_at(event->position().x());
    ground_->update();
    return;
  }
  if (drag_ && moving_ && event->buttons().testFlag(Qt::LeftButton)) return move_reference(x_at(event->position().x()));
  if (drag_ && event->buttons().testFlag(Qt::LeftButton)) {
    const QRectF area = chart()->plotArea();
    const QPointF moved = QPointF(event->pos() - *drag_);
    return shift(-moved.x() / area.width(), moved.y() / area.height(), drag_x_, drag_y_);
  }
  const PlotPoint* point = nearest(event->position());
  if (const QString tip = point == nullptr ? QString() : tip_of(*point); !tip.isEmpty())
    QToolTip::showText(event->globalPosition().toPoint(), tip, this);
  else
    QToolTip::hideText();
  setCursor(point != nullptr ? Qt::PointingHandCursor : Qt::ArrowCursor);
}

void PlotView::mouseReleaseEvent(QMouseEvent* event) {
  const bool clicked = drag_ && (event->pos() - *drag_).manhattanLength() < 4;
  drag_.reset();
  if (std::exchange(moving_, false)) return;
  if (!clicked && band_) Q_EMIT range_selected(band_->first, band_->second);
  if (!clicked) return;
  band_.reset();
  const PlotPoint* point = nearest(event->position());
  clicked_ = point == nullptr ? 0 : point->id;
  since_click_.start();
  if (point != nullptr) Q_EMIT point_clicked(clicked_);
}

void PlotView::mouseDoubleClickEvent(QMouseEvent* event) {
  const bool second = since_click_.isValid() && since_click_.elapsed() <= 2 * QApplication::doubleClickInterval();
  const PlotPoint* point = nearest(event->position());
  if (const qint64 id = second && clicked_ != 0 ? clicked_ : point == nullptr ? 0 : point->id; id != 0)
    Q_EMIT point_activated(id);
  else
    reset_zoom();
}

}  // namespace assay::gui
