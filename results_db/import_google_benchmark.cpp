// Google Benchmark's --benchmark_out JSON. A named benchmark is a case, its repetitions are the samples of one launch
// (they share a process, so they are no replicates), counters are metrics.
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <sstream>

#include "datasets/user_error.h"
#include "results_db/distribution.h"
#include "results_db/import.h"

namespace assay::results_db {
namespace {

using nlohmann::json;

double seconds_of(const std::string& unit, const std::string& where) {
  if (unit == "ns") return 1e-9;
  if (unit == "us") return 1e-6;
  if (unit == "ms") return 1e-3;
  if (unit == "s") return 1;
  throw UserError(fmt::format("{}: time_unit: found '{}', expected ns, us, ms or s", where, unit));
}

const json& need(const json& object, const char* key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) throw UserError(fmt::format("{}: {} is missing", where, key));
  return *found;
}

// "2024-05-06T07:08:09+02:00" as Unix nanoseconds; 0 when it is something else.
std::int64_t parse_date(const std::string& text) {
  std::tm time{};
  int zone_hours = 0, zone_minutes = 0;
  char sign = '+';
  const int fields = std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d%c%d:%d", &time.tm_year, &time.tm_mon, &time.tm_mday,
                                 &time.tm_hour, &time.tm_min, &time.tm_sec, &sign, &zone_hours, &zone_minutes);
  if (fields < 6) return 0;
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  std::int64_t seconds = timegm(&time);
  if (fields == 9) seconds -= (sign == '-' ? -1 : 1) * (zone_hours * 3600 + zone_minutes * 60);
  return seconds * 1'000'000'000;
}

// "BM_gemm/1024/threads:8/real_time" -> technique external/BM_gemm, {"arg0": 1024, "threads": 8, "mode": "real_time"}.
CaseRecord case_of(const std::string& name) {
  CaseRecord which;
  which.backend = "cpu";
  std::istringstream parts(name);
  std::string part;
  std::getline(parts, part, '/');
  which.technique = imported_technique(part);
  json parameters = json::object();
  int unnamed = 0;
  const auto value_of = [](const std::string& text) {
    const json parsed = json::parse(text, nullptr, false);
    return parsed.is_number() ? parsed : json(text);
  };
  while (std::getline(parts, part, '/')) {
    const std::size_t colon = part.find(':');
    if (colon != std::string::npos)
      parameters[part.substr(0, colon)] = value_of(part.substr(colon + 1));
    else if (part == "real_time" || part == "manual_time" || part == "process_time")
      parameters["mode"] = part;
    else
      parameters[fmt::format("arg{}", unnamed++)] = value_of(part);
  }
  which.parameters_json = parameters.dump();
  return which;
}

const std::vector<std::string> own_keys = {"name",
                                           "family_index",
                                           "per_family_instance_index",
                                           "run_name",
                                           "run_type",
                                           "repetitions",
                                           "repetition_index",
                                           "threads",
                                           "iterations",
                                           "real_time",
                                           "cpu_time",
                                           "time_unit",
                                           "label",
                                           "error_occurred",
                                           "error_message",
                                           "skipped",
                                           "skip_message",
                                           "aggregate_name",
                                           "aggregate_unit",
                                           "big_o",
                                           "rms",
                                           "cpu_coefficient",
                                           "real_coefficient"};

void add_counters(LaunchRecord& launch, const json& row) {
  for (const auto& [key, value] : row.items()) {
    if (!value.is_number() || std::find(own_keys.begin(), own_keys.end(), key) != own_keys.end()) continue;
    if (key == "bytes_per_second")
      launch.metrics.push_back({"bytes_rate", value, "B/s", Provenance::measured, {}, {}});
    else if (key == "items_per_second")
      launch.metrics.push_back({"items_rate", value, "1/s", Provenance::measured, {}, {}});
    else
      launch.metrics.push_back({"external:" + key, value, "", Provenance::measured, {}, {}});
  }
}

}  // namespace

ImportedRun read_google_benchmark(const std::string& path, const std::string& text) {
  const json document = json::parse(text);
  ImportedRun imported;
  const json& context = need(document, "context", path);
  imported.run.machine.name = context.value("host_name", "");
  imported.run.machine.cores = context.value("num_cpus", 0);
  imported.run.machine.facts_json = context.dump();
  imported.run.build.compiler =
      "google-benchmark " + context.value("library_version", context.value("library_build_type", ""));
  imported.run.build.facts_json = "{}";
  imported.run.started_ns = parse_date(context.value("date", ""));
  imported.run.suite = "import " + context.value("executable", path);
  imported.run.environment_json = json{{"load_avg", context.value("load_avg", json::array())},
                                       {"cpu_scaling_enabled", context.value("cpu_scaling_enabled", false)}}
                                      .dump();

  const json& rows = need(document, "benchmarks", path);
  std::map<std::string, std::size_t> by_name;  // run name -> its place in cases
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const json& row = rows[i];
    const std::string where = fmt::format("{}: benchmarks[{}]", path, i);
    const std::string name = row.value("run_name", need(row, "name", where).get<std::string>());
    const bool aggregate = row.value("run_type", "iteration") == "aggregate";
    const auto [place, fresh] = by_name.emplace(name, imported.cases.size());
    if (fresh) {
      imported.cases.push_back({case_of(name), {}});
      imported.cases.back().launch.stop_reason = "fixed";
    }
    LaunchRecord& launch = imported.cases[place->second].launch;
    if (row.value("error_occurred", false) || row.contains("error_message") || row.contains("skip_message")) {
      launch.status = row.value("error_occurred", false) ? Status::failed : Status::skipped;
      launch.reason = row.value("error_message", row.value("skip_message", "no message"));
      continue;
    }
    const double unit = seconds_of(row.value("time_unit", "ns"), where);
    if (aggregate) {
      // Of a file with aggregates only, the median is what stands for the case; with repetitions it would say them
      // twice.
      if (row.value("aggregate_name", "") == "median" && launch.samples.empty())
        launch.metrics.insert(
            launch.metrics.begin(),
            {"time", need(row, "real_time", where).get<double>() * unit, "s", Provenance::measured, {}, {}});
      continue;
    }
    launch.samples.push_back(need(row, "real_time", where).get<double>() * unit);
    launch.batch = std::max<std::int64_t>(1, row.value("iterations", std::int64_t{1}));
    if (launch.samples.size() == 1) {
      launch.metrics.push_back({"cpu_time", row.value("cpu_time", 0.0) * unit, "s", Provenance::measured, {}, {}});
      add_counters(launch, row);
    }
  }
  // What views and comparisons read; the samples are there for more.
  for (ImportedCase& item : imported.cases)
    if (item.launch.status == Status::ok && !item.launch.samples.empty())
      item.launch.metrics.insert(item.launch.metrics.begin(),
                                 {"time", describe(item.launch.samples).median, "s", Provenance::measured, {}, {}});
  // A case of aggregates without a median (or of big-O rows only) says nothing that can be kept.
  std::erase_if(imported.cases, [](const ImportedCase& item) {
    return item.launch.status == Status::ok && item.launch.samples.empty() && item.launch.metrics.empty();
  });
  return imported;
}

}  // namespace assay::results_db
