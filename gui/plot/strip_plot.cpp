#include "gui/plot/strip_plot.h"

#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "datasets/quantity.h"
#include "gui/model/run_data.h"
#include "gui/plot/ticks.h"
#include "gui/theme.h"

namespace assay::gui {

StripPlot::StripPlot(QWidget* parent) : QWidget(parent) {
  setMinimumHeight(150);
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
}

void StripPlot::show_sides(std::vector<StripSide> sides, const std::string& unit, const std::string& metric) {
  sides_ = std::move(sides);
  axis_.unit = unit;
  axis_.metric = metric;
  clocks_ = false;
  QStringList words;
  for (const StripSide& side : sides_) {
    words << tr("%1: %2 launches").arg(side.name).arg(side.launches.size());
    for (const StripLaunch& launch : side.launches) clocks_ = clocks_ || launch.clock_hz > 0;
  }
  setAccessibleName(tr("launches; %1").arg(words.join(QStringLiteral("; "))));
  find_range();
}

void StripPlot::set_log(bool log) {
  log_ = log;
  find_range();
}

void StripPlot::find_range() {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const StripSide& side : sides_)
    for (const StripLaunch& launch : side.launches) {
      low = std::min({low, launch.median, launch.q05});
      high = std::max({high, launch.median, launch.q95});
    }
  constexpr double wide = 8;
  axis_.log = log_.value_or(high > wide * low) && low > 0;
  if (!std::isfinite(low)) {
    range_ = {0.0, 1.0};
  } else if (axis_.log) {
    const double room = high > low ? std::pow(high / low, 0.06) : 1.05;
    range_ = {low / room, high * room};
  } else {
    const double room = high > low ? 0.06 * (high - low) : std::max(std::abs(high) * 0.05, 1e-12);
    range_ = {low - room, high + room};
  }
  update();
}

double StripPlot::height_of(double value, const QRectF& area) const {
  if (axis_.log)
    return area.bottom() - std::log(value / range_.first) / std::log(range_.second / range_.first) * area.height();
  return area.bottom() - (value - range_.first) / (range_.second - range_.first) * area.height();
}

std::vector<StripPlot::Placed> StripPlot::placed() const {
  std::vector<Placed> all;
  for (const StripSide& side : sides_)
    for (const StripLaunch& launch : side.launches) all.push_back({&side, &launch});
  std::stable_sort(all.begin(), all.end(),
                   [](const Placed& a, const Placed& b) { return a.launch->started_ns < b.launch->started_ns; });
  return all;
}

StripPlot::Areas StripPlot::areas() const {
  QFont small = font();
  small.setPixelSize(11);
  const QFontMetricsF metrics(small);
  double left = 30;
  for (const Tick& tick : ticks(axis_, range_, std::max(2, height() / 45)))
    left = std::max(left, metrics.horizontalAdvance(tick.text) + 16);
  constexpr double clocks = 40;
  const double shares = std::clamp(width() * 0.28, 120.0, 320.0);
  Areas out;
  out.boxes = QRectF(left, 42, std::max(40.0, width() - left - shares - 30),
                     std::max(20.0, height() - 64.0 - (clocks_ ? clocks : 0)));
  out.shares = QRectF(out.boxes.right() + 18, out.boxes.top(), shares, out.boxes.height());
  if (clocks_) out.clocks = QRectF(left, out.boxes.bottom() + 8, out.boxes.width(), clocks - 12);
  return out;
}

QPointF StripPlot::place_of(std::size_t launch) const {
  const auto all = placed();
  if (launch >= all.size()) return {};
  const QRectF area = areas().boxes;
  const double step = area.width() / static_cast<double>(all.size());
  return {area.left() + (static_cast<double>(launch) + 0.5) * step, height_of(all[launch].launch->median, area)};
}

QString StripPlot::tip_at(QPointF place) const {
  const auto all = placed();
  const QRectF area = areas().boxes;
  if (all.empty() || place.x() < area.left() || place.x() >= area.right() || place.y() < area.top()) return {};
  const auto at = static_cast<std::size_t>((place.x() - area.left()) / area.width() * static_cast<double>(all.size()));
  if (at >= all.size()) return {};
  const StripLaunch& launch = *all[at].launch;
  const auto exact = [&](double value) {
    Value held;
    held.unit = axis_.unit;
    held.median = value;
    return text_of(exact_text(held));
  };
  QString tip = tr("%1\nmedian %2").arg(all[at].side->name, exact(launch.median));
  if (launch.samples > 0)
    tip += tr("\n5 to 95% of %1 samples: %2 to %3").arg(launch.samples).arg(exact(launch.q05), exact(launch.q95));
  if (launch.started_ns > 0) tip += tr("\ntaken %1").arg(text_of(moment_text(launch.started_ns)));
  if (launch.clock_hz > 0) tip += tr("\nclock %1").arg(text_of(datasets::format_si(launch.clock_hz, "Hz")));
  return tip;
}

void StripPlot::mouseMoveEvent(QMouseEvent* event) {
  if (const QString tip = tip_at(event->position()); !tip.isEmpty())
    QToolTip::showText(event->globalPosition().toPoint(), tip, this);
  else
    QToolTip::hideText();
}

// One dot a launch between the lowest clock and the highest: a slower launch under a slower clock is no slower code.
void StripPlot::paint_clocks(QPainter& painter, const QRectF& area) {
  const auto all = placed();
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const Placed& held : all)
    if (held.launch->clock_hz > 0) {
      low = std::min(low, held.launch->clock_hz);
      high = std::max(high, held.launch->clock_hz);
    }
  QColor faint = theme().line;
  faint.setAlpha(150);
  painter.setPen(faint);
  painter.drawLine(area.bottomLeft(), area.bottomRight());
  painter.setPen(theme().dim);
  painter.drawText(QRectF(0, area.top(), area.left() - 7, area.height()), Qt::AlignRight | Qt::AlignVCenter,
                   tr("clock"));
  painter.drawText(QRectF(area.right() + 18, area.top(), width() - area.right() - 18, area.height()),
                   Qt::AlignLeft | Qt::AlignVCenter, tr("clock %1").arg(text_of(range_text(low, high, "Hz", "clock"))));
  const double step = area.width() / static_cast<double>(all.size());
  painter.setPen(Qt::NoPen);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!(all[i].launch->clock_hz > 0)) continue;
    const double share = high > 1.001 * low ? (all[i].launch->clock_hz - low) / (high - low) : 0.5;
    painter.setBrush(all[i].side->color);
    painter.drawEllipse(
        QPointF(area.left() + (static_cast<double>(i) + 0.5) * step, area.bottom() - 4 - share * (area.height() - 8)),
        3, 3);
  }
  painter.setBrush(Qt::NoBrush);
}

void StripPlot::paint_boxes(QPainter& painter, const QRectF& area) {
  const auto all = placed();
  const double step = area.width() / static_cast<double>(std::max<std::size_t>(all.size(), 1));
  const double half = std::clamp(step * 0.32, 1.0, 9.0);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double x = area.left() + (static_cast<double>(i) + 0.5) * step;
    const StripLaunch& launch = *all[i].launch;
    QColor color = all[i].side->color;
    painter.setPen(QPen(color, 1.2));
    painter.drawLine(QPointF(x, height_of(launch.q05, area)), QPointF(x, height_of(launch.q95, area)));
    QColor ground = color;
    ground.setAlpha(90);
    painter.fillRect(
        QRectF(QPointF(x - half, height_of(launch.q75, area)), QPointF(x + half, height_of(launch.q25, area))), ground);
    painter.setPen(QPen(color, 2.2));
    painter.drawLine(QPointF(x - half - 1, height_of(launch.median, area)),
                     QPointF(x + half + 1, height_of(launch.median, area)));
  }
}

void StripPlot::paint_shares(QPainter& painter, const QRectF& area) {
  for (const StripSide& side : sides_) {
    std::vector<double> medians;
    for (const StripLaunch& launch : side.launches) medians.push_back(launch.median);
    std::sort(medians.begin(), medians.end());
    painter.setPen(QPen(side.color, 1.8));
    QPointF from(area.left(), area.bottom());
    for (std::size_t i = 0; i < medians.size(); ++i) {
      const double y = height_of(medians[i], area);
      const double x = area.left() + area.width() * static_cast<double>(i + 1) / static_cast<double>(medians.size());
      painter.drawLine(from, QPointF(from.x(), y));
      painter.drawLine(QPointF(from.x(), y), QPointF(x, y));
      from = QPointF(x, y);
    }
    painter.drawLine(from, QPointF(from.x(), area.top()));
  }
}

void StripPlot::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.fillRect(rect(), theme().panel);
  QFont font = painter.font();
  font.setPixelSize(11);
  painter.setFont(font);
  const QFontMetricsF metrics(font);
  const auto marks = ticks(axis_, range_, std::max(2, height() / 45));
  const auto [boxes, right, clocks] = areas();
  const double left = boxes.left(), foot = (clocks_ ? clocks : boxes).bottom();
  QColor faint = theme().line;
  faint.setAlpha(150);
  for (const Tick& tick : marks) {
    const double y = height_of(tick.value, boxes);
    painter.setPen(faint);
    painter.drawLine(QPointF(boxes.left(), y), QPointF(boxes.right(), y));
    painter.drawLine(QPointF(right.left(), y), QPointF(right.right(), y));
    painter.setPen(theme().dim);
    painter.drawText(QRectF(0, y - 8, left - 7, 16), Qt::AlignRight | Qt::AlignVCenter, tick.text);
  }
  painter.setPen(theme().dim);
  // The first of the texts that there is room for.
  const auto title = [&](const QRectF& place, std::initializer_list<QString> texts) {
    for (const QString& text : texts)
      if (metrics.horizontalAdvance(text) <= place.width())
        return painter.drawText(place, Qt::AlignLeft | Qt::AlignVCenter, text);
  };
  title(QRectF(8, 4, boxes.right() - 8, 16),
        {tr("each launch in the order taken: median, 25 to 75% and 5 to 95% of its samples"),
         tr("launches: median, 25-75%, 5-95%"), tr("launches in order")});
  title(QRectF(right.left(), 4, right.width(), 16), {tr("share of launches below"), tr("share below")});
  painter.drawText(QRectF(right.left() - 10, right.bottom() + 3, right.width() + 20, 16), Qt::AlignHCenter,
                   QStringLiteral("0 to 100%"));
  painter.drawText(QRectF(boxes.left(), foot + 3, boxes.width(), 16), Qt::AlignHCenter,
                   metrics.horizontalAdvance(tr("launches, first to last")) < boxes.width()
                       ? tr("launches, first to last")
                       : tr("first to last"));
  double name_x = 8;
  for (const StripSide& side : sides_) {
    painter.fillRect(QRectF(name_x, 26, 9, 9), side.color);
    painter.setPen(theme().text);
    painter.drawText(QPointF(name_x + 14, 35), side.name);
    name_x += metrics.horizontalAdvance(side.name) + 34;
  }
  paint_boxes(painter, boxes);
  paint_shares(painter, right);
  if (clocks_) paint_clocks(painter, clocks);
}

}  // namespace assay::gui
