#pragma once
// Compare: one base against up to four contenders, each a selector as `assay compare` takes it. A row shows the
// launches behind its verdict.
#include <QLineEdit>
#include <QPushButton>
#include <QStackedWidget>
#include <QTextEdit>
#include <QTimer>
#include <optional>
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
  void toggle_scale() override;
  void read_clocks();  // of the launches shown below; does so by itself a moment after a row was chosen

 private:
  using Place = std::pair<std::size_t, std::size_t>;  // comparison and case

  void compare();
  void prepare();  // what a keystroke in the filter looks at
  void show_rows();
  void show_summary();
  void show_row(qint64 id);
  void show_map();  // of the comparison that the current row belongs to
  void choose_mapped();
  void name_cases();
  const CaseInfo* same_case(const Place& at) const;  // on both sides; null where they differ
  GridRow make_row(const Place& at) const;
  void select_shown();

  struct Compared {  // what the comparisons were made of
    std::shared_ptr<const RunData> data;
    QString base, contenders;
    bool operator==(const Compared&) const = default;
  };
  struct Prepared {  // of one compared case
    Pair pair;       // its sides in the runs; null where a run does not hold it
    std::string name;
    std::optional<GridRow> row;
  };
  struct Told {  // what the rows were written from
    CommonAxes common;
    bool dark = false;
    bool operator==(const Told&) const = default;
  };
  Compared compared_;
  std::vector<harness::Comparison> comparisons_;
  std::vector<std::shared_ptr<const RunData>> runs_;  // that they are of
  std::vector<std::vector<OwnNoise>> noise_;          // of their cases
  std::vector<std::vector<Prepared>> prepared_;
  Told told_;
  std::vector<Place> shown_;           // by the row's id - 1
  std::size_t hidden_ = 0;             // by the filter
  QString common_what_, common_why_;   // what is compared, and why it is unsure, where that is the same in every row
  std::optional<Place> explained_of_;  // the case told about below
  bool touched_ = false;               // the user has said what to compare
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
  QTimer clocks_later_;
};

}  // namespace assay::gui
