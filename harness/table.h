#pragma once
// Tables for terminals and for Markdown. A table never wraps: columns give up width in the order they can spare it, cut
// text ends in an ellipsis, and numbers are never cut.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace assay::harness {

enum class Style { plain, good, bad, warn, dim, bold };

struct Column {
  std::string title;
  bool right = false;     // right-aligned: numbers; such columns are never cut
  int min_width = 6;      // a left-aligned column is cut no further than this
  bool cut_left = false;  // cut text keeps its end (paths, case keys that differ late)
};

struct Cell {
  std::string text;
  Style style = Style::plain;
  Cell(std::string words = "", Style look = Style::plain)
      : text(std::move(words)), style(look) {}                                      // NOLINT: a cell is its text
  Cell(const char* words, Style look = Style::plain) : text(words), style(look) {}  // NOLINT
};

class Table {
 public:
  Table() = default;
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void add_column(Column column);         // before the first row
  void add_row(std::vector<Cell> cells);  // missing cells are empty; std::invalid_argument for too many
  void add_rule();                        // a line between groups of rows
  std::size_t rows() const { return rows_.size(); }

  // Lines of at most `width` columns where the minimum widths allow it. A column whose cells are all empty is left out.
  std::string render(int width = 100, bool color = false) const;
  std::string markdown() const;

 private:
  struct Row {
    std::vector<Cell> cells;
    bool rule = false;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

// Columns a terminal gives the UTF-8 `text`: code points, without combining marks; wide East Asian letters count two.
int display_width(std::string_view text);
// `text` cut to `width` columns, with an ellipsis where something was cut, at the end or at the start.
std::string shorten(std::string_view text, int width, bool cut_left = false);
// Lines of at most `width` columns, broken at spaces and each ended; the second and later ones are indented.
std::string wrap(std::string_view text, int width);
// `text` in the escape codes of `style` when `color`, else as it is.
std::string styled(std::string_view text, Style style, bool color);

}  // namespace assay::harness
