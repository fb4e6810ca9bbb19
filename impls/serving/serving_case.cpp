#include "impls/serving/serving_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "datasets/user_error.h"
#include "datasets/workloads/generator.h"
#include "impls/serving/capacity.h"
#include "impls/serving/iteration_reach.h"
#include "impls/serving/oracle.h"
#include "impls/serving/pipeline.h"
#include "impls/serving/schedulers.h"

namespace assay::serving {
namespace {

using harness::Value;
using results_db::Provenance;

constexpr std::size_t kTimelineStays = 2000;  // some minutes of a run; a timeline of hours would show nothing more

Value count(std::int64_t value) { return Value(value); }
Value word(const char* value) { return Value(std::string(value)); }

int bounded(const harness::State& state, const char* axis, std::int64_t low, std::int64_t high) {
  const std::int64_t found = state.integer(axis);
  if (found < low || found > high)
    throw UserError(fmt::format("{}: found {}, expected {} to {}", axis, found, low, high));
  return static_cast<int>(found);
}

double positive(const harness::State& state, const char* axis) {
  const double found = state.real(axis);
  if (!(found > 0)) throw UserError(fmt::format("{}: found {}, expected more than 0", axis, found));
  return found;
}

// Everything a case is made of.
struct Scene {
  datasets::RequestTrace trace;
  Deployment deployment;
  EngineOptions options;
  Objectives objectives;
  std::int64_t longest = 0;  // request of the trace, tokens
};

int devices_of(const Deployment& deployment) { return deployment.tensor * deployment.pipeline; }

Deployment read_deployment(const harness::State& state) {
  const std::string root = datasets::data_root();
  Deployment deployment;
  deployment.model = datasets::load_model(state.text("model"), root);
  deployment.device = datasets::load_device(state.text("device"), root);
  deployment.tensor = bounded(state, "tensor", 1, 64);
  deployment.pipeline = bounded(state, "pipeline", 1, 64);
  if (devices_of(deployment) > 1) {
    deployment.cluster = datasets::load_cluster(state.text("cluster"), root);
    if (deployment.cluster.device != deployment.device.id)
      throw UserError(fmt::format("cluster: found {} of {}, expected one of device {}", deployment.cluster.id,
                                  deployment.cluster.device, deployment.device.id));
    if (deployment.tensor > deployment.cluster.devices_per_node)
      throw UserError(fmt::format("tensor: found {}, expected at most the {} devices of a node of {}",
                                  deployment.tensor, deployment.cluster.devices_per_node, deployment.cluster.id));
    if (const int all = deployment.cluster.devices_per_node * deployment.cluster.nodes; devices_of(deployment) > all)
      throw UserError(fmt::format("pipeline: found {} stages of {} devices, expected at most the {} devices of {}",
                                  deployment.pipeline, deployment.tensor, all, deployment.cluster.id));
  }
  deployment.dtype = substrate::op_dtype(state.text("dtype"));
  deployment.host = host_cost(state.text("host"));
  return deployment;
}

Scene read_scene(const harness::State& state, const Serving& serving) {
  Scene scene;
  const auto seed = static_cast<std::uint64_t>(bounded(state, "seed", 0, std::numeric_limits<int>::max()));
  const std::int64_t requests = bounded(state, "requests", 0, 100'000'000);
  scene.trace = datasets::load_trace(state.text("trace"), requests, seed);
  const double rate = state.real("rate");
  const bool poisson = state.text("arrivals") == "poisson";
  scene.trace = datasets::at_rate(std::move(scene.trace),
                                  poisson ? datasets::ArrivalLaw::poisson : datasets::ArrivalLaw::trace, rate, seed);
  for (const datasets::TraceRequest& request : scene.trace.requests)
    scene.longest = std::max<std::int64_t>(scene.longest, request.input_tokens + request.output_tokens);
  scene.deployment = read_deployment(state);
  const IterationTime divides(scene.deployment);  // refuses a model that does not divide over the devices
  scene.objectives = {.ttft = positive(state, "slo_ttft"), .tpot = positive(state, "slo_tpot")};

  EngineOptions& options = scene.options;
  options.schedule = serving.schedule;
  options.block_tokens = bounded(state, "block", 1, 4096);
  options.max_sequences = bounded(state, "batch", 1, 65536);
  const std::int64_t budget = bounded(state, "budget", 0, 1 << 24);
  options.max_tokens = budget > 0                        ? budget
                       : serving.budget == Budget::chunk ? std::int64_t{512}
                                                         : std::max<std::int64_t>(scene.longest, 2048);
  if (serving.reserves) options.reserved_tokens = std::max<std::int64_t>(scene.longest, 2048);
  const double share = state.real("memory_share");
  if (!(share > 0 && share <= 1))
    throw UserError(fmt::format("memory_share: found {}, expected more than 0 and at most 1", share));
  options.blocks = kv_blocks(scene.deployment, share, options.block_tokens, options.max_tokens, options.max_sequences);
  return scene;
}

// Whether the engine could ever start any of the requests.
bool serves_any(const Scene& scene, const Serving& serving) {
  const EngineOptions& options = scene.options;
  EngineOptions each = options;  // of one engine
  each.blocks /= scene.deployment.pipeline;
  const KvPool pool = Engine::pool_of(each, 0);
  return std::any_of(scene.trace.requests.begin(), scene.trace.requests.end(), [&](const auto& request) {
    const bool too_long = serving.budget == Budget::longest_prompt && request.input_tokens > options.max_tokens;
    return !too_long &&
           pool.can_ever_admit(options.reserved_tokens > 0 ? options.reserved_tokens : request.input_tokens);
  });
}

// -- the gate

Policy policy_of(const Serving& serving) {
  if (serving.schedule == schedule_vllm) return Policy::vllm;
  if (serving.schedule == schedule_orca) return Policy::orca;
  return serving.schedule == schedule_chunks_only ? Policy::chunks_only : Policy::sarathi;
}

// A stretch of the workload with a few seeded requests among it, on a pool so small that admissions stop and sequences
// are preempted: the whole machinery is at work within a couple of hundred requests.
Scene window_of(const Scene& scene, bool whole_prompts, std::uint64_t seed) {
  constexpr std::size_t kWindow = 160, kOwn = 40;
  constexpr std::int32_t kLongestHere = 2048;
  Scene window = scene;
  const auto& all = scene.trace.requests;
  const std::size_t size = std::min(kWindow, all.size());
  const std::size_t first = seed % (all.size() - size + 1);
  std::vector<datasets::TraceRequest> chosen(all.begin() + static_cast<std::ptrdiff_t>(first),
                                             all.begin() + static_cast<std::ptrdiff_t>(first + size));
  const std::int64_t start = chosen.front().arrival_ns;
  const auto own = datasets::generate_trace("azure-conv", kOwn, seed);
  const std::int64_t span = std::max<std::int64_t>(1, own.requests.back().arrival_ns);
  for (datasets::TraceRequest& request : chosen) {
    // Long requests are cut: the slow simulator walks every token of every request.
    request.input_tokens = std::min(request.input_tokens, kLongestHere);
    request.output_tokens = std::min(request.output_tokens, 256);
    request.arrival_ns -= start;
  }
  const std::int64_t until = std::max<std::int64_t>(chosen.back().arrival_ns, 1'000'000'000);
  for (datasets::TraceRequest request : own.requests) {
    request.input_tokens = std::min(request.input_tokens, kLongestHere);
    request.output_tokens = std::min(request.output_tokens, 256);
    request.arrival_ns = static_cast<std::int64_t>(static_cast<double>(request.arrival_ns) / static_cast<double>(span) *
                                                   static_cast<double>(until));
    chosen.push_back(request);
  }
  std::stable_sort(chosen.begin(), chosen.end(),
                   [](const auto& a, const auto& b) { return a.arrival_ns < b.arrival_ns; });
  // Faster than they came, so that requests overlap at any recorded rate.
  const std::int64_t base = chosen.front().arrival_ns,
                     whole = std::max<std::int64_t>(1, chosen.back().arrival_ns - base);
  constexpr std::int64_t kSpan = 1'500'000'000;
  std::int64_t longest = 0;
  for (datasets::TraceRequest& request : chosen) {
    request.arrival_ns = static_cast<std::int64_t>(static_cast<double>(request.arrival_ns - base) /
                                                   static_cast<double>(whole) * static_cast<double>(kSpan));
    longest = std::max<std::int64_t>(longest, request.input_tokens + request.output_tokens);
  }
  window.trace.requests = std::move(chosen);
  window.options.watermark = 0.1;
  const int engines = window.deployment.pipeline;
  window.options.blocks = engines * 4 * (longest / window.options.block_tokens + 2);
  // Places and prompt tokens never bind here: blocks do.
  window.options.max_sequences = std::max(window.options.max_sequences, 32 * engines);
  if (window.options.reserved_tokens > 0) window.options.reserved_tokens = longest;
  if (whole_prompts) window.options.max_tokens = longest + 256;
  window.longest = longest;
  return window;
}

// What the gate compares: a row a request, then a summary. Numbers are whole picoseconds where they are times.
struct Answer {
  std::vector<double> values;
};
constexpr std::size_t kColumns = 6, kSummary = 20;

void append(std::vector<double>& to, const Statistic& statistic) {
  for (const double value : {statistic.mean, statistic.p50, statistic.p99}) to.push_back(value);
}

void append(std::vector<double>& to, const Summary& summary) {
  append(to, summary.ttft);
  append(to, summary.tbt);
  append(to, summary.tpot);
  append(to, summary.e2e);
  append(to, summary.delay);
  for (const double value : {summary.attainment, summary.good_throughput, summary.output_throughput,
                             static_cast<double>(summary.preemptions)})
    to.push_back(value);
}

std::vector<double> answer_of(const EngineRun& run, const Scene& scene, ClockStart start) {
  std::vector<double> values;
  for (const Outcome& outcome : run.outcomes)
    for (const Picoseconds value :
         {outcome.scheduled, outcome.first_token, outcome.last_token, outcome.longest_gap,
          static_cast<Picoseconds>(outcome.tokens), static_cast<Picoseconds>(outcome.preemptions)})
      values.push_back(static_cast<double>(value));
  append(values, summarize(run, scene.trace, scene.objectives, start));
  values.push_back(static_cast<double>(run.left_blocks));
  return values;
}

std::vector<double> answer_of(const OracleRun& run, const Scene& scene) {
  std::vector<double> values;
  for (const OracleRequest& request : run.requests) {
    Picoseconds longest = 0;
    for (std::size_t t = 1; t < request.tokens.size(); ++t)
      longest = std::max(longest, request.tokens[t] - request.tokens[t - 1]);
    const bool none = request.tokens.empty();
    for (const Picoseconds value :
         {request.scheduled, none ? -1 : request.tokens.front(), none ? -1 : request.tokens.back(), longest,
          static_cast<Picoseconds>(request.tokens.size()), static_cast<Picoseconds>(request.preemptions)})
      values.push_back(static_cast<double>(value));
  }
  append(values, summarize_plainly(run, scene.trace, scene.objectives));
  values.push_back(0);  // blocks left in use
  return values;
}

// Laws that any run must keep, at full length: every token once, in order, after its request came; nothing left behind;
// those of an engine start in order of arrival.
std::optional<std::string> broken_law(const EngineRun& run, const datasets::RequestTrace& trace, int engines) {
  std::int64_t tokens = 0, gaps = 0;
  std::vector<Picoseconds> scheduled(static_cast<std::size_t>(engines));
  for (std::size_t k = 0; k < run.outcomes.size(); ++k) {
    const Outcome& outcome = run.outcomes[k];
    tokens += outcome.tokens;
    if (outcome.rejected) continue;
    if (outcome.tokens != trace.requests[k].output_tokens)
      return fmt::format("request {} got {} tokens of {}", k, outcome.tokens, trace.requests[k].output_tokens);
    if (outcome.scheduled < outcome.arrival || outcome.first_token <= outcome.scheduled ||
        outcome.last_token < outcome.first_token || outcome.last_token > run.end)
      return fmt::format("request {} has times out of order", k);
    Picoseconds& earlier = scheduled[k % static_cast<std::size_t>(engines)];
    if (outcome.scheduled < earlier) return fmt::format("request {} overtook an earlier one", k);
    earlier = outcome.scheduled;
  }
  for (const Gap& gap : run.gaps) gaps += gap.count;
  if (run.generated_tokens != tokens)
    return fmt::format("{} tokens were made, {} delivered", run.generated_tokens, tokens);
  std::int64_t started = 0;
  for (const Outcome& outcome : run.outcomes) started += outcome.first_token >= 0 ? 1 : 0;
  if (gaps != tokens - started) return fmt::format("{} gaps between {} tokens of {} requests", gaps, tokens, started);
  if (run.left_blocks != 0) return fmt::format("{} blocks are still in use", run.left_blocks);
  return std::nullopt;
}

struct Gated {
  Serving serving;
  Scene scene;
  Scene window;
  std::vector<double> answer;
  std::vector<double> reference;
  std::optional<std::string> law;
  bool full_checked = false;

  // The slow simulator runs here, once a draw, and not at every comparison.
  void draw(std::uint64_t seed) {
    window = window_of(scene, serving.budget == Budget::longest_prompt, seed);
    const IterationTime plain_time(window.deployment);
    reference = answer_of(simulate_plainly(policy_of(serving), window.trace, plain_time, window.options), window);
    if (full_checked) return;
    IterationTime time(scene.deployment);
    law = broken_law(serve(scene.trace, time, scene.options), scene.trace, scene.deployment.pipeline);
    full_checked = true;
  }
  std::vector<double> simulate(const Scene& which, ClockStart start = ClockStart::arrival) const {
    IterationTime time(which.deployment);
    return answer_of(serve(which.trace, time, which.options), which, start);
  }
  void run(const Scene& which, ClockStart start = ClockStart::arrival) {
    const std::vector<double> got = simulate(which, start);
    std::copy(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(std::min(got.size(), answer.size())),
              answer.begin());
  }
  harness::Check compare() {
    harness::Check check;
    check.coverage = std::min(
        1.0, static_cast<double>(window.trace.requests.size()) / static_cast<double>(scene.trace.requests.size()));
    check.detail = "every request as the plain simulator has it";
    if (law) return {.error = std::numeric_limits<double>::infinity(), .coverage = check.coverage, .detail = *law};
    const std::size_t rows = window.trace.requests.size() * kColumns;
    for (std::size_t k = 0; k < reference.size(); ++k) {
      // Times and counts of requests are equal to the picosecond; sums of the summary may be added up in another order.
      const double tolerance = k < rows ? 0.5 : 1e-9 * std::max(1.0, std::abs(reference[k]));
      const double error = std::abs(answer[k] - reference[k]) / tolerance;
      if (std::isnan(error) || error > check.error) {
        check.error = error;
        check.detail = k < rows ? fmt::format("request {} column {}: {} instead of {}", k / kColumns, k % kColumns,
                                              answer[k], reference[k])
                                : fmt::format("summary {}: {} instead of {}", k - rows, answer[k], reference[k]);
        if (std::isnan(error)) return check;
      }
    }
    return check;
  }
};

void gate(harness::State& state, const Serving& serving, Scene scene) {
  const auto held = std::make_shared<Gated>();
  held->serving = serving;
  held->scene = std::move(scene);
  held->answer.resize(
      window_of(held->scene, serving.budget == Budget::longest_prompt, state.seed()).trace.requests.size() * kColumns +
      kSummary);
  state.inputs([held](std::uint64_t seed) { held->draw(seed); });
  state.output({"answer", std::as_writable_bytes(std::span(held->answer))});
  state.oracle([held] { return held->compare(); });
  state.mutant("block-leaked", [held] {
    Scene wrong = held->window;
    wrong.options.fault = Fault::leaks_blocks;
    held->run(wrong);
  });
  state.mutant("token-skipped", [held] {
    Scene wrong = held->window;
    for (datasets::TraceRequest& request : wrong.trace.requests)
      if (request.output_tokens > 1) {
        --request.output_tokens;
        break;
      }
    held->run(wrong);
  });
  state.mutant("ttft-from-first-iteration", [held] { held->run(held->window, ClockStart::scheduled); });
  state.mutant("no-watermark", [held] {
    Scene wrong = held->window;
    wrong.options.watermark = 0;
    wrong.options.blocks += wrong.options.reserved_tokens > 0 ? wrong.options.blocks / 2 : 0;
    held->run(wrong);
  });
  state.mutant("overtaking", [held] {
    Scene wrong = held->window;
    wrong.options.fault = Fault::admits_newest_first;
    held->run(wrong);
  });
  state.project([held] { held->run(held->window); }, [] {});
}

// -- the result

struct Named {
  const char* name;
  const char* unit;
  double (*of)(const Summary&);
  const Statistic Summary::*samples = nullptr;  // without any the metric is not reported
};
constexpr Named kMetrics[] = {
    {"ttft", "s", [](const Summary& s) { return s.ttft.mean; }, &Summary::ttft},
    {"ttft_p50", "s", [](const Summary& s) { return s.ttft.p50; }, &Summary::ttft},
    {"ttft_p90", "s", [](const Summary& s) { return s.ttft.p90; }, &Summary::ttft},
    {"ttft_p99", "s", [](const Summary& s) { return s.ttft.p99; }, &Summary::ttft},
    {"tbt", "s", [](const Summary& s) { return s.tbt.mean; }, &Summary::tbt},
    {"tbt_p50", "s", [](const Summary& s) { return s.tbt.p50; }, &Summary::tbt},
    {"tbt_p99", "s", [](const Summary& s) { return s.tbt.p99; }, &Summary::tbt},
    {"tbt_longest_p99", "s", [](const Summary& s) { return s.longest_tbt.p99; }, &Summary::longest_tbt},
    {"tpot", "s", [](const Summary& s) { return s.tpot.mean; }, &Summary::tpot},
    {"tpot_p50", "s", [](const Summary& s) { return s.tpot.p50; }, &Summary::tpot},
    {"tpot_p90", "s", [](const Summary& s) { return s.tpot.p90; }, &Summary::tpot},
    {"tpot_p99", "s", [](const Summary& s) { return s.tpot.p99; }, &Summary::tpot},
    {"e2e_latency", "s", [](const Summary& s) { return s.e2e.mean; }, &Summary::e2e},
    {"e2e_latency_p50", "s", [](const Summary& s) { return s.e2e.p50; }, &Summary::e2e},
    {"e2e_latency_p99", "s", [](const Summary& s) { return s.e2e.p99; }, &Summary::e2e},
    {"normalized_latency", "s/token", [](const Summary& s) { return s.normalized.mean; }, &Summary::normalized},
    {"scheduling_delay_p50", "s", [](const Summary& s) { return s.delay.p50; }, &Summary::delay},
    {"scheduling_delay_p99", "s", [](const Summary& s) { return s.delay.p99; }, &Summary::delay},
    {"throughput", "token/s", [](const Summary& s) { return s.output_throughput; }},
    {"total_throughput", "token/s", [](const Summary& s) { return s.total_throughput; }},
    {"request_throughput", "request/s", [](const Summary& s) { return s.request_throughput; }},
    {"good_throughput", "request/s", [](const Summary& s) { return s.good_throughput; }},
    {"attainment", "1", [](const Summary& s) { return s.attainment; }},
};

// What a run comes to: the metrics, then what the engine did for them.
struct Figure {
  const char* name;
  const char* unit;
  double value = 0;
};
std::vector<Figure> figures_of(const EngineRun& run, const Summary& summary, const Scene& scene) {
  std::vector<Figure> figures;
  const double iterations = static_cast<double>(run.iterations);
  figures.push_back({"step_time", "s", run.iterations > 0 ? substrate::to_seconds(run.busy) / iterations : 0});
  for (const Named& metric : kMetrics) figures.push_back({metric.name, metric.unit, metric.of(summary)});
  const Deployment& on = scene.deployment;
  const double seconds = substrate::to_seconds(run.end - run.outcomes.front().arrival);
  const auto share = [&](double busy) { return seconds > 0 ? busy / seconds : 0; };
  // Of the iterations that could be under way at once.
  figures.push_back({"utilization", "1", share(substrate::to_seconds(run.busy)) / on.pipeline});
  figures.push_back({"kv_utilization", "1", share(run.block_seconds) / static_cast<double>(scene.options.blocks)});
  figures.push_back({"kv_bytes", "B",
                     static_cast<double>(run.peak_blocks * scene.options.block_tokens) *
                         kv_bytes_per_token(on.model, on.tensor, on.pipeline, on.dtype)});
  figures.push_back({"preemptions", "count", static_cast<double>(summary.preemptions)});
  figures.push_back({"recomputed_tokens", "token", static_cast<double>(run.recomputed_tokens)});
  figures.push_back({"rejected", "count", static_cast<double>(summary.rejected)});
  figures.push_back({"single_token_requests", "count", static_cast<double>(summary.single_token)});
  figures.push_back({"iterations", "count", iterations});
  return figures;
}

// Without samples there is no metric: a zero would look like success.
bool has_samples(const Summary& summary, const char* name) {
  for (const Named& metric : kMetrics)
    if (std::string_view(metric.name) == name) return metric.samples == nullptr || (summary.*metric.samples).count > 0;
  return true;
}

// A value with those of the same requests when every part of an iteration is as short, and as long, as its residuals
// allow.
struct Span {
  double value = 0, low = 0, high = 0;
  explicit Span(double nominal) : value(nominal), low(nominal), high(nominal) {}
  void reach(double other) {
    low = std::min(low, other);
    high = std::max(high, other);
  }
};

results_db::Metric projected(const char* name, const char* unit, const Span& span) {
  return {name, span.value, unit, Provenance::projected, span.low, span.high};
}

void report(harness::State& state, const Scene& scene, const EngineRun& run, bool inside,
            const std::shared_ptr<const IterationReach>& reach) {
  const datasets::RequestTrace& trace = scene.trace;
  state.descriptor("device:" + scene.deployment.device.id, scene.deployment.device.hash);
  if (!scene.deployment.device.calibration.empty())
    state.descriptor("carried:" + scene.deployment.device.id, scene.deployment.device.calibration);
  if (devices_of(scene.deployment) > 1)
    state.descriptor("cluster:" + scene.deployment.cluster.id, scene.deployment.cluster.hash);
  state.descriptor("model:" + scene.deployment.model.id, scene.deployment.model.hash);
  state.descriptor("workload:" + trace.name, trace.hash);
  state.descriptor("workload-origin:" + trace.name, trace.origin);
  state.descriptor("domain:calibrated", inside ? "inside" : "outside");

  const Summary summary = summarize(run, trace, scene.objectives);
  const std::vector<Figure> nominal = figures_of(run, summary, scene);
  std::vector<Span> spans;
  for (const Figure& figure : nominal) spans.emplace_back(figure.value);
  for (const Edge edge : {Edge::fast, Edge::slow}) {
    IterationTime time(reach, edge);
    const EngineRun other = serve(trace, time, scene.options);
    const std::vector<Figure> moved = figures_of(other, summarize(other, trace, scene.objectives), scene);
    for (std::size_t k = 0; k < spans.size(); ++k) spans[k].reach(moved[k].value);
  }
  for (std::size_t k = 0; k < spans.size(); ++k)
    if (has_samples(summary, nominal[k].name)) state.report(projected(nominal[k].name, nominal[k].unit, spans[k]));
}

// A lane a stage of a pipeline, and what an iteration works on is its name; of one stage a lane each for prompts, for
// decodes and for both at once.
void report_timeline(harness::State& state, const Scene& scene, const IterationLog& log) {
  for (const Stay& stay : log.stays) {
    const std::string work = stay.batch.prefilled == 0 ? "decode"
                             : stay.batch.decoded == 0 ? "prefill"
                                                       : "prefill and decode";
    if (scene.deployment.pipeline > 1)
      state.interval({fmt::format("stage {} / compute", stay.stage), fmt::format("engine {}: {}", stay.engine, work),
                      stay.start, stay.end});
    else
      state.interval({"engine / " + work, work, stay.start, stay.end});
  }
}

// The rate a search finds, and those it finds at either end.
void report_search(harness::State& state, const Scene& scene, const std::shared_ptr<const IterationReach>& reach,
                   bool goodput) {
  const auto fits = goodput ? joint_attainment(0.9) : capacity_limit(scene.objectives.tpot, 2.0);
  double near = 0;
  const auto found = [&](Edge edge) {
    IterationTime time(reach, edge);
    const double rate =
        highest_rate(scene.trace, time, scene.options, fits, {.near = near, .objectives = scene.objectives}).rate;
    if (edge == Edge::nominal) near = rate;
    return goodput ? rate / devices_of(scene.deployment) : rate;
  };
  Span span(found(Edge::nominal));
  for (const Edge edge : {Edge::fast, Edge::slow}) span.reach(found(edge));
  state.report(projected(goodput ? "goodput" : "capacity", "request/s", span));
}

}  // namespace

std::vector<harness::Axis> serving_axes(Budget budget) {
  using datasets::Dimension;
  return {
      {.name = "trace",
       .defaults = {word("azure-conv")},
       .help = "a request trace (Azure or BurstGPT CSV, Mooncake JSON lines, lengths CSV), constant:INPUT:OUTPUT, or a "
               "known workload, generated where its file is absent: azure-conv, azure-code, openchat-sharegpt4, "
               "arxiv-summarization, arxiv-4k"},
      {.name = "requests", .defaults = {count(0)}, .help = "the first so many requests; 0: all", .minimum = 0},
      {.name = "rate",
       .defaults = {Value(0.0)},
       .help = "requests/s; arrivals are scaled to it; 0: as recorded",
       .minimum = 0},
      {.name = "arrivals",
       .defaults = {word("trace")},
       .help = "trace: recorded arrivals; poisson: drawn anew at the rate",
       .allowed = {word("trace"), word("poisson")}},
      {.name = "seed", .defaults = {count(1)}, .help = "of generated lengths and arrivals", .minimum = 0},
      {.name = "model", .defaults = {word("llama2-7b")}, .help = "model descriptor"},
      {.name = "device", .defaults = {word("a100-80g-sxm")}, .help = "device descriptor"},
      {.name = "cluster",
       .defaults = {word("dgx-a100")},
       .help = "cluster descriptor whose links carry all-reduces and activations; unused for one device"},
      {.name = "tensor", .defaults = {count(1)}, .help = "devices that share every layer (tensor parallelism)"},
      {.name = "pipeline",
       .defaults = {count(1)},
       .help = "stages of as many layers each (pipeline parallelism), as many iterations under way",
       .legacy_default = count(1)},
      {.name = "dtype",
       .defaults = {word("fp16")},
       .help = "element type of weights, keys and values",
       .allowed = {word("fp16"), word("bf16"), word("fp8"), word("int8")}},
      {.name = "budget",
       .defaults = {count(0)},
       .help = budget == Budget::chunk ? "tokens an iteration; 0: 512"
                                       : "prompt tokens an iteration; 0: the longest request, at least 2048",
       .minimum = 0},
      {.name = "batch", .defaults = {count(256)}, .help = "sequences that run at once, at most"},
      {.name = "block", .defaults = {count(16)}, .help = "tokens of a block of keys and values"},
      {.name = "memory_share",
       .defaults = {Value(0.9)},
       .help = "of the device's memory for weights, activations, keys and values",
       .minimum = 0,
       .dimension = Dimension::fraction},
      {.name = "host",
       .defaults = {word("sync")},
       .help = "the engine's host work: sync adds it to every iteration, async hides it behind the device, none",
       .allowed = {word("sync"), word("async"), word("none")}},
      {.name = "slo_ttft",
       .defaults = {Value(2.0)},
       .help = "objective of the time to the first token",
       .minimum = 0,
       .dimension = Dimension::seconds},
      {.name = "slo_tpot",
       .defaults = {Value(0.1)},
       .help = "objective of the time per output token",
       .minimum = 0,
       .dimension = Dimension::seconds},
      {.name = "search",
       .defaults = {word("none")},
       .help =
           "goodput: also the highest rate with 90% joint attainment; capacity: with P99 of TBT within slo_tpot and "
           "median scheduling delay within 2 s",
       .allowed = {word("none"), word("goodput"), word("capacity")},
       .legacy_default = word("none")},
  };
}

void run_serving(harness::State& state, const Serving& serving) {
  Scene scene = read_scene(state, serving);
  if (!serves_any(scene, serving))
    state.skip(fmt::format("no request fits: {} blocks of {} tokens, {} tokens an iteration{}", scene.options.blocks,
                           scene.options.block_tokens, scene.options.max_tokens,
                           scene.options.reserved_tokens > 0
                               ? fmt::format(", {} tokens reserved a request", scene.options.reserved_tokens)
                               : std::string()));
  if (state.gating()) return gate(state, serving, std::move(scene));
  const auto held = std::make_shared<Scene>(std::move(scene));
  const auto run = std::make_shared<EngineRun>();
  const auto log = std::make_shared<IterationLog>(IterationLog{.most = kTimelineStays, .stays = {}});
  const auto inside = std::make_shared<bool>(true);
  const std::string search = state.text("search");
  state.project(
      [=] {
        IterationTime time(held->deployment);
        EngineOptions logged = held->options;
        logged.log = log.get();
        log->stays.clear();
        *run = serve(held->trace, time, logged);
        *inside = time.inside_domain();
      },
      [=, &state] {
        const auto reach = std::make_shared<const IterationReach>(held->deployment);
        report(state, *held, *run, *inside, reach);
        report_timeline(state, *held, *log);
        if (search != "none") report_search(state, *held, reach, search == "goodput");
      });
}

}  // namespace assay::serving
