#pragma once
// Trends: one case over all runs of a machine; is the newest better than the run before, and than last week?
#include "gui/model/trend.h"
#include "gui/plot/plot_view.h"
#include "gui/views/view.h"

namespace assay::gui {

class TrendsView : public View {
 public:
  TrendsView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return runs_->grid(); }
  void move(int rows) override { cases_->move(rows); }
  void activate() override;
  const Trend& trend() const { return trend_; }
  QString answer() const { return answer_->text(); }
  const PlotView& plot() const { return *level_; }

 private:
  void list_cases(const RunData& data);
  void show_case();
  void show_answer(const CaseResult& result, std::size_t at);
  void show_level(const CaseResult& result, double now);
  void show_change(PlotView* plot, const QString& title, bool from_first, double now);
  void show_runs();

  Trend trend_;
  GridView* cases_;
  QLabel* title_;
  QLabel* answer_;
  PlotView* level_;
  PlotView* from_before_;
  PlotView* from_first_;
  GridView* runs_;
};

}  // namespace assay::gui
