#pragma once
// At the right of the window, for the selected case: its launches as a distribution, and what it takes to get the
// number again.
#include <QDockWidget>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>

#include "gui/grid.h"
#include "gui/model/reproduce.h"
#include "gui/plot/strip_plot.h"
#include "gui/session.h"

namespace assay::gui {

// The launches of a case as the distribution plot wants them; those of a value that was only reported have no spread.
StripSide strip_side(const CaseResult& result, const std::string& metric);

class CaseDrawer : public QDockWidget {
  Q_OBJECT

 public:
  explicit CaseDrawer(Session& session, QWidget* parent = nullptr);
  void refresh();
  const StripPlot& strip() const { return *strip_; }
  const Grid& facts() const { return facts_->grid(); }
  QString title() const { return title_->text(); }
  QPushButton* copy_command_button() const { return copy_command_; }
  QPushButton* copy_all_button() const { return copy_all_; }

 private:
  void show_case(const RunData& data, const CaseResult& result);

  Session& session_;
  Recipe recipe_;
  QString whole_;
  QLabel* title_;
  QLabel* value_;
  StripPlot* strip_;
  QLabel* again_;
  QLabel* command_;
  QPushButton* copy_command_;
  QPushButton* copy_all_;
  GridView* facts_;
  QPlainTextEdit* suite_;
};

}  // namespace assay::gui
