// `assay validate` and `assay probe` as a user meets them, and the bars the models are held to.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "datasets/machine.h"
#include "impls/substrate/models/collective_time.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;

const std::string kData = std::string(ASSAY_SOURCE_DIR) + "/datasets";
const std::string kProfiles = std::string(ASSAY_SHARED_DATA) + "/profiles/";

constexpr const char* kLinearHeader =
    "device,model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,attn_pre_proj_ms,mlp_up_proj_ms,add_ms\n";

// Times of the shapes of another model in the profiles' format: what the models say, 3% up and down in turn.
std::string generated_linear() {
  using namespace substrate;  // NOLINT(google-build-using-namespace)
  const datasets::Device a100 = datasets::load_device("a100-80g-sxm", kData);
  std::string text = kLinearHeader;
  double factor = 1.03;
  for (const std::int64_t ways : {1, 2, 4}) {
    for (std::int64_t tokens = 1; tokens <= 4096; tokens *= 2) {
      factor = 2 - factor;
      const auto ms = [&](std::int64_t n) {
        return std::to_string(1e3 * factor * operator_seconds(a100, gemm_work(tokens, n, 6144, OpDtype::fp16)));
      };
      text += "a100,generated,48,8,6144,16384," + std::to_string(ways) + "," + std::to_string(tokens) + "," +
              ms((48 + 16) / ways * 128) + "," + ms(2 * 16384 / ways) + ",\n";
    }
  }
  return text;
}

std::string generated_collectives() {
  const datasets::Cluster cluster = datasets::load_cluster("a100-measured", kData);
  std::string text = "collective,ranks,devices_per_node,bytes,median_ms\n";
  double factor = 1.05;
  for (const int per_node : {1, 2, 4, 8}) {
    for (double bytes = 65536; bytes < 1e8; bytes *= 2) {
      factor = 2 - factor;
      const substrate::CollectiveWork work{.ranks = 2 * per_node, .devices_per_node = per_node, .bytes = bytes};
      text += "all_reduce," + std::to_string(work.ranks) + "," + std::to_string(per_node) + "," +
              std::to_string(static_cast<long>(bytes)) + "," +
              std::to_string(1e3 * factor * substrate::collective_time(cluster, work).seconds) + "\n";
    }
  }
  return text;
}

class Validate : public testing::Test {
 protected:
  json groups(const std::string& arguments) const {
    const Outcome outcome = scratch_.assay("validate " + arguments + " --json");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out).at("groups");
  }
  static json named(const json& groups, const std::string& name) {
    for (const json& group : groups) {
      if (group.at("name") == name) return group;
    }
    ADD_FAILURE() << "no group " << name;
    return {};
  }
  // The public profile where it is, else one generated in its format.
  std::string profile(const std::string& name, const std::string& generated) const {
    if (std::filesystem::exists(kProfiles + name)) return kProfiles + name;
    std::printf("%s is not at %s: a generated profile stands in\n", name.c_str(), kProfiles.c_str());
    return scratch_.write(name, generated).string();
  }
  static void show(const json& group) {
    std::printf("%s: %d times, median %.1f%%, P90 %.1f%%\n", group.at("name").get<std::string>().c_str(),
                group.at("n").get<int>(), 100 * group.at("median_abs_err").get<double>(),
                100 * group.at("p90_abs_err").get<double>());
  }
  void refused(const std::string& arguments, const std::vector<std::string>& says) const {
    const Outcome outcome = scratch_.assay(arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    for (const std::string& part : says) EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }

  Scratch scratch_{"validate"};
};

TEST_F(Validate, LinearOperatorsAreWithinTheirBars) {
  const json found = groups(profile("a100_linear_ops.csv", generated_linear()) + " --device a100-80g-sxm");
  const json linear = named(found, "linear operators, 64 or more tokens");
  show(linear);
  EXPECT_LE(linear.at("median_abs_err"), 0.05);
  EXPECT_LE(linear.at("p90_abs_err"), 0.15);
  for (const json& group : found) {
    if (group.at("section") == "operator") {
      show(group);
      EXPECT_LE(group.at("median_abs_err"), 0.07);
    }
  }
}

TEST_F(Validate, AllReducesAreWithinTheirBarAndTheBimodalSettingIsNamed) {
  const json found = groups(profile("a100_dgx_all_reduce.csv", generated_collectives()) + " --cluster a100-measured");
  const json pooled = named(found, "all_reduce, pooled");
  show(pooled);
  EXPECT_LE(pooled.at("median_abs_err"), 0.15);
  const json four = named(found, "all_reduce 4 ranks, 2 a node");
  show(four);
  if (std::filesystem::exists(kProfiles + "a100_dgx_all_reduce.csv")) {
    EXPECT_EQ(four.at("note").get<std::string>().rfind("bimodal", 0), 0U) << four;
  }
}

// docs/models.md states these: every combination of ranks and devices a node that was measured.
TEST_F(Validate, EverySettingOfTheAllReduceIsAsFarOffAsStated) {
  if (!std::filesystem::exists(kProfiles + "a100_dgx_all_reduce.csv")) GTEST_SKIP() << "no all-reduce profile";
  const json found = groups(kProfiles + "a100_dgx_all_reduce.csv --cluster a100-measured");
  struct Stated {
    int ranks, per_node;
    double median, p90;  // per cent
  };
  const std::vector<Stated> table{{2, 1, 0.7, 3.1}, {2, 2, 2.2, 11.4}, {4, 2, 36.8, 49.1}, {4, 4, 5.4, 26.0},
                                  {8, 4, 3.2, 7.0}, {8, 8, 8.1, 26.9}, {16, 8, 9.3, 40.4}};
  std::size_t settings = 0;
  for (const json& group : found) settings += group.at("section") == "setting" ? 1 : 0;
  EXPECT_EQ(settings, table.size()) << found;
  for (const Stated& row : table) {
    const json group =
        named(found, "all_reduce " + std::to_string(row.ranks) + " ranks, " + std::to_string(row.per_node) + " a node");
    EXPECT_NEAR(100 * group.at("median_abs_err").get<double>(), row.median, 0.06) << group;
    EXPECT_NEAR(100 * group.at("p90_abs_err").get<double>(), row.p90, 0.06) << group;
  }
}

TEST_F(Validate, SendAndReceiveIsWithinItsBar) {
  if (!std::filesystem::exists(kProfiles + "a100_dgx_send_recv.csv")) GTEST_SKIP() << "no send and receive profile";
  const json pooled = named(groups(kProfiles + "a100_dgx_send_recv.csv"), "send_recv, pooled");
  show(pooled);
  EXPECT_LE(pooled.at("median_abs_err"), 0.05);
}

TEST_F(Validate, TheTableAndTheDrawingAreWritten) {
  const auto file = scratch_.write("p.csv", generated_linear());
  const Outcome outcome = scratch_.assay("validate " + file.string() + " --plot " + scratch_.path("r.svg").string());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("linear operators, 64 or more tokens"), std::string::npos) << outcome.out;
  EXPECT_EQ(read_file(scratch_.path("r.svg")).rfind("<svg", 0), 0U);
}

TEST_F(Validate, BadInputIsOneLineAndExitTwo) {
  const std::string header(kLinearHeader);
  refused("validate /no/such.csv", {"/no/such.csv", "cannot be read"});
  refused("validate " + scratch_.write("e.csv", "").string(), {"e.csv"});
  refused("validate " + scratch_
                            .write("o.csv",
                                   "model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,conv_ms\n"
                                   "m,32,32,4096,11008,1,1,1\n")
                            .string(),
          {"o.csv:1", "unknown operator conv_ms", "attn_pre_proj_ms"});
  refused("validate " + scratch_.write("n.csv", header + "a100,m,32,32,4096,11008,1,64,1.2x,1,1\n").string(),
          {"n.csv:2:", "attn_pre_proj_ms", "'1.2x'"});
  refused("validate " + scratch_
                            .write("c.csv",
                                   "collective,ranks,devices_per_node,bytes,median_ms\n"
                                   "all_gather,2,2,2048,0.1\n")
                            .string(),
          {"c.csv:2:1", "unknown operator 'all_gather'", "all_reduce"});
  const auto good = scratch_.write("g.csv", header + "a100,m,32,32,4096,11008,1,64,1.2,1,1\n");
  refused("validate " + good.string() + " --device a100-80g-sxn", {"a100-80g-sxn", "nearest: a100-80g-sxm"});
  const auto lacking = scratch_.write("d.toml",
                                      "id = \"d\"\nname = \"D\"\n[constants]\n"
                                      "memory_bytes = { value = 1e10, source = \"s\" }\n"
                                      "memory_bandwidth = { value = 1e11, source = \"s\" }\n");
  refused("validate " + good.string() + " --device " + lacking.string(), {"d.toml", "peak_fp16"});
}

TEST(Probe, WritesADescriptorThatTheRestLoads) {
  const Scratch scratch("probe");
  const auto file = scratch.path("here.toml");
  const Outcome outcome = scratch.assay("probe --seconds 0.01 --output " + file.string());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("P90 residual"), std::string::npos) << outcome.out;
  const datasets::Device device = datasets::load_device(file.string(), kData);
  EXPECT_EQ(device.id, "here");
  for (const char* key : {"memory_bandwidth", "peak_fp32", "units", "eff_copy", "copy_seconds"}) {
    EXPECT_GT(device.at(key), 0) << key;
  }
  EXPECT_GT(device.constants.at("eff_copy").p90_error, 0);
  EXPECT_NE(read_file(file).find("\ndate = \""), std::string::npos);
  EXPECT_EQ(scratch.assay("probe --output here.txt").code, 2);
}

}  // namespace
}  // namespace assay::e2e
