#pragma once
// Comma-separated profiles: a header of column names, then rows of as many cells. Every complaint names file, line and
// column.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace assay::substrate {

class ProfileCsv {
 public:
  // Reads the whole file; throws UserError where it cannot be read, has no rows, or a row has too many or few cells.
  explicit ProfileCsv(const std::string& file);

  const std::string& file() const { return file_; }
  const std::vector<std::string>& header() const { return header_; }
  std::size_t rows() const { return rows_.size(); }
  bool has(std::string_view column) const;
  void require(const std::vector<std::string_view>& columns) const;
  const std::string& text(std::size_t row, std::string_view column) const;  // "" where the column is absent
  double number(std::size_t row, std::string_view column) const;            // finite, at least 0
  std::int64_t count(std::size_t row, std::string_view column) const;       // a whole number of 1 to 1e9
  std::string place(std::size_t row, std::string_view column) const;        // file:line:column NAME

 private:
  std::size_t index(std::string_view column) const;
  std::string file_;
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<int> lines_;
};

}  // namespace assay::substrate
