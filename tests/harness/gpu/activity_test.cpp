#include "harness/profile/activity.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace assay::harness::profile {
namespace {

TEST(KernelActivity, WithoutTheLibrarySaysWhichOneIsMissing) {
  try {
    open_kernel_activity({"libno-such-cupti.so"});
    FAIL();
  } catch (const ActivityUnavailable& absent) {
    EXPECT_NE(std::string(absent.what()).find("CUPTI"), std::string::npos) << absent.what();
  }
}

#if ASSAY_HAVE_CUDA
std::string planted_cupti() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libfixture_cupti.so").string();
}

TEST(KernelActivity, TurnsRecordsIntoRowsInOrderOfTime) {
  const auto activity = open_kernel_activity({planted_cupti()});
  activity->start();
  const auto rows = activity->stop();
  ASSERT_EQ(rows.size(), 4U) << "kernels of a graph are rows each";
  EXPECT_EQ(rows[0].name, "copy on the device");
  EXPECT_EQ(rows[1].name, "void assay::kernel<float>(float*, int)");
  EXPECT_EQ(rows[3].name, "fill");
  EXPECT_EQ(rows[1].start_ns, 2000);
  EXPECT_EQ(rows[1].duration_ns, 750);
  EXPECT_EQ(rows[1].stream, "7");
  const auto shape = nlohmann::json::parse(rows[2].launch_json);
  EXPECT_EQ(shape.at("grid"), nlohmann::json({132, 2, 1}));
  EXPECT_EQ(shape.at("block"), nlohmann::json({384, 1, 1}));
  EXPECT_EQ(shape.at("registers"), 168);
  EXPECT_EQ(shape.at("static_shared"), 1024);
  EXPECT_EQ(shape.at("dynamic_shared"), 200000);
  EXPECT_EQ(shape.at("graph"), 3);
  EXPECT_EQ(nlohmann::json::parse(rows[0].launch_json).at("bytes"), 1 << 20);
}

TEST(KernelActivity, ASecondPassDoesNotSeeTheFirst) {
  const auto activity = open_kernel_activity({planted_cupti()});
  activity->start();
  EXPECT_EQ(activity->stop().size(), 4U);
  activity->start();
  EXPECT_EQ(activity->stop().size(), 4U);
  EXPECT_THROW(open_kernel_activity({planted_cupti()}), std::logic_error) << "one at a time";
}
#endif

}  // namespace
}  // namespace assay::harness::profile
