#include "harness/table.h"

#include <gtest/gtest.h>

#include <sstream>
#include <stdexcept>

namespace assay::harness {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Table sample() {
  Table table({{"case"}, {"time", true}});
  table.add_row({"attention/flash-attention-2 cpu tokens=4k", "12.3 ms"});
  table.add_row({"short", "1.00 us"});
  return table;
}

TEST(Table, AlignsTextLeftAndNumbersRight) {
  EXPECT_EQ(sample().render(),
            "case                                          time\n"
            "──────────────────────────────────────────────────\n"
            "attention/flash-attention-2 cpu tokens=4k  12.3 ms\n"
            "short                                      1.00 us\n");
}

TEST(Table, ShrinksTextAndNeverANumber) {
  const std::vector<std::string> lines = lines_of(sample().render(30));
  for (const std::string& line : lines) EXPECT_LE(display_width(line), 30) << line;
  EXPECT_EQ(lines.at(2), "attention/flash-atte…  12.3 ms");
}

TEST(Table, KeepsTheEndOfAColumnThatDiffersLate) {
  Table table({{.title = "case", .cut_left = true}, {"time", true}});
  table.add_row({"attention/flash-attention-2 tokens=4k", "1"});
  EXPECT_EQ(lines_of(table.render(18)).at(2),
            "…2 tokens=4k"
            "     1");
}

TEST(Table, TakesWidthFromTheWidestColumnFirst) {
  Table table({{"a"}, {"b"}});
  table.add_row({"0123456789", "01234567890123456789"});
  EXPECT_EQ(lines_of(table.render(22)).at(2), "0123456789  012345678…");
}

TEST(Table, StopsAtTheMinimumWidthsRatherThanLosingAColumn) {
  Table table({{.title = "name", .min_width = 8}, {"time", true}});
  table.add_row({"a-name-that-is-long", "123456789"});
  EXPECT_EQ(lines_of(table.render(5)).at(2), "a-name-…  123456789");
}

TEST(Table, LeavesOutColumnsWithNothingInThem) {
  Table table({{"case"}, {"note"}, {"time", true}});
  table.add_row({"x", "", "1"});
  EXPECT_EQ(table.render().find("note"), std::string::npos);
}

TEST(Table, ColorsOnlyWhenAsked) {
  Table table({{"verdict"}});
  table.add_row({{"SLOWER", Style::bad}});
  EXPECT_EQ(table.render(100, false).find('\x1b'), std::string::npos);
  EXPECT_NE(table.render(100, true).find("\x1b[31mSLOWER\x1b[0m"), std::string::npos);
}

TEST(Table, ColorDoesNotMoveColumns) {
  Table table({{"verdict"}, {"n", true}});
  table.add_row({{"SAME", Style::dim}, "1"});
  std::string colored = table.render(100, true);
  for (std::size_t at = colored.find('\x1b'); at != std::string::npos; at = colored.find('\x1b'))
    colored.erase(at, colored.find('m', at) - at + 1);
  EXPECT_EQ(colored, table.render(100, false));
}

TEST(Table, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width("µs ± 2%"), 7);
  EXPECT_EQ(display_width("e\xCC\x81"), 1);
  EXPECT_EQ(display_width("注意"), 4);
  EXPECT_EQ(shorten("µµµµµ", 3), "µµ…");
  EXPECT_EQ(shorten("注意力", 4), "注…");
  EXPECT_EQ(shorten("abc", 3), "abc");
}

TEST(Table, SurvivesBrokenUtf8) { EXPECT_EQ(display_width("a\xE2"), 2); }

TEST(Table, RefusesRowsWithTooManyCells) {
  Table table({{"a"}});
  EXPECT_THROW(table.add_row({"1", "2"}), std::invalid_argument);
  table.add_row({"1"});
  EXPECT_THROW(table.add_column({"b"}), std::invalid_argument);
}

TEST(Table, WritesMarkdownWithAlignmentAndEscapedBars) {
  Table table({{"case"}, {"time", true}});
  table.add_row({"a|b", "1"});
  table.add_rule();
  EXPECT_EQ(table.markdown(), "| case | time |\n| --- | ---: |\n| a\\|b | 1 |\n");
}

TEST(Wrap, BreaksAtSpacesAndLosesNoWord) {
  EXPECT_EQ(wrap("one two three", 20), "one two three\n");
  EXPECT_EQ(wrap("one two three four", 9), "one two\n    three\n    four\n");
  EXPECT_EQ(wrap("one  two  three", 9), "one  two\n    three\n");
  EXPECT_EQ(wrap("unbreakable", 4), "unbreakable\n");
}

}  // namespace
}  // namespace assay::harness
