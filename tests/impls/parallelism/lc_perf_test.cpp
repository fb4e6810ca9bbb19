// The long-context model against arithmetic done by hand, and what it says no context changes.
#include <gtest/gtest.h>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "impls/parallelism/sequence/lc_perf.h"

namespace assay::parallelism {
namespace {

const datasets::Model kModel{.id = "m",
                             .numbers = {{"layers", 10},
                                         {"hidden", 1000},
                                         {"parameters", 1e9},
                                         {"kv_heads", 4},
                                         {"head_dim", 50},
                                         {"ffn", 4000},
                                         {"vocab", 0}},
                             .source = {},
                             .reconstructed = {},
                             .file = {},
                             .hash = {}};

datasets::Device device() {
  datasets::Device device;
  device.id = "d";
  device.constants["peak_bf16"] = {.value = 1e13};
  device.constants["memory_bandwidth"] = {.value = 1e12};
  device.constants["memory_bytes"] = {.value = 4e9};
  device.constants["host_bandwidth"] = {.value = 1e10};
  return device;
}

TEST(LongContexts, CostWhatTheFormulasSay) {
  const LongContextCosts costs = long_context_costs(kModel, device(), {.context = 10'000, .decoded = 100});
  EXPECT_DOUBLE_EQ(costs.kv_bytes, 2.0 * 10 * 4 * 50 * 2 * 10'000);
  EXPECT_DOUBLE_EQ(costs.prefill_seconds, (2e9 * 1e4 + 10 * 1000 * 1e8) / 1e13);
  EXPECT_DOUBLE_EQ(costs.decode_seconds, 100 * (2e9 + 8e7) / 1e12);
  EXPECT_DOUBLE_EQ(costs.switch_seconds, 2 * 8e7 / 1e10);
  EXPECT_EQ(costs.users, 28);  // (4 GiB - 2 GB) / 80 MB
  EXPECT_DOUBLE_EQ(costs.critical_batch, 10);
}

TEST(LongContexts, CostMoreTheLongerTheyAre) {
  LongContextCosts before = long_context_costs(kModel, device(), {.context = 1000, .decoded = 10});
  for (const double context : {2000.0, 8000.0, 32'000.0}) {
    const LongContextCosts costs = long_context_costs(kModel, device(), {.context = context, .decoded = 10});
    EXPECT_GT(costs.prefill_seconds, before.prefill_seconds);
    EXPECT_GT(costs.decode_seconds, before.decode_seconds);
    EXPECT_LE(costs.users, before.users);
    before = costs;
  }
}

TEST(LongContexts, OfADeviceWithoutANumberAreRefusedByItsName) {
  datasets::Device without = device();
  without.file = "d.toml";
  without.constants.erase("peak_bf16");
  try {
    long_context_costs(kModel, without, {.context = 1, .decoded = 1});
    FAIL();
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("peak_bf16"), std::string::npos);
  }
}

}  // namespace
}  // namespace assay::parallelism
