#include "datasets/model_parameters.h"

#include <gtest/gtest.h>

#include <string>

namespace assay::datasets {
namespace {

const std::string kShipped = std::string(ASSAY_SOURCE_DIR) + "/datasets";

TEST(ModelParameters, ArchitecturesGiveThePublishedCounts) {
  ASSERT_GE(model_ids(kShipped).size(), 45U);
  for (const std::string& id : model_ids(kShipped)) {
    const Model model = load_model(id, kShipped);
    const ParameterCount count = count_parameters(model);
    EXPECT_NEAR(count.total / model.at("parameters"), 1.0, 0.03) << id;
    const auto active = model.numbers.find("active_parameters");
    if (active != model.numbers.end()) {
      EXPECT_NEAR(count.active / active->second, 1.0, 0.12) << id;  // some releases leave the embedding out
    } else {
      EXPECT_DOUBLE_EQ(count.active, count.total) << id;
    }
  }
}

// Counts that the releases print to the last digit.
TEST(ModelParameters, ExactCountsOfReleasedModels) {
  EXPECT_DOUBLE_EQ(count_parameters(load_model("llama2-7b", kShipped)).total, 6738415616.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("llama2-70b", kShipped)).total, 68976648192.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("llama3-8b", kShipped)).total, 8030261248.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("gpt2-small", kShipped)).total, 124439808.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("gpt2-xl", kShipped)).total, 1557611200.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("mixtral-8x7b", kShipped)).total, 46702792704.0);
  EXPECT_DOUBLE_EQ(count_parameters(load_model("qwen2.5-7b", kShipped)).total, 7615616512.0);
}

}  // namespace
}  // namespace assay::datasets
