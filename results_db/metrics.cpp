#include "results_db/metrics.h"

#include <algorithm>
#include <array>

namespace assay::results_db {
namespace {

constexpr std::array registry = {
    MetricDefinition{"acceptance_length", "token", Better::higher, "tokens accepted a step"},
    MetricDefinition{"acceptance_rate", "1", Better::higher, "tokens accepted / drafted"},
    MetricDefinition{"accuracy", "1", Better::higher, "share right"},
    MetricDefinition{"activation_bytes", "B", Better::lower, "activations kept"},
    MetricDefinition{"area", "m2", Better::lower, "silicon area"},
    MetricDefinition{"attainment", "1", Better::higher, "share of requests inside all their objectives"},
    MetricDefinition{"bandwidth", "B/s", Better::higher, "payload bytes / time"},
    MetricDefinition{"bubble_fraction_makespan", "1", Better::lower, "idle / makespan"},
    MetricDefinition{"bubble_fraction_span", "1", Better::lower, "idle / span of a stage"},
    MetricDefinition{"bus_bandwidth", "B/s", Better::higher,
                     "bytes over the slowest link / time, as collectives are compared"},
    MetricDefinition{"bytes", "B", Better::neither, "declared least bytes of one iteration"},
    MetricDefinition{"bytes_rate", "B/s", Better::higher, "declared least bytes / time"},
    MetricDefinition{"capacity", "request/s", Better::higher,
                     "highest rate with P99 of TBT and median scheduling delay inside their limits"},
    MetricDefinition{"clock", "Hz", Better::neither, "core clock while sampling"},
    MetricDefinition{"comm_bytes", "B", Better::lower, "payload bytes sent, counted at the rank interface"},
    MetricDefinition{"comm_fraction", "1", Better::lower, "comm_time / time"},
    MetricDefinition{"comm_messages", "count", Better::lower, "messages sent, counted at the rank interface"},
    MetricDefinition{"comm_time", "s", Better::lower, "time links are busy"},
    MetricDefinition{"cost", "1", Better::lower, "cost in the unit of the case"},
    MetricDefinition{"count", "count", Better::neither, "a count"},
    MetricDefinition{"cpu_time", "s", Better::lower, "processor time of one iteration, all threads"},
    MetricDefinition{"cycles", "cycle", Better::lower, "clock cycles of one iteration"},
    MetricDefinition{"device_flops", "FLOP/s", Better::higher, "model FLOPs / time / devices"},
    MetricDefinition{"dram_bytes", "B", Better::lower, "bytes moved to and from device memory"},
    MetricDefinition{"e2e_latency", "s", Better::lower, "from arrival to last token"},
    MetricDefinition{"e2e_latency_p50", "s", Better::lower, "median over requests"},
    MetricDefinition{"e2e_latency_p99", "s", Better::lower, "99th percentile over requests"},
    MetricDefinition{"energy", "J", Better::lower, "energy of one iteration"},
    MetricDefinition{"energy_gain_over_gpu_framework", "1", Better::higher,
                     "energy of the GPU under an eager framework / energy"},
    MetricDefinition{"energy_gain_over_gpu_roofline", "1", Better::higher,
                     "energy of the GPU at its roofline / energy"},
    MetricDefinition{"energy_per_token", "J/token", Better::lower, "energy / tokens"},
    MetricDefinition{"error_max", "1", Better::lower, "largest error against the oracle"},
    MetricDefinition{"error_rmse", "1", Better::lower, "root mean square of the error against the oracle"},
    MetricDefinition{"expert_bytes", "B", Better::lower, "bytes of expert weights moved"},
    MetricDefinition{"exposed_comm_fraction", "1", Better::lower, "communication not hidden / time"},
    MetricDefinition{"exps_rate", "1/s", Better::higher, "declared exponentials / time"},
    MetricDefinition{"flops", "FLOP", Better::neither, "declared useful FLOPs of one iteration"},
    MetricDefinition{"flops_rate", "FLOP/s", Better::higher, "declared useful FLOPs / time"},
    MetricDefinition{"flops_rate_issued", "FLOP/s", Better::higher, "FLOPs the schedule executes (whole tiles) / time"},
    MetricDefinition{"good_throughput", "request/s", Better::higher,
                     "requests inside their objectives / time, at the rate of the case"},
    MetricDefinition{"goodput", "request/s", Better::higher,
                     "highest rate a device with 90% of requests inside all their objectives"},
    MetricDefinition{"hfu", "1", Better::higher, "executed FLOPs / (time x peak)"},
    MetricDefinition{"hit_rate", "1", Better::higher, "hits / look-ups"},
    MetricDefinition{"instruction_rate", "1/cycle", Better::higher, "instructions / cycles"},
    MetricDefinition{"intensity", "FLOP/B", Better::neither, "declared FLOPs / declared bytes"},
    MetricDefinition{"io_bytes", "B", Better::lower, "bytes read and written outside the compute units"},
    MetricDefinition{"items_rate", "1/s", Better::higher, "items processed / time"},
    MetricDefinition{"iterations", "count", Better::neither, "iterations of the engine"},
    MetricDefinition{"kv_bytes", "B", Better::lower, "key-value cache"},
    MetricDefinition{"kv_utilization", "1", Better::neither, "key-value blocks in use / blocks, mean over time"},
    MetricDefinition{"l2_hit_rate", "1", Better::higher, "sectors found in the GPU's L2 cache / sectors asked for"},
    MetricDefinition{"latency", "s", Better::lower, "from request to answer"},
    MetricDefinition{"load_imbalance", "1", Better::lower, "largest load / mean load"},
    MetricDefinition{"load_time", "s", Better::lower, "reading a checkpoint or model"},
    MetricDefinition{"loss", "1", Better::lower, "mean negative log-likelihood"},
    MetricDefinition{"max_batch", "count", Better::higher, "largest batch that fits"},
    MetricDefinition{"max_model", "parameter", Better::higher, "largest model that fits"},
    MetricDefinition{"max_sequence", "token", Better::higher, "longest sequence that fits"},
    MetricDefinition{"memory_peak", "B", Better::lower, "highest of the memory ledger, one rank"},
    MetricDefinition{"memory_roof_share", "1", Better::higher,
                     "bytes_rate / memory roof at the case's working-set size"},
    MetricDefinition{"memory_state", "B", Better::lower, "parameters, gradients and optimizer state, one rank"},
    MetricDefinition{"mfu", "1", Better::higher, "model FLOPs / (time x peak)"},
    MetricDefinition{"normalized_latency", "s/token", Better::lower, "E2E latency / output tokens, mean over requests"},
    MetricDefinition{"operator_time", "s", Better::lower, "one operator"},
    MetricDefinition{"overhead", "1", Better::lower, "extra time / time without"},
    MetricDefinition{"overlap_fraction", "1", Better::higher, "communication hidden / comm_time"},
    MetricDefinition{"parameters", "parameter", Better::neither, "parameters of the model"},
    MetricDefinition{"perplexity", "1", Better::lower, "exp(loss)"},
    MetricDefinition{"power", "W", Better::lower, "energy / time"},
    MetricDefinition{"preemptions", "count", Better::lower, "sequences that lost their blocks while running"},
    MetricDefinition{"recomputed_tokens", "token", Better::lower, "tokens prefilled again after a preemption"},
    MetricDefinition{"recovery_time", "s", Better::lower, "from failure to progress"},
    MetricDefinition{"rejected", "count", Better::lower, "requests that can never be served"},
    MetricDefinition{"request_throughput", "request/s", Better::higher, "completed requests / time"},
    MetricDefinition{"roof", "", Better::higher, "a probed roof of this machine"},
    MetricDefinition{"roof_share", "1", Better::higher,
                     "flops_rate / the compute or memory roof that binds, probed in the same run"},
    MetricDefinition{"save_time", "s", Better::lower, "writing a checkpoint"},
    MetricDefinition{"scaling_efficiency", "1", Better::higher, "speed-up / ranks"},
    MetricDefinition{"scheduling_delay_p50", "s", Better::lower, "from arrival to first iteration, median"},
    MetricDefinition{"scheduling_delay_p99", "s", Better::lower, "from arrival to first iteration, 99th percentile"},
    MetricDefinition{"second_roof_share", "1", Better::higher, "flops_rate / the second roof the case names"},
    MetricDefinition{"single_token_requests", "count", Better::neither, "requests without a time between tokens"},
    MetricDefinition{"slo_scale", "1", Better::lower, "tightest scale of the objectives still met"},
    MetricDefinition{"solve_time", "s", Better::lower, "finding a plan"},
    MetricDefinition{"sparsity", "1", Better::higher, "share left out"},
    MetricDefinition{"speedup_over_gpu_framework", "1", Better::higher,
                     "time of the GPU under an eager framework / time"},
    MetricDefinition{"speedup_over_gpu_roofline", "1", Better::higher, "time of the GPU at its roofline / time"},
    MetricDefinition{"stall_time", "s", Better::lower, "time work stands still"},
    MetricDefinition{"step_time", "s", Better::lower, "one training or decoding step"},
    MetricDefinition{"survival_probability", "1", Better::higher, "probability that no state is lost"},
    MetricDefinition{"switch_time", "s", Better::lower, "changing model or plan"},
    MetricDefinition{"tbt", "s", Better::lower, "time between tokens, pooled over all tokens"},
    MetricDefinition{"tbt_longest_p99", "s", Better::lower,
                     "each request's longest time between tokens, 99th percentile"},
    MetricDefinition{"tbt_p50", "s", Better::lower, "median over all tokens"},
    MetricDefinition{"tbt_p99", "s", Better::lower, "99th percentile over all tokens"},
    MetricDefinition{"tensor_active", "1", Better::higher,
                     "cycles in which the GPU's matrix units work / cycles, mean over multiprocessors"},
    MetricDefinition{"throughput", "", Better::higher, "work done / time, in the unit of the case"},
    MetricDefinition{"time", "s", Better::lower,
                     "time of one iteration; a launch's value is the median of its samples without warm-up"},
    MetricDefinition{"total_throughput", "token/s", Better::higher, "input and output tokens / time"},
    MetricDefinition{"tpot", "s", Better::lower, "time per output token after the first"},
    MetricDefinition{"tpot_p50", "s", Better::lower, "median over requests"},
    MetricDefinition{"tpot_p90", "s", Better::lower, "90th percentile over requests"},
    MetricDefinition{"tpot_p99", "s", Better::lower, "99th percentile over requests"},
    MetricDefinition{"traffic_reduction", "1", Better::higher,
                     "bytes a conventional memory moves / bytes over the pins"},
    MetricDefinition{"train_time", "s", Better::lower, "a whole training"},
    MetricDefinition{"ttft", "s", Better::lower, "time to the first token"},
    MetricDefinition{"ttft_p50", "s", Better::lower, "median over requests"},
    MetricDefinition{"ttft_p90", "s", Better::lower, "90th percentile over requests"},
    MetricDefinition{"ttft_p99", "s", Better::lower, "99th percentile over requests"},
    MetricDefinition{"utilization", "1", Better::higher, "busy / available"},
    MetricDefinition{"wall_time", "s", Better::lower, "wall-clock time of the whole launch"},
};
static_assert(std::is_sorted(registry.begin(), registry.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));

}  // namespace

std::span<const MetricDefinition> metric_registry() { return registry; }

const MetricDefinition* find_metric(std::string_view name) {
  const auto* found =
      std::lower_bound(registry.begin(), registry.end(), name,
                       [](const MetricDefinition& metric, std::string_view key) { return metric.name < key; });
  return found != registry.end() && found->name == name ? found : nullptr;
}

const char* to_string(Better better) {
  switch (better) {
    case Better::lower:
      return "lower";
    case Better::higher:
      return "higher";
    case Better::neither:
      return "none";
  }
  return "none";
}

}  // namespace assay::results_db
