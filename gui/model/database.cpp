#include "gui/model/database.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "datasets/user_error.h"

namespace assay::gui {
namespace {

constexpr std::size_t runs_kept = 6;

std::optional<std::uint64_t> inode_of(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) return std::nullopt;
  return facts.st_ino;
}

std::string private_file() {
  std::string name = (std::filesystem::temp_directory_path() / "assay-merged-XXXXXX").string();
  const int descriptor = mkstemp(name.data());
  if (descriptor < 0)
    throw UserError("no copy of several databases can be made in " + std::filesystem::temp_directory_path().string());
  ::close(descriptor);
  return name;
}

void remove_database(const std::string& path) {
  std::error_code ignored;
  for (const char* ending : {"", "-wal", "-shm", "-journal"}) std::filesystem::remove(path + ending, ignored);
}

}  // namespace

Database::Database(std::vector<std::string> paths) : paths_(std::move(paths)) {
  if (paths_.empty()) throw UserError("no results database was named");
  for (const std::string& path : paths_) {
    // A reader in the foreground does not wait five seconds for a lock: the banner says what is the matter.
    auto store = results_db::Store::open(path, results_db::Open::read_only, {.busy_timeout_ms = 500, .filesystem = {}});
    const std::int64_t version = store.data_version();
    sources_.push_back({std::move(store), version, inode_of(path).value_or(0)});
  }
  if (!merged()) {
    store_ = &sources_.front().store;
    runs_ = store_->runs();
    return;
  }
  copy_ = private_file();
  try {
    merged_ = results_db::Store::open(copy_, results_db::Open::create);
    store_ = &*merged_;
    for (const std::string& path : paths_) merged_->merge(path);
    runs_ = store_->runs();
  } catch (...) {
    merged_.reset();
    remove_database(copy_);
    throw;
  }
}

Database::~Database() {
  if (copy_.empty()) return;
  merged_.reset();
  remove_database(copy_);
}

std::shared_ptr<const RunData> Database::run(const std::string& id) {
  for (auto it = kept_.begin(); it != kept_.end(); ++it)
    if ((*it)->run.id == id) {
      kept_.splice(kept_.begin(), kept_, it);
      return kept_.front();
    }
  const auto found =
      std::find_if(runs_.begin(), runs_.end(), [&](const results_db::RunRecord& run) { return run.id == id; });
  if (found == runs_.end()) return nullptr;
  kept_.push_front(std::make_shared<const RunData>(load_run(*store_, *found)));
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

Database::Look Database::look() {
  Look seen;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    const auto inode = inode_of(paths_[i]);
    if (!inode) return {Change::gone, paths_[i]};
    if (*inode != sources_[i].inode) return {Change::replaced, paths_[i]};
    if (sources_[i].store.data_version() != sources_[i].version) seen = {Change::written, paths_[i]};
  }
  return seen;
}

void Database::reload() {
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    const std::int64_t now = sources_[i].store.data_version();
    if (now == sources_[i].version) continue;
    if (merged_) merged_->merge(paths_[i]);
    sources_[i].version = now;
  }
  kept_.clear();
  runs_ = store_->runs();
}

}  // namespace assay::gui
