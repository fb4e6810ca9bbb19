#include "datasets/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "datasets/user_error.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;
const std::string kShipped = std::string(ASSAY_SOURCE_DIR) + "/datasets";

// A data folder of its own with one file in it.
class Folder {
 public:
  Folder() : root_(fs::path(testing::TempDir()) / ("assay_machine_" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
  }
  ~Folder() { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::string root() const { return root_.string(); }

 private:
  fs::path root_;
};

template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const UserError& wrong) {
    return wrong.what();
  }
  return "no error";
}

const std::string kDevice =
    "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = 8e10, source = \"s\" }\n"
    "memory_bandwidth = { value = 2e12, source = \"s\" }\n";

// What a chip carries is said in its own cycles and units; where a constant comes from another chip, so do its bars.
TEST(Machine, CarriedConstantsFollowClockUnitsAndMemory) {
  const Device own = load_device("a100-80g-sxm", kShipped), other = load_device("a40-48g", kShipped),
               twin = load_device("a100-40g-sxm", kShipped);
  const double cycles = own.at("clock_hz") / other.at("clock_hz");
  EXPECT_DOUBLE_EQ(other.at("norm_row_seconds"), own.at("norm_row_seconds") * cycles);
  EXPECT_DOUBLE_EQ(other.at("gemm_tile_seconds"), own.at("gemm_tile_seconds") * cycles);
  EXPECT_DOUBLE_EQ(other.at("launch_seconds"), own.at("launch_seconds"));
  // Few bytes a unit: what limits norms on an A100 does not on an A40, but nothing streams faster than a copy.
  EXPECT_DOUBLE_EQ(other.at("eff_norm"), own.at("eff_copy"));
  EXPECT_GT(other.constants.at("eff_norm").p90_error, own.constants.at("eff_norm").p90_error);
  // The same chip with slower memory: the same bytes a cycle.
  EXPECT_NEAR(twin.at("eff_norm") * twin.at("memory_bandwidth"), own.at("eff_norm") * own.at("memory_bandwidth"), 1);
  EXPECT_EQ(twin.constants.at("eff_norm").p90_error, own.constants.at("eff_norm").p90_error);
}

TEST(Machine, EveryShippedDescriptorLoadsAndNamesItsSources) {
  ASSERT_GE(device_ids(kShipped).size(), 8u);
  for (const std::string& id : device_ids(kShipped)) {
    const Device device = load_device(id, kShipped);
    EXPECT_GT(device.at("memory_bandwidth"), 1e9) << id;
    for (const auto& [key, constant] : device.constants) EXPECT_FALSE(constant.source.empty()) << id << " " << key;
  }
  for (const std::string& id : cluster_ids(kShipped)) {
    const Cluster cluster = load_cluster(id, kShipped);
    EXPECT_NO_THROW(load_device(cluster.device, kShipped)) << id;
    EXPECT_GE(cluster.nodes * cluster.devices_per_node, 1) << id;
    if (cluster.devices_per_node > 1) EXPECT_GT(cluster.intra.bandwidth, 1e6) << id;
    if (cluster.nodes > 1) EXPECT_GT(cluster.inter.bandwidth, 1e6) << id;
  }
  for (const std::string& id : model_ids(kShipped)) {
    const Model model = load_model(id, kShipped);
    EXPECT_GT(model.at("parameters"), 1e8) << id;
    EXPECT_FALSE(model.source.empty()) << id;
  }
}

TEST(Machine, ADescriptorIsLoadedByItsPathToo) {
  Folder folder;
  folder.write(
      "mine.toml",
      "id = \"mine\"\nname = \"M\"\nprovenance = \"measured\"\ndate = \"2026-01-01\"\n[constants]\n"
      "memory_bytes = { value = 8e10, source = \"s\" }\nmemory_bandwidth = { value = 2e12, source = \"s\" }\n");
  EXPECT_EQ(load_device(folder.root() + "/mine.toml", kShipped).id, "mine");
  EXPECT_NE(error_of([&] { load_device(folder.root() + "/no.toml", kShipped); }).find("no.toml: cannot be read"),
            std::string::npos);
}

TEST(Machine, DgxA100IsEightGpusWithAFullRatePortAndEightNics) {
  const Cluster cluster = load_cluster("dgx-a100", kShipped);
  EXPECT_EQ(cluster.devices_per_node, 8);
  EXPECT_EQ(cluster.nics_per_node, 8);
  EXPECT_NEAR(cluster.intra.bandwidth, 3e11, 0.02 * 3e11);
  EXPECT_DOUBLE_EQ(cluster.inter.bandwidth, 2.5e10);
  EXPECT_DOUBLE_EQ(datasheet_only(cluster).intra.bandwidth, 3e11);
}

TEST(Machine, CarriedConstantsComeFromTheNamedDeviceAndDatasheetOnlyDropsThem) {
  const Device own = load_device("a100-80g-sxm", kShipped), carried = load_device("h100-80g-sxm", kShipped);
  EXPECT_EQ(carried.calibration, "a100-80g-sxm");
  EXPECT_DOUBLE_EQ(carried.at("eff_memory"), own.at("eff_memory"));
  EXPECT_NE(carried.at("eff_gemm"), own.at("eff_gemm"));  // its own ratio of public best matmul rates
  EXPECT_NE(carried.at("peak_bf16"), own.at("peak_bf16"));
  EXPECT_FALSE(datasheet_only(own).has("eff_gemm"));
  EXPECT_TRUE(datasheet_only(own).has("peak_bf16"));
}

TEST(Machine, AppliedConstantsMoveThePlainFields) {
  Cluster cluster = load_cluster("dgx-a100", kShipped);
  cluster.constants.at("inter_bandwidth").value = 1e10;
  apply_constants(cluster);
  EXPECT_DOUBLE_EQ(cluster.inter.bandwidth, 1e10);
}

TEST(Machine, AnUnknownIdListsTheNearest) {
  EXPECT_NE(error_of([] { load_device("a100-80g-sxn", kShipped); }).find("nearest: a100-80g-sxm"), std::string::npos);
  EXPECT_NE(error_of([] { load_model("lama2-7b", kShipped); }).find("llama2-7b"), std::string::npos);
  EXPECT_NE(error_of([] { load_cluster("../devices/t4", kShipped); }).find("unknown cluster"), std::string::npos);
}

TEST(Machine, ReadsAWholeDescriptor) {
  Folder folder;
  folder.write("hardware/devices/d.toml", kDevice + "units = { value = 7, source = \"s\" }\n");
  const Device device = load_device("d", folder.root());
  EXPECT_DOUBLE_EQ(device.at("units"), 7);
  EXPECT_DOUBLE_EQ(device.get("absent", 3), 3);
  EXPECT_EQ(error_of([&] { (void)device.at("peak_bf16"); }),
            folder.root() + "/hardware/devices/d.toml: peak_bf16 is missing, expected a number");
}

struct Broken {
  const char* name;
  const char* text;
  const char* says;
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }

class BrokenDevice : public testing::TestWithParam<Broken> {};

TEST_P(BrokenDevice, IsRefusedWithLineAndKey) {
  Folder folder;
  folder.write("hardware/devices/d.toml", GetParam().text);
  const std::string said = error_of([&] { load_device("d", folder.root()); });
  EXPECT_NE(said.find("d.toml" + std::string(GetParam().says)), std::string::npos) << said;
  EXPECT_EQ(said.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Machine, BrokenDevice,
    testing::Values(
        Broken{"missing", "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = 1, source = \"s\" }\n",
               ": memory_bandwidth is missing, expected memory bandwidth in B/s"},
        Broken{"negative", "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = -1, source = \"s\" }\n",
               ":4: memory_bytes is -1, expected a number of at least 0"},
        Broken{"text", "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = \"80GB\", source = \"s\" }\n",
               ":4: memory_bytes is not a number"},
        Broken{"no_source", "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = 1 }\n",
               ":4: memory_bytes has no source"},
        Broken{"bare_number", "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = 5\n",
               ":4: memory_bytes has no value"},
        Broken{"fit_without_residual",
               "id = \"d\"\nname = \"D\"\n[constants]\nmemory_bytes = { value = 1, source = \"s\" }\n"
               "memory_bandwidth = { value = 1, source = \"s\" }\n[fitted]\n"
               "eff_gemm = { value = 0.8, source = \"s\" }\n",
               ":7: eff_gemm has no p90_error"},
        Broken{"other_id", "id = \"e\"\nname = \"D\"\n", ":1: id is 'e', expected 'd'"},
        Broken{"no_name", "id = \"d\"\n", ": name is missing"},
        Broken{"unknown_key", "id = \"d\"\nname = \"D\"\nspeed = 3\n", ":3: unknown key speed"},
        Broken{"not_toml", "id = \"d\"\nname = \n", ":2: not TOML"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Machine, AFractionalNumberOfNodesIsRefused) {
  Folder folder;
  const auto constant = [](const char* key, const char* value) {
    return std::string(key) + " = { value = " + value + ", source = \"s\" }\n";
  };
  folder.write("hardware/clusters/c.toml",
               "id = \"c\"\nname = \"C\"\ndevice = \"d\"\ntopology = \"nvswitch\"\n[constants]\n" +
                   constant("devices_per_node", "8") + constant("nodes", "1.5") + constant("nics_per_node", "8") +
                   constant("intra_bandwidth", "3e11") + constant("intra_latency", "1e-5") +
                   constant("inter_bandwidth", "2e10") + constant("inter_latency", "1e-5"));
  EXPECT_NE(error_of([&] { load_cluster("c", folder.root()); }).find("nodes is 1.5, expected a whole number"),
            std::string::npos);
}

}  // namespace
}  // namespace assay::datasets
