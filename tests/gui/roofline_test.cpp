#include "gui/model/roofline.h"

#include <gtest/gtest.h>

namespace assay::gui {
namespace {

using enum results_db::Provenance;

CaseResult made(const std::string& technique, const std::string& backend, const std::string& parameters,
                std::vector<Value> values) {
  results_db::CaseRecord record;
  record.technique = technique;
  record.backend = backend;
  record.parameters_json = parameters;
  record.key = technique + " " + backend + " " + parameters;
  CaseResult result;
  result.info = case_info(1, record);
  result.values = std::move(values);
  return result;
}

Value value(const std::string& metric, const std::string& unit, double median,
            results_db::Provenance provenance = measured) {
  return {.metric = metric, .unit = unit, .provenance = provenance, .median = median};
}

RunData two_backends() {
  RunData data;
  data.cases = {
      made("hardware/cpu-roofs", "cpu", R"({"probe":"fp32-fma"})", {value("flops_rate", "FLOP/s", 1e11)}),
      made("hardware/gpu-roofs", "cuda", R"({"probe":"gemm-bf16"})", {value("flops_rate", "FLOP/s", 6e14)}),
      made("hardware/gpu-roofs", "cuda", R"({"probe":"read","working_set":1073741824})",
           {value("bandwidth", "B/s", 3e12)}),
      made("hardware/gpu-roofs", "cuda", R"({"probe":"shared"})", {value("bandwidth", "B/s", 3e13)}),
  };
  for (const char* backend : {"cpu", "cuda"})
    data.cases.push_back(
        made("attention/x", backend, "{}", {value("flops_rate", "FLOP/s", 5e10), value("intensity", "FLOP/B", 4)}));
  data.cases.push_back(made("attention/x", "cpu", R"({"ranks":8})",
                            {value("flops_rate", "FLOP/s", 5e14, projected), value("intensity", "FLOP/B", 4)}));
  return data;
}

TEST(Roofline, ACaseStandsUnderTheRoofsOfItsOwnBackend) {
  const RunData data = two_backends();
  const Roofline cpu = roofline_of(data, {});
  EXPECT_EQ(cpu.backends, (std::vector<std::string>{"cpu", "cuda"}));
  EXPECT_EQ(cpu.backend, "cpu");
  ASSERT_EQ(cpu.roofs.size(), 1U);
  ASSERT_EQ(cpu.points.size(), 1U);
  EXPECT_EQ(cpu.points[0].result->info.record.backend, "cpu");
  EXPECT_EQ(cpu.elsewhere, 1);
  const Roofline cuda = roofline_of(data, {}, "cuda");
  ASSERT_EQ(cuda.roofs.size(), 2U);  // shared memory is no roof over what cases declare
  EXPECT_EQ(cuda.roofs[1].name, "read, 1 GiB");
  ASSERT_EQ(cuda.points.size(), 1U);
  EXPECT_EQ(cuda.points[0].result->info.record.backend, "cuda");
}

TEST(Roofline, AProjectionHasNoPlaceUnderMeasuredRoofs) { EXPECT_EQ(roofline_of(two_backends(), {}).without_work, 1); }

TEST(Roofline, TheFilterChoosesTheBackendThatHasSomethingToShow) {
  EXPECT_EQ(roofline_of(two_backends(), parse_filter("backend=cuda")).backend, "cuda");
}

}  // namespace
}  // namespace assay::gui
