// ci/gpu-check on a machine without a GPU, and its stages on one that a script plays: which commands it runs, what it
// makes of their ends, and that it holds to its time.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {
namespace fs = std::filesystem;

// A bundle whose program answers as the shell code `answers` says; `$*` is what it was asked.
class Bundle {
 public:
  Bundle(const std::string& name, const std::string& answers) : scratch_(name) {
    fs::create_directories(scratch_.path("bin"));
    for (const char* script : {"gpu-check", "gpu-sass"})
      fs::copy_file(fs::path(ASSAY_SOURCE_DIR) / "ci" / script, scratch_.path(script));
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

constexpr const char* kChecks[] = {"checks of roofs, units and memory-bound kernels", "checks of sm_90a",
                                   "checks of sm_80", "checks of libraries"};

TEST(GpuCheck, ChecksTimesTestsAndWritesOneReport) {
  const Bundle bundle("gpu-check-all", "echo fine");
  bundle.tool("bin/compute-sanitizer", "echo 'ERROR SUMMARY: 0 errors'");
  bundle.tool(
      "bin/cuobjdump",
      "printf 'code for sm_90a\\n Function : forward\\n /*0000*/ HGMMA.64x128 R1;\\n /*0010*/ HGMMA.64x128 R2;\\n'");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  const std::string report = bundle.report();
  std::vector<std::string> stages = {"environment",
                                     "times of roofs and units",
                                     "times of sm_80 and libraries",
                                     "times of sm_90a",
                                     "kernels",
                                     "counters",
                                     "machine code",
                                     "tests",
                                     "compute-sanitizer memcheck",
                                     "compute-sanitizer racecheck",
                                     "compute-sanitizer synccheck"};
  stages.insert(stages.end(), std::begin(kChecks), std::end(kChecks));
  for (const std::string& stage : stages)
    EXPECT_NE(report.find("passed   " + stage + "\n"), std::string::npos) << stage << "\n" << report;
  EXPECT_NE(report.find("sm_90a forward HGMMA=2"), std::string::npos) << report;
  const std::string asked = bundle.asked();
  for (const char* tag : {"basic", "sm_80", "sm_90a", "library"})
    EXPECT_NE(asked.find("run gpu-check --check --only-tag " + std::string(tag) + " --time-limit"), std::string::npos)
        << asked;
  EXPECT_NE(asked.find("run gpu-brief --counters --only-tag=sm_80 --only-tag=sm_90a"), std::string::npos) << asked;
  EXPECT_LT(asked.find("gpu-check --check"), asked.find("gpu-brief")) << "what is wrong is known before it is timed";
}

TEST(GpuCheck, FailsWhenAnythingFailsAndStillGoesThroughTheRest) {
  const Bundle bundle("gpu-check-fails", "[[ \"$*\" != *--check* ]]");
  bundle.tool("bin/compute-sanitizer", "echo 'ERROR SUMMARY: 2 errors'; exit 86");
  const Outcome outcome = bundle.check();
  EXPECT_EQ(outcome.code, 1);
  const std::string report = bundle.report();
  for (const std::string stage : kChecks)
    EXPECT_NE(report.find("FAILED   " + stage + " (exit 1)"), std::string::npos) << report;
  EXPECT_NE(report.find("FAILED   compute-sanitizer memcheck (exit 86)"), std::string::npos) << report;
  EXPECT_NE(report.find("passed   times of sm_80 and libraries"), std::string::npos) << report;
  EXPECT_NE(report.find("left out times and counters of sm_90a: its checks did not pass"), std::string::npos) << report;
  EXPECT_EQ(bundle.asked().find("gpu-brief --only-tag sm_90a"), std::string::npos) << bundle.asked();
}

// A kernel that hangs, say: what was reached is kept, what was not is named, and the time of the others is not taken.
TEST(GpuCheck, StopsAStageAtItsLimitAndSaysWhatItDidNotReach) {
  const Bundle bundle("gpu-check-cut",
                      "if [[ \"$*\" == *--check*sm_90a* ]]; then\n"
                      "  trap 'echo \"not reached: 3 of 9 cases\"; exit 130' TERM\n"
                      "  sleep 30 & wait\nfi");
  const Outcome outcome = bundle.check("GPU_CHECK_SECONDS=2 GPU_CHECK_LEAST=1");
  EXPECT_EQ(outcome.code, 4) << outcome.out << outcome.err;
  const std::string report = bundle.report();
  EXPECT_NE(report.find("not reached: 3 of 9 cases"), std::string::npos) << report;
  EXPECT_NE(report.find("CUT      checks of sm_90a: stopped at its limit"), std::string::npos) << report;
  EXPECT_NE(report.find("passed   checks of roofs, units and memory-bound kernels"), std::string::npos) << report;
  EXPECT_EQ(report.find("FAILED"), std::string::npos) << report;
}

// What cuobjdump prints of a kernel that shares out its registers, with the loader's part behind the other.
TEST(GpuCheck, LooksAtTheRegistersThatALoaderKeeps) {
  const Scratch scratch("gpu-sass");
  const auto run = [&](const std::string& loader) {
    const fs::path tool =
        scratch.write("cuobjdump",
                      "#!/bin/bash\ncat <<'SASS'\n\tcode for sm_90a\n\t\tFunction : on_sm_90aINS1_14HopperDecodingI\n"
                      "        /*0000*/                   @P0 BRA 0x40 ;\n"
                      "        /*0010*/                   USETMAXREG.TRY_ALLOC.CTAPOOL UP0, 0xe8 ;\n"
                      "        /*0020*/                   HGMMA.64x64x16.F32 R200, gdesc[UR4], R200 ;\n"
                      "        /*0030*/                   EXIT ;\n"
                      "        /*0040*/                   USETMAXREG.DEALLOC.CTAPOOL 0x28 ;\n"
                      "        /*0050*/                   SYNCS.PHASECHK.TRANS64 P0, [R" +
                          loader +
                          "], R2 ;\n"
                          "        /*0060*/                   UTMALDG.5D [UR8], [UR4] ;\n"
                          "        /*0070*/               @P0 BRA 0x50 ;\n"
                          "        /*0080*/                   EXIT ;\nSASS\n");
    fs::permissions(tool, fs::perms::owner_all);
    return scratch.shell(std::string(ASSAY_SOURCE_DIR) + "/ci/gpu-sass program " + tool.string());
  };
  const Outcome fits = run("39");
  EXPECT_EQ(fits.code, 0) << fits.out << fits.err;
  EXPECT_NE(fits.out.find("loader uses 40 of 40 registers"), std::string::npos) << fits.out;
  const Outcome exceeds = run("40");
  EXPECT_NE(exceeds.code, 0);
  EXPECT_NE(exceeds.out.find("MISSING registers of the loader"), std::string::npos) << exceeds.out;
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
  EXPECT_NE(bundle.report().find("left out times of roofs and units"), std::string::npos) << bundle.report();
}

// docs/gpu.md says what has not run on a GPU; this is what keeps it complete.
TEST(GpuDocs, ListEveryImplementationThatIsUnverified) {
  const Scratch scratch("unverified");
  const Outcome list = scratch.assay("list --unverified");
  ASSERT_EQ(list.code, 0) << list.err;
  const std::string docs = read_file(fs::path(ASSAY_SOURCE_DIR) / "docs" / "gpu.md");
  EXPECT_NE(docs.find("```\n" + list.out + "```"), std::string::npos)
      << "put this where docs/gpu.md has what `assay list --unverified` prints:\n"
      << list.out;
  EXPECT_EQ(scratch.assay("list suites --unverified").code, 2);
}

// What ci/gpu-check asks for by tag is all of each suite, once.
TEST(GpuSuites, AreWholeByTheirTags) {
  const Scratch scratch("gpu-tags");
  const auto cases = [&](const std::string& what) {
    const Outcome listed = scratch.assay("run " + what + " --dry-run");
    EXPECT_EQ(listed.code, 0) << listed.err;
    std::multiset<std::string> keys;
    std::istringstream lines(listed.out);
    for (std::string line; std::getline(lines, line);)
      if (line.find(" cuda ") != std::string::npos || line.find("cuda/") != std::string::npos) keys.insert(line);
    return keys;
  };
  const std::vector<std::pair<std::string, std::vector<std::string>>> suites = {
      {"gpu-check", {"basic", "sm_80", "sm_90a", "library"}}, {"gpu-brief", {"roofs", "sm_80", "sm_90a"}}};
  for (const auto& [suite, tags] : suites) {
    const auto all = cases(suite);
    EXPECT_GT(all.size(), 50U);
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size()) << "no case twice";
    std::multiset<std::string> tagged;
    for (const std::string& tag : tags) tagged.merge(cases(suite + " --only-tag " + tag));
    EXPECT_EQ(tagged, all) << suite;
  }
  EXPECT_GT(cases("gpu-sanitize").size(), 20U);
}

}  // namespace
}  // namespace assay::e2e
