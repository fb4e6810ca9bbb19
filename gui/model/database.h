#pragma once
// The open file as the dashboard sees it: what was read is kept until another process has written.
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "gui/model/run_data.h"
#include "results_db/store.h"

namespace assay::gui {

class Database {
 public:
  // UserError with one line where the file is missing, damaged, locked, another program's or newer than this program.
  explicit Database(const std::string& path);

  const std::string& path() const { return path_; }
  results_db::Store& store() { return store_; }
  const std::vector<results_db::RunRecord>& runs() const { return runs_; }  // newest first
  std::shared_ptr<const RunData> run(const std::string& id);
  // The newest run before `run` of the same suite on the same machine; null when there is none.
  const results_db::RunRecord* previous(const results_db::RunRecord& run) const;

  enum class Change { none, written, gone, replaced };
  // What happened to the file since the last look; `written` has already read the runs again.
  Change look();

 private:
  void forget();

  std::string path_;
  results_db::Store store_;
  std::vector<results_db::RunRecord> runs_;
  std::list<std::shared_ptr<const RunData>> kept_;  // newest use first, at most a few
  std::int64_t version_ = 0;
  std::uint64_t inode_ = 0;
};

}  // namespace assay::gui
