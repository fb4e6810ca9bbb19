#include <fmt/format.h>

#include <filesystem>

#include "datasets/user_error.h"
#include "results_db/store.h"
#include "results_db/store_impl.h"

namespace assay::results_db {
namespace {

// "a, b, c": the columns of a table but those named, each behind `prefix`. Both files have the same schema by then.
std::string columns(Connection& db, const std::string& table, const std::string& without,
                    const std::string& prefix = "") {
  std::string list;
  Query row(db.prepared("SELECT name FROM pragma_table_info(?) WHERE name <> ? ORDER BY cid", table, without));
  while (row.next()) list += (list.empty() ? "" : ", ") + prefix + row.text(0);
  return list;
}

int copy_new(Connection& db, const std::string& table, const std::string& without = "") {
  const std::string names = columns(db, table, without);
  return db.run(fmt::format("INSERT OR IGNORE INTO main.{0} ({1}) SELECT {1} FROM other.{0}", table, names));
}

// Rows that name a case, which has another number in our file.
void copy_with_case(Connection& db, const std::string& table, const std::string& without = "") {
  std::string ours, theirs;
  Query row(db.prepared("SELECT name FROM pragma_table_info(?) WHERE name <> ? ORDER BY cid", table, without));
  while (row.next()) {
    const std::string name = row.text(0);
    ours += (ours.empty() ? "" : ", ") + name;
    theirs += (theirs.empty() ? "" : ", ") + (name == "case_id" ? std::string("merge_case.ours") : "o." + name);
  }
  db.run(fmt::format(
      "INSERT OR IGNORE INTO main.{0} ({1}) SELECT {2} FROM other.{0} o JOIN merge_case ON theirs = o.case_id", table,
      ours, theirs));
}

void copy_runs(Connection& db, MergeReport& report) {
  for (const char* table : {"machine", "build", "technique", "metric"}) copy_new(db, table);
  report.runs_known = db.number("SELECT count(*) FROM other.run o JOIN main.run r ON r.id = o.id");
  report.runs_added = copy_new(db, "run");
  // The same run copied once while it ran and once after: the end counts.
  db.run(
      "UPDATE main.run SET (status, finished_ns) = (SELECT status, finished_ns FROM other.run o WHERE o.id = "
      "main.run.id) "
      "WHERE finished_ns IS NULL AND id IN (SELECT id FROM other.run WHERE finished_ns IS NOT NULL)");
  copy_new(db, "run_tag");
}

void copy_cases(Connection& db, MergeReport& report) {
  report.cases_added = db.run(fmt::format(
      "INSERT INTO main.case_ ({0}) SELECT {0} FROM other.case_ WHERE key NOT IN (SELECT key FROM main.case_) "
      "AND key NOT IN (SELECT old_key FROM main.case_alias) ORDER BY id",
      columns(db, "case_", "id")));
  db.run(
      "CREATE TEMP TABLE merge_case AS SELECT o.id AS theirs, coalesce((SELECT id FROM main.case_ c WHERE c.key = "
      "o.key), "
      "(SELECT case_id FROM main.case_alias a WHERE a.old_key = o.key)) AS ours FROM other.case_ o");
  copy_with_case(db, "case_alias");
}

void copy_launches(Connection& db, MergeReport& report) {
  db.run(
      "CREATE TEMP TABLE merge_launch AS SELECT o.id AS theirs, o.run_id, m.ours AS case_id, o.ordinal FROM "
      "other.launch o "
      "JOIN merge_case m ON m.theirs = o.case_id WHERE NOT EXISTS (SELECT 1 FROM main.launch l WHERE l.run_id = "
      "o.run_id "
      "AND l.case_id = m.ours AND l.ordinal = o.ordinal) ORDER BY o.id");
  std::string ours, theirs;
  {
    Query row(db.prepared("SELECT name FROM pragma_table_info('launch') WHERE name <> 'id' ORDER BY cid"));
    while (row.next()) {
      const std::string name = row.text(0);
      ours += (ours.empty() ? "" : ", ") + name;
      theirs += (theirs.empty() ? "" : ", ") + (name == "case_id" ? std::string("n.case_id") : "o." + name);
    }
  }
  report.launches_added = db.run(fmt::format(
      "INSERT INTO main.launch ({}) SELECT {} FROM other.launch o JOIN merge_launch n ON n.theirs = o.id ORDER BY o.id",
      ours, theirs));
  db.run(
      "CREATE TEMP TABLE merge_number AS SELECT n.theirs, l.id AS ours FROM merge_launch n JOIN main.launch l "
      "ON l.run_id = n.run_id AND l.case_id = n.case_id AND l.ordinal = n.ordinal");
  for (const char* table :
       {"result", "measurement", "sample", "distribution", "breakdown", "kernel_activity", "interval"})
    db.run(
        fmt::format("INSERT INTO main.{0} (launch_id, {1}) SELECT n.ours, {2} FROM other.{0} o JOIN merge_number n ON "
                    "n.theirs = o.launch_id",
                    table, columns(db, table, "launch_id"), columns(db, table, "launch_id", "o.")));
}

void copy_claims(Connection& db, MergeReport& report) {
  copy_new(db, "descriptor");
  db.run(
      "INSERT INTO main.assumption (configuration_id, ordinal, text) SELECT configuration_id, ordinal, text FROM "
      "other.assumption "
      "WHERE configuration_id NOT IN (SELECT id FROM main.configuration)");
  copy_new(db, "configuration");
  copy_new(db, "claim");
  // A claim known only from a verdict gets its row.
  const std::string names = columns(db, "claim", "id");
  db.run(
      fmt::format("UPDATE main.claim SET ({0}) = (SELECT {0} FROM other.claim o WHERE o.id = main.claim.id) "
                  "WHERE quantity = '' AND id IN (SELECT id FROM other.claim WHERE quantity <> '')",
                  names));
  report.verdicts_added = copy_new(db, "verdict", "id");
}

}  // namespace

MergeReport Store::merge(const std::string& other_path) {
  std::error_code ignored;
  if (std::filesystem::equivalent(path(), other_path, ignored))
    throw UserError(fmt::format("{}: cannot be merged into itself", other_path));
  // Opened as any reader would: recognised, and if it is older, an upgraded copy stands in.
  Connection other(other_path, Open::read_only, {});
  return impl_->guard([&] {
    impl_->refuse_when_read_only();
    Connection& db = impl_->connection;
    db.run("ATTACH ? AS other", other.file());
    MergeReport report;
    std::exception_ptr failure;
    try {
      SQLite::Transaction transaction(db.database(), SQLite::TransactionBehavior::IMMEDIATE);
      db.database().exec("PRAGMA defer_foreign_keys = ON");
      copy_runs(db, report);
      copy_cases(db, report);
      copy_launches(db, report);
      copy_with_case(db, "gate");
      copy_claims(db, report);
      copy_with_case(db, "alert", "id");
      copy_new(db, "artifact");
      for (const char* table : {"merge_case", "merge_launch", "merge_number"})
        db.run(fmt::format("DROP TABLE temp.{}", table));
      transaction.commit();
    } catch (...) {
      failure = std::current_exception();  // rolled back by now; the file must be let go in any case
    }
    db.forget_statements();
    db.database().exec("DETACH other");
    if (failure) std::rethrow_exception(failure);
    return report;
  });
}

}  // namespace assay::results_db
