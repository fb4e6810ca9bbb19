#pragma once
// Compare: one base against up to four contenders, each a selector as `assay compare` takes it. A row shows the
// launches behind its verdict.
#include <QLineEdit>
#include <QPushButton>
#include <QStackedWidget>
#include <QTextEdit>
#include <vector>

#include "gui/model/own_noise.h"
#include "gui/plot/heat_plot.h"
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
  HeatPlot& heat() { return *heat_; }
  QPushButton* map_button() const { return as_map_; }
  QPushButton* percent_button() const { return by_percent_; }
  QString summary() const { return summary_->text(); }

 private:
  void compare();
  void show_rows();
  void show_row(qint64 id);
  void show_map();  // of the comparison that the current row belongs to
  void name_cases();
  bool passes(const harness::ComparedCase& row) const;

  struct Compared {  // what the comparisons were made of
    std::shared_ptr<const RunData> data;
    QString base, contenders;
    bool operator==(const Compared&) const = default;
  };
  Compared compared_;
  std::vector<harness::Comparison> comparisons_;
  std::vector<std::vector<OwnNoise>> noise_;                // of their cases
  std::vector<std::pair<std::size_t, std::size_t>> shown_;  // comparison and case, by the row's id - 1
  std::vector<std::string> names_;                          // of the rows, in their order
  bool touched_ = false;                                    // the user has said what to compare
  QLineEdit* base_;
  QLineEdit* contenders_;
  QLabel* summary_;
  QLabel* problem_;
  QPushButton* as_map_;
  QPushButton* by_percent_;
  QStackedWidget* pages_;
  GridView* rows_;
  HeatPlot* heat_;
  std::vector<std::size_t> mapped_;  // rows of the table, in the order that the map was made of
  QLabel* explained_;
  StripPlot* strip_;
};

}  // namespace assay::gui
