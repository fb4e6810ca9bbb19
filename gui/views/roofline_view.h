#pragma once
// Roofline: roofs probed in the same run, and cases by the work they declare; the base run's place behind each.
#include <QComboBox>

#include "gui/model/roofline.h"
#include "gui/plot/plot_view.h"
#include "gui/views/view.h"

namespace assay::gui {

class RooflineView : public View {
 public:
  RooflineView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return points_->grid(); }
  void move(int rows) override { points_->move(rows); }
  void activate() override;
  void toggle_scale() override;
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  QComboBox* backend_box() const { return backend_; }
  const PlotView& plot() const { return *plot_; }

 private:
  void show_plot(const Roofline& roofline, const RunData* before);
  void show_points(const Roofline& roofline);

  std::string wish_;  // a backend; "": the first with something to show
  bool linear_ = false;
  QComboBox* backend_;
  QLabel* summary_;
  PlotView* plot_;
  GridView* points_;
};

}  // namespace assay::gui
