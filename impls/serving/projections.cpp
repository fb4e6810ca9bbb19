// What the serving papers' configurations come to on the modelled devices. The settings that the papers leave open are
// those of Sarathi-Serve's published artifact: requests of a trial, longest sequence, rate of the ablation.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "datasets/user_error.h"
#include "datasets/workloads/generator.h"
#include "harness/registry.h"
#include "impls/serving/capacity.h"
#include "impls/serving/pipeline.h"
#include "impls/serving/schedulers.h"

namespace assay::serving {
namespace {

using harness::Registration;
using harness::claims::Projection;
using harness::claims::Setting;

constexpr double kMemoryShare = 0.9;      // vLLM's default, which Sarathi-Serve inherits
constexpr std::int64_t kRequests = 2048;  // of a trial, unless the configuration says otherwise
constexpr std::uint64_t kSeed = 1;
constexpr std::int64_t kDecodeBatch = 32, kDecodeContext = 4096;  // the iteration the paper scales its objectives from

std::int64_t whole(const Setting& setting, std::string_view axis, std::int64_t otherwise) {
  return setting.axes.has(axis) ? setting.axes.integer(axis) : otherwise;
}

// An axis of both sides of a ratio, which the baseline may have otherwise.
std::int64_t of_side(const Setting& setting, const std::string& axis, std::int64_t otherwise) {
  const std::int64_t both = whole(setting, axis, otherwise);
  return setting.role == "baseline" ? whole(setting, "baseline_" + axis, both) : both;
}

std::optional<Deployment> deployment_of(const Setting& setting, HostCost host) {
  if (!setting.model || !setting.device) return std::nullopt;
  Deployment deployment{.model = *setting.model, .device = *setting.device};
  deployment.tensor = static_cast<int>(of_side(setting, "tensor", 1));
  deployment.pipeline = static_cast<int>(of_side(setting, "pipeline", 1));
  if (deployment.tensor * deployment.pipeline > 1) {
    if (!setting.cluster) return std::nullopt;
    deployment.cluster = *setting.cluster;
  }
  if (!setting.dtype.empty()) deployment.dtype = substrate::op_dtype(setting.dtype);
  deployment.host = host;
  return deployment;
}

struct Load {
  datasets::RequestTrace trace;
  EngineOptions options;
  Deployment deployment;
};

// The requests and the engine of a configuration under one of the schedulers. `budget` 0: whole prompts.
std::optional<Load> load_of(const Setting& setting, Plan (*schedule)(Engine&), std::int64_t budget,
                            bool reserves = false) {
  const datasets::Workload* workload = datasets::find_workload(setting.workload);
  auto deployment = deployment_of(setting, HostCost::sync);
  if (workload == nullptr || workload->longest == 0 || !deployment) return std::nullopt;
  Load load;
  load.trace = datasets::generate_trace(workload->name, whole(setting, "requests", kRequests), kSeed);
  load.options.schedule = schedule;
  load.options.block_tokens = static_cast<int>(whole(setting, "block", 16));
  load.options.max_tokens = budget > 0 ? budget : workload->longest;
  load.options.max_sequences = static_cast<int>(of_side(setting, "batch_cap", 128));
  if (reserves) load.options.reserved_tokens = workload->longest;
  load.options.blocks = kv_blocks(*deployment, kMemoryShare, load.options.block_tokens, load.options.max_tokens,
                                  load.options.max_sequences);
  load.deployment = std::move(*deployment);
  return load;
}

std::string load_note(const Load& load) {
  std::string note = fmt::format("{} requests, Poisson, {}; host work of a Python engine, synchronous",
                                 load.trace.requests.size(), load.trace.origin);
  if (load.deployment.pipeline > 1)
    note += fmt::format("; {} stages, an engine each with its share of requests, blocks and places",
                        load.deployment.pipeline);
  return note;
}

// Searches are the dear part, claims share them, and the machines they are repeated on differ by one constant. Answers
// are kept by all they follow from; nothing but the number of rates tried depends on what was asked before.
struct Answers {
  std::mutex guard;
  std::map<std::string, Projection> whole;
  std::map<std::string, double> first_rate;
};
Answers& answers() {
  static Answers kept;
  return kept;
}

// What is asked, but for the constants of the machines.
std::string question_of(const Setting& setting, const Load& load) {
  const EngineOptions& options = load.options;
  const Deployment& on = load.deployment;
  return fmt::format("{} {} {} | {} {} {} {} {} {} | {} {} {} x {} {} {} | {} {}", load.trace.name,
                     load.trace.requests.size(), reinterpret_cast<std::uintptr_t>(options.schedule), options.max_tokens,
                     options.max_sequences, options.block_tokens, options.blocks, options.reserved_tokens,
                     setting.workload, on.model.id, on.model.hash, on.tensor, on.pipeline, on.device.id, on.cluster.id,
                     setting.axes.real("slo_tbt"), setting.axes.real("slo_delay")) +
         fmt::format(" {}", to_string(on.dtype));
}
std::string constants_of(const Deployment& deployment) {
  std::string text;
  for (const auto& [key, constant] : deployment.device.constants) text += fmt::format(" {}={:a}", key, constant.value);
  for (const auto& [key, constant] : deployment.cluster.constants) text += fmt::format(" {}={:a}", key, constant.value);
  for (const auto& [key, value] : deployment.model.numbers) text += fmt::format(" {}={:a}", key, value);
  return text;
}

// Sarathi-Serve's capacity: the highest rate with P99 of TBT and the median scheduling delay inside their limits.
std::optional<Projection> capacity(const Setting& setting, Plan (*schedule)(Engine&), std::int64_t budget,
                                   bool reserves = false) {
  if (!setting.axes.has("slo_tbt") || !setting.axes.has("slo_delay")) return std::nullopt;
  const auto load = load_of(setting, schedule, budget, reserves);
  if (!load) return std::nullopt;
  // The first answer to a question tells where those on moved constants are.
  Answers& known = answers();
  const std::lock_guard lock(known.guard);
  const std::string question = question_of(setting, *load), all = question + constants_of(load->deployment);
  if (const auto same = known.whole.find(all); same != known.whole.end()) return same->second;
  double& near = known.first_rate[question];
  IterationTime time(load->deployment);
  const RateSearch found =
      highest_rate(load->trace, time, load->options,
                   capacity_limit(setting.axes.real("slo_tbt"), setting.axes.real("slo_delay")), {.near = near});
  if (found.rate == 0) throw UserError("the objectives are not met at any rate");
  Projection projection;
  projection.value = found.rate;
  if (near == 0) {  // what stands behind the rate is told of the machine as it is
    near = found.rate;
    const auto at = datasets::at_rate(load->trace, datasets::ArrivalLaw::trace, found.rate, kSeed);
    const Summary summary = summarize(serve(at, time, load->options), at, {});
    projection.parts = {{"P99 of TBT at that rate (s)", "none", summary.tbt.p99},
                        {"median scheduling delay at that rate (s)", "none", summary.delay.p50},
                        {"output tokens a second", "none", summary.output_throughput}};
  }
  projection.inside_domain = time.inside_domain();
  projection.note = load_note(*load);
  known.whole.emplace(all, projection);
  return projection;
}

std::optional<Projection> between_tokens(const Setting& setting) {
  if (!setting.axes.has("variant") || !setting.axes.has("rate")) return std::nullopt;
  const std::string& variant = setting.axes.text("variant");
  const std::int64_t chunk = whole(setting, "chunk", 512);
  const bool hybrid_only = variant == "hybrid-only", chunks_only = variant == "chunk-only";
  if (!hybrid_only && !chunks_only && variant != "both") return std::nullopt;
  const auto load = load_of(setting, chunks_only ? schedule_chunks_only : schedule_sarathi, hybrid_only ? 0 : chunk);
  if (!load) return std::nullopt;
  const auto at = datasets::at_rate(load->trace, datasets::ArrivalLaw::trace, setting.axes.real("rate"), kSeed);
  IterationTime time(load->deployment);
  const Summary summary = summarize(serve(at, time, load->options), at, {});
  Projection projection;
  projection.value = summary.tbt.p99;
  projection.parts = {{"median TTFT (s)", "none", summary.ttft.p50}, {"median TBT (s)", "none", summary.tbt.p50}};
  projection.inside_domain = time.inside_domain();
  projection.note = load_note(*load);
  return projection;
}

// Device time of a prompt in chunks of `chunk` tokens.
Picoseconds prompt_time(IterationTime& time, std::int64_t prompt, std::int64_t chunk) {
  Picoseconds sum = 0;
  for (std::int64_t done = 0; done < prompt;) {
    const std::int64_t tokens = std::min(chunk, prompt - done);
    done += tokens;
    sum += time.linear(tokens) + time.prefill({tokens, done}) + time.head(done == prompt ? 1 : 0);
  }
  return sum;
}

// "2047|4095" of an axis.
std::vector<std::int64_t> listed(const std::string& text) {
  std::vector<std::int64_t> values;
  const char* at = text.data();
  const char* end = text.data() + text.size();
  while (at < end) {
    std::int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1) return {};
    values.push_back(value);
    at = next < end && *next == '|' ? next + 1 : end;
  }
  return values;
}

// Chunked over whole prefill time, less one; the worst of the prompts.
std::optional<Projection> prefill_overhead(const Setting& setting) {
  const auto deployment = deployment_of(setting, HostCost::none);
  if (!deployment || !setting.axes.has("prompt") || !setting.axes.has("chunk")) return std::nullopt;
  IterationTime time(*deployment);
  Projection projection{.value = -1, .note = "device time of one prompt alone"};
  for (const std::int64_t prompt : listed(setting.axes.text("prompt"))) {
    const auto chunked = static_cast<double>(prompt_time(time, prompt, setting.axes.integer("chunk")));
    const double overhead = chunked / static_cast<double>(prompt_time(time, prompt, prompt)) - 1;
    projection.parts.push_back({fmt::format("prompt of {}", prompt), "gemm", overhead});
    projection.value = std::max(projection.value, overhead);
  }
  projection.inside_domain = time.inside_domain();
  return projection.parts.empty() ? std::nullopt : std::optional(projection);
}

// One chunk as an iteration of its own.
std::optional<Projection> chunk_latency(const Setting& setting) {
  const auto deployment = deployment_of(setting, HostCost::none);
  const char* axis = setting.role == "baseline" ? "baseline_chunk" : "chunk";
  if (!deployment || !setting.axes.has("baseline_chunk")) return std::nullopt;
  IterationTime time(*deployment);
  const std::int64_t chunk = setting.axes.integer(axis);
  Projection projection{.value = substrate::to_seconds(prompt_time(time, chunk, chunk)),
                        .note = "device time of one chunk alone"};
  projection.inside_domain = time.inside_domain();
  return projection;
}

// Decodes alone, or (the baseline's) with a whole prompt beside them; the worst of the prompts.
std::optional<Projection> iteration_with_prompt(const Setting& setting, bool with_prompt) {
  const auto deployment = deployment_of(setting, HostCost::none);
  if (!deployment || !setting.axes.has("prompt")) return std::nullopt;
  IterationTime time(*deployment);
  const Picoseconds decodes = time.decode(kDecodeBatch, kDecodeBatch * (kDecodeContext + 1));
  Projection projection;
  projection.value = substrate::to_seconds(decodes + time.linear(kDecodeBatch) + time.head(kDecodeBatch));
  if (with_prompt)
    for (const std::int64_t prompt : listed(setting.axes.text("prompt"))) {
      const double hybrid = substrate::to_seconds(decodes + time.linear(kDecodeBatch + prompt) +
                                                  time.prefill({prompt, prompt}) + time.head(kDecodeBatch + 1));
      projection.parts.push_back({fmt::format("prompt of {}", prompt), "gemm", hybrid});
      projection.value = std::max(projection.value, hybrid);
    }
  projection.inside_domain = time.inside_domain();
  projection.note = fmt::format("device time; {} decodes of {} tokens", kDecodeBatch, kDecodeContext);
  return projection;
}

std::optional<Projection> project_sarathi(const Setting& setting, const std::string& quantity) {
  if (quantity == "goodput") return capacity(setting, schedule_sarathi, whole(setting, "chunk", 512));
  if (quantity == "tbt") return between_tokens(setting);
  if (quantity == "overhead") return prefill_overhead(setting);
  if (quantity == "latency") return chunk_latency(setting);
  if (quantity == "step_time") return iteration_with_prompt(setting, false);
  return std::nullopt;
}

std::optional<Projection> project_vllm(const Setting& setting, const std::string& quantity) {
  return quantity == "goodput" ? capacity(setting, schedule_vllm, 0) : std::nullopt;
}

std::optional<Projection> project_orca(const Setting& setting, const std::string& quantity) {
  if (quantity == "goodput") return capacity(setting, schedule_orca, 0, true);
  return quantity == "step_time" ? iteration_with_prompt(setting, true) : std::nullopt;
}

const Registration sarathi_projection{{.id = "serving/sarathi", .project = project_sarathi}};
const Registration vllm_projection{{.id = "serving/vllm-paged", .project = project_vllm}};
const Registration orca_projection{{.id = "serving/orca", .project = project_orca}};

}  // namespace
}  // namespace assay::serving
