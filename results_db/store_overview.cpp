// What a viewer asks of a whole file at once: one grouped query each, however many runs there are.
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {

std::map<std::string, RunCounts> Store::run_counts() {
  return impl_->guard([&] {
    std::map<std::string, RunCounts> counts;
    Query row(impl_->connection.prepared(
        "SELECT run_id, count(DISTINCT case_id), count(*), sum(status = 'failed'), sum(status = 'skipped') "
        "FROM launch JOIN result ON result.launch_id = launch.id GROUP BY run_id"));
    while (row.next()) counts[row.text(0)] = {row.integer(1), row.integer(2), row.integer(3), row.integer(4)};
    return counts;
  });
}

std::vector<TimelineSummary> Store::timelines(const std::string& run) {
  return impl_->guard([&] {
    std::vector<TimelineSummary> found;
    Query row(impl_->connection.prepared(
        "SELECT launch.case_id, launch.ordinal, "
        "(SELECT count(*) FROM interval WHERE interval.launch_id = launch.id) AS intervals, "
        "(SELECT count(*) FROM kernel_activity WHERE kernel_activity.launch_id = launch.id) AS kernels "
        "FROM launch WHERE run_id = ? AND (intervals > 0 OR kernels > 0) ORDER BY launch.case_id, launch.ordinal",
        run));
    while (row.next()) found.push_back({row.integer(0), row.small(1), row.integer(2), row.integer(3)});
    return found;
  });
}

Timeline Store::timeline(const std::string& run, std::int64_t case_id, int ordinal) {
  return impl_->read([&] {
    Connection& db = impl_->connection;
    Timeline timeline;
    const std::int64_t launch =
        db.number("SELECT id FROM launch WHERE run_id = ? AND case_id = ? AND ordinal = ?", run, case_id, ordinal);
    {
      Query row(
          db.prepared("SELECT lane, name, start_ps, end_ps, peer, bytes, link, posted_ps, exposed_ps FROM interval "
                      "WHERE launch_id = ? ORDER BY ordinal",
                      launch));
      while (row.next())
        timeline.intervals.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4),
                                      row.integer(5), row.text(6), row.integer(7), row.integer(8)});
    }
    Query row(db.prepared(
        "SELECT name, stream, start_ns, duration_ns, shape FROM kernel_activity WHERE launch_id = ? ORDER BY ordinal",
        launch));
    while (row.next())
      timeline.kernels.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4)});
    return timeline;
  });
}

}  // namespace assay::results_db
