#include "harness/job.h"

#include <iterator>
#include <nlohmann/json.hpp>

namespace assay::harness {
namespace {

using nlohmann::json;
using results_db::LaunchRecord;

constexpr const char* kind_names[] = {"describe", "gate", "time", "activity", "counters"};

JobKind kind_from(const std::string& text) {
  for (std::size_t i = 0; i < std::size(kind_names); ++i)
    if (text == kind_names[i]) return static_cast<JobKind>(i);
  throw std::invalid_argument("not a job kind: " + text);
}

// JSON has no NaN or infinity; they travel as words.
json number(double value) {
  if (value != value) return "nan";
  if (value > 1.7e308) return "inf";
  if (value < -1.7e308) return "-inf";
  return value;
}
double number_from(const json& value) {
  if (value.is_number()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "inf") return HUGE_VAL;
  if (text == "-inf") return -HUGE_VAL;
  return __builtin_nan("");
}

json to_json(const TimingPlan& plan) {
  return {{"noise", plan.noise_target},
          {"budget", plan.budget_seconds},
          {"min_samples", plan.min_samples},
          {"max_samples", plan.max_samples},
          {"cold", plan.cold_cache},
          {"min_sample_seconds", plan.min_sample_seconds},
          {"warmup_seconds", plan.warmup_seconds}};
}
TimingPlan plan_from(const json& object) {
  TimingPlan plan;
  plan.noise_target = object.at("noise");
  plan.budget_seconds = object.at("budget");
  plan.min_samples = object.at("min_samples");
  plan.max_samples = object.at("max_samples");
  plan.cold_cache = object.at("cold");
  plan.min_sample_seconds = object.at("min_sample_seconds");
  plan.warmup_seconds = object.at("warmup_seconds");
  return plan;
}

json to_json(const Work& work) {
  return {{"flops", work.flops},
          {"flops_issued", work.flops_issued},
          {"bytes", work.bytes},
          {"exps", work.exps},
          {"working_set", work.working_set},
          {"roof", work.roof},
          {"second_roof", work.second_roof},
          {"version", work.version}};
}
Work work_from(const json& object) {
  return {.flops = object.at("flops"),
          .flops_issued = object.at("flops_issued"),
          .bytes = object.at("bytes"),
          .exps = object.at("exps"),
          .working_set = object.at("working_set"),
          .roof = object.at("roof"),
          .second_roof = object.at("second_roof"),
          .version = object.at("version")};
}

json to_json(const results_db::Metric& metric) {
  json object = {{"name", metric.name},
                 {"value", number(metric.value)},
                 {"unit", metric.unit},
                 {"provenance", to_string(metric.provenance)}};
  if (metric.low) object["low"] = number(*metric.low);
  if (metric.high) object["high"] = number(*metric.high);
  return object;
}
results_db::Metric metric_from(const json& object) {
  results_db::Metric metric{.name = object.at("name"),
                            .value = number_from(object.at("value")),
                            .unit = object.at("unit"),
                            .provenance = results_db::provenance_from(object.at("provenance")),
                            .low = {},
                            .high = {}};
  if (object.contains("low")) metric.low = number_from(object.at("low"));
  if (object.contains("high")) metric.high = number_from(object.at("high"));
  return metric;
}

json to_json(const LaunchRecord& launch) {
  json metrics = json::array();
  for (const auto& metric : launch.metrics) metrics.push_back(to_json(metric));
  json parts = json::array();
  for (const auto& part : launch.breakdown)
    parts.push_back({part.component, part.kind, number(part.value), to_string(part.provenance)});
  json intervals = json::array();
  for (const auto& span : launch.intervals)
    intervals.push_back({span.lane, span.name, span.start_ps, span.end_ps, span.peer, span.bytes, span.link,
                         span.posted_ps, span.exposed_ps});
  json kernels = json::array();
  for (const auto& kernel : launch.kernels)
    kernels.push_back({kernel.name, kernel.stream, kernel.start_ns, kernel.duration_ns, kernel.launch_json});
  return {{"stop_reason", launch.stop_reason},
          {"kernels", std::move(kernels)},
          {"started_ns", launch.started_ns},
          {"wall_seconds", launch.wall_seconds},
          {"pid", launch.pid},
          {"batch", launch.batch},
          {"warmup", launch.warmup},
          {"samples", launch.samples},
          {"at_ns", launch.sample_at_ns},
          {"clock_hz", launch.sample_clock_hz},
          {"metrics", std::move(metrics)},
          {"breakdown", std::move(parts)},
          {"intervals", std::move(intervals)},
          {"code_hash", launch.code_hash},
          {"descriptors", launch.descriptors_json},
          {"environment", launch.environment_json}};
}
LaunchRecord launch_from(const json& object) {
  LaunchRecord launch;
  launch.stop_reason = object.at("stop_reason");
  launch.started_ns = object.at("started_ns");
  launch.wall_seconds = object.at("wall_seconds");
  launch.pid = object.at("pid");
  launch.batch = object.at("batch");
  launch.warmup = object.at("warmup");
  launch.samples = object.at("samples").get<std::vector<double>>();
  launch.sample_at_ns = object.at("at_ns").get<std::vector<std::int64_t>>();
  launch.sample_clock_hz = object.at("clock_hz").get<std::vector<float>>();
  for (const auto& metric : object.at("metrics")) launch.metrics.push_back(metric_from(metric));
  for (const auto& part : object.at("breakdown"))
    launch.breakdown.push_back({.component = part.at(0),
                                .kind = part.at(1),
                                .value = number_from(part.at(2)),
                                .provenance = results_db::provenance_from(part.at(3))});
  for (const auto& span : object.at("intervals"))
    launch.intervals.push_back({.lane = span.at(0),
                                .name = span.at(1),
                                .start_ps = span.at(2),
                                .end_ps = span.at(3),
                                .peer = span.at(4),
                                .bytes = span.at(5),
                                .link = span.at(6),
                                .posted_ps = span.at(7),
                                .exposed_ps = span.at(8)});
  for (const auto& kernel : object.at("kernels"))
    launch.kernels.push_back({.name = kernel.at(0),
                              .stream = kernel.at(1),
                              .start_ns = kernel.at(2),
                              .duration_ns = kernel.at(3),
                              .launch_json = kernel.at(4)});
  launch.code_hash = object.at("code_hash");
  launch.descriptors_json = object.at("descriptors");
  launch.environment_json = object.at("environment");
  return launch;
}

json to_json(const results_db::GateRecord& gate) {
  return {{"coverage", gate.coverage},
          {"error", number(gate.error)},
          {"wall_seconds", gate.wall_seconds},
          {"mutants_total", gate.mutants_total},
          {"mutants_caught", gate.mutants_caught},
          {"detail", gate.detail_json}};
}

}  // namespace

std::string to_json_line(const Job& job) {
  return json{{"kind", kind_names[static_cast<int>(job.kind)]},
              {"technique", job.technique},
              {"backend", job.backend},
              {"fabric", job.fabric},
              {"timer", job.timer},
              {"cache", job.cache},
              {"params", json::parse(job.params.to_json())},
              {"seed", job.seed},
              {"plan", to_json(job.plan)},
              {"mutant_budget", job.mutant_budget_seconds},
              {"pin", job.pin},
              {"progress", job.report_progress},
              {"trace", job.trace}}
      .dump();
}

Job job_from_json(const std::string& line) {
  const json object = json::parse(line);
  Job job;
  job.kind = kind_from(object.at("kind"));
  job.technique = object.at("technique");
  job.backend = object.at("backend");
  job.fabric = object.at("fabric");
  job.timer = object.at("timer");
  job.cache = object.at("cache");
  job.params = Params::from_json(object.at("params").dump());
  job.seed = object.at("seed");
  job.plan = plan_from(object.at("plan"));
  job.mutant_budget_seconds = object.at("mutant_budget");
  job.pin = object.at("pin").get<std::vector<int>>();
  job.report_progress = object.at("progress");
  job.trace = object.at("trace");
  return job;
}

std::string to_json_line(const Reply& reply) {
  return json{{"retire", reply.retire},          {"status", to_string(reply.status)}, {"reason", reply.reason},
              {"user_error", reply.user_error},  {"projected", reply.projected},      {"work", to_json(reply.work)},
              {"launch", to_json(reply.launch)}, {"gate", to_json(reply.gate)}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

Reply reply_from_json(const std::string& line) {
  const json object = json::parse(line);
  Reply reply;
  reply.status = results_db::status_from(object.at("status"));
  reply.reason = object.at("reason");
  reply.user_error = object.at("user_error");
  reply.retire = object.at("retire");
  reply.projected = object.at("projected");
  reply.work = work_from(object.at("work"));
  reply.launch = launch_from(object.at("launch"));
  reply.launch.status = reply.status;
  reply.launch.reason = reply.reason;
  const json& gate = object.at("gate");
  reply.gate.status = reply.status;
  reply.gate.reason = reply.reason;
  reply.gate.coverage = gate.at("coverage");
  reply.gate.error = number_from(gate.at("error"));
  reply.gate.wall_seconds = gate.at("wall_seconds");
  reply.gate.mutants_total = gate.at("mutants_total");
  reply.gate.mutants_caught = gate.at("mutants_caught");
  reply.gate.detail_json = gate.at("detail");
  return reply;
}

}  // namespace assay::harness
