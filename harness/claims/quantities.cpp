#include "harness/claims/quantities.h"

#include <algorithm>

namespace assay::harness::claims {

const std::vector<Quantity>& quantities() {
  static const std::vector<Quantity> all{
      {"throughput", Better::more},
      {"latency", Better::less},
      {"ttft", Better::less},
      {"tbt", Better::less},
      {"tpot", Better::less},
      {"e2e_latency", Better::less},
      {"goodput", Better::more},
      {"slo_scale", Better::less},
      {"step_time", Better::less},
      {"operator_time", Better::less},
      {"train_time", Better::less},
      {"mfu", Better::more},
      {"hfu", Better::more},
      {"device_flops", Better::more},
      {"bandwidth", Better::more},
      {"bus_bandwidth", Better::more},
      {"memory_peak", Better::less},
      {"memory_state", Better::less},
      {"kv_bytes", Better::less},
      {"activation_bytes", Better::less},
      {"comm_bytes", Better::less},
      {"comm_messages", Better::less},
      {"comm_time", Better::less},
      {"comm_fraction", Better::less},
      {"exposed_comm_fraction", Better::less},
      {"overlap_fraction", Better::more},
      {"bubble_fraction_span", Better::less},
      {"bubble_fraction_makespan", Better::less},
      {"max_sequence", Better::more},
      {"max_batch", Better::more},
      {"max_model", Better::more},
      {"utilization", Better::more},
      {"energy", Better::less},
      {"energy_per_token", Better::less},
      {"power", Better::less},
      {"area", Better::less},
      {"cycles", Better::less},
      {"instruction_rate", Better::more},
      {"dram_bytes", Better::less},
      {"expert_bytes", Better::less},
      {"io_bytes", Better::less},
      {"flops", Better::less},
      {"parameters", Better::less},
      {"acceptance_length", Better::more},
      {"acceptance_rate", Better::more},
      {"hit_rate", Better::more},
      {"load_imbalance", Better::less},
      {"sparsity", Better::more},
      {"recovery_time", Better::less},
      {"stall_time", Better::less},
      {"save_time", Better::less},
      {"load_time", Better::less},
      {"survival_probability", Better::more},
      {"switch_time", Better::less},
      {"solve_time", Better::less},
      {"scaling_efficiency", Better::more},
      {"accuracy", Better::more},
      {"perplexity", Better::less},
      {"loss", Better::less},
      {"error_rmse", Better::less},
      {"error_max", Better::less},
      {"overhead", Better::less},
      {"cost", Better::less},
      {"count", Better::more},
  };
  return all;
}

const Quantity* find_quantity(std::string_view name) {
  const auto& all = quantities();
  const auto at = std::find_if(all.begin(), all.end(), [&](const Quantity& held) { return held.name == name; });
  return at == all.end() ? nullptr : &*at;
}

const std::vector<std::string_view>& units() {
  static const std::vector<std::string_view> all{
      "1",       "s", "B",       "B/s", "FLOP", "FLOP/s", "token",   "token/s",   "sample/s", "request/s",
      "frame/s", "J", "J/token", "W",   "m2",   "cycle",  "1/cycle", "parameter", "count",
  };
  return all;
}

const std::vector<std::string_view>& families() {
  static const std::vector<std::string_view> all{
      "attention",
      "parallelism/sequence",
      "parallelism/pipeline",
      "parallelism/data",
      "parallelism/tensor",
      "parallelism/hybrid",
      "parallelism/diffusion",
      "parallelism/graph",
      "moe",
      "serving",
      "hardware",
      "memory",
      "resilience",
      "rl",
      "hpc",
  };
  return all;
}

bool is_technique_id(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return false;
  const auto& all = families();
  if (std::find(all.begin(), all.end(), text.substr(0, slash)) == all.end()) return false;
  const std::string_view name = text.substr(slash + 1);
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && plain(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '.' || c == '+' || c == '-'; });
}

}  // namespace assay::harness::claims
