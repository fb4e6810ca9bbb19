// What a user installs: the tree of `cmake --install`, the Debian package and the tarball, each unpacked into a folder
// of its own and run from there without a word about where its data are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

void expect_installed(const fs::path& prefix) {
  const Scratch elsewhere("installed");
  const std::string program = (prefix / "bin/assay").string();
  const auto run = [&](const std::string& words) {
    return elsewhere.shell("cd " + elsewhere.path("").string() +
                           " && env -i PATH=/usr/bin:/bin ASSAY_LOCK=$ASSAY_LOCK " + program + " " + words);
  };
  const Outcome devices = run("list devices");
  EXPECT_EQ(devices.code, 0) << devices.err;
  EXPECT_THAT(devices.out, HasSubstr("a100-80g-sxm"));
  const Outcome claims = run("list claims --json");
  EXPECT_EQ(claims.code, 0) << claims.err;
  // Not the source tree's suites: a suite that only the installed tree has is found.
  fs::copy_file(prefix / "share/assay/suites/quick.toml", prefix / "share/assay/suites/only-here.toml");
  const Outcome plan = run("run only-here --dry-run");
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("flash-attention-2"));
  const Outcome measured = run("--db " + elsewhere.database() +
                               " run flash-attention-2 --axis sequence_length=128 --axis dtype=fp32 --axis causal=1"
                               " --set launches=1 --set time_budget=10ms --no-roofs --ignore-load");
  EXPECT_EQ(measured.code, 0) << measured.err << measured.out;
  for (const char* page : {"assay.1", "assay-run.1", "assay-db-merge.1"})
    EXPECT_TRUE(fs::exists(prefix / "share/man/man1" / page)) << page;
  for (const char* file : {"bash-completion/completions/assay", "zsh/site-functions/_assay",
                           "fish/vendor_completions.d/assay.fish", "doc/assay/README.md", "doc/assay/LICENSE"})
    EXPECT_TRUE(fs::exists(prefix / "share" / file)) << file;
}

// The dashboard, where the build has it: the program finds it beside itself, and its licence note came along.
void expect_dashboard(const fs::path& prefix) {
  if (!fs::exists(ASSAY_BUILD_DIR "/bin/assay-gui")) return;
  const Scratch elsewhere("dashboard");
  const std::string here = elsewhere.path("").string();
  const Outcome shown = elsewhere.shell(
      "cd " + here + " && env -i PATH=/usr/bin:/bin HOME=" + here + " sh -c '" + (prefix / "bin/assay").string() +
      " db sample s.db && " + (prefix / "bin/assay").string() + " gui --db s.db --screenshot overview picture.png'");
  EXPECT_EQ(shown.code, 0) << shown.out << shown.err;
  ASSERT_TRUE(fs::exists(elsewhere.path("picture.png")));
  EXPECT_GT(fs::file_size(elsewhere.path("picture.png")), 20'000U);
  EXPECT_TRUE(fs::exists(prefix / "share/man/man1/assay-gui.1"));
  EXPECT_THAT(read_file(prefix / "share/doc/assay-gui/copyright"), HasSubstr("Qt Charts"));
}

TEST(Install, TheTreeFindsItsData) {
  const Scratch scratch("install");
  const fs::path root = scratch.path("root");
  const Outcome outcome = scratch.shell("cmake --install " ASSAY_BUILD_DIR " --prefix " + root.string());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_installed(root);
  expect_dashboard(root);
}

TEST(Install, TheDebianPackageAndTheTarballRunFromAnywhere) {
  const Scratch scratch("package");
  const std::string here = scratch.path("").string();
  const Outcome made = scratch.shell("cd " ASSAY_BUILD_DIR " && cpack -G 'TGZ;DEB' -B " + here + "out");
  ASSERT_EQ(made.code, 0) << made.out << made.err;
  const Outcome unpacked = scratch.shell(
      "cd " + here + " && mkdir tar && tar -C tar -xf out/assay-*.tar.gz && dpkg-deb -x out/assay_*.deb deb");
  ASSERT_EQ(unpacked.code, 0) << unpacked.err;
  expect_installed(scratch.path("deb/usr"));
  expect_installed(scratch.path("tar"));
  expect_dashboard(scratch.path("tar"));
  if (fs::exists(ASSAY_BUILD_DIR "/bin/assay-gui")) {
    const Outcome second = scratch.shell("cd " + here + " && dpkg-deb -x out/assay-gui_*.deb deb");
    ASSERT_EQ(second.code, 0) << second.err;
    expect_dashboard(scratch.path("deb/usr"));
    const Outcome wants = scratch.shell("dpkg-deb -f " + here + "out/assay-gui_*.deb Depends");
    EXPECT_THAT(wants.out, AllOf(HasSubstr("assay (= "), HasSubstr("libqt6charts6")));
  }

  const Outcome needs = scratch.shell("dpkg-deb -f " + here + "out/assay_*.deb Depends Section Version");
  EXPECT_THAT(needs.out, HasSubstr("libfmt9"));
  EXPECT_THAT(needs.out, HasSubstr("Section: science"));
  const Outcome own = scratch.shell("ldd " + here + "tar/bin/assay");
  EXPECT_THAT(own.out, HasSubstr("tar/bin/../lib/assay/libfmt.so")) << "the tarball's own libraries come first";
}

}  // namespace
}  // namespace assay::e2e
