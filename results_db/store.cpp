#include "results_db/store.h"

#include <fmt/format.h>

#include <filesystem>

#include "datasets/user_error.h"
#include "results_db/store_impl.h"

namespace assay::results_db {

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store Store::open(const std::string& path, Open how, const StoreOptions& options) {
  return Store(std::make_unique<Impl>(path, how, options));
}

void Store::close() { impl_->connection.close(); }

const std::string& Store::path() const { return impl_->connection.path(); }

const std::vector<std::string>& Store::notes() const { return impl_->connection.notes(); }

std::int64_t Store::data_version() {
  return impl_->guard([&] { return impl_->connection.number("PRAGMA data_version"); });
}

StoreInfo Store::info() {
  return impl_->read([&] {
    Connection& db = impl_->connection;
    StoreInfo info;
    info.path = db.path();
    info.schema = static_cast<int>(db.number("PRAGMA user_version"));
    info.file_bytes = static_cast<std::int64_t>(std::filesystem::file_size(db.file()));
    info.journal = db.word("PRAGMA journal_mode");
    info.machines = db.number("SELECT count(*) FROM machine");
    info.runs = db.number("SELECT count(*) FROM run");
    info.unfinished_runs = db.number("SELECT count(*) FROM run WHERE finished_ns IS NULL");
    info.cases = db.number("SELECT count(*) FROM case_");
    info.launches = db.number("SELECT count(*) FROM launch");
    info.failed_launches = db.number("SELECT count(*) FROM result WHERE status = 'failed'");
    info.samples = db.number("SELECT coalesce(sum(n), 0) FROM sample");
    info.sample_bytes = 8 * info.samples;
    info.pruned_launches = db.number(
        "SELECT count(*) FROM distribution d WHERE NOT EXISTS "
        "(SELECT 1 FROM sample s WHERE s.launch_id = d.launch_id AND s.metric = d.metric)");
    info.claims = db.number("SELECT count(*) FROM claim");
    info.verdicts = db.number("SELECT count(*) FROM verdict");
    info.first_ns = db.number("SELECT min(started_ns) FROM run");
    info.last_ns = db.number("SELECT max(started_ns) FROM run");
    return info;
  });
}

void Store::Impl::refuse_when_read_only() const {
  if (connection.read_only()) throw std::logic_error(connection.path() + ": opened for reading only");
}

}  // namespace assay::results_db
