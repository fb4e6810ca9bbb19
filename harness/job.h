#pragma once
// What the runner asks of a worker process and what comes back, as JSON lines over pipes.
#include <cstdint>
#include <string>
#include <vector>

#include "harness/params.h"
#include "harness/state.h"
#include "harness/timing.h"
#include "results_db/records.h"

namespace assay::harness {

enum class JobKind {
  describe,  // declare work, draw nothing, time nothing
  gate,      // check against the oracle, run the mutants
  time,      // one launch
  activity,  // record what runs on the GPU, time nothing
  counters   // read the GPU's hardware counters over the region, time nothing
};

struct Job {
  JobKind kind = JobKind::time;
  std::string technique;  // full id
  std::string backend;
  std::string fabric;
  std::string timer;
  std::string cache;
  Params params;
  std::uint64_t seed = 0;
  TimingPlan plan;
  double mutant_budget_seconds = 2;  // mutants that would cost more are left out and the row says so
  std::vector<int> pin;              // CPUs; empty: not pinned
  bool report_progress = false;
  bool trace = false;  // kind time: one more run after the samples, for its timeline
};

struct Reply {
  results_db::Status status = results_db::Status::ok;
  std::string reason;
  bool user_error = false;  // the reason is a UserError: the suite or a parameter is wrong
  bool retire = false;      // the process is not to be used again: its device has failed
  bool projected = false;   // the technique never called measure(): nothing to time or gate
  Work work;
  results_db::LaunchRecord launch;  // kind time: samples, metrics, breakdown, intervals, descriptors
  results_db::GateRecord gate;      // kind gate
};

std::string to_json_line(const Job& job);
Job job_from_json(const std::string& line);
std::string to_json_line(const Reply& reply);
Reply reply_from_json(const std::string& line);

}  // namespace assay::harness
