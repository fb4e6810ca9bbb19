#include "results_db/import.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "datasets/content_hash.h"
#include "datasets/user_error.h"

namespace assay::results_db {
namespace {

std::string read_whole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw UserError(fmt::format("{}: cannot be read", path));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::int64_t modified_ns(const std::string& path) {
  struct stat facts {};
  return stat(path.c_str(), &facts) == 0 ? static_cast<std::int64_t>(facts.st_mtim.tv_sec) * 1'000'000'000 : 0;
}

ImportFormat recognise(const std::string& path, const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    if (text.find("\"benchmarks\"") != std::string::npos) {
      if (text.find("\"context\"") != std::string::npos) return ImportFormat::google_benchmark;
      if (text.find("\"states\"") != std::string::npos || text.find("\"devices\"") != std::string::npos)
        return ImportFormat::nvbench;
    }
  } else if (text.find("busbw") != std::string::npos) {
    return ImportFormat::nccl_tests;
  }
  throw UserError(fmt::format(
      "{}: not recognised; expected Google Benchmark JSON, NVBench JSON or nccl-tests text (--format names it)", path));
}

// A UUID (version 8, RFC 9562) made of the content, so that the same file is the same run everywhere.
std::string uuid_of(const std::string& text) {
  std::string hex = datasets::content_hash("assay import\n" + text);
  hex[12] = '8';
  hex[16] = "89ab"[std::stoul(hex.substr(16, 1), nullptr, 16) & 3];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

}  // namespace

ImportFormat import_format_from(const std::string& text) {
  if (text == "auto") return ImportFormat::automatic;
  if (text == "google-benchmark") return ImportFormat::google_benchmark;
  if (text == "nvbench") return ImportFormat::nvbench;
  if (text == "nccl-tests") return ImportFormat::nccl_tests;
  throw UserError(fmt::format("--format: found '{}', expected auto, google-benchmark, nvbench or nccl-tests", text));
}

std::string imported_technique(std::string_view name) {
  std::string result = "external/";
  for (const char c : name)
    result += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' ? c : '-';
  return result;
}

std::string imported_key(const CaseRecord& which) {
  std::string key = which.technique + " " + which.backend + (which.fabric.empty() ? "" : "/" + which.fabric);
  const nlohmann::json parameters = nlohmann::json::parse(which.parameters_json);
  for (const auto& [name, value] : parameters.items())
    key += fmt::format(" {}={}", name, value.is_string() ? value.get<std::string>() : value.dump());
  if (which.timer != "host") key += " " + which.timer;
  if (which.cache != "hot") key += " " + which.cache;
  return key;
}

ImportedFile read_import(const std::string& path, const ImportOptions& options) {
  const std::string text = read_whole(path);
  const ImportFormat format = options.format == ImportFormat::automatic ? recognise(path, text) : options.format;
  ImportedFile read;
  ImportedRun& imported = read.imported;
  ImportReport& report = read.report;
  try {
    switch (format) {
      case ImportFormat::google_benchmark:
        report.format = "google-benchmark";
        imported = read_google_benchmark(path, text);
        break;
      case ImportFormat::nvbench:
        report.format = "nvbench";
        imported = read_nvbench(path, text);
        break;
      case ImportFormat::nccl_tests:
      case ImportFormat::automatic:
        report.format = "nccl-tests";
        imported = read_nccl_tests(path, text, options.name);
        break;
    }
  } catch (const nlohmann::json::exception& error) {
    std::string what = error.what();  // "[json.exception...] text"
    if (const std::size_t end = what.find("] "); end != std::string::npos) what = what.substr(end + 2);
    throw UserError(fmt::format("{}: not {} JSON: {}", path, report.format, what));
  }
  if (imported.cases.empty()) throw UserError(fmt::format("{}: holds no result", path));

  RunRecord& run = imported.run;
  report.run = run.id = uuid_of(text);
  if (run.suite.empty()) run.suite = "import " + std::filesystem::path(path).filename().string();
  if (run.command.empty()) run.command = "assay db import " + path;
  if (run.started_ns == 0) run.started_ns = modified_ns(path);
  run.status = "running";
  run.tags.insert(run.tags.end(), options.tags.begin(), options.tags.end());
  run.tags.emplace_back("imported");
  run.machine.id = datasets::content_hash("imported machine\n" + run.machine.name + "\n" + run.machine.cpu + "\n" +
                                          std::to_string(run.machine.cores));
  run.build.id = datasets::content_hash("imported build\n" + run.build.compiler + "\n" + run.build.facts_json);
  return read;
}

ImportReport store_import(Store& store, ImportedFile file) {
  RunRecord& run = file.imported.run;
  ImportReport& report = file.report;
  for (const RunRecord& known : store.runs())
    if (known.id == run.id) report.known = known.finished_ns != 0;
  if (report.known) return report;

  // Cases first, so that the launches go in as one transaction: an import is whole or absent.
  std::map<std::int64_t, int> ordinals;
  std::vector<LaunchRecord> launches;
  for (ImportedCase& item : file.imported.cases) {
    item.which.key = imported_key(item.which);
    LaunchRecord& launch = item.launch;
    launch.run = run.id;
    launch.case_id = store.put_case(item.which);
    launch.ordinal = ordinals[launch.case_id]++;
    if (launch.started_ns == 0) launch.started_ns = run.started_ns;
    report.failed += launch.status == Status::failed ? 1 : 0;
    report.skipped += launch.status == Status::skipped ? 1 : 0;
    launches.push_back(std::move(launch));
  }
  run.expected_cases = report.cases = static_cast<int>(ordinals.size());
  report.launches = static_cast<int>(launches.size());
  store.begin_run(run);
  bool there = false;  // an import that was stopped between its launches and its end
  for (const auto& [case_id, count] : ordinals) there = there || !store.launches(run.id, case_id).empty();
  if (!there) store.append_launches(launches);
  store.finish_run(run.id, "finished", run.started_ns);
  return report;
}

ImportReport import_file(Store& store, const std::string& path, const ImportOptions& options) {
  return store_import(store, read_import(path, options));
}

}  // namespace assay::results_db
