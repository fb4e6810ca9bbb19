#pragma once
// Timeline: what every rank and engine of a launch does when; what is measured between two points.
#include <QComboBox>
#include <QPushButton>

#include "gui/plot/timeline_canvas.h"
#include "gui/views/view.h"

namespace assay::gui {

class TimelineView : public View {
 public:
  TimelineView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return lanes_->grid(); }
  void move(int rows) override { lanes_->move(rows); }
  TimelineCanvas& canvas() { return *canvas_; }
  QString summary() const { return summary_->text(); }

 private:
  void choose(int row);
  void show_use();

  std::vector<results_db::TimelineSummary> found_;
  std::string shown_run_;
  int shown_ = -1;
  QComboBox* case_;
  QPushButton* critical_;
  QLabel* summary_;
  TimelineCanvas* canvas_;
  TimelineRuler* ruler_;
  GridView* lanes_;
};

}  // namespace assay::gui
