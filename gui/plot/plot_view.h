#pragma once
// One plot. Qt Charts draws lines and markers; axes in the field's units, intervals, names beside lines, roofs and
// references, which Qt Charts has not, are drawn over them with the same mapping.
#include <QElapsedTimer>
#include <QtCharts/QChartView>
#include <utility>

#include "gui/plot/plot_spec.h"

class QValueAxis;
class QLogValueAxis;
class QAbstractAxis;

namespace assay::gui {

class PlotOverlay;

class PlotView : public QChartView {
  Q_OBJECT

 public:
  explicit PlotView(QWidget* parent = nullptr);
  void show_spec(PlotSpec spec);
  const PlotSpec& spec() const { return spec_; }
  void reset_zoom();

  QPointF position(double x, double y) const;  // in the widget; the inverse of what the mouse points at
  std::pair<double, double> x_range() const { return x_; }
  std::pair<double, double> y_range() const { return y_; }
  QString tip_of(const PlotPoint& point) const;
  QSize sizeHint() const override { return {480, 300}; }

 Q_SIGNALS:
  void point_clicked(qint64 id);
  void point_activated(qint64 id);                      // double click
  void reference_moved(double value);                   // of the movable reference
  void range_selected(double from, double to);          // of x, dragged with Shift
  void point_menu_wanted(qint64 id, const QPoint& at);  // a right click on it; `at` on the screen

 protected:
  void resizeEvent(QResizeEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void mouseDoubleClickEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void contextMenuEvent(QContextMenuEvent* event) override;

 private:
  friend class PlotOverlay;
  void find_ranges();
  void apply_ranges();
  void lay_out();
  void add_series();
  const PlotPoint* nearest(QPointF at) const;
  PlotReference* movable();  // vertical; null where there is none
  void move_reference(double value);
  void zoom(double factor, double share_x, double share_y);
  void zoom_into(const QRectF& part);  // of the widget
  void shift(double share_x, double share_y, std::pair<double, double> from_x, std::pair<double, double> from_y);
  double along(double value, bool vertical) const;  // 0 to 1 of the plot area
  double back(double share, bool vertical) const;
  double x_at(double pixel) const;

  PlotSpec spec_;
  std::pair<double, double> x_ = {0, 1}, y_ = {0, 1};
  std::pair<double, double> whole_x_ = {0, 1}, whole_y_ = {0, 1};
  QAbstractAxis* x_axis_ = nullptr;
  QAbstractAxis* y_axis_ = nullptr;
  PlotOverlay* ground_ = nullptr;
  PlotOverlay* overlay_ = nullptr;
  bool moving_ = false;  // the reference
  std::optional<QPoint> drag_;
  qint64 clicked_ = 0;  // the point of the last click: what it opened may have moved the plot before the second one
  QElapsedTimer since_click_;
  std::pair<double, double> drag_x_, drag_y_;
  std::optional<std::pair<double, double>> band_;  // of x, while it is dragged out and after
  std::optional<QRectF> rubber_;                   // what a drag with Ctrl zooms into
};

}  // namespace assay::gui
