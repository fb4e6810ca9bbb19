#pragma once
// What the parts of Store share. Internal to results_db.
#include <set>
#include <utility>

#include "results_db/connection.h"
#include "results_db/store.h"

namespace assay::results_db {

struct Store::Impl {
  Impl(const std::string& path, Open how, const StoreOptions& options) : connection(path, how, options) {}

  Connection connection;
  std::set<std::string, std::less<>> known_metrics;  // names sure to be in the table

  template <class Body>
  decltype(auto) guard(Body&& body) {
    try {
      return std::forward<Body>(body)();
    } catch (const SQLite::Exception& error) {
      rethrow(connection.path(), error);
    }
  }
  // One durable transaction.
  template <class Body>
  decltype(auto) write(Body&& body) {
    return guard([&]() -> decltype(auto) {
      refuse_when_read_only();
      SQLite::Transaction transaction(connection.database(), SQLite::TransactionBehavior::IMMEDIATE);
      if constexpr (std::is_void_v<decltype(body())>) {
        body();
        transaction.commit();
      } else {
        auto result = body();
        transaction.commit();
        return result;
      }
    });
  }
  // Several queries that see one state of the file.
  template <class Body>
  decltype(auto) read(Body&& body) {
    return guard([&]() -> decltype(auto) {
      SQLite::Transaction snapshot(connection.database());
      return body();
    });
  }

  void refuse_when_read_only() const;
  void know_metric(const std::string& name, const std::string& unit);
  void know_technique(const std::string& id);
  void remember_metrics(const LaunchRecord& launch);
  std::int64_t append(const LaunchRecord& launch);
  void append_samples(const LaunchRecord& launch, std::int64_t id);
  void put(const VerdictRecord& verdict);
};

}  // namespace assay::results_db
