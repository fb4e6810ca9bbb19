#pragma once
// Runs & machines: what is in the file, and under which conditions each run was taken.
#include "gui/views/view.h"

namespace assay::gui {

class RunsView : public View {
 public:
  RunsView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return runs_->grid(); }
  void move(int rows) override { runs_->move(rows); }
  void activate() override;

 private:
  void show_facts();

  GridView* runs_;
  GridView* facts_;
  QLabel* summary_;
  QLabel* title_;
};

}  // namespace assay::gui
