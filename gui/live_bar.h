#pragma once
// Below the top bar while the run looked at is still going: how far it is, what came last, and a way to hold the page
// still.
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>

#include "gui/model/live_run.h"
#include "gui/session.h"

namespace assay::gui {

class LiveBar : public QWidget {
  Q_OBJECT

 public:
  explicit LiveBar(Session& session, QWidget* parent = nullptr);
  void refresh(std::int64_t now_ns);
  QString text() const { return whole_; }
  int percent() const { return progress_->value(); }
  QPushButton* hold_button() const { return hold_; }

 protected:
  void resizeEvent(QResizeEvent* event) override;

 private:
  void show_words();

  Session& session_;
  QString whole_;  // what it says, where there is room for it
  QProgressBar* progress_;
  QLabel* words_;
  QPushButton* hold_;
};

}  // namespace assay::gui
