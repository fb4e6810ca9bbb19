// NVBench's --json (and --jsonbin) output. A state is a case; its cold measurement is the time, with the raw samples
// when the binary files of --jsonbin lie where the JSON says.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "datasets/user_error.h"
#include "results_db/import.h"

namespace assay::results_db {
namespace {

using nlohmann::json;

// NVBench writes numbers as text so that they survive; older versions wrote them plainly.
json plain(const json& value) {
  if (!value.is_string()) return value;
  const json parsed = json::parse(value.get<std::string>(), nullptr, false);
  return parsed.is_number() ? parsed : value;
}

// The field of a summary, e.g. "value" of nv/cold/time/gpu/mean; null when there is none.
json field(const json& state, const char* tag, const char* name) {
  const auto summaries = state.find("summaries");
  if (summaries == state.end()) return {};
  for (const json& summary : *summaries) {
    if (!summary.is_object() || summary.value("tag", "") != tag || !summary.contains("data")) continue;
    for (const json& item : summary.at("data"))
      if (item.value("name", "") == name) return plain(item.at("value"));
  }
  return {};
}

std::vector<double> samples_beside(const std::string& path, const json& state) {
  constexpr const char* tag = "nv/json/bin:nv/cold/sample_times";
  const json filename = field(state, tag, "filename");
  const json size = field(state, tag, "size");
  if (!filename.is_string() || !size.is_number()) return {};
  const std::filesystem::path named_file = filename.get<std::string>();
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  for (const auto& candidate :
       {named_file, folder / named_file, folder / named_file.parent_path().filename() / named_file.filename()}) {
    std::ifstream file(candidate, std::ios::binary);
    if (!file) continue;
    std::vector<float> values(size.get<std::size_t>());
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
    if (static_cast<std::size_t>(file.gcount()) != values.size() * sizeof(float))
      throw UserError(
          fmt::format("{}: cut short: expected {} samples as {} says", candidate.string(), values.size(), path));
    return {values.begin(), values.end()};
  }
  return {};
}

void add(LaunchRecord& launch, const json& value, const char* metric, const char* unit) {
  if (value.is_number()) launch.metrics.push_back({metric, value.get<double>(), unit, Provenance::measured, {}, {}});
}

LaunchRecord launch_of(const std::string& path, const json& state, const std::string& where) {
  LaunchRecord launch;
  launch.stop_reason = "noise";
  if (state.value("is_skipped", false)) {
    launch.status = Status::skipped;
    launch.reason = state.value("skip_reason", "skipped by the benchmark");
    return launch;
  }
  launch.samples = samples_beside(path, state);
  const json mean = field(state, "nv/cold/time/gpu/mean", "value");
  if (launch.samples.empty()) {
    if (!mean.is_number()) throw UserError(fmt::format("{}: has neither nv/cold/time/gpu/mean nor samples", where));
    add(launch, mean, "time", "s");
  }
  add(launch, mean, "external:cold_gpu_mean", "s");
  add(launch, field(state, "nv/cold/time/gpu/stdev/relative", "value"), "external:cold_gpu_noise", "1");
  add(launch, field(state, "nv/cold/sample_size", "value"), "external:cold_samples", "count");
  add(launch, field(state, "nv/cold/time/cpu/mean", "value"), "external:cold_cpu_mean", "s");
  add(launch, field(state, "nv/batch/time/gpu/mean", "value"), "external:batch_gpu_mean", "s");
  add(launch, field(state, "nv/cold/bw/global/bytes_per_second", "value"), "bytes_rate", "B/s");
  add(launch, field(state, "nv/cold/bw/item_rate", "value"), "items_rate", "1/s");
  return launch;
}

}  // namespace

ImportedRun read_nvbench(const std::string& path, const std::string& text) {
  const json document = json::parse(text);
  if (!document.contains("benchmarks")) throw UserError(fmt::format("{}: benchmarks is missing", path));
  ImportedRun imported;
  const json devices = document.value("devices", json::array());
  std::map<std::int64_t, std::string> device_names;
  for (const json& device : devices) device_names[device.value("id", std::int64_t{0})] = device.value("name", "");
  imported.run.machine.name = devices.empty() ? "" : devices[0].value("name", "");
  imported.run.machine.facts_json = json{{"gpus", devices}}.dump();
  imported.run.build.compiler = "nvbench";
  imported.run.build.facts_json = document.value("meta", json::object()).dump();
  for (const json& benchmark : document["benchmarks"]) {
    const std::string name = benchmark.at("name");
    const json states = benchmark.value("states", json::array());
    for (std::size_t i = 0; i < states.size(); ++i) {
      const json& state = states[i];
      CaseRecord which;
      which.technique = imported_technique(name);
      which.backend = "cuda";
      which.timer = "event";
      which.cache = "cold";
      json parameters = json::object();
      // A state without axes has null here.
      if (const auto values = state.find("axis_values"); values != state.end() && values->is_array())
        for (const json& value : *values) parameters[value.at("name").get<std::string>()] = plain(value.at("value"));
      if (device_names.size() > 1) parameters["device"] = device_names[state.value("device", std::int64_t{0})];
      which.parameters_json = parameters.dump();
      imported.cases.push_back({which, launch_of(path, state, fmt::format("{}: {} state {}", path, name, i))});
    }
  }
  return imported;
}

}  // namespace assay::results_db
