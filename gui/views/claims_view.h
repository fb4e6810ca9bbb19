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
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  QString detail() const { return detail_->text(); }
  const PlotView& plot() const { return *plot_; }

 private:
  struct Row {
    results_db::ClaimRecord claim;
    std::optional<results_db::VerdictRecord> verdict;
  };
  void show_claim(qint64 id);
  void show_plot(const Row& chosen);
  void show_hinge(const Row& row, const HingeTable& table);

  std::vector<Row> rows_;
  std::string wanted_;  // claim to select when the claims are there
  std::vector<results_db::ConfigurationRecord> configurations_;
  QLabel* summary_;
  GridView* claims_;
  QLabel* detail_;
  PlotView* plot_;
  QPushButton* as_hinge_;
  QLabel* finding_;
};

}  // namespace assay::gui
