#pragma once
// What goes into and comes out of the store, as plain values. Base units everywhere: seconds, bytes, FLOP.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace assay::results_db {

enum class Provenance { measured, emulated, projected, derived, claimed };
const char* to_string(Provenance provenance);
Provenance provenance_from(const std::string& text);  // throws std::invalid_argument

struct MachineRecord {
  std::string id;           // content hash of the facts that identify it
  std::string name;         // host name
  std::string cpu;
  int cores = 0;
  std::int64_t memory_bytes = 0;
  std::string facts_json;   // everything captured: caches, governor, NUMA, GPUs, driver ...
};

struct BuildRecord {
  std::string id;           // content hash
  std::string commit;
  bool dirty = false;
  std::string compiler;
  std::string flags;
  std::string facts_json;
};

struct RunRecord {
  std::string id;           // UUID
  std::string suite;        // suite id or technique id
  std::string suite_toml;   // the suite as expanded, enough to run or resume it
  std::string command;
  MachineRecord machine;
  BuildRecord build;
  std::int64_t started_ns = 0;   // Unix time
  std::int64_t finished_ns = 0;  // 0: not finished
  std::string status;            // running | finished | interrupted | failed
  std::int64_t seed = 0;
  int expected_cases = 0;
  std::vector<std::string> tags;
  std::string environment_json;  // load, clocks, warnings of this run
};

// Identity: technique + backend + fabric + parameters (those equal to an axis's legacy default left out) + timer + cache.
struct CaseRecord {
  std::string technique;    // family/name
  std::string backend;      // cpu | cuda
  std::string fabric;       // "" | threads | emulated | mpi | nccl | cluster
  std::string parameters_json;   // canonical: keys sorted, no spaces
  std::string timer = "host";    // host | event | graph | cupti | virtual
  std::string cache = "hot";     // hot | cold
  std::string key;          // readable: technique backend[/fabric] a=1 b=2 [timer] [cache]; unique
};

enum class Status { ok, failed, skipped };
const char* to_string(Status status);

struct Metric {
  std::string name;         // from the registry of metrics: time, flops_rate, comm_bytes ...
  double value = 0;
  std::string unit;
  Provenance provenance = Provenance::measured;
  std::optional<double> low, high;  // interval, where there is one
};

struct BreakdownPart {
  std::string component;    // compute, exposed_comm, softmax ...
  std::string kind;         // time | energy | bytes
  double value = 0;
  Provenance provenance = Provenance::derived;
};

struct IntervalRecord {
  std::string lane;         // rank 3 / compute
  std::string name;
  std::int64_t start_ps = 0;
  std::int64_t end_ps = 0;
};

// What one process found out about one case.
struct LaunchRecord {
  std::string run;
  std::int64_t case_id = 0;
  int ordinal = 0;                  // 0, 1, 2 ... within (run, case)
  Status status = Status::ok;
  std::string reason;               // of a failure or skip
  std::string stderr_tail;
  std::string stop_reason;          // noise | budget | samples | fixed
  std::int64_t started_ns = 0;
  double wall_seconds = 0;
  int pid = 0;
  std::int64_t batch = 1;           // iterations one sample averages
  std::vector<double> samples;      // seconds per iteration, in the order taken; warm-up first
  int warmup = 0;                   // how many leading samples are warm-up
  std::vector<float> sample_clock_hz;    // parallel to samples where readable, else empty
  std::vector<std::int64_t> sample_at_ns;  // time of day of each sample; parallel or empty
  std::vector<Metric> metrics;
  std::vector<BreakdownPart> breakdown;
  std::vector<IntervalRecord> intervals;
  std::string code_hash;            // of the implementation
  std::string descriptors_json;     // {"device:a100-80g-sxm": "<hash>", ...} of projected rows
  std::string environment_json;     // load, throttling, flags at this launch
};

// What the gate found out about one case in one run.
struct GateRecord {
  std::string run;
  std::int64_t case_id = 0;
  Status status = Status::ok;
  std::string reason;
  double coverage = 0;              // share of the output compared with the oracle
  double error = 0;                 // largest error found, in the units of its tolerance: <= 1 passes
  double wall_seconds = 0;
  int mutants_total = 0;
  int mutants_caught = 0;
  std::string detail_json;
};

struct VerdictRecord {
  std::string claim;
  std::string verdict;      // reproduced | exceeded | partial | contradicted | not reproduced | untestable
  std::string reason;
  std::optional<double> ours, ours_low, ours_high;
  double paper = 0;
  std::string provenance;
  std::string fragile;      // constants that flip it, comma separated
  std::string inputs_hash;
  std::string detail_json;
  std::int64_t at_ns = 0;
};

}  // namespace assay::results_db
