#pragma once
// Records the store's tests start from, and a scratch folder that goes with the test.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "datasets/user_error.h"
#include "results_db/store.h"

namespace assay::results_db::examples {

class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "assay-store-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline RunRecord run(const std::string& id, std::int64_t started_ns = 1'700'000'000'000'000'000) {
  RunRecord run;
  run.id = id;
  run.suite = "quick";
  run.suite_toml = "name = \"quick\"";
  run.command = "assay run quick";
  run.machine = {"machine-1", "lab", "a processor", 64, 1LL << 38, R"({"numa":2})"};
  run.build = {"build-1", "0123abcd", true, "clang 16", "-O3", "{}"};
  run.started_ns = started_ns;
  run.status = "running";
  run.seed = 42;
  run.expected_cases = 2;
  run.environment_json = R"({"load":0.1})";
  return run;
}

inline CaseRecord attention_case(const std::string& tokens = "1024") {
  CaseRecord record;
  record.technique = "attention/flash-attention-2";
  record.backend = "cpu";
  record.parameters_json = R"({"tokens":)" + tokens + "}";
  record.key = "attention/flash-attention-2 cpu tokens=" + tokens;
  return record;
}

inline LaunchRecord launch(const std::string& run_id, std::int64_t case_id, int ordinal = 0) {
  LaunchRecord launch;
  launch.run = run_id;
  launch.case_id = case_id;
  launch.ordinal = ordinal;
  launch.stop_reason = "noise";
  launch.started_ns = 1'700'000'000'000'000'000 + ordinal;
  launch.wall_seconds = 0.75;
  launch.pid = 4711;
  launch.batch = 8;
  launch.samples = {5e-3, 1e-3, 2e-3, 3e-3, 4e-3};
  launch.warmup = 1;
  launch.code_hash = "c0de";
  return launch;
}

// The one line a user would read.
template <class Body>
std::string user_error(Body&& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "(no UserError)";
}

}  // namespace assay::results_db::examples
