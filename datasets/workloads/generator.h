#pragma once
// Seeded request traces fitted on published statistics, for when the trace itself is not at hand.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/workloads/request_trace.h"

namespace assay::datasets {

// What a generated trace is drawn from. Lengths: quantile tables at quantile_levels(), interpolated in the logarithm,
// input and output coupled by a Gaussian copula. Arrivals: requests in each minute (uniform inside it, as a Poisson
// process is given its count), or without a profile a Poisson process of rate 1/s.
struct Workload {
  std::string name;
  std::string fitted_on;
  std::vector<double> input_quantiles, output_quantiles;
  double rank_correlation = 0;         // Spearman, of input and output lengths
  std::int64_t longest = 0;            // input and output together; longer pairs are drawn again. 0: no limit
  std::vector<int> requests_a_minute;  // empty: Poisson
  std::string file;                    // of the trace itself, below datasets/workloads
};

const std::vector<double>& quantile_levels();
const std::vector<Workload>& workloads();
const Workload* find_workload(std::string_view name);

// Request k depends on (name, seed, k) alone, so that asking for more requests keeps the first ones. count 0: as many
// as the trace it is fitted on has, or 4096. "constant:IN:OUT" gives every request the same lengths.
RequestTrace generate_trace(std::string_view name, std::int64_t count, std::uint64_t seed);

// The trace file's requests where <data_root>/workloads has it, else generated; `name` may also be a path.
RequestTrace load_trace(const std::string& name, std::int64_t count, std::uint64_t seed);

// Arrivals for a given rate (requests/s). Scaling keeps the order and the bursts; a Poisson process forgets them. Both
// take unit-rate arrivals over the rate, so that two rates, or two systems, see the same requests. rate 0: as recorded.
enum class ArrivalLaw { trace, poisson };
RequestTrace at_rate(RequestTrace trace, ArrivalLaw law, double rate, std::uint64_t seed);

double mean_rate(const RequestTrace& trace);  // requests/s between first and last arrival; 0 for a single instant

}  // namespace assay::datasets
