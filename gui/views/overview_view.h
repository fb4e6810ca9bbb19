#pragma once
// Overview: the newest run of each machine, what changed since the run before, and how far the numbers can be trusted.
#include "gui/model/overview.h"
#include "gui/views/view.h"

class QHBoxLayout;

namespace assay::gui {

class ClaimBar;

class OverviewView : public View {
 public:
  OverviewView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return changes_->grid(); }
  void move(int rows) override { changes_->move(rows); }
  void activate() override;
  QString sentence() const { return chips_->accessibleName(); }  // the answer in one line
  const GridView& health() const { return *health_; }

 private:
  void show_machines();
  void show_changes(const MachineOverview& overview, const RunData& data);
  void show_health(const MachineOverview& overview);

  std::shared_ptr<const RunData> judged_;  // what `held_` was made of
  MachineOverview held_;
  ClaimCounts counts_;
  QWidget* machines_;
  QHBoxLayout* machine_row_;
  QLabel* heading_;
  QLabel* sentence_;
  QLabel* chips_;
  QLabel* changes_title_;
  GridView* changes_;
  GridView* health_;
  QLabel* claims_title_;
  ClaimBar* claims_;
};

}  // namespace assay::gui
