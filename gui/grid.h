#pragma once
// Tables: rows of cells as views make them, the Qt model over them, and their text for the clipboard and for files.
#include <QAbstractTableModel>
#include <QColor>
#include <QString>
#include <QTableView>
#include <functional>
#include <vector>

namespace assay::gui {

struct GridCell {
  QString text;
  double order = 0;  // what sorting goes by, where it is not the text
  bool ordered = false;
  QColor color;  // invalid: the usual one
  QString tip;
  bool strong = false;

  GridCell(QString words = {}) : text(std::move(words)) {}  // NOLINT: a cell is its text
  static GridCell number(QString words, double value);
};

struct GridRow {
  std::vector<GridCell> cells;
  qint64 id = 0;          // of the case, or the row's own; 0: none
  std::size_t given = 0;  // its place before any sorting
};

struct GridColumn {
  QString title;
  bool right = false;
  bool stretch = false;  // takes the room that is left; a text that is longer goes on in the next line
  int spare = 0;         // above 0: not shown where the others would be cut short without it; the highest goes first
  bool aside = false;    // not shown, but handed out: what all rows have in common is said above the table
};

struct Grid {
  std::vector<GridColumn> columns;
  std::vector<GridRow> rows;
  // Tooltips of cells without one of their own, made when they are asked for: thousands of rows have one each.
  std::function<QString(qint64 id, std::size_t column)> tip = {};
};

// Puts the column aside where all of two or more rows say the same in it, and returns that; else "". Rows that say
// nothing there count where `blank` does.
enum class Blank { counts, is_passed_over };
QString said_once(Grid& grid, std::size_t column, Blank blank = Blank::counts);

QString as_markdown(const Grid& grid);
QString as_tsv(const Grid& grid);
QString as_csv(const Grid& grid);   // RFC 4180
QString as_html(const Grid& grid);  // <table>

class GridModel : public QAbstractTableModel {
 public:
  using QAbstractTableModel::QAbstractTableModel;
  void set(Grid grid);
  const Grid& grid() const { return grid_; }

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;
  void sort(int column, Qt::SortOrder order) override;

 private:
  void order_rows();

  Grid grid_;
  int sorted_by_ = -1;  // -1: as given
  Qt::SortOrder sort_order_ = Qt::AscendingOrder;
};

// A table with the keys of the dashboard: j and k move, Enter and a double click activate. A row is as high as the
// texts of its stretching columns need.
class GridView : public QTableView {
  Q_OBJECT

 public:
  explicit GridView(const QString& accessible_name, QWidget* parent = nullptr);
  void show_grid(Grid grid);  // keeps the selected id selected
  const Grid& grid() const { return model_->grid(); }
  qint64 current_id() const;
  void select_id(qint64 id);
  void move(int rows);
  void keep_as_high_as_rows();  // from now on: no higher than what shows all of them

 Q_SIGNALS:
  void row_selected(qint64 id);
  void row_activated(qint64 id);

 protected:
  void keyPressEvent(QKeyEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void fit_columns();
  void fit_rows();

  GridModel* model_;
  std::vector<int> natural_;  // widths the contents ask for
  std::vector<int> widths_;   // that they have been given; the last one has what is left too
  bool any_tall_ = false;     // some row has more than one line
  bool as_high_as_rows_ = false;
};

}  // namespace assay::gui
