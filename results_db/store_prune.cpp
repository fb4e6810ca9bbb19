#include <filesystem>

#include "results_db/distribution.h"
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {
namespace {

// Old launches whose samples may go: those whose distribution stays. A launch that carries no time of its own has its
// run's.
constexpr const char* prunable =
    "FROM sample JOIN launch ON launch.id = sample.launch_id JOIN run ON run.id = launch.run_id "
    "JOIN distribution d ON d.launch_id = sample.launch_id AND d.metric = sample.metric "
    "WHERE (CASE launch.started_ns WHEN 0 THEN run.started_ns ELSE launch.started_ns END) < ?";

struct Target {
  std::int64_t launch;
  std::string metric;
};

}  // namespace

PruneReport Store::prune(std::int64_t before_ns, bool dry_run) {
  PruneReport report;
  Connection& db = impl_->connection;
  const auto file_bytes = [&] { return static_cast<std::int64_t>(std::filesystem::file_size(db.file())); };
  const auto find_targets = [&] {
    std::vector<Target> targets;
    Query row(db.prepared(std::string("SELECT sample.launch_id, sample.metric, sample.n, length(data) + "
                                      "coalesce(length(clock_hz), 0) + coalesce(length(at_ns), 0) ") +
                              prunable,
                          before_ns));
    while (row.next()) {
      targets.push_back({row.integer(0), row.text(1)});
      report.samples += row.integer(2);
      report.bytes += row.integer(3);
    }
    report.launches = static_cast<std::int64_t>(targets.size());
    return targets;
  };
  if (dry_run) {
    impl_->read([&] { find_targets(); });
    report.file_bytes_before = report.file_bytes_after = file_bytes();
    return report;
  }
  impl_->guard([&] {
    db.database().execAndGet("PRAGMA wal_checkpoint(TRUNCATE)");
    report.file_bytes_before = file_bytes();
  });
  impl_->write([&] {
    for (const Target& target : find_targets()) {
      Distribution sketch;
      {
        Query row(db.prepared("SELECT warmup, data FROM sample WHERE launch_id = ? AND metric = ?", target.launch,
                              target.metric));
        if (!row.next()) continue;
        const auto samples = row.array<double>(1);
        add_histogram(sketch, std::span(samples).subspan(static_cast<std::size_t>(row.integer(0))));
      }
      std::vector<std::int64_t> cells;
      for (const auto& [bucket, count] : sketch.histogram) {
        cells.push_back(bucket);
        cells.push_back(count);
      }
      db.run("UPDATE distribution SET histogram = ? WHERE launch_id = ? AND metric = ?", cells, target.launch,
             target.metric);
      db.run("DELETE FROM sample WHERE launch_id = ? AND metric = ?", target.launch, target.metric);
    }
  });
  impl_->guard([&] {
    if (report.launches > 0) db.database().exec("VACUUM");
    db.database().execAndGet("PRAGMA wal_checkpoint(TRUNCATE)");
    report.file_bytes_after = file_bytes();
  });
  return report;
}

}  // namespace assay::results_db
