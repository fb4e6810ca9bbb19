#include "impls/substrate/models/profile_csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "datasets/user_error.h"

namespace assay::substrate {
namespace {

constexpr double kMost = 1e9;  // of counts: products of three of them stay below what doubles and 64 bits hold

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back().push_back(c);
    }
  }
  return cells;
}

}  // namespace

ProfileCsv::ProfileCsv(const std::string& file) : file_(file) {
  std::ifstream stream(file);
  if (!stream || std::filesystem::is_directory(file)) {
    throw UserError(fmt::format("{}: cannot be read, expected a profile in CSV", file));
  }
  std::string line;
  if (!std::getline(stream, line) || line.empty() || line == "\r")
    throw UserError(fmt::format("{}:1: empty, expected a header of column names", file));
  if (line.find('\0') != std::string::npos)
    throw UserError(fmt::format("{}: not text, expected a profile in CSV", file));
  if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // spreadsheets begin a file with it
  header_ = split(line);
  for (std::size_t i = 0; i < header_.size(); ++i)
    if (std::find(header_.begin(), header_.begin() + static_cast<std::ptrdiff_t>(i), header_[i]) !=
        header_.begin() + static_cast<std::ptrdiff_t>(i))
      throw UserError(fmt::format("{}:1: column {} is there twice, expected it once", file, header_[i]));
  for (int number = 2; std::getline(stream, line); ++number) {
    if (line.empty() || line == "\r") continue;
    std::vector<std::string> cells = split(line);
    if (cells.size() != header_.size()) {
      throw UserError(
          fmt::format("{}:{}: {} cells, expected {} as in the header", file, number, cells.size(), header_.size()));
    }
    rows_.push_back(std::move(cells));
    lines_.push_back(number);
  }
  if (rows_.empty())
    throw UserError(fmt::format("{}: no rows, expected at least one measurement below the header", file));
}

std::size_t ProfileCsv::index(std::string_view column) const {
  return static_cast<std::size_t>(std::find(header_.begin(), header_.end(), column) - header_.begin());
}

bool ProfileCsv::has(std::string_view column) const { return index(column) < header_.size(); }

void ProfileCsv::require(const std::vector<std::string_view>& columns) const {
  for (const std::string_view column : columns) {
    if (!has(column)) {
      throw UserError(fmt::format("{}:1: column {} is missing, expected {}", file_, column, fmt::join(columns, ", ")));
    }
  }
}

const std::string& ProfileCsv::text(std::size_t row, std::string_view column) const {
  static const std::string none;
  const std::size_t at = index(column);
  return at < header_.size() ? rows_[row][at] : none;
}

std::string ProfileCsv::place(std::size_t row, std::string_view column) const {
  std::size_t before = 1;  // of the first letter of the cell, as editors count
  for (std::size_t i = 0; i < index(column); ++i) before += rows_[row][i].size() + 1;
  return fmt::format("{}:{}:{}: {}", file_, lines_[row], before, column);
}

double ProfileCsv::number(std::size_t row, std::string_view column) const {
  const std::string& cell = text(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value) || value < 0) {
    throw UserError(fmt::format("{}: '{}', expected a number of at least 0", place(row, column), cell));
  }
  return value;
}

std::int64_t ProfileCsv::count(std::size_t row, std::string_view column) const {
  const double value = number(row, column);
  if (value < 1 || value != std::floor(value) || value > kMost) {
    throw UserError(
        fmt::format("{}: '{}', expected a whole number of 1 to {:g}", place(row, column), text(row, column), kMost));
  }
  return static_cast<std::int64_t>(value);
}

}  // namespace assay::substrate
