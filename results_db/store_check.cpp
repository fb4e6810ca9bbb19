// `assay db check`: what SQLite can tell of a file, and what only we know must hold.
#include <fmt/format.h>

#include <cmath>

#include "results_db/distribution.h"
#include "results_db/metrics.h"
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {
namespace {

constexpr std::size_t most_of_a_kind = 20;  // lines; the rest is counted

// Rules as queries: each row found is a violation, described by its first column.
struct Rule {
  const char* sql;
  const char* meaning;
};

constexpr Rule broken[] = {
    {"SELECT 'launch ' || launch.id FROM launch LEFT JOIN result ON result.launch_id = launch.id WHERE "
     "result.launch_id IS NULL",
     "has no result"},
    {"SELECT 'launch ' || launch_id || ' ' || metric FROM sample WHERE length(data) <> 8 * n",
     "has a sample blob of another length than its count"},
    {"SELECT 'launch ' || launch_id || ' ' || metric FROM sample WHERE clock_hz IS NOT NULL AND length(clock_hz) <> 4 "
     "* n",
     "has clocks that do not match its samples"},
    {"SELECT 'launch ' || launch_id || ' ' || metric FROM sample WHERE at_ns IS NOT NULL AND length(at_ns) <> 8 * n",
     "has times of day that do not match its samples"},
    {"SELECT 'launch ' || launch_id || ' ' || metric FROM sample WHERE warmup < 0 OR warmup > n",
     "has more warm-up than samples"},
    {"SELECT 'launch ' || launch.id FROM launch JOIN result ON result.launch_id = launch.id WHERE status = 'ok' "
     "AND NOT EXISTS (SELECT 1 FROM sample s WHERE s.launch_id = launch.id) "
     "AND NOT EXISTS (SELECT 1 FROM distribution d WHERE d.launch_id = launch.id) "
     "AND NOT EXISTS (SELECT 1 FROM measurement m WHERE m.launch_id = launch.id)",
     "is ok and holds no sample and no value"},
    {"SELECT 'launch ' || launch.id FROM launch WHERE batch < 1 OR ordinal < 0",
     "has a batch or ordinal below its least"},
    {"SELECT 'run ' || id FROM run WHERE finished_ns < started_ns", "ended before it began"},
    {"SELECT 'run ' || id FROM run WHERE (status = 'running') <> (finished_ns IS NULL)",
     "has a status that contradicts its end"},
    {"SELECT 'case ' || key FROM case_ WHERE NOT json_valid(CASE parameters WHEN '' THEN '{}' ELSE parameters END)",
     "has parameters that are not JSON"},
    {"SELECT 'interval of launch ' || launch_id || ' ' || ordinal FROM interval WHERE end_ps < start_ps",
     "ends before it starts"},
    {"SELECT 'claim ' || id FROM claim WHERE NOT json_valid(configurations) OR NOT json_valid(flags)",
     "has a list that is not JSON"},
};

constexpr Rule remarkable[] = {
    {"SELECT 'run ' || id || ' (' || suite || ')' FROM run WHERE finished_ns IS NULL", "never finished"},
    {"SELECT 'metric ' || name FROM metric WHERE NOT registered", "is not in the registry of metrics"},
    {"SELECT DISTINCT 'metric ' || metric || ' in ' || measurement.unit FROM measurement JOIN metric ON metric.name = "
     "metric "
     "WHERE registered AND metric.unit <> '' AND metric.unit <> measurement.unit",
     "is not in the unit of the registry"},
    {"SELECT 'run ' || run.id || ' (' || suite || ')' FROM run WHERE status = 'finished' AND "
     "(SELECT count(DISTINCT case_id) FROM launch WHERE run_id = run.id) < expected_cases",
     "finished with fewer cases than it expected"},
};

class Findings {
 public:
  explicit Findings(std::vector<std::string>& lines) : lines_(lines) {}
  void add(std::string line) {
    if (++count_ <= most_of_a_kind) lines_.push_back(std::move(line));
  }
  ~Findings() {
    if (count_ > most_of_a_kind) lines_.push_back(fmt::format("... and {} more of this kind", count_ - most_of_a_kind));
  }
  Findings(const Findings&) = delete;
  Findings& operator=(const Findings&) = delete;

 private:
  std::vector<std::string>& lines_;
  std::size_t count_ = 0;
};

void apply(Connection& db, const Rule& rule, std::vector<std::string>& lines) {
  Findings findings(lines);
  Query row(db.prepared(rule.sql));
  while (row.next()) findings.add(fmt::format("{} {}", row.text(0), rule.meaning));
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// A kept distribution must still say what its samples say.
void recompute_distributions(Connection& db, std::vector<std::string>& lines) {
  Findings findings(lines);
  Query row(db.prepared(
      "SELECT s.launch_id, s.metric, s.warmup, s.data, d.n, d.minimum, d.maximum, d.median FROM sample s "
      "LEFT JOIN distribution d ON d.launch_id = s.launch_id AND d.metric = s.metric WHERE length(s.data) = 8 * s.n"));
  while (row.next()) {
    const auto samples = row.array<double>(3);
    const auto warmup = static_cast<std::size_t>(std::max<std::int64_t>(row.integer(2), 0));
    if (warmup > samples.size()) continue;  // told by a rule
    const Distribution now = describe(std::span(samples).subspan(warmup));
    const bool holds = row.null(4) ? now.n == 0
                                   : now.n == row.integer(4) && same(now.minimum, row.real(5)) &&
                                         same(now.maximum, row.real(6)) && same(now.median, row.real(7));
    if (!holds)
      findings.add(
          fmt::format("launch {} {} has a distribution that its samples contradict", row.integer(0), row.text(1)));
  }
}

}  // namespace

CheckReport Store::check() {
  CheckReport report;
  Connection& db = impl_->connection;
  try {
    {
      Query row(db.prepared("PRAGMA integrity_check(20)"));
      while (row.next())
        if (const std::string line = row.text(0); line != "ok") report.problems.push_back("file: " + line);
    }
    {
      Findings findings(report.problems);
      Query row(db.prepared("PRAGMA foreign_key_check"));
      while (row.next())
        findings.add(fmt::format("{} row {}: points to a {} that is not there", row.text(0), row.text(1), row.text(2)));
    }
    // On a damaged file the rules would only repeat the damage.
    if (!report.problems.empty()) return report;
    for (const Rule& rule : broken) apply(db, rule, report.problems);
    recompute_distributions(db, report.problems);
    for (const Rule& rule : remarkable) apply(db, rule, report.notes);
  } catch (const SQLite::Exception& error) {
    report.problems.push_back(fmt::format("file: {}", error.what()));
  }
  for (const std::string& note : notes()) report.notes.push_back(note);
  return report;
}

}  // namespace assay::results_db
