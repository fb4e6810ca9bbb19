#include "gui/grid.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QScrollBar>
#include <QStyledItemDelegate>
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "gui/letter_widths.h"

namespace assay::gui {
namespace {

constexpr int row_height = 27;
constexpr int cell_margins = 22;  // what the style leaves left and right of a cell's text, and a little
constexpr int most_lines = 6;     // of a row; what is longer still ends in dots and has a tooltip

// "seq 1k, ranks 2" goes on in the next line after its comma, not between a name and its number: short parts hold
// together. Sentences break where they like.
QString held_together(const QString& text) {
  constexpr qsizetype short_part = 16;  // letters
  if (!text.contains(QLatin1Char(','))) return text;
  QString out = text;
  qsizetype from = 0;
  const auto bind = [&](qsizetype to) {
    if (to - from <= short_part)
      for (qsizetype i = from; i < to; ++i)
        if (out[i] == QLatin1Char(' ')) out[i] = QChar(QChar::Nbsp);
  };
  for (qsizetype i = 0; i + 1 < text.size(); ++i) {
    const bool ends = text[i] == QLatin1Char(',') || text[i] == QLatin1Char(':') || text[i] == QChar(0x00b7);
    if (!ends || text[i + 1] != QLatin1Char(' ')) continue;
    bind(i + 1);
    from = i + 2;
  }
  bind(text.size());
  return out;
}

class PartsTogether : public QStyledItemDelegate {
 public:
  using QStyledItemDelegate::QStyledItemDelegate;
  QString displayText(const QVariant& value, const QLocale& /*locale*/) const override {
    return held_together(value.toString());
  }
};

// Lines that a text takes where it may go on in the next one after a space or a hyphen.
int lines_of(const QString& text, int room, LetterWidths& widths) {
  if (widths.of(text) <= room) return 1;
  int lines = 1;
  qsizetype line = 0;  // where the one that is being filled begins
  for (qsizetype from = 0; from < text.size();) {
    qsizetype to = from;
    while (to < text.size() && text[to] != QLatin1Char(' ') && text[to] != QLatin1Char('-')) ++to;
    const qsizetype end = to + (to < text.size() && text[to] == QLatin1Char('-') ? 1 : 0);
    if (from > line && widths.of(text.mid(line, end - line)) > room) {
      ++lines;
      line = from;
    }
    from = to + 1;
  }
  return lines;
}

template <class Line>
QString joined(const Grid& grid, const Line& line) {
  QStringList titles;
  for (const GridColumn& column : grid.columns) titles << column.title;
  QString out = line(titles);
  for (const GridRow& row : grid.rows) {
    QStringList cells;
    for (std::size_t i = 0; i < grid.columns.size(); ++i)
      cells << (i < row.cells.size() ? row.cells[i].text : QString());
    out += line(cells);
  }
  return out;
}

}  // namespace

GridCell GridCell::number(QString words, double value) {
  GridCell cell(std::move(words));
  cell.order = value;
  cell.ordered = true;
  return cell;
}

QString said_once(Grid& grid, std::size_t column, Blank blank) {
  QString said;
  int rows = 0;
  for (const GridRow& row : grid.rows) {
    const QString& text = row.cells[column].text;
    if (text.isEmpty() && blank == Blank::is_passed_over) continue;
    if (rows++ > 0 && text != said) return {};
    said = text;
  }
  if (rows < 2 || said.isEmpty()) return {};
  grid.columns[column].aside = true;
  return said;
}

QString as_markdown(const Grid& grid) {
  bool first = true;
  return joined(grid, [&](QStringList cells) {
    for (QString& cell : cells)
      cell.replace(QLatin1Char('|'), QStringLiteral("\\|")).replace(QLatin1Char('\n'), QLatin1Char(' '));
    QString line = QStringLiteral("| ") + cells.join(QStringLiteral(" | ")) + QStringLiteral(" |\n");
    if (first) {
      first = false;
      line += QLatin1Char('|');
      for (const GridColumn& column : grid.columns)
        line += column.right ? QStringLiteral("---:|") : QStringLiteral("---|");
      line += QLatin1Char('\n');
    }
    return line;
  });
}

QString as_tsv(const Grid& grid) {
  return joined(grid, [](QStringList cells) {
    for (QString& cell : cells)
      cell.replace(QLatin1Char('\t'), QLatin1Char(' ')).replace(QLatin1Char('\n'), QLatin1Char(' '));
    return cells.join(QLatin1Char('\t')) + QLatin1Char('\n');
  });
}

QString as_csv(const Grid& grid) {
  return joined(grid, [](QStringList cells) {
    for (QString& cell : cells)
      if (cell.contains(QLatin1Char(',')) || cell.contains(QLatin1Char('"')) || cell.contains(QLatin1Char('\n')))
        cell = QLatin1Char('"') + cell.replace(QLatin1Char('"'), QStringLiteral("\"\"")) + QLatin1Char('"');
    return cells.join(QLatin1Char(',')) + QStringLiteral("\r\n");
  });
}

QString as_html(const Grid& grid) {
  bool first = true;
  const QString rows = joined(grid, [&](const QStringList& cells) {
    const QString tag = first ? QStringLiteral("th") : QStringLiteral("td");
    first = false;
    QString line = QStringLiteral("<tr>");
    for (qsizetype i = 0; i < cells.size(); ++i)
      line +=
          QStringLiteral("<%1%2>%3</%1>")
              .arg(tag,
                   grid.columns[static_cast<std::size_t>(i)].right ? QStringLiteral(" class=\"number\"") : QString(),
                   cells[i].toHtmlEscaped());
    return line + QStringLiteral("</tr>\n");
  });
  return QStringLiteral("<table>\n") + rows + QStringLiteral("</table>\n");
}

void GridModel::set(Grid grid) {
  beginResetModel();
  grid_ = std::move(grid);
  for (std::size_t i = 0; i < grid_.rows.size(); ++i) grid_.rows[i].given = i;
  order_rows();
  endResetModel();
}

int GridModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(grid_.rows.size());
}

int GridModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(grid_.columns.size());
}

QVariant GridModel::data(const QModelIndex& index, int role) const {
  const GridRow& row = grid_.rows[static_cast<std::size_t>(index.row())];
  const auto column = static_cast<std::size_t>(index.column());
  if (column >= row.cells.size()) return {};
  const GridCell& cell = row.cells[column];
  switch (role) {
    case Qt::DisplayRole:
    case Qt::AccessibleTextRole:
      return cell.text;
    case Qt::ToolTipRole: {
      const QString tip = cell.tip.isEmpty() && grid_.tip ? grid_.tip(row.id, column) : cell.tip;
      return tip.isEmpty() ? QVariant() : tip;
    }
    case Qt::ForegroundRole:
      return cell.color.isValid() ? QVariant(cell.color) : QVariant();
    case Qt::TextAlignmentRole:
      return static_cast<int>((grid_.columns[column].right ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    case Qt::FontRole:
      if (cell.strong) {
        QFont font;
        font.setBold(true);
        return font;
      }
      return {};
    default:
      return {};
  }
}

QVariant GridModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal) return {};
  const GridColumn& column = grid_.columns[static_cast<std::size_t>(section)];
  if (role == Qt::DisplayRole) return column.title;
  if (role == Qt::TextAlignmentRole)
    return static_cast<int>((column.right ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
  return {};
}

void GridModel::order_rows() {
  if (sorted_by_ < 0 || sorted_by_ >= static_cast<int>(grid_.columns.size())) {
    std::sort(grid_.rows.begin(), grid_.rows.end(),
              [](const GridRow& a, const GridRow& b) { return a.given < b.given; });
    return;
  }
  const auto column = static_cast<std::size_t>(sorted_by_);
  const auto less = [&](const GridRow& a, const GridRow& b) {
    if (column >= a.cells.size() || column >= b.cells.size()) return a.cells.size() < b.cells.size();
    const GridCell& left = a.cells[column];
    const GridCell& right = b.cells[column];
    if (left.ordered && right.ordered) {
      if (std::isnan(left.order) || std::isnan(right.order)) return !std::isnan(left.order) && std::isnan(right.order);
      return left.order < right.order;
    }
    return left.text.localeAwareCompare(right.text) < 0;
  };
  std::stable_sort(grid_.rows.begin(), grid_.rows.end(), [&](const GridRow& a, const GridRow& b) {
    return sort_order_ == Qt::AscendingOrder ? less(a, b) : less(b, a);
  });
}

void GridModel::sort(int column, Qt::SortOrder order) {
  sorted_by_ = column;
  sort_order_ = order;
  Q_EMIT layoutAboutToBeChanged();
  // The selected row stays selected wherever it goes.
  const QModelIndexList held = persistentIndexList();
  std::vector<std::size_t> given;
  for (const QModelIndex& index : held) given.push_back(grid_.rows[static_cast<std::size_t>(index.row())].given);
  order_rows();
  QModelIndexList moved;
  for (qsizetype i = 0; i < held.size(); ++i) {
    const auto at = std::find_if(grid_.rows.begin(), grid_.rows.end(),
                                 [&](const GridRow& row) { return row.given == given[static_cast<std::size_t>(i)]; });
    moved << index(static_cast<int>(at - grid_.rows.begin()), held[i].column());
  }
  changePersistentIndexList(held, moved);
  Q_EMIT layoutChanged();
}

GridView::GridView(const QString& accessible_name, QWidget* parent) : QTableView(parent), model_(new GridModel(this)) {
  setModel(model_);
  setAccessibleName(accessible_name);
  setSelectionBehavior(SelectRows);
  setSelectionMode(SingleSelection);
  setEditTriggers(NoEditTriggers);
  setShowGrid(false);
  setWordWrap(true);
  setItemDelegate(new PartsTogether(this));
  setTabKeyNavigation(false);
  verticalHeader()->hide();
  verticalHeader()->setDefaultSectionSize(row_height);
  verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
  horizontalHeader()->setHighlightSections(false);
  horizontalHeader()->setStretchLastSection(true);
  horizontalHeader()->setSortIndicatorShown(true);
  horizontalHeader()->setSortIndicatorClearable(true);
  horizontalHeader()->setSortIndicator(-1, Qt::AscendingOrder);
  setSortingEnabled(true);
  setHorizontalScrollMode(ScrollPerPixel);
  connect(selectionModel(), &QItemSelectionModel::currentRowChanged, this,
          [this] { Q_EMIT row_selected(current_id()); });
  connect(this, &QTableView::doubleClicked, this, [this] { Q_EMIT row_activated(current_id()); });
  connect(model_, &QAbstractItemModel::layoutChanged, this, [this] { fit_rows(); });
}

void GridView::show_grid(Grid grid) {
  const qint64 selected = current_id();
  // The same table with newer numbers stays where it was scrolled to.
  const bool same = !grid.columns.empty() && grid.columns.size() == model_->grid().columns.size() &&
                    grid.columns.front().title == model_->grid().columns.front().title;
  const int scrolled = same ? verticalScrollBar()->value() : 0;
  const QSignalBlocker quiet(selectionModel());
  model_->set(std::move(grid));
  QFont bold = font();
  bold.setBold(true);
  LetterWidths plain_widths(font()), bold_widths(bold);
  natural_.clear();
  for (std::size_t column = 0; column < model_->grid().columns.size(); ++column) {
    int width = plain_widths.of(model_->grid().columns[column].title) + 26;
    qsizetype letters = 0;
    for (const GridRow& row : model_->grid().rows) {
      if (column >= row.cells.size()) continue;
      const GridCell& cell = row.cells[column];
      letters = std::max(letters, cell.text.size());
      width = std::max(width, (cell.strong ? bold_widths : plain_widths).of(cell.text) + 30);
    }
    // A column with nothing in it says nothing.
    const bool empty = (letters == 0 && !model_->grid().rows.empty()) || model_->grid().columns[column].aside;
    natural_.push_back(empty ? 0 : width);
  }
  fit_columns();
  if (selected != 0) select_id(selected);
  if (scrolled > 0) verticalScrollBar()->setValue(scrolled);
}

void GridView::fit_columns() {
  constexpr int least = 110, readable = 260;  // of a long text: what it never falls below, and what it should have
  constexpr int longest = 640;                // what more it asks for, it has where nobody else asks
  constexpr int telling = 210;  // of a spare one: with less it says nothing, and others give way to it or it goes
  const auto& columns = model_->grid().columns;
  const std::size_t count = std::min(natural_.size(), columns.size());
  // Whether the rows need a scroll bar depends on their heights, these on the widths: its room is left free always.
  int room = width() - 2 * frameWidth() - verticalScrollBar()->sizeHint().width();
  std::vector<int> natural = natural_;
  for (std::size_t column = 0; column < count; ++column)
    if (columns[column].stretch) natural[column] = std::min(natural[column], longest);
  const auto wanted_in_all = [&] {
    int sum = 0;
    for (std::size_t column = 0; column < count; ++column)
      sum += !columns[column].stretch ? natural[column]
                                      : std::min(natural[column], columns[column].spare > 0 ? telling : readable);
    return sum;
  };
  while (wanted_in_all() > room) {
    std::size_t spare = count;
    for (std::size_t column = 0; column < count; ++column)
      if (natural[column] > 0 && columns[column].spare > 0 &&
          (spare == count || columns[column].spare > columns[spare].spare))
        spare = column;
    if (spare == count) break;
    natural[spare] = 0;
  }
  for (std::size_t column = 0; column < count; ++column)
    setColumnHidden(static_cast<int>(column), natural[column] == 0);
  std::vector<std::size_t> texts;
  // Where the column that takes the room is empty, the first one takes it.
  const bool any = std::any_of(natural.begin(), natural.end(), [&](const int& width) {
    return width > 0 && columns[static_cast<std::size_t>(&width - natural.data())].stretch;
  });
  for (std::size_t column = 0; column < count; ++column) {
    if (natural[column] == 0) continue;
    if (any ? columns[column].stretch : column == 0)
      texts.push_back(column);
    else
      room -= natural[column];
  }
  std::vector<int> widths = natural;
  // Long texts give way before numbers do. Each gets what can be read; what is then left, or lacking, is dealt out in
  // equal parts, so that short texts are whole before long ones are longer.
  for (const std::size_t column : texts) {
    widths[column] = std::min(natural[column], columns[column].spare > 0 ? telling : readable);
    room -= widths[column];
  }
  const auto limit = [&](std::size_t column) { return room >= 0 ? natural[column] : std::min(natural[column], least); };
  while (room != 0) {
    std::erase_if(texts, [&](std::size_t column) { return widths[column] == limit(column); });
    if (texts.empty()) break;
    for (const std::size_t column : texts) {
      if (room == 0) break;
      const int part = std::max(1, std::abs(room) / static_cast<int>(texts.size()));
      const int moved = room > 0 ? std::min({part, room, limit(column) - widths[column]})
                                 : -std::min({part, -room, widths[column] - limit(column)});
      widths[column] += moved;
      room -= moved;
    }
  }
  // What is left in a wide window is spread over all columns: one gap would tear names from their numbers.
  const auto shown =
      static_cast<int>(std::count_if(natural.begin(), natural.end(), [](int width) { return width > 0; }));
  for (std::size_t column = 0, place = 0; room > 0 && column < count; ++column)
    if (natural[column] > 0) {
      const auto share = [&](std::size_t until) { return static_cast<int>(until) * room / shown; };
      widths[column] += share(place + 1) - share(place);
      ++place;
    }
  for (std::size_t column = 0; column < count; ++column) setColumnWidth(static_cast<int>(column), widths[column]);
  widths_ = std::move(widths);
  fit_rows();
}

// Nothing that tells a row from another is cut off: a long text goes on in the next line.
void GridView::fit_rows() {
  constexpr std::size_t most_tall = 200;  // of more, each of which moves all rows below it, all rows are as high
  if (std::exchange(any_tall_, false)) verticalHeader()->setDefaultSectionSize(row_height);
  const auto& columns = model_->grid().columns;
  const auto& rows = model_->grid().rows;
  std::map<std::size_t, int> lines;  // of rows with more than one
  for (std::size_t column = 0; column < std::min(widths_.size(), columns.size()); ++column) {
    const int room = widths_[column];
    if (!columns[column].stretch || isColumnHidden(static_cast<int>(column)) || natural_[column] <= room) continue;
    LetterWidths widths(font());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (column >= rows[row].cells.size()) continue;
      if (const int wanted = lines_of(held_together(rows[row].cells[column].text), room - cell_margins, widths);
          wanted > 1) {
        int& held = lines[row];
        held = std::max(held, std::min(wanted, most_lines));
      }
    }
  }
  const int line = QFontMetrics(font()).lineSpacing();
  any_tall_ = !lines.empty();
  if (lines.size() > most_tall) {
    int most = 1;
    for (const auto& [row, held] : lines) most = std::max(most, held);
    verticalHeader()->setDefaultSectionSize(row_height + (most - 1) * line);
  } else {
    for (const auto& [row, held] : lines) setRowHeight(static_cast<int>(row), row_height + (held - 1) * line);
  }
  if (!as_high_as_rows_) return;
  const int all = rows.empty() ? row_height : verticalHeader()->length();
  if (const int height = horizontalHeader()->sizeHint().height() + all + 2 * frameWidth() + 4;
      height != maximumHeight())
    setMaximumHeight(height);
}

void GridView::keep_as_high_as_rows() {
  as_high_as_rows_ = true;
  fit_rows();
}

void GridView::resizeEvent(QResizeEvent* event) {
  QTableView::resizeEvent(event);
  fit_columns();
}

qint64 GridView::current_id() const {
  const QModelIndex index = currentIndex();
  if (!index.isValid() || index.row() >= model_->rowCount()) return 0;
  return model_->grid().rows[static_cast<std::size_t>(index.row())].id;
}

void GridView::select_id(qint64 id) {
  const auto& rows = model_->grid().rows;
  for (std::size_t row = 0; row < rows.size(); ++row)
    if (rows[row].id == id && id != 0) {
      setCurrentIndex(model_->index(static_cast<int>(row), 0));
      return;
    }
}

void GridView::move(int rows) {
  const int count = model_->rowCount();
  if (count == 0) return;
  const int at = currentIndex().isValid() ? currentIndex().row() + rows : 0;
  setCurrentIndex(model_->index(std::clamp(at, 0, count - 1), 0));
}

void GridView::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_J) return move(1);
  if (event->key() == Qt::Key_K && event->modifiers() == Qt::NoModifier) return move(-1);
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) {
    if (currentIndex().isValid()) Q_EMIT row_activated(current_id());
    return;
  }
  if (!event->text().isEmpty() && event->modifiers() == Qt::NoModifier && event->key() != Qt::Key_Home) {
    event->ignore();  // letters are commands of the window, not a search in the table
    return;
  }
  QTableView::keyPressEvent(event);
}

}  // namespace assay::gui
