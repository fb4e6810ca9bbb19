// ci/gpu-check on a machine without a GPU, and its stages on one that a script plays: which commands it runs, what it
// makes of their ends, and that it holds to its time.
#include <gtest/gtest.h>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {
namespace fs = std::filesystem;

// A bundle whose program answers as the shell code `answers` says; `$*` is what it was asked.
class Bundle {
 public:
  Bundle(const std::string& name, const std::string& answers) : scratch_(name) {
    fs::create_directories(scratch_.path("bin"));
    fs::copy_file(fs::path(ASSAY_SOURCE_DIR) / "ci" / "gpu-check", scratch_.path("gpu-check"));
    tool("bin/assay", "echo \"asked: $*\" >> " + scratch_.path("asked").string() + "\n" + answers);
    tool("bin/test_impls_hardware_cuda", "echo '[  PASSED  ]'");
  }
  void tool(const std::string& name, const std::string& text) const {
    const fs::path path = scratch_.write(name, "#!/bin/bash\n" + text + "\n");
    fs::permissions(path, fs::perms::owner_all);
  }
  Outcome check(const std::string& environment = "") const {
    return scratch_.shell("cd " + scratch_.path("").string() + " && env PATH=" + scratch_.path("bin").string() +
                          ":$PATH CUDA_HOME=/nowhere " + environment + " ./gpu-check out");
  }
  std::string report() const { return read_file(scratch_.path("out/report.txt")); }
  std::string asked() const { return read_file(scratch_.path("asked")); }

 private:
  Scratch scratch_;
};

TEST(GpuCheck, WithoutADeviceSaysSoOnceAndExitsThree) {
  const Bundle bundle("gpu-check-none", "echo 'this machine: no device: no NVIDIA driver is loaded'");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.out, "gpu-check: no device: no NVIDIA driver is loaded\n");
  EXPECT_EQ(bundle.asked(), "asked: list devices\n") << "nothing else is started";
}

TEST(GpuCheck, ChecksTestsTimesAndWritesOneReport) {
  const Bundle bundle("gpu-check-all", "echo fine");
  bundle.tool("bin/compute-sanitizer", "echo 'ERROR SUMMARY: 0 errors'");
  bundle.tool("bin/cuobjdump",
              "printf 'code for sm_90a\\n Function : forward\\n /*0*/ HGMMA.64x128 R1\\n HGMMA.64x128 R2\\n'");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const std::string report = bundle.report();
  for (const char* stage : {"environment", "checks and mutants", "tests", "times and roofs", "machine code",
                            "compute-sanitizer memcheck", "compute-sanitizer synccheck", "compute-sanitizer racecheck"})
    EXPECT_NE(report.find("passed   " + std::string(stage) + "\n"), std::string::npos) << stage << "\n" << report;
  EXPECT_NE(report.find("sm_90a forward HGMMA=2"), std::string::npos) << report;
  EXPECT_NE(bundle.asked().find("run gpu-check --check"), std::string::npos);
  EXPECT_NE(bundle.asked().find("run gpu --quiet"), std::string::npos);
}

TEST(GpuCheck, FailsWhenAnythingFailsAndStillGoesThroughTheRest) {
  const Bundle bundle("gpu-check-fails", "[[ \"$*\" != *--check* ]]");
  bundle.tool("bin/compute-sanitizer", "echo 'ERROR SUMMARY: 2 errors'; exit 86");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 1);
  const std::string report = bundle.report();
  EXPECT_NE(report.find("FAILED   checks and mutants (exit 1)"), std::string::npos) << report;
  EXPECT_NE(report.find("FAILED   compute-sanitizer memcheck (exit 86)"), std::string::npos) << report;
  EXPECT_NE(report.find("passed   times and roofs"), std::string::npos) << report;
}

TEST(GpuCheck, RecordsASanitizerThatTheRuntimeRefuses) {
  const Bundle bundle("gpu-check-refused", "true");
  bundle.tool("bin/compute-sanitizer", "echo 'Error: Device not supported. Please refer to the manual'; exit 255");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_NE(bundle.report().find("refused by runtime: Error: Device not supported"), std::string::npos)
      << bundle.report();
}

TEST(GpuCheck, LeavesOutWhatNoLongerFitsAndSaysSo) {
  const Bundle bundle("gpu-check-late", "true");
  const Outcome outcome = bundle.check("GPU_CHECK_SECONDS=5");
  EXPECT_EQ(outcome.code, 3) << "nothing checked is no success";
  EXPECT_NE(bundle.report().find("left out times and roofs"), std::string::npos) << bundle.report();
}

}  // namespace
}  // namespace assay::e2e
