#pragma once
// Overview: the newest run of each machine, what changed since the run before, and how far the numbers can be trusted.
#include "gui/model/compared_pair.h"
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
  void show_summary(const RunData& data);
  void show_changes();
  void show_health();

  struct Listed {  // what the table of changes was made of
    std::shared_ptr<const RunData> data;
    std::vector<std::size_t> rows;  // of what is compared; of a run that is compared with nothing its cases
    bool dark = false;
    bool operator==(const Listed&) const = default;
  };
  std::shared_ptr<const RunData> judged_;                                // what `held_` was made of
  std::vector<std::pair<const harness::ComparedCase*, Pair>> compared_;  // of held_, with their cases
  Listed listed_;
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
