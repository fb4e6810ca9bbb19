#include "harness/table.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>

namespace assay::harness {
namespace {

constexpr std::string_view ellipsis = "…";
constexpr std::string_view gap = "  ";

// One UTF-8 code point from the front of `text`: its bytes and its value. Broken bytes count as one column each.
struct CodePoint {
  std::size_t bytes = 1;
  std::uint32_t value = 0;
};

CodePoint first_code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  std::size_t bytes = 1;
  std::uint32_t value = lead;
  if (lead >= 0xF0) {
    bytes = 4;
    value = lead & 0x07U;
  } else if (lead >= 0xE0) {
    bytes = 3;
    value = lead & 0x0FU;
  } else if (lead >= 0xC0) {
    bytes = 2;
    value = lead & 0x1FU;
  }
  if (bytes > text.size()) return {1, lead};
  for (std::size_t i = 1; i < bytes; ++i) value = value << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return {bytes, value};
}

// Locale-free: the ranges that matter for names, units and signs.
int width_of(std::uint32_t point) {
  if (point >= 0x300 && point <= 0x36F) return 0;  // combining marks
  if (point == 0x200B || point == 0xFE0F) return 0;
  const bool wide = (point >= 0x1100 && point <= 0x115F) || (point >= 0x2E80 && point <= 0xA4CF) ||
                    (point >= 0xAC00 && point <= 0xD7A3) || (point >= 0xF900 && point <= 0xFAFF) ||
                    (point >= 0xFF00 && point <= 0xFF60) || (point >= 0x1F300 && point <= 0x1FAFF);
  return wide ? 2 : 1;
}

std::string spaces(int count) { return std::string(static_cast<std::size_t>(std::max(count, 0)), ' '); }

const char* escape_of(Style style) {
  switch (style) {
    case Style::plain:
      return "";
    case Style::good:
      return "\x1b[32m";
    case Style::bad:
      return "\x1b[31m";
    case Style::warn:
      return "\x1b[33m";
    case Style::dim:
      return "\x1b[2m";
    case Style::bold:
      return "\x1b[1m";
  }
  return "";
}

std::string padded(const Cell& cell, int width, const Column& column, bool last, bool color) {
  const std::string text = shorten(cell.text, width, column.cut_left);
  const int missing = width - display_width(text);
  const std::string shown = styled(text, cell.style, color);
  if (column.right) return spaces(missing) + shown;
  return last ? shown : shown + spaces(missing);
}

std::string escaped_for_markdown(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const CodePoint point = first_code_point(text);
    width += width_of(point.value);
    text.remove_prefix(point.bytes);
  }
  return width;
}

std::string shorten(std::string_view text, int width, bool cut_left) {
  const int full = display_width(text);
  if (full <= width) return std::string(text);
  if (width <= 0) return "";
  if (cut_left) {
    int left = full;
    while (left > width - 1) {
      const CodePoint point = first_code_point(text);
      left -= width_of(point.value);
      text.remove_prefix(point.bytes);
    }
    return std::string(ellipsis) + std::string(text);
  }
  int taken = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    const CodePoint point = first_code_point(text.substr(end));
    if (taken + width_of(point.value) > width - 1) break;
    taken += width_of(point.value);
    end += point.bytes;
  }
  return std::string(text.substr(0, end)) + std::string(ellipsis);
}

std::string wrap(std::string_view text, int width) {
  constexpr std::string_view indent = "   ";
  std::string out;
  std::string line;
  const auto end_line = [&] {
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  };
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width) {
      end_line();
      line = indent;
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  end_line();
  return out;
}

std::string styled(std::string_view text, Style style, bool color) {
  if (!color || style == Style::plain || text.empty()) return std::string(text);
  return escape_of(style) + std::string(text) + "\x1b[0m";
}

void Table::add_column(Column column) {
  if (!rows_.empty()) throw std::invalid_argument("table: a column after the first row");
  columns_.push_back(std::move(column));
}

void Table::add_row(std::vector<Cell> cells) {
  if (cells.size() > columns_.size()) throw std::invalid_argument("table: a row has more cells than columns");
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), false});
}

void Table::add_rule() { rows_.push_back({{}, true}); }

std::string Table::render(int width, bool color) const {
  std::vector<std::size_t> shown;
  std::vector<int> widths(columns_.size(), 0);
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    for (const Row& row : rows_)
      if (!row.rule) widths[c] = std::max(widths[c], display_width(row.cells[c].text));
    const bool has_content = widths[c] > 0 || rows_.empty();
    widths[c] = std::max(widths[c], display_width(columns_[c].title));
    if (has_content) shown.push_back(c);
  }
  int total = shown.empty() ? 0 : static_cast<int>(gap.size() * (shown.size() - 1));
  for (const std::size_t c : shown) total += widths[c];
  // Too wide: one column at a time from whichever text column is widest above its minimum.
  while (total > width) {
    std::size_t widest = columns_.size();
    for (const std::size_t c : shown) {
      if (columns_[c].right || widths[c] <= columns_[c].min_width) continue;
      if (widest == columns_.size() || widths[c] > widths[widest]) widest = c;
    }
    if (widest == columns_.size()) break;
    --widths[widest];
    --total;
  }

  std::string out;
  const auto line = [&](auto&& cell_of, bool colored) {
    for (std::size_t i = 0; i < shown.size(); ++i) {
      if (i > 0) out += gap;
      out += padded(cell_of(shown[i]), widths[shown[i]], columns_[shown[i]], i + 1 == shown.size(), colored);
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    out += '\n';
  };
  const auto rule = [&] {
    for (int i = 0; i < total; ++i) out += "─";
    out += '\n';
  };
  line([&](std::size_t c) { return Cell(columns_[c].title, Style::bold); }, color);
  rule();
  for (const Row& row : rows_) {
    if (row.rule)
      rule();
    else
      line([&](std::size_t c) { return row.cells[c]; }, color);
  }
  return out;
}

std::string Table::markdown() const {
  std::string out = "|";
  for (const Column& column : columns_) out += " " + escaped_for_markdown(column.title) + " |";
  out += "\n|";
  for (const Column& column : columns_) out += column.right ? " ---: |" : " --- |";
  out += "\n";
  for (const Row& row : rows_) {
    if (row.rule) continue;
    out += "|";
    for (const Cell& cell : row.cells) out += " " + escaped_for_markdown(cell.text) + " |";
    out += "\n";
  }
  return out;
}

}  // namespace assay::harness
