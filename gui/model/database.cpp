#include "gui/model/database.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

namespace assay::gui {
namespace {

constexpr std::size_t runs_kept = 6;

std::optional<std::uint64_t> inode_of(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) return std::nullopt;
  return facts.st_ino;
}

}  // namespace

Database::Database(const std::string& path)
    // A reader in the foreground does not wait five seconds for a lock: the banner says what is the matter.
    : path_(path),
      store_(results_db::Store::open(path, results_db::Open::read_only, {.busy_timeout_ms = 500, .filesystem = {}})),
      runs_(store_.runs()),
      version_(store_.data_version()),
      inode_(inode_of(path).value_or(0)) {}

std::shared_ptr<const RunData> Database::run(const std::string& id) {
  for (auto it = kept_.begin(); it != kept_.end(); ++it)
    if ((*it)->run.id == id) {
      kept_.splice(kept_.begin(), kept_, it);
      return kept_.front();
    }
  const auto found =
      std::find_if(runs_.begin(), runs_.end(), [&](const results_db::RunRecord& run) { return run.id == id; });
  if (found == runs_.end()) return nullptr;
  kept_.push_front(std::make_shared<const RunData>(load_run(store_, *found)));
  if (kept_.size() > runs_kept) kept_.pop_back();
  return kept_.front();
}

const results_db::RunRecord* Database::previous(const results_db::RunRecord& run) const {
  const results_db::RunRecord* best = nullptr;
  for (const auto& other : runs_)
    if (other.suite == run.suite && other.machine.id == run.machine.id && other.started_ns < run.started_ns &&
        (best == nullptr || other.started_ns > best->started_ns))
      best = &other;
  return best;
}

void Database::forget() {
  kept_.clear();
  runs_ = store_.runs();
}

Database::Change Database::look() {
  const auto inode = inode_of(path_);
  if (!inode) return Change::gone;
  if (*inode != inode_) return Change::replaced;
  const std::int64_t now = store_.data_version();
  if (now == version_) return Change::none;
  version_ = now;
  forget();
  return Change::written;
}

}  // namespace assay::gui
