#pragma once
// The open files as the dashboard sees them: what was read is kept until another process has written.
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gui/model/run_data.h"
#include "results_db/store.h"

namespace assay::gui {

class Database {
 public:
  // One file is read where it lies. Several are merged into a private copy in the temporary folder, as `assay db merge`
  // does it: a run that two of them hold is there once, and none of them is written to.
  // UserError with one line where a file is missing, damaged, locked, another program's or newer than this program.
  explicit Database(std::vector<std::string> paths);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::vector<std::string>& paths() const { return paths_; }
  bool merged() const { return paths_.size() > 1; }
  results_db::Store& store() { return *store_; }
  const std::vector<results_db::RunRecord>& runs() const { return runs_; }  // newest first
  std::shared_ptr<const RunData> run(const std::string& id);
  // The newest run before `run` of the same suite on the same machine; null when there is none.
  const results_db::RunRecord* previous(const results_db::RunRecord& run) const;

  enum class Change { none, written, gone, replaced };
  // What happened to the files since the last look, and to which; nothing is read again before `reload`.
  struct Look {
    Change change = Change::none;
    std::string path;
  };
  Look look();
  void reload();

 private:
  struct Source {
    results_db::Store store;
    std::int64_t version = 0;
    std::uint64_t inode = 0;
  };

  std::vector<std::string> paths_;
  std::string copy_;                         // of several; "" of one
  std::vector<Source> sources_;              // in the order of paths_
  std::optional<results_db::Store> merged_;  // over copy_
  results_db::Store* store_ = nullptr;       // merged_, or the one source's
  std::vector<results_db::RunRecord> runs_;
  std::list<std::shared_ptr<const RunData>> kept_;  // newest use first, at most a few
};

}  // namespace assay::gui
