#pragma once
// Lanes of bars over time. Painting costs what the pixels cost, not what the intervals do (model/timeline.h).
#include <QWidget>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "gui/model/timeline.h"

namespace assay::gui {

QString time_text(double picoseconds);  // 12.3 us

class TimelineCanvas : public QWidget {
  Q_OBJECT

 public:
  explicit TimelineCanvas(QWidget* parent = nullptr);
  void show_data(TimelineData data);
  const TimelineData& data() const { return data_; }
  std::pair<double, double> range() const { return range_; }
  void set_range(double from, double to);
  void zoom(double factor, double at_share);  // below 1: closer; the share of the width that stays where it is
  void pan(double share);
  void show_all();
  std::optional<std::pair<double, double>> measured() const { return measured_; }
  void measure(double from, double to);
  void set_critical(bool on);
  void set_idle(bool on);    // stretches in which a compute lane does nothing
  void set_arrows(bool on);  // from sends to receives, as long as they are few enough to be told apart
  // A colour an operation instead of a colour a kind of lane; on at first where all lanes are of one kind, so that what
  // a pipeline's stages work on can be followed.
  void set_by_operation(bool on);
  bool by_operation() const { return by_operation_; }
  // Bars whose names hold `words` (any case) stand out; returns how many there are. "": all alike.
  std::size_t search(const QString& words);
  bool show_next_found();   // moves to the first of them behind the middle, else to the first; false: none is shown
  void set_alike(bool on);  // ranks that do the same at the same times as one; on at first where ranks are many
  bool folds_alike() const { return alike_on_; }
  void toggle_group(const std::string& group);  // folds a rank into one line, and back
  void fold_all(bool on);                       // every rank
  bool has_foldable() const;                    // some rank has more than one lane
  std::size_t rows() const { return rows_.size(); }
  static int label_width() { return 174; }       // "rank 15 / compute" and its share
  int last_painted() const { return painted_; }  // rectangles of the last paint
  int arrows_painted() const { return arrows_; }

 Q_SIGNALS:
  void range_changed();
  void measure_changed();
  void lane_chosen(const QString& name);  // a right click on its name
  void bar_chosen(std::size_t lane, std::size_t bar);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  enum class Drag { move, measure, zoom };
  struct Row {
    std::size_t lane = 0;
    bool folded = false;      // stands for all lanes of the group
    std::size_t like_it = 0;  // groups that do the same and are not shown; on the first lane of a group
  };
  void lay_out();
  void paint_row(QPainter& painter, const Row& row, const QRectF& place);
  void paint_lane(QPainter& painter, const Lane& lane, const QRectF& place, bool names);
  bool paint_dense(QPainter& painter, const Lane& lane, const std::vector<Drawn>& drawn, const QRectF& place);
  void paint_gaps(QPainter& painter, const std::vector<Drawn>& drawn, const QRectF& place) const;
  void paint_arrows(QPainter& painter);
  bool stands_back(const Lane& lane, std::size_t bar) const;  // while others are searched for
  QColor color_of(const Lane& lane, std::size_t bar) const;
  double time_at(double x) const;
  double x_of(double time) const;
  const Row* row_at(double y) const;
  int row_height() const;  // few lanes share the room there is

  TimelineData data_;
  std::vector<Row> rows_;
  std::set<std::string> folded_;
  std::pair<double, double> range_ = {0, 1};
  std::optional<std::pair<double, double>> measured_;
  std::optional<QPointF> pressed_;
  std::pair<double, double> pressed_range_;
  Drag drag_ = Drag::move;
  std::optional<std::pair<double, double>> rubber_;  // what a drag with Ctrl zooms into
  std::map<std::string, std::string> alike_;         // group -> the one shown for it
  std::set<std::string> spread_;                     // of those, the ones whose likes are shown too
  bool alike_on_ = false;
  bool critical_ = false, idle_ = false, arrows_on_ = true, by_operation_ = false;
  int painted_ = 0, arrows_ = 0;
  std::vector<bool> found_;  // by name; empty: nothing is searched for
  std::vector<int> row_of_;  // of each lane; -1: not shown
};

// The scale above the lanes; stays where it is when they are scrolled.
class TimelineRuler : public QWidget {
 public:
  explicit TimelineRuler(TimelineCanvas* canvas, QWidget* parent = nullptr);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  TimelineCanvas* canvas_;
};

}  // namespace assay::gui
