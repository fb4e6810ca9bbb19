#include "gui/plot/plot_view.h"

#include <QApplication>
#include <QContextMenuEvent>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <QWheelEvent>
#include <QtCharts/QChart>
#include <QtCharts/QLineSeries>
#include <QtCharts/QLogValueAxis>
#include <QtCharts/QScatterSeries>
#include <QtCharts/QValueAxis>
#include <algorithm>
#include <cmath>
#include <utility>

#include "gui/letter_widths.h"
#include "gui/plot/plot_overlay.h"
#include "gui/plot/ticks.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

constexpr double top_margin = 26, bottom_margin = 40, least_right = 16;

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
  right = std::min(right, std::max(least_right, 0.45 * width()));
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

void PlotView::zoom_into(const QRectF& part) {
  const QRectF area = chart()->plotArea(), kept = part.normalized().intersected(area);
  constexpr double least = 5;  // pixels; less was no drag
  if (kept.width() < least || kept.height() < least) return;
  const std::pair x = {back((kept.left() - area.left()) / area.width(), false),
                       back((kept.right() - area.left()) / area.width(), false)};
  const std::pair y = {back((area.bottom() - kept.bottom()) / area.height(), true),
                       back((area.bottom() - kept.top()) / area.height(), true)};
  if (spec_.x.categories.empty()) x_ = x;
  if (spec_.y.categories.empty()) y_ = y;
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
  rubber_.reset();
  const PlotReference* line = movable();
  moving_ = line != nullptr && std::abs(position(line->value, y_.first).x() - event->position().x()) < 6;
  if (!moving_ && event->modifiers().testFlag(Qt::ShiftModifier)) {
    const double at = x_at(event->position().x());
    band_ = {at, at};
  }
  if (!moving_ && event->modifiers().testFlag(Qt::ControlModifier)) rubber_ = QRectF(event->position(), QSizeF());
  setFocus();
}

void PlotView::mouseMoveEvent(QMouseEvent* event) {
  if (drag_ && band_ && event->buttons().testFlag(Qt::LeftButton)) {
    band_->second = x_at(event->position().x());
    ground_->update();
    return;
  }
  if (drag_ && rubber_ && event->buttons().testFlag(Qt::LeftButton)) {
    rubber_->setBottomRight(event->position());
    overlay_->update();
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
  if (const auto part = std::exchange(rubber_, std::nullopt); part && !clicked) return zoom_into(*part);
  if (!clicked && band_) Q_EMIT range_selected(band_->first, band_->second);
  if (!clicked) return;
  band_.reset();
  const PlotPoint* point = nearest(event->position());
  clicked_ = point == nullptr ? 0 : point->id;
  since_click_.start();
  if (point != nullptr) Q_EMIT point_clicked(clicked_);
}

void PlotView::contextMenuEvent(QContextMenuEvent* event) {
  if (const PlotPoint* point = nearest(event->pos())) Q_EMIT point_menu_wanted(point->id, event->globalPos());
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
