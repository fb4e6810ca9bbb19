#pragma once
// Launches of one or several sides in the order they were taken, and how they are distributed: a box a launch (5, 25,
// 75, 95% of its samples and the median), and the share of launch medians below each value.
#include <QWidget>
#include <vector>

#include "gui/plot/plot_spec.h"

namespace assay::gui {

struct StripLaunch {
  double median = 0, q05 = 0, q25 = 0, q75 = 0, q95 = 0;
  std::int64_t started_ns = 0;
  std::int64_t samples = 0;
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

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void paint_boxes(QPainter& painter, const QRectF& area);
  void paint_shares(QPainter& painter, const QRectF& area);
  double height_of(double value, const QRectF& area) const;

  std::vector<StripSide> sides_;
  PlotAxis axis_;
  std::pair<double, double> range_ = {0, 1};
};

}  // namespace assay::gui
