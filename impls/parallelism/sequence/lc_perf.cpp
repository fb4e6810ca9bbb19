// Challenges in Deploying Long-Context Transformers: A Theoretical Peak Performance Analysis (arXiv 2405.08944). A
// model of what a long context costs when it is served, at the datasheet peaks of a device: everything comes down to
// the size of the KV cache.
//
//   KV          2 l Hk d e bytes a token
//   prefill     (2 N S + l h S^2) / peak FLOP/s              N parameters; a strict causal count has 2 l h S^2
//   decode      n (N e + KV S) / memory bandwidth             below a batch of peak / bandwidth
//   users       floor((memory - N e) / (KV S))
//   switching   2 KV S / bandwidth to the host
//
// Nothing here is fitted: it is arithmetic on datasheets, and a bound that no system reaches. A device of "80 GB" has
// 80 GiB (nvidia-smi: 81920 MiB), which decides how many users fit.
#include "impls/parallelism/sequence/lc_perf.h"

#include <fmt/format.h>

#include <cmath>

#include "datasets/user_error.h"
#include "harness/claims/projection.h"
#include "harness/registry.h"
#include "harness/state.h"

namespace assay::parallelism {

namespace {
constexpr double kGigabyte = 1e9, kGibibyte = 1073741824;
}

LongContextCosts long_context_costs(const datasets::Model& model, const datasets::Device& device,
                                    const LongContext& c) {
  const double layers = model.at("layers"), hidden = model.at("hidden"), parameters = model.at("parameters");
  const double peak = device.at("peak_bf16"), bandwidth = device.at("memory_bandwidth");
  const double memory = device.at("memory_bytes") / kGigabyte * kGibibyte;
  const double weights = parameters * c.elements;
  LongContextCosts costs;
  costs.kv_bytes = 2 * layers * model.at("kv_heads") * model.at("head_dim") * c.elements * c.context;
  const double linear = 2 * parameters * c.context, quadratic = layers * hidden * c.context * c.context;
  costs.prefill_seconds = (linear + quadratic) / peak;
  costs.causal_prefill_seconds = (linear + 2 * quadratic) / peak;
  costs.decode_seconds = c.decoded * (weights + costs.kv_bytes) / bandwidth;
  costs.users = std::max(0.0, std::floor((memory - weights) / costs.kv_bytes));
  costs.critical_batch = peak / bandwidth;
  if (device.has("host_bandwidth")) costs.switch_seconds = 2 * costs.kv_bytes / device.at("host_bandwidth");
  return costs;
}

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using results_db::Provenance;

std::optional<Projection> project_lc_perf(const Setting& setting, const std::string& quantity) {
  if (!setting.model || !setting.device || !setting.axes.has("context")) return std::nullopt;
  for (const char* needed : {"layers", "hidden", "parameters", "kv_heads", "head_dim"})
    if (!setting.model->numbers.contains(needed)) return std::nullopt;
  const LongContextCosts costs =
      long_context_costs(*setting.model, *setting.device,
                         {.context = setting.axes.real("context"),
                          .decoded = setting.axes.has("tokens") ? setting.axes.real("tokens") : 0});
  Projection projection;
  projection.parts = {{"prefill", "none", costs.prefill_seconds},
                      {"prefill with all FLOPs of a causal mask", "none", costs.causal_prefill_seconds},
                      {"decode", "none", costs.decode_seconds},
                      {"switching two users", "none", costs.switch_seconds},
                      {"cache of a user (B)", "none", costs.kv_bytes}};
  projection.note = "datasheet peaks, nothing fitted; memory read as GiB; attention FLOPs as the paper counts them";
  if (quantity == "ttft")
    projection.value = costs.prefill_seconds;
  else if (quantity == "latency")
    projection.value = costs.decode_seconds;
  else if (quantity == "max_batch")
    projection.value = costs.users;
  else if (quantity == "kv_bytes")
    projection.value = costs.kv_bytes;
  else
    return std::nullopt;
  return projection;
}

void run(harness::State& state) {
  const std::string root = datasets::data_root();
  const datasets::Model model = datasets::load_model(state.text("model"), root);
  const datasets::Device device = datasets::load_device(state.text("device"), root);
  state.descriptor("model:" + model.id, model.hash);
  state.descriptor("device:" + device.id, device.hash);
  const LongContext context{.context = static_cast<double>(state.integer("context")),
                            .decoded = static_cast<double>(state.integer("decoded"))};
  const LongContextCosts costs = long_context_costs(model, device, context);
  if (costs.users < 1)
    throw UserError(fmt::format("context: found {}, expected less: no user's cache fits beside the weights on {}",
                                state.integer("context"), device.id));
  state.project([] {},
                [&] {
                  const auto metric = [&](const char* name, double value, const char* unit) {
                    state.report({name, value, unit, Provenance::derived, {}, {}});
                  };
                  metric("ttft", costs.prefill_seconds, "s");
                  metric("latency", costs.decode_seconds, "s");
                  metric("step_time", costs.decode_seconds / context.decoded, "s");
                  metric("max_batch", costs.users, "count");
                  metric("kv_bytes", costs.kv_bytes, "B");
                });
}

std::vector<harness::Axis> axes() {
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  const auto count = [](std::int64_t value) { return harness::Value(value); };
  return {{.name = "model", .defaults = {word("codellama-34b")}, .help = "model descriptor"},
          {.name = "device", .defaults = {word("a100-80g-sxm")}, .help = "device descriptor"},
          {.name = "context", .defaults = {count(4096), count(50000)}, .help = "tokens S of a prompt"},
          {.name = "decoded", .defaults = {count(250)}, .help = "tokens of an answer"}};
}

const harness::Registration registration({
    .id = "parallelism/sequence/lc-perf",
    .title = "Long-context peak performance",
    .paper = "arXiv 2405.08944",
    .summary = "prefill, decode, users and switching of long contexts at datasheet peaks; arithmetic, nothing runs",
    .implementations = {{.fabrics = {"cluster"}, .axes = axes(), .run = run, .source_file = __FILE__}},
    .project = project_lc_perf,
});

}  // namespace

}  // namespace assay::parallelism
