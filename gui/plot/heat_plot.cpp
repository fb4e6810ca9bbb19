#include "gui/plot/heat_plot.h"

#include <fmt/format.h>

#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "gui/theme.h"

namespace assay::gui {
namespace {

constexpr double row_height = 28, head_height = 44, widest_cell = 120;
constexpr double full_color = 0.5;  // of the logarithm of the ratio: from 1.65 times on it is as strong as it gets

QColor cell_color(double worse) {
  const double size = std::clamp(worse / full_color, -1.0, 1.0);
  QColor color = size > 0 ? theme().bad : theme().good;
  color.setAlphaF(static_cast<float>(0.06 + 0.6 * std::abs(size)));
  return color;
}

}  // namespace

HeatPlot::HeatPlot(QWidget* parent) : QWidget(parent) {
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
}

void HeatPlot::show_map(HeatMap map) {
  map_ = std::move(map);
  setMinimumHeight(static_cast<int>(head_height + row_height * static_cast<double>(map_.rows.size())) + 6);
  setAccessibleName(tr("map of ratios: %1 rows, %2 columns of %3")
                        .arg(map_.rows.size())
                        .arg(map_.columns.size())
                        .arg(text_of(axis_title(map_.axis))));
  update();
}

void HeatPlot::choose(std::size_t which) {
  chosen_ = which;
  update();
}

double HeatPlot::names_width() const {
  QFont small = font();
  small.setPixelSize(12);
  const QFontMetricsF metrics(small);
  double width = 60;
  for (const std::string& row : map_.rows) width = std::max(width, metrics.horizontalAdvance(text_of(row)) + 20);
  return std::min(width, 0.45 * this->width());
}

QRectF HeatPlot::cell_place(const HeatCell& cell) const {
  const double left = names_width();
  const double step =
      std::min(widest_cell, (width() - left - 8) / static_cast<double>(std::max<std::size_t>(map_.columns.size(), 1)));
  return {left + step * static_cast<double>(cell.column) + 1,
          head_height + row_height * static_cast<double>(cell.row) + 1, step - 2, row_height - 2};
}

void HeatPlot::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.fillRect(rect(), theme().panel);
  QFont small = font();
  small.setPixelSize(12);
  painter.setFont(small);
  const QFontMetricsF metrics(small);
  const double left = names_width();
  painter.setPen(theme().dim);
  painter.drawText(
      QRectF(8, 4, width() - 16, 16), Qt::AlignLeft | Qt::AlignVCenter,
      metrics.elidedText(
          tr("contender over base; blue: the contender is better, hatched: UNSURE%1")
              .arg(map_.axis.empty() ? QString() : tr("; columns: %1").arg(text_of(axis_title(map_.axis)))),
          Qt::ElideRight, width() - 16));
  for (std::size_t column = 0; column < map_.columns.size(); ++column) {
    HeatCell head;
    head.column = column;
    const QRectF place = cell_place(head);
    painter.drawText(QRectF(place.left(), 22, place.width(), 18), Qt::AlignCenter,
                     metrics.elidedText(text_of(map_.columns[column]), Qt::ElideMiddle, place.width()));
  }
  painter.setPen(theme().text);
  for (std::size_t row = 0; row < map_.rows.size(); ++row)
    painter.drawText(QRectF(8, head_height + row_height * static_cast<double>(row), left - 16, row_height),
                     Qt::AlignLeft | Qt::AlignVCenter,
                     metrics.elidedText(text_of(map_.rows[row]), Qt::ElideMiddle, left - 16));
  for (const HeatCell& cell : map_.cells) {
    const QRectF place = cell_place(cell);
    const QColor color = cell_color(cell.worse);
    painter.fillRect(place, color);
    if (cell.verdict == harness::stats::Verdict::unsure) {
      QColor lines = theme().dim;
      lines.setAlpha(110);
      painter.fillRect(place, QBrush(lines, Qt::BDiagPattern));
    }
    painter.setPen(theme().text);
    painter.drawText(place, Qt::AlignCenter, text_of(fmt::format("{:.2f}", cell.ratio)));
    if (cell.which != chosen_) continue;
    painter.setPen(QPen(theme().accent, 2));
    painter.drawRect(place);
  }
}

const HeatCell* HeatPlot::cell_at(QPointF place) const {
  const auto found = std::find_if(map_.cells.begin(), map_.cells.end(),
                                  [&](const HeatCell& cell) { return cell_place(cell).contains(place); });
  return found == map_.cells.end() ? nullptr : &*found;
}

const HeatCell* HeatPlot::find(std::size_t row, std::size_t column) const {
  const auto found = std::find_if(map_.cells.begin(), map_.cells.end(),
                                  [&](const HeatCell& cell) { return cell.row == row && cell.column == column; });
  return found == map_.cells.end() ? nullptr : &*found;
}

void HeatPlot::mousePressEvent(QMouseEvent* event) {
  setFocus();
  if (const HeatCell* cell = cell_at(event->position())) {
    choose(cell->which);
    Q_EMIT cell_chosen(static_cast<qint64>(cell->which));
  }
}

void HeatPlot::mouseMoveEvent(QMouseEvent* event) {
  const HeatCell* cell = cell_at(event->position());
  if (cell == nullptr) return QToolTip::hideText();
  QToolTip::showText(event->globalPosition().toPoint(),
                     QStringLiteral("%1, %2\n%3, ratio %4\n%5")
                         .arg(text_of(map_.rows[cell->row]), text_of(map_.columns[cell->column]),
                              QString::fromLatin1(harness::stats::to_string(cell->verdict)),
                              text_of(fmt::format("{:.4f}", cell->ratio)), text_of(cell->evidence)),
                     this);
}

void HeatPlot::keyPressEvent(QKeyEvent* event) {
  const auto at =
      std::find_if(map_.cells.begin(), map_.cells.end(), [&](const HeatCell& cell) { return cell.which == chosen_; });
  if (at == map_.cells.end()) return event->ignore();
  int down = 0, right = 0;
  switch (event->key()) {
    case Qt::Key_Up:
      down = -1;
      break;
    case Qt::Key_Down:
      down = 1;
      break;
    case Qt::Key_Left:
      right = -1;
      break;
    case Qt::Key_Right:
      right = 1;
      break;
    default:
      return event->ignore();
  }
  // Over holes, up to the edge.
  auto row = static_cast<std::ptrdiff_t>(at->row), column = static_cast<std::ptrdiff_t>(at->column);
  while (true) {
    row += down;
    column += right;
    if (row < 0 || column < 0 || row >= static_cast<std::ptrdiff_t>(map_.rows.size()) ||
        column >= static_cast<std::ptrdiff_t>(map_.columns.size()))
      return;
    if (const HeatCell* next = find(static_cast<std::size_t>(row), static_cast<std::size_t>(column))) {
      choose(next->which);
      Q_EMIT cell_chosen(static_cast<qint64>(next->which));
      return;
    }
  }
}

}  // namespace assay::gui
