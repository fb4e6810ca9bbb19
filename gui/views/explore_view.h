#pragma once
// Explore: any metric of a run over any axis, one line a technique, and the same points as a ranking.
#include <QComboBox>
#include <QPushButton>
#include <QScrollArea>
#include <QSplitter>
#include <optional>
#include <vector>

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
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  const std::vector<PlotView*>& plots() const { return plots_; }  // those in use come first
  int panels() const { return panels_; }

 private:
  void show_controls(const Exploration& exploration);
  void show_plots(const Exploration& exploration);
  void show_ranking(const Exploration& exploration);
  void place_plots();
  PlotSpec spec_of(const Exploration& exploration, const ExplorePanel& panel) const;
  void resizeEvent(QResizeEvent* event) override;

  ExploreWish wish_;
  std::optional<bool> log_;  // of the user; else by the spread of the values
  bool is_log_ = false;
  QComboBox* metric_;
  QComboBox* axis_;
  QPushButton* scale_;
  QLabel* common_;
  QScrollArea* scroll_;
  QGridLayout* grid_;
  std::vector<PlotView*> plots_;
  int panels_ = 0;
  GridView* ranking_;
};

}  // namespace assay::gui
