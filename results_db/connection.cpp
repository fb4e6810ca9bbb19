#include "results_db/connection.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "datasets/user_error.h"
#include "results_db/metrics.h"
#include "results_db/schema.h"

namespace assay::results_db {
namespace {

static_assert(std::endian::native == std::endian::little, "sample blobs are little-endian and written as they lie");

std::int64_t filesystem_of(const std::string& path) {
  struct statfs facts {};
  const std::filesystem::path folder = std::filesystem::absolute(path).parent_path();
  return statfs(folder.c_str(), &facts) == 0 ? static_cast<std::int64_t>(facts.f_type) : 0;
}

std::uint32_t big_endian(const std::array<unsigned char, 100>& header, std::size_t at) {
  return static_cast<std::uint32_t>(header.at(at)) << 24 | static_cast<std::uint32_t>(header.at(at + 1)) << 16 |
         static_cast<std::uint32_t>(header.at(at + 2)) << 8 | static_cast<std::uint32_t>(header.at(at + 3));
}

bool has_wal(const std::string& path) {
  std::error_code ignored;
  const auto bytes = std::filesystem::file_size(path + "-wal", ignored);
  return !ignored && bytes > 0;
}

// What can be told from the first 100 bytes alone, before SQLite is asked.
void inspect_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(fmt::format("{}: cannot be read", path));
  std::array<unsigned char, 100> header{};
  file.read(reinterpret_cast<char*>(header.data()), header.size());
  if (std::string_view(reinterpret_cast<const char*>(header.data()), 16) != std::string_view("SQLite format 3\0", 16))
    throw UserError(fmt::format("{}: not a results database (not an SQLite file)", path));
  const std::uint64_t size = std::filesystem::file_size(path);
  const std::uint32_t page_field = big_endian(header, 16) >> 16;
  const std::uint64_t page = page_field == 1 ? 65536 : page_field;
  const std::uint64_t expected = page * big_endian(header, 28);
  const bool count_is_valid = big_endian(header, 24) == big_endian(header, 92);
  // While a log is beside the file, its pages may not have arrived yet.
  if (size < 100 || (count_is_valid && size < expected && !has_wal(path)))
    throw UserError(fmt::format("{}: damaged: {} bytes where its header says {} (cut short?)", path, size,
                                std::max<std::uint64_t>(expected, 100)));
}

std::vector<std::string> tables_of(std::string_view schema) {
  constexpr std::string_view opening = "CREATE TABLE ";
  std::vector<std::string> names;
  for (std::size_t at = schema.find(opening); at != std::string_view::npos; at = schema.find(opening, at)) {
    at += opening.size();
    names.emplace_back(schema.substr(at, schema.find(' ', at) - at));
  }
  return names;
}

void set_version(SQLite::Database& database) {
  database.exec(fmt::format("PRAGMA application_id = {}", application_id));
  database.exec(fmt::format("PRAGMA user_version = {}", schema_version()));
}

int pragma(SQLite::Database& database, const char* name) {
  return database.execAndGet(fmt::format("PRAGMA {}", name)).getInt();
}

bool holds_nothing(SQLite::Database& database) {
  return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

}  // namespace

bool is_network_filesystem(std::int64_t magic) {
  constexpr std::array<std::uint32_t, 12> network = {
      0x6969,                              // NFS
      0x517B,     0xFE534D42, 0xFF534D42,  // SMB, SMB2, CIFS
      0x65735546,                          // FUSE (sshfs, gcsfuse, s3fs)
      0x01021997,                          // 9P
      0x00C36400, 0x0BD00BD0, 0x47504653,  // Ceph, Lustre, GPFS
      0x19830326,                          // BeeGFS
      0x5346414F, 0x6B414653,              // AFS
  };
  const auto low = static_cast<std::uint32_t>(magic);
  for (const std::uint32_t known : network)
    if (low == known) return true;
  return false;
}

void rethrow(const std::string& path, const SQLite::Exception& error) {
  const int code = error.getErrorCode() & 0xff;
  switch (code) {
    case SQLITE_NOTADB:
      throw UserError(
          fmt::format("{}: not a results database (not an SQLite file, or its first page is damaged)", path));
    case SQLITE_CORRUPT:
      throw UserError(
          fmt::format("{}: damaged ({}); go back to a copy, or save what is sound with `sqlite3 FILE .recover`", path,
                      error.what()));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw UserError(
          fmt::format("{}: another process is writing to it; one writer at a time, try again when it is done", path));
    case SQLITE_FULL:
      throw UserError(fmt::format("{}: no space left on its file system", path));
    case SQLITE_READONLY:
      throw UserError(fmt::format("{}: cannot be written (file or folder is read-only)", path));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      throw UserError(
          fmt::format("{}: cannot be opened ({}); does its folder exist, may it be written?", path, error.what()));
    case SQLITE_IOERR:
      throw UserError(fmt::format("{}: reading or writing failed ({})", path, error.what()));
    case SQLITE_CONSTRAINT:
      throw std::logic_error(fmt::format("{}: {}", path, error.what()));
    default:
      throw std::runtime_error(
          fmt::format("{}: {} (SQLite code {})", path, error.what(), error.getExtendedErrorCode()));
  }
}

double Query::real(int column) {
  return null(column) ? std::numeric_limits<double>::quiet_NaN() : statement_.getColumn(column).getDouble();
}

std::optional<double> Query::maybe(int column) {
  if (null(column)) return std::nullopt;
  return statement_.getColumn(column).getDouble();
}

Connection::Connection(const std::string& path, Open how, const StoreOptions& options)
    : path_(path), read_only_(how == Open::read_only), timeout_ms_(options.busy_timeout_ms) {
  namespace fs = std::filesystem;
  if (fs::is_directory(path)) throw UserError(fmt::format("{}: is a folder, expected a results database", path));
  const bool absent = !fs::exists(path);
  if (absent && how != Open::create)
    throw UserError(fmt::format("{}: no such results database (`assay run` makes one, `assay db sample {}` one to try)",
                                path, path));
  const bool empty = absent || fs::file_size(path) == 0;
  if (!empty)
    inspect_file(path);
  else if (how != Open::create)
    throw UserError(fmt::format("{}: an empty file, not a results database", path));
  try {
    open_existing(how);
    if (how == Open::create && holds_nothing(*database_)) create_schema();
    recognise();
    if (pragma(*database_, "user_version") < schema_version()) {
      if (read_only_)
        open_upgraded_copy();
      else
        upgrade();
    }
    if (!read_only_) {
      choose_journal(options);
      register_metrics();
    }
  } catch (const SQLite::Exception& error) {
    rethrow(path_, error);
  }
}

void Connection::open_existing(Open how) {
  const int flags = how == Open::read_only    ? SQLite::OPEN_READONLY
                    : how == Open::read_write ? SQLite::OPEN_READWRITE
                                              : SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE;
  database_ = std::make_unique<SQLite::Database>(path_, flags, timeout_ms_);
  if (how == Open::read_only) {
    try {
      pragma(*database_, "schema_version");
    } catch (const SQLite::Exception& error) {
      // A finished file on read-only media: no log beside it and none can be made, so nothing will change under us.
      const int code = error.getErrorCode() & 0xff;
      if ((code != SQLITE_CANTOPEN && code != SQLITE_READONLY) || has_wal(path_)) throw;
      std::string uri = "file:";
      for (const char c : std::filesystem::absolute(path_).string())
        uri += (c == '?' || c == '#' || c == '%') ? fmt::format("%{:02X}", static_cast<unsigned char>(c))
                                                  : std::string(1, c);
      database_ = std::make_unique<SQLite::Database>(uri + "?immutable=1", SQLite::OPEN_READONLY | SQLite::OPEN_URI,
                                                     timeout_ms_);
    }
  }
  database_->exec("PRAGMA foreign_keys = ON");
  database_->exec("PRAGMA synchronous = FULL");
  // Folding the log into the file costs two more syncs; every 16 MiB instead of every 4.
  database_->exec("PRAGMA wal_autocheckpoint = 4000");
}

void Connection::recognise() {
  const std::int32_t id = pragma(*database_, "application_id");
  if (id != application_id) {
    if (holds_nothing(*database_))
      throw UserError(fmt::format("{}: an empty SQLite file, not a results database", path_));
    throw UserError(
        fmt::format("{}: an SQLite database of another program (application id {:#010x}, assay's is {:#010x})", path_,
                    static_cast<std::uint32_t>(id), application_id));
  }
  const int version = pragma(*database_, "user_version");
  if (version > schema_version())
    throw UserError(
        fmt::format("{}: written by a newer assay (schema version {}, this one knows up to {}); use that one", path_,
                    version, schema_version()));
  if (version < 1) throw UserError(fmt::format("{}: damaged: schema version {}", path_, version));
  if (version < schema_version()) return;
  for (const std::string& table : tables_of(schema_sql()))
    if (!database_->tableExists(table)) throw UserError(fmt::format("{}: damaged: table {} is missing", path_, table));
}

void Connection::create_schema() {
  SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
  if (!holds_nothing(*database_)) return;  // another process was faster
  database_->exec(schema_sql());
  database_->exec(views_sql());
  set_version(*database_);
  transaction.commit();
}

void run_migrations(SQLite::Database& database) {
  // Steps that rebuild a table need the keys off, and SQLite switches them only outside a transaction.
  database.exec("PRAGMA foreign_keys = OFF");
  {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    const int version = pragma(database, "user_version");
    std::vector<std::string> views;
    SQLite::Statement list(database, "SELECT name FROM sqlite_schema WHERE type = 'view'");
    while (list.executeStep()) views.push_back(list.getColumn(0).getString());
    list.reset();
    for (const std::string& view : views) database.exec(fmt::format("DROP VIEW \"{}\"", view));
    for (const char* step : migration_steps().subspan(static_cast<std::size_t>(version - 1))) database.exec(step);
    database.exec(views_sql());
    set_version(database);
    SQLite::Statement broken(database, "PRAGMA foreign_key_check");
    if (broken.executeStep())
      throw UserError(fmt::format("{}: cannot be upgraded from schema version {}: a row of {} points nowhere",
                                  database.getFilename(), version, broken.getColumn(0).getString()));
    transaction.commit();
  }
  database.exec("PRAGMA foreign_keys = ON");
}

void Connection::upgrade() {
  const int version = pragma(*database_, "user_version");
  run_migrations(*database_);
  notes_.push_back(fmt::format("{}: upgraded from schema version {} to {}", path_, version, schema_version()));
}

void Connection::open_upgraded_copy() {
  std::string name = (std::filesystem::temp_directory_path() / "assay-upgraded-XXXXXX").string();
  const int descriptor = mkstemp(name.data());
  if (descriptor < 0)
    throw UserError(fmt::format("{}: has an older schema and no copy to upgrade can be made in {}", path_,
                                std::filesystem::temp_directory_path().string()));
  ::close(descriptor);
  copy_ = name;
  auto copy = std::make_unique<SQLite::Database>(copy_, SQLite::OPEN_READWRITE, timeout_ms_);
  {
    SQLite::Backup backup(*copy, *database_);
    backup.executeStep(-1);
  }
  run_migrations(*copy);
  copy->exec("PRAGMA query_only = ON");
  notes_.push_back(
      fmt::format("{}: has an older schema; reading an upgraded copy (the next write upgrades the file)", path_));
  database_ = std::move(copy);
}

void Connection::choose_journal(const StoreOptions& options) {
  const bool network = is_network_filesystem(options.filesystem.value_or(filesystem_of(path_)));
  const std::string wanted = network ? "truncate" : "wal";
  if (database_->execAndGet("PRAGMA journal_mode").getString() != wanted) {
    const std::string got = database_->execAndGet(fmt::format("PRAGMA journal_mode = {}", wanted)).getString();
    if (got != wanted)
      notes_.push_back(fmt::format("{}: the journal is {} where {} was asked for", path_, got, wanted));
  }
  if (network)
    notes_.push_back(
        fmt::format("{}: on a network file system, so the journal is truncate instead of WAL (slower, and "
                    "readers wait while a launch is written)",
                    path_));
}

void Connection::register_metrics() {
  // Looks before it writes, so that opening for writing takes no lock in the usual case.
  std::map<std::string, std::string> known;
  {
    Query query(
        prepared("SELECT name, unit || char(31) || direction || char(31) || formula FROM metric WHERE registered"));
    while (query.next()) known.emplace(query.text(0), query.text(1));
  }
  std::vector<const MetricDefinition*> changed;
  for (const MetricDefinition& metric : metric_registry()) {
    const auto found = known.find(std::string(metric.name));
    const std::string want = fmt::format("{}\x1f{}\x1f{}", metric.unit, to_string(metric.better), metric.formula);
    if (found == known.end() || found->second != want) changed.push_back(&metric);
  }
  if (changed.empty()) return;
  SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
  for (const MetricDefinition* metric : changed)
    run("INSERT INTO metric (name, unit, direction, formula, registered) VALUES (?, ?, ?, ?, 1) ON CONFLICT (name) DO "
        "UPDATE "
        "SET unit = excluded.unit, direction = excluded.direction, formula = excluded.formula, registered = 1",
        std::string(metric->name), std::string(metric->unit), to_string(metric->better), std::string(metric->formula));
  transaction.commit();
}

SQLite::Statement& Connection::cached(std::string_view sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end())
    found = statements_.emplace(std::string(sql), SQLite::Statement(*database_, std::string(sql))).first;
  found->second.tryReset();
  found->second.clearBindings();
  return found->second;
}

void Connection::close() {
  if (!database_) return;
  statements_.clear();
  std::string failure;
  if (!read_only_) {
    try {
      // A reader in the middle of a query keeps the log alive; the next writer folds it in.
      database_->setBusyTimeout(250);
      database_->execAndGet("PRAGMA wal_checkpoint(TRUNCATE)");
      // Out of WAL when nobody else has the file open: a finished file is then one file, also to readers and on
      // read-only media, where a WAL file would want its two companions.
      database_->setBusyTimeout(0);
      if (database_->execAndGet("PRAGMA journal_mode").getString() == "wal")
        database_->execAndGet("PRAGMA journal_mode = DELETE");
    } catch (const SQLite::Exception& error) {
      if ((error.getErrorCode() & 0xff) != SQLITE_BUSY) failure = error.what();
    }
  }
  database_.reset();
  if (!copy_.empty()) unlink(copy_.c_str());
  if (!failure.empty())
    throw UserError(fmt::format("{}: closing it failed ({}); a -wal file stays beside it", path_, failure));
}

Connection::~Connection() {
  try {
    close();
  } catch (const std::exception& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
  }
}

}  // namespace assay::results_db
