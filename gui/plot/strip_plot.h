#pragma once
// Launches of one or several sides in the order they were taken, and how they are distributed: a box a launch (5, 25,
// 75, 95% of its samples and the median), the clock while it ran where that could be read, and the share of launch
// medians below each value.
#include <QWidget>
#include <optional>
#include <vector>

#include "gui/plot/plot_spec.h"

namespace assay::gui {

struct StripLaunch {
  double median = 0, q05 = 0, q25 = 0, q75 = 0, q95 = 0;
  std::int64_t started_ns = 0;
  std::int64_t samples = 0;
  double clock_hz = 0;  // median over its samples; 0: not readable there
};

struct StripSide {
  QString name;
  QColor color;
  int marker = 0;
  std::vector<StripLaunch> launches;
};

class StripPlot : public QWidget {
  Q_OBJECT

 public:
  explicit StripPlot(QWidget* parent = nullptr);
  void show_sides(std::vector<StripSide> sides, const std::string& unit, const std::string& metric);
  const std::vector<StripSide>& sides() const { return sides_; }
  void set_log(bool log);  // else as the values ask for: one slow launch must not press all others flat
  bool is_log() const { return axis_.log; }
  QString tip_at(QPointF place) const;         // the launch there in exact numbers; "" where there is none
  QPointF place_of(std::size_t launch) const;  // the middle of its box; launches of all sides in the order taken

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  struct Placed {
    const StripSide* side;
    const StripLaunch* launch;
  };
  struct Areas {
    QRectF boxes, shares, clocks;
  };
  std::vector<Placed> placed() const;
  Areas areas() const;
  void find_range();
  void paint_boxes(QPainter& painter, const QRectF& area);
  void paint_shares(QPainter& painter, const QRectF& area);
  void paint_clocks(QPainter& painter, const QRectF& area);
  double height_of(double value, const QRectF& area) const;

  std::vector<StripSide> sides_;
  PlotAxis axis_;
  std::pair<double, double> range_ = {0, 1};
  std::optional<bool> log_;
  bool clocks_ = false;  // any launch knows its clock
};

}  // namespace assay::gui
