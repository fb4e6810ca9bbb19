#pragma once
// The results database: one SQLite file, one writer and any number of readers. The only code that knows SQL.
//
// Every call that meets a damaged, locked, full or unreadable file throws UserError with one line naming the file.
// Reals that are NaN are kept as NULL and come back as NaN (an optional comes back empty); samples come back bit for
// bit.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "results_db/records.h"

namespace assay::results_db {

enum class Open { create, read_write, read_only };  // create: read_write, made when absent

struct StoreOptions {
  int busy_timeout_ms = 5000;              // how long a second writer waits before it is told
  std::optional<std::int64_t> filesystem;  // statfs magic to assume; found out when absent
};

struct CaseRow {
  std::int64_t id = 0;
  CaseRecord record;
};

// What `check` found. Problems are damage or broken invariants; notes are worth knowing (a run that never finished).
struct CheckReport {
  std::vector<std::string> problems;
  std::vector<std::string> notes;
  bool clean() const { return problems.empty(); }
};

struct MergeReport {
  std::int64_t runs_added = 0, runs_known = 0, cases_added = 0, launches_added = 0, verdicts_added = 0;
};

struct PruneReport {
  std::int64_t launches = 0;  // launches whose raw samples go (or went)
  std::int64_t samples = 0;
  std::int64_t bytes = 0;                                    // of sample blobs
  std::int64_t file_bytes_before = 0, file_bytes_after = 0;  // equal in a dry run
};

struct StoreInfo {
  std::string path;
  int schema = 0;
  std::int64_t file_bytes = 0;
  std::string journal;  // wal | truncate | ...
  std::int64_t machines = 0, runs = 0, unfinished_runs = 0, cases = 0, launches = 0, failed_launches = 0, samples = 0,
               sample_bytes = 0, pruned_launches = 0, claims = 0, verdicts = 0;
  std::int64_t first_ns = 0, last_ns = 0;  // start of the oldest and newest run
};

struct RunCounts {
  std::int64_t cases = 0, launches = 0, failed = 0, skipped = 0;
};

// A launch that has a timeline, without it.
struct TimelineSummary {
  std::int64_t case_id = 0;
  int ordinal = 0;
  std::int64_t intervals = 0, kernels = 0;
};

struct Timeline {
  std::vector<IntervalRecord> intervals;
  std::vector<KernelRecord> kernels;
};

class Store {
 public:
  // UserError, one line: missing file, not a database, damaged, another program's database, newer schema. An older
  // schema is upgraded in place when writing; a reader upgrades a private copy and leaves the file as it is.
  static Store open(const std::string& path, Open how, const StoreOptions& options = {});
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();      // closes; a writer leaves one file behind when no reader holds it
  void close();  // the same, but tells of what went wrong

  const std::string& path() const;
  const std::vector<std::string>& notes() const;  // e.g. why the journal is not WAL
  // Changes when another connection has committed: a viewer polls it.
  std::int64_t data_version();

  // -- writing. Each call is one durable transaction (synchronous=FULL) when it returns.
  void begin_run(const RunRecord& run);
  void finish_run(const std::string& run, const std::string& status, std::int64_t finished_ns);
  void put_technique(const std::string& id, const std::string& title, const std::string& paper);
  std::int64_t put_case(const CaseRecord& record);                   // idempotent by key and by alias
  void put_alias(const std::string& old_key, std::int64_t case_id);  // a renamed case keeps its history
  std::int64_t append_launch(const LaunchRecord& launch);  // returns the launch id; (run, case, ordinal) is unique
  std::vector<std::int64_t> append_launches(const std::vector<LaunchRecord>& launches);  // all or none
  void put_gate(const GateRecord& gate);
  void put_descriptor(const std::string& hash, const std::string& kind, const std::string& id,
                      const std::string& content);
  void put_configuration(const ConfigurationRecord& configuration);
  void put_claim(const ClaimRecord& claim);
  void put_verdict(const VerdictRecord& verdict);                 // history is kept: one row per (claim, inputs, time)
  void put_verdicts(const std::vector<VerdictRecord>& verdicts);  // one transaction
  std::int64_t put_alert(const AlertRecord& alert);
  void set_alert_outcome(std::int64_t id, const std::string& outcome, const std::string& note);
  void put_artifact(const ArtifactRecord& artifact);

  // -- reading
  std::vector<RunRecord> runs();  // newest first
  // A full id, a unique beginning of one, a tag (its newest run), "latest" or "latest~1". UserError lists the newest
  // few.
  RunRecord find_run(const std::string& selector);
  std::vector<CaseRow> cases();
  std::vector<CaseRow> cases_of(const std::string& run);     // in the order first put into the run
  std::optional<CaseRow> find_case(const std::string& key);  // key or alias
  std::vector<LaunchRecord> launches(const std::string& run, std::int64_t case_id);  // everything, ordinal order
  std::vector<LaunchSummary> summaries(const std::string& run);  // of all its cases, by case then ordinal
  // Of ok launches, oldest run first; of samples their median, else the value reported.
  std::vector<HistoryPoint> history(std::int64_t case_id, const std::string& machine,
                                    const std::string& metric = "time");
  std::optional<GateRecord> gate(const std::string& run, std::int64_t case_id);
  std::optional<DescriptorRecord> descriptor(const std::string& hash);
  std::vector<ConfigurationRecord> configurations();
  std::vector<ClaimRecord> claims();
  std::vector<VerdictRecord> verdicts();                                 // newest of each claim, by claim id
  std::vector<VerdictRecord> verdict_history(const std::string& claim);  // newest first
  std::vector<AlertRecord> alerts();                                     // newest first
  std::vector<ArtifactRecord> artifacts(const std::string& run);
  StoreInfo info();
  std::map<std::string, RunCounts> run_counts();                   // of every run with a launch, by its id
  std::vector<TimelineSummary> timelines(const std::string& run);  // its launches that have intervals or kernels
  Timeline timeline(const std::string& run, std::int64_t case_id, int ordinal);

  // -- keeping it
  CheckReport check();
  MergeReport merge(const std::string& other_path);  // idempotent: runs by UUID, launches by (run, case key, ordinal)
  // Drops raw samples of launches started before `before_ns`; distributions, metrics and everything else stay.
  PruneReport prune(std::int64_t before_ns, bool dry_run);

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::results_db
