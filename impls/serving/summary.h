#pragma once
// What a run of requests is summed up as. Definitions, with t_1 .. t_n the times of a request's n tokens:
//   TTFT        t_1 - arrival, queueing included, seen at the engine
//   TBT         t_(i+1) - t_i, pooled over all tokens of all requests; and each request's longest
//   TPOT        (t_n - t_1) / (n - 1); requests of one token are left out of its statistics and pass its objective
//   E2E         t_n - arrival;  normalized latency: E2E / n
//   delay       first scheduled - arrival
//   throughput  over the time from the first arrival to the last completion
//   attainment  share of all requests with TTFT <= s1 and TPOT <= s2 (joint); a rejected request misses
// Percentiles interpolate linearly between order statistics (as numpy does by default).
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/workloads/request_trace.h"
#include "impls/serving/engine.h"

namespace assay::serving {

struct Objectives {
  double ttft = 2.0;  // s
  double tpot = 0.1;  // s
};

struct Statistic {
  std::int64_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, most = 0;  // s; 0 without samples
  bool operator==(const Statistic&) const = default;
};

struct Summary {
  Statistic ttft, tbt, longest_tbt, tpot, e2e, normalized, delay;
  double duration = 0;                                                         // s
  double request_throughput = 0, output_throughput = 0, total_throughput = 0;  // 1/s, tokens/s
  double steady_output_throughput = 0;  // tokens of requests that ended in the middle 80% of the time
  double attainment = 0;                // joint
  double ttft_attainment = 0, tpot_attainment = 0;
  bool percentiles_hold = false;  // the weaker form: P90 of TTFT and P90 of TPOT inside their objectives
  double good_throughput = 0;     // requests inside both objectives / duration
  std::int64_t completed = 0, rejected = 0, single_token = 0, preemptions = 0;
  bool operator==(const Summary&) const = default;
};

// q in [0, 1] of `count`-fold samples; they are put in order. 0 without samples.
double percentile(std::span<Gap> samples, double q);
double percentile(std::span<double> samples, double q);

// When a request's wait began: an engine that starts the clock at the first iteration instead hides its queue.
enum class ClockStart { arrival, scheduled };
Summary summarize(const EngineRun& run, const datasets::RequestTrace& trace, const Objectives& objectives,
                  ClockStart start = ClockStart::arrival);

}  // namespace assay::serving
