#pragma once
// Explore: any metric of a run over any axis, one line a technique, and the same points as a ranking.
#include <QComboBox>
#include <QPushButton>
#include <QScrollArea>
#include <QSplitter>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gui/model/claimed.h"
#include "gui/model/explore.h"
#include "gui/plot/plot_view.h"
#include "gui/views/view.h"

class QGridLayout;

namespace assay::gui {

class ExploreView : public View {
 public:
  ExploreView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return ranking_->grid(); }
  void move(int rows) override { ranking_->move(rows); }
  void activate() override;
  void toggle_scale() override;
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  const std::vector<PlotView*>& plots() const { return plots_; }  // those in use come first
  int panels() const { return panels_; }
  QString common() const { return common_->text(); }

 private:
  struct Shown {  // what the page was made of
    std::shared_ptr<const RunData> data;
    Kept kept;
    ExploreWish wish;
    std::optional<double> limit;
    std::optional<bool> log;
    bool dark = false;
    bool operator==(const Shown&) const = default;
  };
  struct RowsOf {  // what the rows of the ranking were written from
    std::shared_ptr<const RunData> data;
    std::string metric;
    bool dark = false;
    bool operator==(const RowsOf&) const = default;
  };
  void select_shown();
  void show_controls(const Exploration& exploration);
  void show_plots(const Exploration& exploration);
  void show_ranking(const Exploration& exploration);
  void show_front(const std::shared_ptr<const RunData>& data);
  void move_limit(double value);
  void fill_axes(const Exploration& exploration, const std::string& chosen);
  void make_plots();  // as many as there are panels
  void place_plots();
  void read_claims(const std::shared_ptr<const RunData>& data);
  void add_claims(PlotSpec& spec, const Exploration& exploration, const ExplorePanel& panel) const;
  PlotSpec spec_of(const Exploration& exploration, const ExplorePanel& panel) const;
  void resizeEvent(QResizeEvent* event) override;

  std::shared_ptr<const RunData> data_;  // what is shown; tooltips read it later
  Shown shown_;
  RowsOf rows_of_;
  std::unordered_map<const CaseResult*, GridRow> rows_;
  ExploreWish wish_;
  std::vector<results_db::ClaimRecord> claims_;
  std::shared_ptr<const RunData> claims_of_;  // when they were read
  std::vector<ClaimedValue> claimed_;
  std::optional<double> limit_;  // on the metric that is the axis
  std::optional<bool> log_;      // of the user; else by the spread of the values
  bool is_log_ = false;
  QComboBox* metric_;
  QComboBox* axis_;
  QPushButton* scale_;
  QLabel* common_;
  QScrollArea* scroll_;
  QGridLayout* grid_;
  std::vector<PlotView*> plots_;
  int panels_ = 0;
  std::pair<int, int> placed_ = {0, 0};  // panels and columns
  GridView* ranking_;
};

}  // namespace assay::gui
