#pragma once
// What goes into and comes out of the store, as plain values. Base units everywhere: seconds, bytes, FLOP.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace assay::results_db {

enum class Provenance { measured, emulated, projected, derived, claimed };
const char* to_string(Provenance provenance);
Provenance provenance_from(const std::string& text);  // throws std::invalid_argument

struct MachineRecord {
  std::string id;    // content hash of the facts that identify it
  std::string name;  // host name
  std::string cpu;
  int cores = 0;
  std::int64_t memory_bytes = 0;
  std::string facts_json;  // everything captured: caches, governor, NUMA, GPUs, driver ...
};

struct BuildRecord {
  std::string id;  // content hash
  std::string commit;
  bool dirty = false;
  std::string compiler;
  std::string flags;
  std::string facts_json;
};

struct RunRecord {
  std::string id;          // UUID
  std::string suite;       // suite id or technique id
  std::string suite_toml;  // the suite as expanded, enough to run or resume it
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

// Identity: technique + backend + fabric + parameters (those equal to an axis's legacy default left out) + timer +
// cache.
struct CaseRecord {
  std::string technique;        // family/name
  std::string backend;          // cpu | cuda
  std::string fabric;           // "" | threads | emulated | mpi | nccl | cluster
  std::string parameters_json;  // canonical: keys sorted, no spaces
  std::string timer = "host";   // host | event | graph | cupti | virtual
  std::string cache = "hot";    // hot | cold
  std::string key;              // readable: technique backend[/fabric] a=1 b=2 [timer] [cache]; unique
};

enum class Status { ok, failed, skipped };
const char* to_string(Status status);
Status status_from(const std::string& text);  // throws std::invalid_argument

struct Metric {
  std::string name;  // from the registry of metrics: time, flops_rate, comm_bytes ...
  double value = 0;
  std::string unit;
  Provenance provenance = Provenance::measured;
  std::optional<double> low, high;  // interval, where there is one
};

struct BreakdownPart {
  std::string component;  // compute, exposed_comm, softmax ...
  std::string kind;       // time | energy | bytes
  double value = 0;
  Provenance provenance = Provenance::derived;
};

struct IntervalRecord {
  std::string lane;  // rank 3 / compute
  std::string name;
  std::int64_t start_ps = 0;
  std::int64_t end_ps = 0;
  // Of half a message, else as here:
  std::string peer = {};  // the rank at its other end, as lanes name it ("rank 4")
  std::int64_t bytes = 0;
  std::string link = {};        // what carries it: node, network, shared memory, MPI ...
  std::int64_t posted_ps = 0;   // when the program asked for it
  std::int64_t exposed_ps = 0;  // how long its rank stood waiting for it
};

// One kernel on a device, from an activity pass (never from a timing launch).
struct KernelRecord {
  std::string name;
  std::string stream;
  std::int64_t start_ns = 0;
  std::int64_t duration_ns = 0;
  std::string launch_json;  // grid, block, registers, shared bytes ...
};

// What is left of a launch's samples when the raw ones are pruned. Warm-up is left out. The store makes it; a reader
// finds it in every launch that had samples.
struct Distribution {
  std::int64_t n = 0;
  double minimum = 0, maximum = 0, mean = 0, deviation = 0;  // deviation: sample standard deviation, 0 for n = 1
  double median = 0;
  std::vector<double> quantiles;  // at distribution_levels(), interpolated linearly (type 7)
  // Log-linear histogram, kept from pruning on: (bucket, count), 64 buckets an octave; bucket_low() gives the edges.
  std::vector<std::pair<std::int32_t, std::int64_t>> histogram;
};

// What one process found out about one case.
struct LaunchRecord {
  std::string run;
  std::int64_t case_id = 0;
  int ordinal = 0;  // 0, 1, 2 ... within (run, case)
  Status status = Status::ok;
  std::string reason;  // of a failure or skip
  std::string stderr_tail;
  std::string stop_reason;  // noise | budget | samples | fixed
  std::int64_t started_ns = 0;
  double wall_seconds = 0;
  int pid = 0;
  std::int64_t batch = 1;                  // iterations one sample averages
  std::vector<double> samples;             // seconds per iteration, in the order taken; warm-up first
  int warmup = 0;                          // how many leading samples are warm-up
  std::vector<float> sample_clock_hz;      // parallel to samples where readable, else empty
  std::vector<std::int64_t> sample_at_ns;  // time of day of each sample; parallel or empty
  std::vector<Metric> metrics;
  std::vector<BreakdownPart> breakdown;
  std::vector<IntervalRecord> intervals;
  std::string code_hash;                     // of the implementation
  std::string descriptors_json;              // {"device:a100-80g-sxm": "<hash>", ...} of projected rows
  std::string environment_json;              // load, throttling, flags at this launch
  std::vector<KernelRecord> kernels;         // of an activity pass
  std::optional<Distribution> distribution;  // filled by the store; ignored when appending
};

// A launch without its samples, timeline and texts: what tables, trends and verdicts are made of.
struct LaunchSummary {
  std::int64_t id = 0;
  std::string run;
  std::int64_t case_id = 0;
  int ordinal = 0;
  Status status = Status::ok;
  std::string reason;
  std::string stop_reason;
  std::int64_t started_ns = 0;
  std::int64_t batch = 1;
  std::optional<Distribution> distribution;  // without histogram
  std::vector<Metric> metrics;
  std::string code_hash;
  bool has_samples = false;  // raw samples still there
};

// The launches of one case in one run, for trends: oldest run first.
struct HistoryPoint {
  std::string run;
  std::int64_t started_ns = 0;
  std::string commit;
  std::vector<double> medians;  // one a launch, ordinal order
};

// What the gate found out about one case in one run.
struct GateRecord {
  std::string run;
  std::int64_t case_id = 0;
  Status status = Status::ok;
  std::string reason;
  double coverage = 0;  // share of the output compared with the oracle
  double error = 0;     // largest error found, in the units of its tolerance: <= 1 passes
  double wall_seconds = 0;
  int mutants_total = 0;
  int mutants_caught = 0;
  std::string detail_json;
};

struct VerdictRecord {
  std::string claim;
  std::string verdict;  // reproduced | exceeded | partial | contradicted | not reproduced | untestable
  std::string reason;
  std::optional<double> ours, ours_low, ours_high;
  double paper = 0;
  std::string provenance;
  std::string fragile;  // constants that flip it, comma separated
  std::string inputs_hash;
  std::string detail_json;
  std::int64_t at_ns = 0;
};

struct DescriptorRecord {
  std::string hash;  // content hash of `content`
  std::string kind;  // device | cluster | model
  std::string id;
  std::string content;
};

// A [[configuration]] row of suites/claims.
struct ConfigurationRecord {
  std::string id;
  std::string model, device, cluster;
  int ranks = 1;
  std::string dtype, workload;
  std::string axes_json;
  std::vector<std::string> assumed;  // rows of the table assumption
};

// A [[claim]] row of suites/claims.
struct ClaimRecord {
  std::string id;  // full technique id # key
  std::string technique;
  std::string baseline;
  std::string quantity, form, bound, unit;
  std::optional<double> value, low, high;
  std::vector<std::string> configurations;
  std::string kind, source, group;
  std::string published, paper, arxiv, where, note;
  std::vector<std::string> flags;
};

struct AlertRecord {
  std::int64_t id = 0;
  std::string run;
  std::int64_t case_id = 0;
  std::string kind;  // regression | improvement | change point
  std::string metric;
  std::optional<double> effect, probability;
  std::string outcome;  // open | confirmed | noise | fixed
  std::string note;
  std::int64_t at_ns = 0;
};

// A file that belongs to a run: a trace, a log, a report.
struct ArtifactRecord {
  std::string run;
  std::string name;
  std::string kind;
  std::string hash;
  std::string content;  // empty when it lies outside, at `path`
  std::string path;
};

}  // namespace assay::results_db
