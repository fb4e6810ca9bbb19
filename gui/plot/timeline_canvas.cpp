#include "gui/plot/timeline_canvas.h"

#include <QImage>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPaintEngine>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>
#include <utility>

#include "datasets/quantity.h"
#include "gui/model/palette.h"
#include "gui/plot/ticks.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {
constexpr int least_row = 22, most_row = 38;  // pixels
constexpr double least_span = 1000;           // ps
constexpr std::size_t many_groups = 8;        // from here on equal ranks are folded without being asked
constexpr std::size_t most_arrows = 250;
constexpr std::size_t dense = 96;  // bars in a lane's row from which it is painted as pixels

QColor over(const QColor& top, const QColor& ground) {
  const double share = top.alphaF();
  return QColor::fromRgbF(static_cast<float>(top.redF() * share + ground.redF() * (1 - share)),
                          static_cast<float>(top.greenF() * share + ground.greenF() * (1 - share)),
                          static_cast<float>(top.blueF() * share + ground.blueF() * (1 - share)));
}

QColor idle_color() {
  QColor color = theme().warn;
  color.setAlpha(80);
  return color;
}
}  // namespace

QString time_text(double picoseconds) { return text_of(datasets::format_si(picoseconds * 1e-12, "s")); }

TimelineCanvas::TimelineCanvas(QWidget* parent) : QWidget(parent) {
  setMouseTracking(true);
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("timeline"));
}

void TimelineCanvas::show_data(TimelineData data) {
  data_ = std::move(data);
  measured_.reset();
  folded_.clear();
  spread_.clear();
  found_.clear();
  alike_ = alike_groups(data_);
  alike_on_ = alike_.size() > many_groups;
  by_operation_ = data_.lanes.size() > 1 && data_.names.size() > 2 &&  // the first is of no peer
                  std::all_of(data_.lanes.begin(), data_.lanes.end(), [&](const Lane& lane) {
                    return lane.kind == data_.lanes.front().kind && lane.kind != lane.name;
                  });
  range_ = {-1, -1};  // of other data: whatever comes is news
  lay_out();
  show_all();
}

void TimelineCanvas::lay_out() {
  rows_.clear();
  row_of_.assign(data_.lanes.size(), -1);
  std::string last;
  std::map<std::string, std::size_t> likes;
  for (const auto& [group, leader] : alike_) likes[leader] += group == leader ? 0 : 1;
  for (std::size_t lane = 0; lane < data_.lanes.size(); ++lane) {
    const std::string& group = data_.lanes[lane].group;
    const std::string& leader = alike_.at(group);
    const bool gathered = alike_on_ && !spread_.contains(leader);
    if (gathered && leader != group) continue;
    const bool folded = folded_.contains(group);
    if (folded && group == last) {
      row_of_[lane] = static_cast<int>(rows_.size()) - 1;
      continue;
    }
    row_of_[lane] = static_cast<int>(rows_.size());
    rows_.push_back({lane, folded, gathered && group != last ? likes[leader] : 0});
    last = group;
  }
  setMinimumHeight(static_cast<int>(rows_.size()) * least_row + 6);
  update();
}

void TimelineCanvas::toggle_group(const std::string& group) {
  // One that stands for others lets them out first.
  const auto leader = alike_.find(group);
  const bool stands_for_others =
      alike_on_ && leader != alike_.end() && !spread_.contains(leader->second) &&
      std::count_if(alike_.begin(), alike_.end(), [&](const auto& held) { return held.second == leader->second; }) > 1;
  if (stands_for_others)
    spread_.insert(leader->second);
  else if (folded_.erase(group) == 0)
    folded_.insert(group);
  lay_out();
}

int TimelineCanvas::row_height() const {
  if (rows_.empty()) return least_row;
  return std::clamp((height() - 6) / static_cast<int>(rows_.size()), least_row, most_row);
}

void TimelineCanvas::fold_all(bool on) {
  folded_.clear();
  if (on)
    for (const Lane& lane : data_.lanes) folded_.insert(lane.group);
  lay_out();
}

bool TimelineCanvas::has_foldable() const {
  std::set<std::string> groups;
  return std::any_of(data_.lanes.begin(), data_.lanes.end(),
                     [&](const Lane& lane) { return !groups.insert(lane.group).second; });
}

void TimelineCanvas::set_idle(bool on) {
  idle_ = on;
  update();
}

void TimelineCanvas::set_by_operation(bool on) {
  by_operation_ = on;
  update();
}

QColor TimelineCanvas::color_of(const Lane& lane, std::size_t bar) const {
  return by_operation_ ? slot_color(lane.bars[bar].name) : lane_color(lane.kind);
}

void TimelineCanvas::set_arrows(bool on) {
  arrows_on_ = on;
  update();
}

std::size_t TimelineCanvas::search(const QString& words) {
  found_.clear();
  update();
  if (words.isEmpty()) return 0;
  for (const std::string& name : data_.names) found_.push_back(text_of(name).contains(words, Qt::CaseInsensitive));
  std::size_t bars = 0;
  for (const Lane& lane : data_.lanes)
    bars += static_cast<std::size_t>(
        std::count_if(lane.bars.begin(), lane.bars.end(), [&](const Bar& bar) { return found_[bar.name]; }));
  return bars;
}

bool TimelineCanvas::show_next_found() {
  if (found_.empty()) return false;
  const double middle = (range_.first + range_.second) / 2;
  const Bar* first = nullptr;
  const Bar* next = nullptr;
  for (std::size_t i = 0; i < data_.lanes.size(); ++i) {
    if (row_of_[i] < 0) continue;
    for (const Bar& bar : data_.lanes[i].bars) {
      if (!found_[bar.name]) continue;
      const double at = (static_cast<double>(bar.start) + static_cast<double>(bar.end)) / 2;
      if (first == nullptr || bar.start < first->start) first = &bar;
      if (at > middle + 1 && (next == nullptr || bar.start < next->start)) next = &bar;
    }
  }
  const Bar* chosen = next != nullptr ? next : first;
  if (chosen == nullptr) return false;
  // It takes a fifth of the width, with what happens around it; a view that shows less stays as near as it is.
  const double at = (static_cast<double>(chosen->start) + static_cast<double>(chosen->end)) / 2;
  const double span =
      std::min(range_.second - range_.first, 5 * std::max(1.0, static_cast<double>(chosen->end - chosen->start)));
  set_range(at - span / 2, at + span / 2);
  return true;
}

bool TimelineCanvas::stands_back(const Lane& lane, std::size_t bar) const {
  return !found_.empty() && !found_[lane.bars[bar].name];
}

void TimelineCanvas::set_alike(bool on) {
  alike_on_ = on;
  spread_.clear();
  lay_out();
}

void TimelineCanvas::set_critical(bool on) {
  critical_ = on;
  update();
}

void TimelineCanvas::set_range(double from, double to) {
  const double span = std::max(to - from, least_span);
  const double whole = static_cast<double>(data_.end - data_.begin);
  const double room = 0.02 * whole;
  const auto before = range_;
  range_.first = std::clamp(from, static_cast<double>(data_.begin) - room - span * 0.5, static_cast<double>(data_.end));
  range_.second = range_.first + std::min(span, whole + 2 * room);
  if (range_ == before) return;  // two canvases that follow each other come to rest
  Q_EMIT range_changed();
  update();
}

void TimelineCanvas::show_all() {
  const double room = 0.01 * static_cast<double>(data_.end - data_.begin);
  set_range(static_cast<double>(data_.begin) - room, static_cast<double>(data_.end) + room);
}

void TimelineCanvas::zoom(double factor, double at_share) {
  const double span = range_.second - range_.first;
  const double at = range_.first + at_share * span;
  set_range(at - at_share * span * factor, at + (1 - at_share) * span * factor);
}

void TimelineCanvas::pan(double share) {
  const double by = share * (range_.second - range_.first);
  set_range(range_.first + by, range_.second + by);
}

void TimelineCanvas::measure(double from, double to) {
  measured_ = std::minmax(from, to);
  Q_EMIT measure_changed();
  update();
}

double TimelineCanvas::time_at(double x) const {
  const double share = (x - label_width()) / std::max(1, width() - label_width());
  return range_.first + share * (range_.second - range_.first);
}

double TimelineCanvas::x_of(double time) const {
  return label_width() + (time - range_.first) / (range_.second - range_.first) * (width() - label_width());
}

const TimelineCanvas::Row* TimelineCanvas::row_at(double y) const {
  const auto row = static_cast<std::ptrdiff_t>(std::floor(y / row_height()));
  if (row < 0 || row >= static_cast<std::ptrdiff_t>(rows_.size())) return nullptr;
  return &rows_[static_cast<std::size_t>(row)];
}

void TimelineCanvas::paint_lane(QPainter& painter, const Lane& lane, const QRectF& place, bool names) {
  const int columns = static_cast<int>(place.width());
  const QFontMetricsF metrics(painter.font());
  const bool waiting = is_waiting(lane);
  const auto bars = visible(lane, range_.first, range_.second, columns);
  painted_ += static_cast<int>(bars.size());
  const bool gaps = idle_ && lane.kind == "compute";
  if (names && !waiting && bars.size() > dense && paint_dense(painter, lane, bars, place)) return;
  if (gaps) paint_gaps(painter, bars, place);
  for (const Drawn& drawn : bars) {
    const double left = place.left() + drawn.first;
    const QRectF bar(left, place.top() + 3,
                     std::max(1.0, static_cast<double>(drawn.last - drawn.first) + (drawn.count > 1 ? 1 : 0)),
                     place.height() - 6);
    const QColor color = color_of(lane, drawn.bar);
    QColor light = color;
    light.setAlpha(critical_ ? 60 : 150);
    if (waiting) {
      painter.fillRect(bar, QBrush(light, Qt::BDiagPattern));
      continue;
    }
    const bool strong = critical_ && drawn.critical;
    const bool back = drawn.count == 1 && stands_back(lane, drawn.bar);
    QColor faint = color;
    faint.setAlpha(30);
    painter.fillRect(bar, strong ? theme().bad : back ? faint : light);
    if (bar.width() > 3 && !critical_ && !back) painter.fillRect(QRectF(bar.left(), bar.top(), 1, bar.height()), color);
    if (!names || drawn.count > 1 || bar.width() < 30) continue;
    const QString words = text_of(data_.names[lane.bars[drawn.bar].name]);
    if (metrics.horizontalAdvance(words) > bar.width() - 8) continue;
    painter.setPen(strong ? theme().window : theme().text);
    painter.drawText(bar.adjusted(5, 0, -3, 0), Qt::AlignLeft | Qt::AlignVCenter, words);
  }
}

// A message leaves when its send begins and is there when its receive ends: the flatter, the longer it was under way.
void TimelineCanvas::paint_arrows(QPainter& painter) {
  arrows_ = 0;
  if (!arrows_on_) return;
  painter.save();
  painter.setClipRect(QRectF(label_width(), 0, width() - label_width(), height()));
  painter.setRenderHint(QPainter::Antialiasing);
  QColor color = theme().text;
  color.setAlpha(150);
  painter.setPen(QPen(color, 1));
  painter.setBrush(color);
  const double high = row_height();
  const auto middle = [&](int row) { return (row + 0.5) * high; };
  for (const Arrow& arrow : arrows_between(data_, range_.first, range_.second, most_arrows)) {
    const int from_row = row_of_[arrow.from_lane], to_row = row_of_[arrow.to_lane];
    if (from_row < 0 || to_row < 0 || from_row == to_row) continue;
    const double edge = from_row < to_row ? 0.5 * high - 3 : 3 - 0.5 * high;
    const QPointF from(x_of(static_cast<double>(arrow.start)), middle(from_row) + edge);
    const QPointF to(x_of(static_cast<double>(arrow.end)), middle(to_row) - edge);
    const QPointF way = to - from;
    const double length = std::hypot(way.x(), way.y());
    if (length < 1) continue;
    const QPointF along = way / length * 7, across(-along.y() * 0.4, along.x() * 0.4);
    painter.drawLine(from, to - along);
    painter.drawPolygon(QPolygonF({to, to - along + across, to - along - across}));
    ++arrows_;
  }
  painter.restore();
}

// Where nothing is drawn between the first and the last of a lane's bars.
void TimelineCanvas::paint_gaps(QPainter& painter, const std::vector<Drawn>& drawn, const QRectF& place) const {
  int reached = -1;
  for (const Drawn& bar : drawn) {
    if (reached >= 0 && bar.first > reached + 1)
      painter.fillRect(QRectF(place.left() + reached + 1, place.top() + 3, bar.first - reached - 1, place.height() - 6),
                       idle_color());
    reached = std::max(reached, bar.last);
  }
}

// Hundreds of bars in a row: one line of pixels, repeated. A painter takes several times as long for as many
// rectangles. False where the picture is no raster (SVG), which is better off with the rectangles.
bool TimelineCanvas::paint_dense(QPainter& painter, const Lane& lane, const std::vector<Drawn>& drawn,
                                 const QRectF& place) {
  if (painter.paintEngine() == nullptr || painter.paintEngine()->type() != QPaintEngine::Raster) return false;
  const int columns = static_cast<int>(place.width()), lines = static_cast<int>(place.height()) - 6;
  if (columns < 1 || lines < 1) return false;
  const QColor ground = theme().panel;
  struct Look {
    QRgb usual, back, edge;
  };
  const auto look_of = [&](const QColor& color) {
    QColor light = color, faint = color;
    light.setAlpha(critical_ ? 60 : 150);
    faint.setAlpha(30);
    return Look{over(light, ground).rgb(), over(faint, ground).rgb(), color.rgb()};
  };
  std::vector<Look> looks;  // of the operations' colours, or the one of the lane
  for (std::size_t slot = 0; slot < (by_operation_ ? static_cast<std::size_t>(palette_slots) : 1); ++slot)
    looks.push_back(look_of(by_operation_ ? slot_color(slot) : lane_color(lane.kind)));
  const QRgb empty = ground.rgb(), strong = theme().bad.rgb();
  const QRgb gap = idle_ && lane.kind == "compute" ? over(idle_color(), ground).rgb() : empty;
  std::vector<QRgb> line(static_cast<std::size_t>(columns), empty);
  int reached = -1;
  for (const Drawn& bar : drawn) {
    if (gap != empty && reached >= 0)
      for (int x = reached + 1; x < bar.first; ++x) line[static_cast<std::size_t>(x)] = gap;
    const int end = std::max(bar.first + 1, bar.last + (bar.count > 1 ? 1 : 0));
    const auto& [usual, back, edge] = looks[by_operation_ ? lane.bars[bar.bar].name % looks.size() : 0];
    const QRgb held = critical_ && bar.critical ? strong : bar.count == 1 && stands_back(lane, bar.bar) ? back : usual;
    for (int x = bar.first; x < std::min(end, columns); ++x) line[static_cast<std::size_t>(x)] = held;
    if (end - bar.first > 3 && !critical_) line[static_cast<std::size_t>(bar.first)] = edge;
    reached = std::max(reached, bar.last);
  }
  QImage picture(columns, lines, QImage::Format_RGB32);
  for (int y = 0; y < lines; ++y) std::copy(line.begin(), line.end(), reinterpret_cast<QRgb*>(picture.scanLine(y)));
  painter.drawImage(QPointF(place.left(), place.top() + 3), picture);
  return true;
}

void TimelineCanvas::paint_row(QPainter& painter, const Row& row, const QRectF& place) {
  const Lane& lane = data_.lanes[row.lane];
  const LaneUse use = use_of(lane, static_cast<std::int64_t>(std::max(range_.first, static_cast<double>(data_.begin))),
                             static_cast<std::int64_t>(std::min(range_.second, static_cast<double>(data_.end))));
  const double span = std::min(range_.second, static_cast<double>(data_.end)) -
                      std::max(range_.first, static_cast<double>(data_.begin));
  painter.setPen(theme().text);
  const QRectF label(8, place.top(), label_width() - 50.0, place.height());
  QString name = row.folded ? QStringLiteral("▸ ") + text_of(lane.group) : text_of(lane.name);
  if (row.like_it > 0) name += QStringLiteral(" ×%1").arg(row.like_it + 1);
  painter.drawText(label, Qt::AlignLeft | Qt::AlignVCenter,
                   QFontMetricsF(painter.font()).elidedText(name, Qt::ElideMiddle, label.width()));
  painter.setPen(theme().dim);
  if (!row.folded && span > 0)
    painter.drawText(QRectF(label_width() - 44.0, place.top(), 36, place.height()), Qt::AlignRight | Qt::AlignVCenter,
                     QStringLiteral("%1%").arg(std::lround(100.0 * static_cast<double>(use.busy) / span)));
  painter.save();
  painter.setClipRect(place);
  if (row.folded) {
    for (const Lane& other : data_.lanes)
      if (other.group == lane.group && !is_waiting(other)) paint_lane(painter, other, place, false);
  } else {
    paint_lane(painter, lane, place, true);
  }
  painter.restore();
}

void TimelineCanvas::paintEvent(QPaintEvent* event) {
  QPainter painter(this);
  painter.fillRect(event->rect(), theme().panel);
  QFont font = painter.font();
  font.setPixelSize(11);
  painter.setFont(font);
  painted_ = 0;
  const int high = row_height();
  const int first = std::max(0, event->rect().top() / high);
  const int last = std::min(static_cast<int>(rows_.size()) - 1, event->rect().bottom() / high);
  QColor faint = theme().line;
  faint.setAlpha(110);
  for (int row = first; row <= last; ++row) {
    const QRectF place(label_width(), row * high, width() - label_width(), high);
    const Row& held = rows_[static_cast<std::size_t>(row)];
    if (row > 0 && data_.lanes[held.lane].group != data_.lanes[rows_[static_cast<std::size_t>(row) - 1].lane].group) {
      painter.setPen(faint);
      painter.drawLine(QPointF(0, place.top()), QPointF(width(), place.top()));
    }
    paint_row(painter, held, place);
  }
  paint_arrows(painter);
  if (const auto& marked = rubber_ ? rubber_ : measured_) {
    QColor shade = theme().accent;
    shade.setAlpha(45);
    const QRectF band(QPointF(std::max<double>(label_width(), x_of(marked->first)), 0),
                      QPointF(x_of(marked->second), height()));
    painter.fillRect(band, shade);
    painter.setPen(QPen(theme().accent, 1));
    painter.drawLine(band.topLeft(), band.bottomLeft());
    painter.drawLine(band.topRight(), band.bottomRight());
  }
}

void TimelineCanvas::wheelEvent(QWheelEvent* event) {
  if (event->modifiers().testFlag(Qt::ShiftModifier)) {
    event->ignore();  // the lanes scroll
    return;
  }
  const double share = (event->position().x() - label_width()) / std::max(1, width() - label_width());
  zoom(std::pow(0.9985, event->angleDelta().y()), std::clamp(share, 0.0, 1.0));
  event->accept();
}

void TimelineCanvas::mousePressEvent(QMouseEvent* event) {
  setFocus();
  pressed_ = event->position();
  pressed_range_ = range_;
  rubber_.reset();
  drag_ = event->modifiers().testFlag(Qt::ShiftModifier)     ? Drag::measure
          : event->modifiers().testFlag(Qt::ControlModifier) ? Drag::zoom
                                                             : Drag::move;
}

void TimelineCanvas::mouseMoveEvent(QMouseEvent* event) {
  if (pressed_ && event->buttons().testFlag(Qt::LeftButton)) {
    if (drag_ == Drag::measure) {
      measure(time_at(pressed_->x()), time_at(event->position().x()));
    } else if (drag_ == Drag::zoom) {
      const double from = time_at(pressed_->x()), to = time_at(event->position().x());
      rubber_ = {std::min(from, to), std::max(from, to)};
      update();
    } else {
      const double by = (pressed_->x() - event->position().x()) / std::max(1, width() - label_width()) *
                        (pressed_range_.second - pressed_range_.first);
      set_range(pressed_range_.first + by, pressed_range_.second + by);
    }
    return;
  }
  const Row* row = row_at(event->position().y());
  if (row != nullptr && event->position().x() < label_width() && row->like_it > 0)
    return QToolTip::showText(event->globalPosition().toPoint(),
                              tr("%1 more do the same at the same times; a click shows them").arg(row->like_it), this);
  if (row == nullptr || event->position().x() < label_width()) return QToolTip::hideText();
  const Lane& lane = data_.lanes[row->lane];
  const std::size_t bar = bar_at(lane, static_cast<std::int64_t>(time_at(event->position().x())));
  if (bar == lane.bars.size()) return QToolTip::hideText();
  const Bar& held = lane.bars[bar];
  QToolTip::showText(
      event->globalPosition().toPoint(),
      QStringLiteral("%1\n%2%3\n%4 from %5%6")
          .arg(text_of(lane.name), text_of(data_.names[held.name]),
               held.peer == 0
                   ? QString()
                   : (lane.kind == "receive" ? tr(", from %1") : tr(", to %1")).arg(text_of(data_.names[held.peer])),
               time_text(static_cast<double>(held.end - held.start)),
               time_text(static_cast<double>(held.start - data_.begin)),
               held.critical ? tr("\non the chain that ends last") : QString()),
      this);
}

void TimelineCanvas::mouseReleaseEvent(QMouseEvent* event) {
  const bool clicked = pressed_ && (event->position() - *pressed_).manhattanLength() < 4;
  pressed_.reset();
  if (const auto part = std::exchange(rubber_, std::nullopt); part && !clicked)
    return set_range(part->first, part->second);
  if (!clicked) return;
  const Row* row = row_at(event->position().y());
  if (event->position().x() < label_width()) {
    if (row == nullptr) return;
    if (event->button() == Qt::RightButton) {
      Q_EMIT lane_chosen(text_of(data_.lanes[row->lane].name));
      return;
    }
    const std::string group = data_.lanes[row->lane].group;
    toggle_group(group);
    return;
  }
  if (measured_) {
    measured_.reset();
    Q_EMIT measure_changed();
    update();
    return;
  }
  if (row == nullptr || row->folded) return;
  const Lane& lane = data_.lanes[row->lane];
  if (const std::size_t bar = bar_at(lane, static_cast<std::int64_t>(time_at(event->position().x())));
      bar < lane.bars.size())
    Q_EMIT bar_chosen(row->lane, bar);
}

void TimelineCanvas::keyPressEvent(QKeyEvent* event) {
  switch (event->key()) {
    case Qt::Key_W:
      return zoom(0.7, 0.5);
    case Qt::Key_S:
      return zoom(1 / 0.7, 0.5);
    case Qt::Key_A:
      return pan(-0.15);
    case Qt::Key_D:
      return pan(0.15);
    case Qt::Key_0:
      return show_all();
    default:
      event->ignore();
  }
}

TimelineRuler::TimelineRuler(TimelineCanvas* canvas, QWidget* parent) : QWidget(parent), canvas_(canvas) {
  setFixedHeight(24);
  connect(canvas, &TimelineCanvas::range_changed, this, [this] { update(); });
}

void TimelineRuler::paintEvent(QPaintEvent* /*event*/) {
  QPainter painter(this);
  painter.fillRect(rect(), theme().panel);
  QFont font = painter.font();
  font.setPixelSize(11);
  painter.setFont(font);
  PlotAxis axis;
  axis.unit = "s";
  const auto begin = static_cast<double>(canvas_->data().begin);
  const std::pair seconds = {(canvas_->range().first - begin) * 1e-12, (canvas_->range().second - begin) * 1e-12};
  const double left = TimelineCanvas::label_width(), room = canvas_->width() - left;
  painter.setPen(theme().dim);
  painter.drawText(QRectF(8, 0, left - 12, height()), Qt::AlignLeft | Qt::AlignVCenter, tr("lane, busy in view"));
  for (const Tick& tick : ticks(axis, seconds, std::max(2, static_cast<int>(room / 110)))) {
    const double x = left + (tick.value - seconds.first) / (seconds.second - seconds.first) * room;
    if (x < left - 1) continue;
    painter.drawLine(QPointF(x, height() - 5), QPointF(x, height()));
    const double wide = QFontMetricsF(font).horizontalAdvance(tick.text) + 2;
    const double start = std::min(x - wide / 2, width() - wide - 2);  // nothing is cut off
    painter.drawText(QRectF(start, 1, wide, height() - 6), Qt::AlignCenter, tick.text);
  }
}

}  // namespace assay::gui
