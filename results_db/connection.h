#pragma once
// One open database file: recognised, upgraded, with its journal chosen. Internal to results_db.
#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results_db/store.h"

namespace assay::results_db {

// A network file system shares no memory between its clients, which WAL needs. `magic` is statfs's f_type.
bool is_network_filesystem(std::int64_t magic);

// Throws what an SQLite failure on `path` means: UserError for what a user can mend, std::logic_error for a broken
// constraint.
[[noreturn]] void rethrow(const std::string& path, const SQLite::Exception& error);

inline void bind_one(SQLite::Statement& statement, int index, std::int64_t value) { statement.bind(index, value); }
inline void bind_one(SQLite::Statement& statement, int index, int value) { statement.bind(index, value); }
inline void bind_one(SQLite::Statement& statement, int index, bool value) { statement.bind(index, value ? 1 : 0); }
inline void bind_one(SQLite::Statement& statement, int index, const char* value) { statement.bind(index, value); }
inline void bind_one(SQLite::Statement& statement, int index, const std::string& value) {
  statement.bindNoCopy(index, value);
}
inline void bind_one(SQLite::Statement& statement, int index, double value) {
  if (std::isnan(value))
    statement.bind(index);  // SQLite has no NaN
  else
    statement.bind(index, value);
}
inline void bind_one(SQLite::Statement& statement, int index, std::nullptr_t) { statement.bind(index); }
template <class T>
void bind_one(SQLite::Statement& statement, int index, const std::optional<T>& value) {
  if (value)
    bind_one(statement, index, *value);
  else
    statement.bind(index);
}
// A contiguous array as its bytes: little-endian, as the schema says (checked in connection.cpp). Empty: NULL.
template <class T>
void bind_one(SQLite::Statement& statement, int index, const std::vector<T>& values) {
  if (values.empty())
    statement.bind(index);
  else
    statement.bindNoCopy(index, values.data(), static_cast<int>(values.size() * sizeof(T)));
}

// A cached statement in use; reset when it goes out of scope, so that it holds no read lock.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query() { statement_.tryReset(); }
  bool next() { return statement_.executeStep(); }
  std::string text(int column) { return statement_.getColumn(column).getString(); }
  std::int64_t integer(int column) { return statement_.getColumn(column).getInt64(); }
  int small(int column) { return statement_.getColumn(column).getInt(); }
  bool null(int column) { return statement_.isColumnNull(column); }
  double real(int column);                  // NULL: NaN
  std::optional<double> maybe(int column);  // NULL: nothing
  template <class T>
  std::vector<T> array(int column) {
    const SQLite::Column cell = statement_.getColumn(column);
    const auto* data = static_cast<const char*>(cell.getBlob());
    std::vector<T> values(static_cast<std::size_t>(cell.getBytes()) / sizeof(T));
    if (!values.empty()) std::copy_n(data, values.size() * sizeof(T), reinterpret_cast<char*>(values.data()));
    return values;
  }

 private:
  SQLite::Statement& statement_;
};

class Connection {
 public:
  Connection(const std::string& path, Open how, const StoreOptions& options);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();
  void close();

  const std::string& path() const { return path_; }
  // The file behind the connection: `path`, or the upgraded private copy of an older one.
  const std::string& file() const { return copy_.empty() ? path_ : copy_; }
  bool read_only() const { return read_only_; }
  const std::vector<std::string>& notes() const { return notes_; }
  SQLite::Database& database() { return *database_; }

  template <class... Args>
  SQLite::Statement& prepared(std::string_view sql, const Args&... args) {
    SQLite::Statement& statement = cached(sql);
    int index = 0;
    (bind_one(statement, ++index, args), ...);
    return statement;
  }
  // Runs a statement that returns no rows; how many rows it changed.
  template <class... Args>
  int run(std::string_view sql, const Args&... args) {
    SQLite::Statement& statement = prepared(sql, args...);
    const int changed = statement.exec();
    statement.tryReset();
    return changed;
  }
  template <class... Args>
  std::int64_t number(std::string_view sql, const Args&... args) {
    Query query(prepared(sql, args...));
    return query.next() ? query.integer(0) : 0;
  }
  template <class... Args>
  std::string word(std::string_view sql, const Args&... args) {
    Query query(prepared(sql, args...));
    return query.next() ? query.text(0) : std::string();
  }

  // Statements over an attached file keep it in use.
  void forget_statements() { statements_.clear(); }

 private:
  SQLite::Statement& cached(std::string_view sql);
  void open_existing(Open how);
  void recognise();
  void create_schema();
  void upgrade();
  void open_upgraded_copy();
  void choose_journal(const StoreOptions& options);
  void register_metrics();

  std::string path_;
  std::string copy_;
  bool read_only_ = false;
  int timeout_ms_ = 0;
  std::vector<std::string> notes_;
  std::unique_ptr<SQLite::Database> database_;
  std::map<std::string, SQLite::Statement, std::less<>> statements_;
};

// The upgrade itself, on any open database: every step from its version on, in one transaction.
void run_migrations(SQLite::Database& database);

}  // namespace assay::results_db
