#pragma once
// Timeline: what every rank and engine of a launch does when; what is measured between two points.
#include <QComboBox>
#include <QLineEdit>
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
  void activate() override;  // pins the lane of the row, or lets it go
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  QComboBox* against_box() const { return against_; }
  QLineEdit* find_box() const { return find_; }
  const TimelineCanvas& pinned() const { return *pinned_; }
  TimelineCanvas& canvas() { return *canvas_; }
  QString summary() const { return summary_->text(); }

 private:
  struct Other {  // what the timeline shown can be held against
    std::string run;
    std::int64_t case_id = 0;
    int ordinal = 0;
    QString title;
  };
  void choose(int row);
  void list_others(const RunData& data);
  void hold_against(int row);
  void pin(const QString& lane);
  void find();
  void tell_bar(std::size_t lane, std::size_t bar);
  void apply_wish();
  void show_summary();
  void show_legend();
  void show_use();
  void show_difference();
  std::pair<std::int64_t, std::int64_t> stretch() const;  // measured, or all

  std::vector<results_db::TimelineSummary> found_;
  std::string shown_run_;
  int shown_ = -1;
  std::vector<Other> others_;  // by the row of the box less one
  std::optional<TimelineData> other_;
  std::vector<std::string> pins_;
  QMap<QString, QString> wish_;  // to be shown when the timeline is there
  QComboBox* case_;
  QComboBox* against_;
  QLineEdit* find_;
  QPushButton* critical_;
  QPushButton* idle_;
  QPushButton* lines_;
  QPushButton* colors_;
  QPushButton* alike_;
  QPushButton* arrows_;
  QLabel* summary_;
  QLabel* legend_;  // colours of operations
  TimelineCanvas* canvas_;
  TimelineCanvas* pinned_;
  TimelineRuler* ruler_;
  GridView* lanes_;
};

}  // namespace assay::gui
