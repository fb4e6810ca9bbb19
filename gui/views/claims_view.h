#pragma once
// Claims: what papers say, what we find, and what the finding rests on.
#include <QPushButton>

#include "gui/model/hinge.h"
#include "gui/plot/plot_view.h"
#include "gui/views/view.h"

namespace assay::gui {

class ClaimsView : public View {
 public:
  ClaimsView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return claims_->grid(); }
  void move(int rows) override { claims_->move(rows); }
  void toggle_scale() override;
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  QString detail() const { return detail_->text(); }
  const PlotView& plot() const { return *plot_; }
  QPushButton* timeline_button() const { return timeline_; }

 private:
  struct Row {
    results_db::ClaimRecord claim;
    std::optional<results_db::VerdictRecord> verdict;
  };
  void show_claim(qint64 id);
  void show_plot(const Row& chosen);
  void show_hinge(const Row& row, const HingeTable& table);
  void look_for_timeline(const std::string& technique);

  std::vector<Row> rows_;
  std::string wanted_;  // claim to select when the claims are there
  std::vector<results_db::ConfigurationRecord> configurations_;
  QLabel* summary_;
  GridView* claims_;
  QLabel* detail_;
  PlotView* plot_;
  bool other_scale_ = false;  // than the values ask for
  std::shared_ptr<const RunData> timelines_of_;
  std::vector<std::int64_t> timelines_;  // cases of that run that have one
  std::int64_t timeline_case_ = 0;
  QPushButton* as_hinge_;
  QPushButton* timeline_;
  QLabel* finding_;
};

}  // namespace assay::gui
