#include "results_db/export.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "datasets/user_error.h"
#include "results_db/messages.h"

namespace assay::results_db {
namespace {

using nlohmann::json;

// Texts of child processes need not be valid UTF-8.
std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

json embedded(const std::string& text) {
  if (text.empty()) return nullptr;
  json parsed = json::parse(text, nullptr, false);
  return parsed.is_discarded() ? json(text) : parsed;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_cell(const std::optional<double>& value) {
  return value && !std::isnan(*value) ? fmt::format("{}", *value) : std::string();
}

json optional_json(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

Provenance provenance_of_samples(const CaseRecord& which) {
  if (which.fabric == "emulated") return Provenance::emulated;
  return which.fabric == "cluster" ? Provenance::projected : Provenance::measured;
}

json distribution_json(const Distribution& d) {
  json result = {{"n", d.n},
                 {"minimum", d.minimum},
                 {"maximum", d.maximum},
                 {"mean", d.mean},
                 {"deviation", d.deviation},
                 {"median", d.median},
                 {"quantiles", d.quantiles}};
  if (!d.histogram.empty()) result["histogram"] = d.histogram;
  return result;
}

json launch_json(const LaunchRecord& launch, bool with_samples) {
  json metrics = json::array();
  for (const Metric& metric : launch.metrics)
    metrics.push_back({{"name", metric.name},
                       {"value", metric.value},
                       {"unit", metric.unit},
                       {"provenance", to_string(metric.provenance)},
                       {"low", optional_json(metric.low)},
                       {"high", optional_json(metric.high)}});
  json breakdown = json::array();
  for (const BreakdownPart& part : launch.breakdown)
    breakdown.push_back({{"component", part.component},
                         {"kind", part.kind},
                         {"value", part.value},
                         {"provenance", to_string(part.provenance)}});
  json result = {{"ordinal", launch.ordinal},
                 {"status", to_string(launch.status)},
                 {"reason", launch.reason},
                 {"stderr_tail", launch.stderr_tail},
                 {"stop_reason", launch.stop_reason},
                 {"started_ns", launch.started_ns},
                 {"wall_seconds", launch.wall_seconds},
                 {"batch", launch.batch},
                 {"warmup", launch.warmup},
                 {"code_hash", launch.code_hash},
                 {"descriptors", embedded(launch.descriptors_json)},
                 {"environment", embedded(launch.environment_json)},
                 {"distribution", launch.distribution ? distribution_json(*launch.distribution) : json(nullptr)},
                 {"metrics", metrics},
                 {"breakdown", breakdown}};
  if (with_samples) {
    result["samples"] = launch.samples;
    result["sample_clock_hz"] = launch.sample_clock_hz;
    result["sample_at_ns"] = launch.sample_at_ns;
  }
  return result;
}

json run_json(const RunRecord& run) {
  return {{"id", run.id},
          {"suite", run.suite},
          {"command", run.command},
          {"status", run.status},
          {"started_ns", run.started_ns},
          {"finished_ns", run.finished_ns != 0 ? json(run.finished_ns) : json(nullptr)},
          {"seed", run.seed},
          {"expected_cases", run.expected_cases},
          {"tags", run.tags},
          {"environment", embedded(run.environment_json)},
          {"machine",
           {{"id", run.machine.id},
            {"name", run.machine.name},
            {"cpu", run.machine.cpu},
            {"cores", run.machine.cores},
            {"memory_bytes", run.machine.memory_bytes},
            {"facts", embedded(run.machine.facts_json)}}},
          {"build",
           {{"id", run.build.id},
            {"commit", run.build.commit},
            {"dirty", run.build.dirty},
            {"compiler", run.build.compiler},
            {"flags", run.build.flags}}}};
}

json case_json(Store& store, const RunRecord& run, const CaseRow& row, bool with_samples) {
  json result = {{"key", row.record.key},
                 {"technique", row.record.technique},
                 {"backend", row.record.backend},
                 {"fabric", row.record.fabric},
                 {"timer", row.record.timer},
                 {"cache", row.record.cache},
                 {"parameters", embedded(row.record.parameters_json)}};
  if (const std::optional<GateRecord> gate = store.gate(run.id, row.id))
    result["gate"] = {{"status", to_string(gate->status)},    {"reason", gate->reason},
                      {"coverage", gate->coverage},           {"error", gate->error},
                      {"mutants_total", gate->mutants_total}, {"mutants_caught", gate->mutants_caught}};
  json launches = json::array();
  for (const LaunchRecord& launch : store.launches(run.id, row.id))
    launches.push_back(launch_json(launch, with_samples));
  result["launches"] = launches;
  return result;
}

}  // namespace

void export_csv(Store& store, const std::vector<RunRecord>& runs, std::ostream& out) {
  out << "run,suite,started_ns,machine,commit,technique,case,backend,fabric,parameters,timer,cache,launch,status,"
         "reason,metric,"
         "provenance,value,low,high,unit\r\n";
  for (const RunRecord& run : runs) {
    for (const CaseRow& row : store.cases_of(run.id)) {
      const CaseRecord& which = row.record;
      for (const LaunchRecord& launch : store.launches(run.id, row.id)) {
        const std::string head = fmt::format(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}", csv_cell(run.id), csv_cell(run.suite), run.started_ns,
            csv_cell(run.machine.name), csv_cell(run.build.commit), csv_cell(which.technique), csv_cell(which.key),
            csv_cell(which.backend), csv_cell(which.fabric), csv_cell(which.parameters_json), csv_cell(which.timer),
            csv_cell(which.cache), launch.ordinal, to_string(launch.status), csv_cell(launch.reason));
        bool has_time = false;
        for (const Metric& metric : launch.metrics) {
          has_time = has_time || metric.name == "time";
          out << head << ',' << csv_cell(metric.name) << ',' << to_string(metric.provenance) << ','
              << csv_cell(metric.value) << ',' << csv_cell(metric.low) << ',' << csv_cell(metric.high) << ','
              << csv_cell(metric.unit) << "\r\n";
        }
        if (!has_time && launch.distribution)
          out << head << ",time," << to_string(provenance_of_samples(which)) << ','
              << csv_cell(launch.distribution->median) << ",,,s\r\n";
        else if (launch.metrics.empty())
          out << head << ",,,,,,\r\n";
      }
    }
  }
}

void export_json(Store& store, const std::vector<RunRecord>& runs, bool with_samples, std::ostream& out) {
  out << fmt::format("{{\"schema_version\":{},\"kind\":\"assay-export\",\"runs\":[", export_schema_version);
  // Case by case, so that a large database needs no more memory than one case.
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string head = dump(run_json(runs[r]));
    out << (r == 0 ? "\n" : ",\n") << head.substr(0, head.size() - 1) << ",\"cases\":[";
    const std::vector<CaseRow> cases = store.cases_of(runs[r].id);
    for (std::size_t c = 0; c < cases.size(); ++c)
      out << (c == 0 ? "\n" : ",\n") << dump(case_json(store, runs[r], cases[c], with_samples));
    out << "]}";
  }
  json verdicts = json::array();
  for (const VerdictRecord& v : store.verdicts())
    verdicts.push_back({{"claim", v.claim},
                        {"verdict", v.verdict},
                        {"reason", v.reason},
                        {"ours", optional_json(v.ours)},
                        {"ours_low", optional_json(v.ours_low)},
                        {"ours_high", optional_json(v.ours_high)},
                        {"paper", v.paper},
                        {"provenance", v.provenance},
                        {"fragile", v.fragile},
                        {"inputs_hash", v.inputs_hash},
                        {"at_ns", v.at_ns}});
  out << "],\n\"verdicts\":" << dump(verdicts) << "}\n";
}

void export_trace(Store& store, const std::vector<RunRecord>& runs, std::ostream& out) {
  bool any = false;
  int process = 0, flow = 0;
  const auto event = [&](const std::string& text) {
    out << (any ? ",\n" : "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n") << text;
    any = true;
  };
  const auto named = [&](const char* what, int pid, int tid, const std::string& name) {
    event(dump({{"ph", "M"}, {"name", what}, {"pid", pid}, {"tid", tid}, {"args", {{"name", name}}}}));
  };
  // The unit of a trace is the microsecond; picoseconds stay exact as six decimals.
  const auto microseconds = [](std::int64_t ps) { return fmt::format("{}.{:06}", ps / 1'000'000, ps % 1'000'000); };
  const auto complete = [&](int pid, int tid, const std::string& name, std::int64_t start_ps, std::int64_t length_ps,
                            const std::string& args = {}) {
    event(fmt::format("{{\"ph\":\"X\",\"pid\":{},\"tid\":{},\"name\":{},\"ts\":{},\"dur\":{}{}}}", pid, tid, dump(name),
                      microseconds(start_ps), microseconds(length_ps), args));
  };
  const auto message_args = [&](const IntervalRecord& half) {
    if (half.peer.empty()) return std::string();
    return fmt::format(R"(,"args":{{"peer":{},"bytes":{},"link":{},"posted_us":{},"exposed_us":{}}})", dump(half.peer),
                       half.bytes, dump(half.link), microseconds(half.posted_ps), microseconds(half.exposed_ps));
  };
  for (const RunRecord& run : runs) {
    for (const CaseRow& row : store.cases_of(run.id)) {
      for (const LaunchRecord& launch : store.launches(run.id, row.id)) {
        if (launch.intervals.empty() && launch.kernels.empty()) continue;
        ++process;
        named("process_name", process, 0,
              fmt::format("{} (launch {}, run {})", row.record.key, launch.ordinal, run.id.substr(0, 8)));
        std::map<std::string, int> lanes;
        const auto lane = [&](const std::string& name) {
          const auto [place, fresh] = lanes.emplace(name, static_cast<int>(lanes.size()) + 1);
          if (fresh) named("thread_name", process, place->second, name);
          return place->second;
        };
        for (const IntervalRecord& span : launch.intervals)
          complete(process, lane(span.lane), span.name, span.start_ps, span.end_ps - span.start_ps, message_args(span));
        // An arrow is drawn from the span that begins at its first end to the one that holds its second.
        for (const Message& message : messages_in(launch.intervals)) {
          if (message.receive == no_interval) continue;
          const IntervalRecord& sent = launch.intervals[message.send];
          const IntervalRecord& taken = launch.intervals[message.receive];
          ++flow;
          for (const bool first : {true, false})
            event(fmt::format(R"({{"ph":"{}",{}"cat":"message","name":{},"id":{},"pid":{},"tid":{},"ts":{}}})",
                              first ? "s" : "f", first ? "" : "\"bp\":\"e\",", dump(sent.name), flow, process,
                              lane(first ? sent.lane : taken.lane),
                              microseconds(first ? sent.start_ps : taken.start_ps)));
        }
        // Times of day in nanoseconds would not fit in picoseconds: a pass starts at its first kernel.
        for (const KernelRecord& kernel : launch.kernels)
          complete(process, lane("stream " + kernel.stream), kernel.name,
                   (kernel.start_ns - launch.kernels.front().start_ns) * 1000, kernel.duration_ns * 1000);
      }
    }
  }
  if (!any) throw UserError("no timeline in what was selected (projected cases and activity passes have one)");
  out << "\n]}\n";
}

}  // namespace assay::results_db
