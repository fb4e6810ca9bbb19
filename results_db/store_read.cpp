#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "datasets/user_error.h"
#include "results_db/distribution.h"
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {
namespace {

std::vector<std::string> list_from(const std::string& json) {
  return nlohmann::json::parse(json).get<std::vector<std::string>>();
}

constexpr const char* select_run =
    "SELECT run.id, suite, suite_toml, command, started_ns, coalesce(finished_ns, 0), status, seed, expected_cases, "
    "environment, machine.id, machine.name, cpu, cores, memory_bytes, machine.facts, build.id, commit_id, dirty, "
    "compiler, "
    "flags, build.facts FROM run JOIN machine ON machine.id = machine_id JOIN build ON build.id = build_id "
    "ORDER BY started_ns DESC, run.rowid DESC";

RunRecord run_of(Query& row) {
  RunRecord run;
  run.id = row.text(0);
  run.suite = row.text(1);
  run.suite_toml = row.text(2);
  run.command = row.text(3);
  run.started_ns = row.integer(4);
  run.finished_ns = row.integer(5);
  run.status = row.text(6);
  run.seed = row.integer(7);
  run.expected_cases = row.small(8);
  run.environment_json = row.text(9);
  run.machine = {row.text(10), row.text(11), row.text(12), row.small(13), row.integer(14), row.text(15)};
  run.build = {row.text(16), row.text(17), row.small(18) != 0, row.text(19), row.text(20), row.text(21)};
  return run;
}

// Columns 0..7 of a case.
CaseRow case_of(Query& row) {
  CaseRow result;
  result.id = row.integer(0);
  result.record = {row.text(1), row.text(2), row.text(3), row.text(4), row.text(5), row.text(6), row.text(7)};
  return result;
}

// Distribution columns from `first` on: n, minimum, maximum, mean, deviation, median, eight quantiles.
std::optional<Distribution> distribution_of(Query& row, int first) {
  if (row.null(first)) return std::nullopt;
  Distribution d;
  d.n = row.integer(first);
  d.minimum = row.real(first + 1);
  d.maximum = row.real(first + 2);
  d.mean = row.real(first + 3);
  d.deviation = row.real(first + 4);
  d.median = row.real(first + 5);
  for (int i = 0; i < static_cast<int>(distribution_levels().size()); ++i)
    d.quantiles.push_back(row.real(first + 6 + i));
  return d;
}

void read_samples(Connection& db, std::int64_t launch_id, LaunchRecord& launch) {
  {
    Query row(db.prepared("SELECT warmup, clock_hz, at_ns, data FROM sample WHERE launch_id = ? AND metric = 'time'",
                          launch_id));
    if (row.next()) {
      launch.warmup = row.small(0);
      launch.sample_clock_hz = row.array<float>(1);
      launch.sample_at_ns = row.array<std::int64_t>(2);
      launch.samples = row.array<double>(3);
    }
  }
  Query row(db.prepared(
      "SELECT n, minimum, maximum, mean, deviation, median, q01, q05, q10, q25, q75, q90, q95, q99, warmup, histogram "
      "FROM distribution WHERE launch_id = ? AND metric = 'time'",
      launch_id));
  if (!row.next()) return;
  launch.distribution = distribution_of(row, 0);
  launch.warmup = row.small(14);
  const auto cells = row.array<std::int64_t>(15);
  for (std::size_t i = 0; i + 1 < cells.size(); i += 2)
    launch.distribution->histogram.emplace_back(static_cast<std::int32_t>(cells[i]), cells[i + 1]);
}

std::vector<Metric> read_metrics(Connection& db, std::int64_t launch_id) {
  std::vector<Metric> metrics;
  Query row(db.prepared(
      "SELECT metric, value, unit, provenance, low, high FROM measurement WHERE launch_id = ? ORDER BY ordinal",
      launch_id));
  while (row.next())
    metrics.push_back(
        {row.text(0), row.real(1), row.text(2), provenance_from(row.text(3)), row.maybe(4), row.maybe(5)});
  return metrics;
}

void read_parts(Connection& db, std::int64_t launch_id, LaunchRecord& launch) {
  {
    Query row(db.prepared(
        "SELECT component, kind, value, provenance FROM breakdown WHERE launch_id = ? ORDER BY ordinal", launch_id));
    while (row.next())
      launch.breakdown.push_back({row.text(0), row.text(1), row.real(2), provenance_from(row.text(3))});
  }
  {
    Query row(
        db.prepared("SELECT lane, name, start_ps, end_ps, peer, bytes, link, posted_ps, exposed_ps FROM interval WHERE "
                    "launch_id = ? ORDER BY ordinal",
                    launch_id));
    while (row.next())
      launch.intervals.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4), row.integer(5),
                                  row.text(6), row.integer(7), row.integer(8)});
  }
  Query row(db.prepared(
      "SELECT name, stream, start_ns, duration_ns, shape FROM kernel_activity WHERE launch_id = ? ORDER BY ordinal",
      launch_id));
  while (row.next()) launch.kernels.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.text(4)});
}

std::string describe_runs(const std::vector<RunRecord>& runs, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(runs.size(), most); ++i)
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", runs[i].id.substr(0, 8), runs[i].suite);
  return text;
}

}  // namespace

std::vector<RunRecord> Store::runs() {
  return impl_->read([&] {
    std::vector<RunRecord> result;
    {
      Query row(impl_->connection.prepared(select_run));
      while (row.next()) result.push_back(run_of(row));
    }
    for (RunRecord& run : result) {
      Query row(impl_->connection.prepared("SELECT tag FROM run_tag WHERE run_id = ? ORDER BY tag", run.id));
      while (row.next()) run.tags.push_back(row.text(0));
    }
    return result;
  });
}

RunRecord Store::find_run(const std::string& selector) {
  const std::vector<RunRecord> all = runs();
  if (all.empty())
    throw UserError(
        fmt::format("unknown run '{}': {} holds no run yet (`assay run quick` makes one)", selector, path()));
  const auto newest = [&] { return fmt::format("the newest are {}", describe_runs(all, 5)); };

  if (selector.starts_with("latest")) {
    const std::string_view rest = std::string_view(selector).substr(6);
    std::size_t back = 0;
    bool sound = rest.empty();
    if (rest.size() > 1 && rest.front() == '~') {
      const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), back);
      sound = error == std::errc() && end == rest.data() + rest.size();
    }
    if (sound && back < all.size()) return all[back];
    if (sound) throw UserError(fmt::format("unknown run '{}': {} holds {} runs", selector, path(), all.size()));
  }
  for (const RunRecord& run : all)
    if (run.id == selector) return run;
  for (const RunRecord& run : all)
    if (std::find(run.tags.begin(), run.tags.end(), selector) != run.tags.end()) return run;
  std::vector<RunRecord> fitting;
  for (const RunRecord& run : all)
    if (!selector.empty() && run.id.starts_with(selector)) fitting.push_back(run);
  if (fitting.size() == 1) return fitting.front();
  if (fitting.size() > 1)
    throw UserError(fmt::format("run '{}' fits {} runs: {}", selector, fitting.size(), describe_runs(fitting, 5)));
  throw UserError(fmt::format("unknown run '{}' (expected an id or its beginning, a tag, latest or latest~N); {}",
                              selector, newest()));
}

std::vector<CaseRow> Store::cases() {
  return impl_->guard([&] {
    std::vector<CaseRow> result;
    Query row(impl_->connection.prepared(
        "SELECT id, technique_id, backend, fabric, parameters, timer, cache, key FROM case_ ORDER BY key"));
    while (row.next()) result.push_back(case_of(row));
    return result;
  });
}

std::vector<CaseRow> Store::cases_of(const std::string& run) {
  return impl_->guard([&] {
    std::vector<CaseRow> result;
    // Gates and launches are numbered as they came; a case has its gate before its first launch, if it has one.
    Query row(impl_->connection.prepared(
        "SELECT case_.id, technique_id, backend, fabric, parameters, timer, cache, key FROM case_ JOIN "
        "(SELECT case_id, min(id) AS first_launch, min(gate) AS first_gate FROM "
        " (SELECT case_id, id, NULL AS gate FROM launch WHERE run_id = ?1 UNION ALL "
        "  SELECT case_id, NULL, rowid FROM gate WHERE run_id = ?1) GROUP BY case_id) AS seen "
        "ON seen.case_id = case_.id ORDER BY first_gate IS NULL, first_gate, first_launch",
        run));
    while (row.next()) result.push_back(case_of(row));
    return result;
  });
}

std::optional<CaseRow> Store::find_case(const std::string& key) {
  return impl_->guard([&]() -> std::optional<CaseRow> {
    Query row(impl_->connection.prepared(
        "SELECT id, technique_id, backend, fabric, parameters, timer, cache, key FROM case_ WHERE key = ?1 "
        "UNION ALL SELECT id, technique_id, backend, fabric, parameters, timer, cache, key FROM case_ "
        "WHERE id = (SELECT case_id FROM case_alias WHERE old_key = ?1)",
        key));
    if (!row.next()) return std::nullopt;
    return case_of(row);
  });
}

std::vector<LaunchRecord> Store::launches(const std::string& run, std::int64_t case_id) {
  return impl_->read([&] {
    Connection& db = impl_->connection;
    std::vector<LaunchRecord> result;
    std::vector<std::int64_t> ids;
    {
      Query row(db.prepared(
          "SELECT launch.id, ordinal, started_ns, wall_seconds, pid, batch, code_hash, descriptors, environment, "
          "status, reason, "
          "stderr_tail, stop_reason FROM launch JOIN result ON launch_id = launch.id WHERE run_id = ? AND case_id = ? "
          "ORDER BY ordinal",
          run, case_id));
      while (row.next()) {
        LaunchRecord launch;
        ids.push_back(row.integer(0));
        launch.run = run;
        launch.case_id = case_id;
        launch.ordinal = row.small(1);
        launch.started_ns = row.integer(2);
        launch.wall_seconds = row.real(3);
        launch.pid = row.small(4);
        launch.batch = row.integer(5);
        launch.code_hash = row.text(6);
        launch.descriptors_json = row.text(7);
        launch.environment_json = row.text(8);
        launch.status = status_from(row.text(9));
        launch.reason = row.text(10);
        launch.stderr_tail = row.text(11);
        launch.stop_reason = row.text(12);
        result.push_back(std::move(launch));
      }
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      read_samples(db, ids[i], result[i]);
      result[i].metrics = read_metrics(db, ids[i]);
      read_parts(db, ids[i], result[i]);
    }
    return result;
  });
}

std::vector<LaunchSummary> Store::summaries(const std::string& run) {
  return impl_->read([&] {
    Connection& db = impl_->connection;
    std::vector<LaunchSummary> result;
    {
      Query row(
          db.prepared("SELECT launch.id, launch.case_id, launch.ordinal, status, reason, stop_reason, started_ns, "
                      "batch, code_hash, "
                      "EXISTS (SELECT 1 FROM sample WHERE sample.launch_id = launch.id AND sample.metric = 'time'), "
                      "n, minimum, maximum, mean, deviation, median, q01, q05, q10, q25, q75, q90, q95, q99 "
                      "FROM launch JOIN result ON result.launch_id = launch.id "
                      "LEFT JOIN distribution d ON d.launch_id = launch.id AND d.metric = 'time' "
                      "WHERE run_id = ? ORDER BY launch.case_id, launch.ordinal",
                      run));
      while (row.next()) {
        LaunchSummary launch;
        launch.id = row.integer(0);
        launch.run = run;
        launch.case_id = row.integer(1);
        launch.ordinal = row.small(2);
        launch.status = status_from(row.text(3));
        launch.reason = row.text(4);
        launch.stop_reason = row.text(5);
        launch.started_ns = row.integer(6);
        launch.batch = row.integer(7);
        launch.code_hash = row.text(8);
        launch.has_samples = row.small(9) != 0;
        launch.distribution = distribution_of(row, 10);
        result.push_back(std::move(launch));
      }
    }
    for (LaunchSummary& launch : result) launch.metrics = read_metrics(db, launch.id);
    return result;
  });
}

std::vector<HistoryPoint> Store::history(std::int64_t case_id, const std::string& machine, const std::string& metric) {
  return impl_->guard([&] {
    std::vector<HistoryPoint> points;
    // The median of the samples; of a projected launch, which has none, its time.
    Query row(impl_->connection.prepared(
        "SELECT run.id, run.started_ns, commit_id, coalesce(median, (SELECT value FROM measurement m WHERE m.launch_id "
        "= launch.id "
        "AND m.metric = wanted.name ORDER BY m.ordinal LIMIT 1)) AS centre "
        "FROM launch JOIN result ON result.launch_id = launch.id AND result.status = 'ok' JOIN run ON run.id = run_id "
        "JOIN build ON build.id = build_id "
        "JOIN metric wanted ON wanted.name = ? "
        "LEFT JOIN distribution d ON d.launch_id = launch.id AND d.metric = wanted.name "
        "WHERE case_id = ? AND machine_id = ? AND centre IS NOT NULL ORDER BY run.started_ns, run.rowid, ordinal",
        metric, case_id, machine));
    while (row.next()) {
      if (points.empty() || points.back().run != row.text(0))
        points.push_back({row.text(0), row.integer(1), row.text(2), {}});
      points.back().medians.push_back(row.real(3));
    }
    return points;
  });
}

std::optional<GateRecord> Store::gate(const std::string& run, std::int64_t case_id) {
  return impl_->guard([&]() -> std::optional<GateRecord> {
    Query row(impl_->connection.prepared(
        "SELECT status, reason, coverage, error, wall_seconds, mutants_total, mutants_caught, detail FROM gate "
        "WHERE run_id = ? AND case_id = ?",
        run, case_id));
    if (!row.next()) return std::nullopt;
    return GateRecord{run,         case_id,      status_from(row.text(0)),
                      row.text(1), row.real(2),  row.real(3),
                      row.real(4), row.small(5), row.small(6),
                      row.text(7)};
  });
}

std::optional<DescriptorRecord> Store::descriptor(const std::string& hash) {
  return impl_->guard([&]() -> std::optional<DescriptorRecord> {
    Query row(impl_->connection.prepared("SELECT hash, kind, id, content FROM descriptor WHERE hash = ?", hash));
    if (!row.next()) return std::nullopt;
    return DescriptorRecord{row.text(0), row.text(1), row.text(2), row.text(3)};
  });
}

std::vector<ConfigurationRecord> Store::configurations() {
  return impl_->read([&] {
    std::vector<ConfigurationRecord> result;
    {
      Query row(impl_->connection.prepared(
          "SELECT id, model, device, cluster, ranks, dtype, workload, axes FROM configuration ORDER BY id"));
      while (row.next())
        result.push_back({row.text(0),
                          row.text(1),
                          row.text(2),
                          row.text(3),
                          row.small(4),
                          row.text(5),
                          row.text(6),
                          row.text(7),
                          {}});
    }
    for (ConfigurationRecord& configuration : result) {
      Query row(impl_->connection.prepared("SELECT text FROM assumption WHERE configuration_id = ? ORDER BY ordinal",
                                           configuration.id));
      while (row.next()) configuration.assumed.push_back(row.text(0));
    }
    return result;
  });
}

std::vector<ClaimRecord> Store::claims() {
  return impl_->guard([&] {
    std::vector<ClaimRecord> result;
    Query row(
        impl_->connection.prepared("SELECT id, technique_id, baseline, quantity, form, bound, unit, value, low, high, "
                                   "configurations, kind, source, group_, "
                                   "published, paper, arxiv, where_, note, flags FROM claim ORDER BY id"));
    while (row.next())
      result.push_back({row.text(0),
                        row.text(1),
                        row.text(2),
                        row.text(3),
                        row.text(4),
                        row.text(5),
                        row.text(6),
                        row.maybe(7),
                        row.maybe(8),
                        row.maybe(9),
                        list_from(row.text(10)),
                        row.text(11),
                        row.text(12),
                        row.text(13),
                        row.text(14),
                        row.text(15),
                        row.text(16),
                        row.text(17),
                        row.text(18),
                        list_from(row.text(19))});
    return result;
  });
}

namespace {

VerdictRecord verdict_of(Query& row) {
  return {row.text(0), row.text(1), row.text(2), row.maybe(3), row.maybe(4), row.maybe(5),
          row.real(6), row.text(7), row.text(8), row.text(9),  row.text(10), row.integer(11)};
}

}  // namespace

std::vector<VerdictRecord> Store::verdicts() {
  return impl_->guard([&] {
    std::vector<VerdictRecord> result;
    Query row(
        impl_->connection.prepared("SELECT claim_id, verdict, reason, ours, ours_low, ours_high, paper, provenance, "
                                   "fragile, inputs_hash, detail, at_ns "
                                   "FROM verdict v WHERE id = (SELECT id FROM verdict w WHERE w.claim_id = v.claim_id "
                                   "ORDER BY at_ns DESC, id DESC LIMIT 1) "
                                   "ORDER BY claim_id"));
    while (row.next()) result.push_back(verdict_of(row));
    return result;
  });
}

std::vector<VerdictRecord> Store::verdict_history(const std::string& claim) {
  return impl_->guard([&] {
    std::vector<VerdictRecord> result;
    Query row(
        impl_->connection.prepared("SELECT claim_id, verdict, reason, ours, ours_low, ours_high, paper, provenance, "
                                   "fragile, inputs_hash, detail, at_ns "
                                   "FROM verdict WHERE claim_id = ? ORDER BY at_ns DESC, id DESC",
                                   claim));
    while (row.next()) result.push_back(verdict_of(row));
    return result;
  });
}

std::vector<AlertRecord> Store::alerts() {
  return impl_->guard([&] {
    std::vector<AlertRecord> result;
    Query row(
        impl_->connection.prepared("SELECT id, run_id, case_id, kind, metric, effect, probability, outcome, note, "
                                   "at_ns FROM alert ORDER BY at_ns DESC, id "
                                   "DESC"));
    while (row.next())
      result.push_back({row.integer(0), row.text(1), row.integer(2), row.text(3), row.text(4), row.maybe(5),
                        row.maybe(6), row.text(7), row.text(8), row.integer(9)});
    return result;
  });
}

std::vector<ArtifactRecord> Store::artifacts(const std::string& run) {
  return impl_->guard([&] {
    std::vector<ArtifactRecord> result;
    Query row(impl_->connection.prepared(
        "SELECT run_id, name, kind, hash, content, path FROM artifact WHERE run_id = ? ORDER BY name", run));
    while (row.next()) result.push_back({row.text(0), row.text(1), row.text(2), row.text(3), row.text(4), row.text(5)});
    return result;
  });
}

}  // namespace assay::results_db
