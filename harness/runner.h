#pragma once
// Runs a suite: gate, roofs, launches in order, every launch stored before the next begins.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/job.h"
#include "harness/suite.h"
#include "harness/worker.h"
#include "results_db/store.h"

namespace assay::harness {

struct RunOptions {
  std::string command;  // as typed, for the record
  std::vector<std::string> tags;
  std::optional<std::uint64_t> seed;  // of inputs and of a random order; fresh when absent
  std::optional<std::string> resume;  // run id: only its missing launches
  bool gate = true;
  bool check_only = false;   // gate every case and time none
  bool activity = false;     // record what each case runs on the GPU; no gate, no times: a run of its own
  bool counters = false;     // read the GPU's hardware counters over each case; likewise
  bool ignore_load = false;  // run on a busy machine and flag the run
  double mutant_budget_seconds = 2;
  WorkerLimits limits;
  std::string program;       // worker executable; empty: this one
  std::string rank_program;  // of launched jobs; empty: beside `program`
  std::string launcher;      // of launched jobs, with its arguments; empty: found (harness/launcher.h)
};

struct Progress {
  enum class Phase { gate, launch };
  Phase phase = Phase::launch;
  std::size_t done = 0;   // jobs finished
  std::size_t total = 0;  // jobs of this run
  std::string case_key;
  double elapsed_seconds = 0;
  double remaining_seconds = 0;                        // estimate; 0: not known yet
  std::size_t samples = 0;                             // of the launch under way
  double half_width = 0;                               // its median's relative half-width
  const results_db::LaunchRecord* finished = nullptr;  // set once when a launch has been stored
  const results_db::GateRecord* gated = nullptr;       // set once when a gate has been stored
};

struct RunSummary {
  std::string run_id;
  bool interrupted = false;
  std::size_t jobs = 0;  // gates and launches done; of a resumed run only what was missing
  std::size_t cases = 0;
  std::size_t ok = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  std::vector<std::string> not_reached;  // keys of the cases that an interrupted run has nothing of
  std::vector<std::string> warnings;
};

// Throws UserError for what the user can mend (another run holds the machine, load above the suite's limit). SIGINT and
// SIGTERM end the run in order: what was measured stays, the run is marked interrupted.
RunSummary run_suite(results_db::Store& store, const Suite& suite, const RunOptions& options,
                     const std::function<void(const Progress&)>& progress = {});

// One launch of one case in a fresh process, not stored; nothing when a stop was requested (harness/signals.h).
std::optional<results_db::LaunchRecord> launch_once(const Case& item, int ordinal, std::uint64_t seed,
                                                    const RunOptions& options = {});

// How a worker for the case is started. UserError where nothing can start its ranks.
WorkerCommand worker_command(const Case& item, const RunOptions& options);

// A random UUID, as runs are named.
std::string fresh_run_id();

Job job_of(const Case& item, JobKind kind, std::uint64_t seed);

}  // namespace assay::harness
