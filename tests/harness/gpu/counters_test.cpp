#include "harness/profile/counters.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace assay::harness::profile {
namespace {

std::string refusal(const std::vector<std::string>& libraries) {
  try {
    open_hardware_counters(libraries)->count([] {});
  } catch (const CountersUnavailable& absent) {
    return absent.what();
  }
  return "";
}

TEST(HardwareCounters, WithoutTheLibrarySayWhichOneIsMissing) {
  EXPECT_NE(refusal({"libno-such-cupti.so"}).find("CUPTI"), std::string::npos);
}

#if ASSAY_HAVE_CUDA
class PlantedCounters : public testing::Test {
 protected:
  void TearDown() override { unsetenv("FIXTURE_CUPTI_COUNTERS"); }
  static std::string library() {
    return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libfixture_cupti.so").string();
  }
};

TEST_F(PlantedCounters, RunTheRegionOncePerPassAndGiveSharesAndBytes) {
  int runs = 0;
  const auto counters = open_hardware_counters({library()});
  const CounterValues values = counters->count([&] { ++runs; });
  EXPECT_EQ(runs, 5);
  EXPECT_EQ(values.passes, 5);
  EXPECT_DOUBLE_EQ(values.tensor_active, 0.625);
  EXPECT_DOUBLE_EQ(values.dram_bytes, 3000 + 500);
  EXPECT_DOUBLE_EQ(values.l2_hit_rate, 0.4);
  EXPECT_EQ(counters->count([&] { ++runs; }).passes, 5) << "again";
}

TEST_F(PlantedCounters, SayWhatIsForbiddenAndWhatOpensIt) {
  setenv("FIXTURE_CUPTI_COUNTERS", "forbidden", 1);
  EXPECT_EQ(refusal({library()}),
            "GPU counters are for administrators here; `assay doctor` has the line that opens them");
}

TEST_F(PlantedCounters, NameTheStepThatIsRefused) {
  setenv("FIXTURE_CUPTI_COUNTERS", "broken", 1);
  EXPECT_EQ(refusal({library()}), "CUPTI refuses: CUPTI_ERROR (starting a pass)");
}

TEST_F(PlantedCounters, DoNotHideADroppedRange) {
  setenv("FIXTURE_CUPTI_COUNTERS", "drops", 1);
  EXPECT_EQ(refusal({library()}), "CUPTI dropped the range");
}

TEST_F(PlantedCounters, AreSwitchedOffWhenTheRegionFails) {
  EXPECT_THROW(open_hardware_counters({library()})->count([] { throw std::runtime_error("a fault"); }),
               std::runtime_error);
  int runs = 0;
  open_hardware_counters({library()})->count([&] { ++runs; });
  EXPECT_EQ(runs, 5);
}
#endif

}  // namespace
}  // namespace assay::harness::profile
