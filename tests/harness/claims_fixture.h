#pragma once
// A device, a few configurations and three projectors whose values a reader can compute in the head.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>

#include "harness/claims/evaluate.h"

namespace assay::harness::claims {

namespace fs = std::filesystem;

// speed x efficiency on the technique's side, speed alone on the baseline's: a ratio of 2 x the device's eff.
inline std::optional<Projection> twice(const Setting& setting, const std::string& quantity) {
  if (quantity != "throughput" && quantity != "step_time") return std::nullopt;
  const double speed = 2 * setting.device->get("eff", 1) * setting.axes.real("batch");
  Projection projection{.value = quantity == "throughput" ? speed : 1 / speed};
  projection.inside_domain = !setting.axes.has("exotic");
  projection.note = setting.role + " " + setting.technique + " " + setting.claim;
  return projection;
}

inline std::optional<Projection> plain(const Setting& setting, const std::string& quantity) {
  if (setting.role != "baseline") return std::nullopt;
  const double speed = setting.axes.real("batch");
  return Projection{.value = quantity == "throughput" ? speed : 1 / speed};
}

inline std::optional<Projection> needy(const Setting& setting, const std::string&) {
  return Projection{.value = setting.axes.real("absent_axis")};
}

inline Projector find_projector(const std::string& technique) {
  if (technique == "attention/twice") return twice;
  if (technique == "attention/plain") return plain;
  if (technique == "attention/needy") return needy;
  return nullptr;
}

class ClaimsFixture : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(root_ / "hardware/devices");
    std::ofstream(root_ / "hardware/devices/d.toml")
        << "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = 1, source = \"s\" }\n"
           "memory_bandwidth = { value = 1, source = \"s\" }\n[fitted]\n"
           "eff = { value = 0.8, p90_error = 0.1, source = \"s\" }\n"
           "idle = { value = 0.5, p90_error = 0.9, source = \"moves nothing\" }\n";
    std::ofstream(root_ / "hardware/devices/e.toml")
        << "id = \"e\"\nname = \"E\"\ncalibration = \"d\"\n[constants]\nmemory_bytes = { value = 1, source = \"s\" }\n"
           "memory_bandwidth = { value = 1, source = \"s\" }\n";
    for (const auto& [id, device, batch] :
         {std::tuple{"t/one", "d", 1}, {"t/two", "d", 4}, {"t/carried", "e", 1}, {"t/unknown", "z", 1}}) {
      Configuration configuration{.id = id, .device = device, .file = "f"};
      configuration.axes.set("batch", std::int64_t{batch});
      library_.configurations["f"].emplace(id, configuration);
    }
    Configuration exotic{.id = "t/exotic", .device = "d", .file = "f"};
    exotic.axes.set("batch", std::int64_t{1});
    exotic.axes.set("exotic", std::int64_t{1});
    library_.configurations["f"].emplace("t/exotic", exotic);
  }
  void TearDown() override { fs::remove_all(root_); }

  Claim ratio(double value) const {
    Claim claim;
    claim.id = "attention/twice#k";
    claim.technique = "attention/twice";
    claim.key = "k";
    claim.baseline = "attention/plain";
    claim.quantity = "throughput";
    claim.form = Form::ratio;
    claim.value = value;
    claim.unit = "1";
    claim.kind = "projected";
    claim.configurations = {"t/one"};
    claim.file = "f";
    return claim;
  }
  Outcome judged(const Claim& claim) const { return evaluate(claim, library_, root_.string(), find_projector); }

  const fs::path root_ = fs::path(testing::TempDir()) / ("assay_evaluate_" + std::to_string(::getpid()));
  Library library_;
};

}  // namespace assay::harness::claims
