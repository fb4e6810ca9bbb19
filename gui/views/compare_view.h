#pragma once
// Compare: one base against up to four contenders, each a selector as `assay compare` takes it. A row shows the
// launches behind its verdict.
#include <QLineEdit>
#include <QTextEdit>
#include <vector>

#include "gui/plot/strip_plot.h"
#include "gui/views/view.h"
#include "harness/comparison.h"

namespace assay::gui {

class CompareView : public View {
 public:
  CompareView(Session& session, QWidget* parent = nullptr);
  void refresh() override;
  Grid table() const override { return rows_->grid(); }
  void move(int rows) override { rows_->move(rows); }
  void activate() override;
  QStringList arguments() const override;
  void set_arguments(const QMap<QString, QString>& values) override;
  const std::vector<harness::Comparison>& comparisons() const { return comparisons_; }
  const StripPlot& strip() const { return *strip_; }
  QString summary() const { return summary_->text(); }

 private:
  void compare();
  void show_rows();
  void show_row(qint64 id);
  void name_cases();
  bool passes(const harness::ComparedCase& row) const;

  std::vector<harness::Comparison> comparisons_;
  std::vector<std::pair<std::size_t, std::size_t>> shown_;  // comparison and case, by the row's id - 1
  std::vector<std::string> names_;                          // of the rows, in their order
  bool touched_ = false;                                    // the user has said what to compare
  QLineEdit* base_;
  QLineEdit* contenders_;
  QLabel* summary_;
  QLabel* problem_;
  GridView* rows_;
  QLabel* explained_;
  StripPlot* strip_;
};

}  // namespace assay::gui
