#pragma once
// A window over a database of its own, without a display and without anybody's settings.
#include <QApplication>
#include <QTest>
#include <filesystem>
#include <string>

#include "gui/main_window.h"
#include "results_db/sample_database.h"

namespace assay::gui {

class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "assay-gui-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string sample() const {
    const std::string path = file("sample.db");
    if (!std::filesystem::exists(path)) results_db::write_sample_database(path);
    return path;
  }

 private:
  std::filesystem::path folder_;
};

// The text of a cell, by the title of its column; of the row whose cell in `by` is `key`, glyphs and all.
inline QString cell_of(const Grid& grid, const QString& key, const QString& column) {
  std::size_t at = grid.columns.size();
  for (std::size_t i = 0; i < grid.columns.size(); ++i)
    if (grid.columns[i].title == column) at = i;
  for (const GridRow& row : grid.rows)
    for (const GridCell& cell : row.cells)
      if (cell.text == key && at < row.cells.size()) return row.cells[at].text;
  return {};
}

template <class V>
V& view_of(MainWindow& window, const char* id) {
  return *dynamic_cast<V*>(window.view(QString::fromLatin1(id)));
}

}  // namespace assay::gui
