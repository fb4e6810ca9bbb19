// `assay reproduce` as a user meets it.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

struct Ran {
  int code = 0;
  std::string output;  // both streams
};

Ran assay(const std::string& arguments) {
  const std::string line = "ASSAY_SUITES='" + std::string(ASSAY_SOURCE_DIR) + "/suites' ASSAY_DATA='" +
                           std::string(ASSAY_SOURCE_DIR) + "/datasets' '" + std::string(ASSAY_BINARY) + "' " +
                           arguments + " 2>&1";
  Ran ran;
  FILE* pipe = ::popen(line.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    ran.output.append(buffer.data(), count);
  ran.code = WEXITSTATUS(::pclose(pipe));
  return ran;
}

class Reproduce : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return "'" + (folder_ / name).string() + "'";
  }
  const fs::path folder_ = fs::path(testing::TempDir()) / ("assay_reproduce_" + std::to_string(::getpid()));
};

TEST_F(Reproduce, JudgesEveryClaimOfATechniqueAndCountsThem) {
  const Ran ran = assay("--json reproduce flash-attention-2");
  ASSERT_EQ(ran.code, 0) << ran.output;
  const auto document = nlohmann::json::parse(ran.output);
  EXPECT_EQ(document["schema_version"], 1);
  ASSERT_EQ(document["claims"].size(), 24u);
  int counted = 0;
  for (const auto& [verdict, count] : document["counts"].items()) counted += count.get<int>();
  EXPECT_EQ(counted, 24);
  int mapped = 0;
  for (const auto& claim : document["claims"]) {
    if (!claim["mapped"].get<bool>()) continue;
    ++mapped;
    EXPECT_LE(claim["ours_low"].get<double>(), claim["ours"].get<double>()) << claim["claim"];
    EXPECT_GE(claim["ours_high"].get<double>(), claim["ours"].get<double>()) << claim["claim"];
    EXPECT_FALSE(claim["descriptors"].get<std::string>().empty()) << claim["claim"];
  }
  EXPECT_GE(mapped, 20);
  EXPECT_EQ(document["not_mapped"].get<int>() + mapped, 24);
}

TEST_F(Reproduce, ReadsWellAtAHundredColumns) {
  std::istringstream lines(assay("reproduce 2307.08691").output);
  std::string line;
  bool summary = false;
  while (std::getline(lines, line)) {
    std::size_t columns = 0;
    for (const char byte : line) columns += (static_cast<unsigned char>(byte) & 0xC0) != 0x80 ? 1 : 0;
    EXPECT_LE(columns, 100u) << line;
    summary = summary || line.find("not mapped)") != std::string::npos;
  }
  EXPECT_TRUE(summary);
}

TEST_F(Reproduce, ExitsWithOneAndNamesTheVerdictsThatDiffer) {
  const auto document = nlohmann::json::parse(assay("--json reproduce flash-attention-2").output);
  std::string expected;
  for (const auto& claim : document["claims"]) {
    expected += claim["claim"].get<std::string>() + " = " + claim["verdict"].get<std::string>() + "\n";
  }
  const Ran same = assay("reproduce flash-attention-2 --expect " + write("same", expected));
  EXPECT_EQ(same.code, 0) << same.output;
  EXPECT_NE(same.output.find("0 of 24 expected verdicts differ"), std::string::npos);
  const Ran other = assay("reproduce flash-attention-2 --expect " +
                          write("other", "attention/flash-attention-2#kernel-vs-triton = contradicted\n"));
  EXPECT_EQ(other.code, 1) << other.output;
  EXPECT_NE(
      other.output.find("other:1: attention/flash-attention-2#kernel-vs-triton is untestable, expected contradicted"),
      std::string::npos)
      << other.output;
}

TEST_F(Reproduce, JudgesAUsersOwnFile) {
  const std::string file =
      write("own.claims.toml",
            "schema = 2\n[[configuration]]\nid = \"own/c\"\ndevice = \"a100-80g-sxm\"\ndtype = \"fp16\"\n"
            "axes = { sequence_length = 8192, batch = 2, heads = 16, head_dim = 128, causal = 0, "
            "backward = \"none\" }\n[[claim]]\nid = \"attention/flash-attention-2#own\"\n"
            "quantity = \"device_flops\"\nform = \"absolute\"\nbound = \"at_most\"\nvalue = 3.12e14\n"
            "unit = \"FLOP/s\"\nkind = \"projected\"\nsource = \"derived\"\ngroup = \"table\"\n"
            "published = \"below peak\"\nconfiguration = \"own/c\"\n");
  const Ran ran = assay("reproduce --claims " + file);
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_NE(ran.output.find("1 claim: 1 reproduced"), std::string::npos) << ran.output;
}

TEST_F(Reproduce, BadInputIsOneLineAndExitCodeTwo) {
  const auto refused = [&](const std::string& arguments, const std::string& says) {
    const Ran ran = assay("reproduce " + arguments);
    EXPECT_EQ(ran.code, 2) << arguments;
    EXPECT_NE(ran.output.find(says), std::string::npos) << ran.output;
    EXPECT_EQ(std::count(ran.output.begin(), ran.output.end(), '\n'), 1) << ran.output;
  };
  refused("flash-atention-2", "nearest: attention/flash-attention-2");
  refused("--family atention", "nearest: attention");
  refused("--claims /absent.toml", "/absent.toml");
  refused("--expect " + write("e", "attention/flash-attention-2#train-mfo = partial\n"), "train-mfu");
  refused(
      "--claims " + write("bad.claims.toml", "schema = 2\n[[claim]]\nid = \"attention/a#b\"\nquantity = \"speed\"\n"),
      "bad.claims.toml:");
}

TEST_F(Reproduce, StoresVerdictsOnceUntilTheirInputsChange) {
  const std::string database = write("claims.db", "");
  fs::remove(folder_ / "claims.db");
  const Ran first = assay("--db " + database + " reproduce flash-attention-1 --store");
  EXPECT_EQ(first.code, 0) << first.output;
  EXPECT_NE(first.output.find("8 new verdicts stored"), std::string::npos) << first.output;
  EXPECT_NE(assay("--db " + database + " reproduce flash-attention-1 --store").output.find("0 new verdicts stored"),
            std::string::npos);
}

TEST_F(Reproduce, HingeDrawsWhatAVerdictHangsOnWithinTheWidth) {
  const Ran ran = assay("reproduce flash-attention-2#forward-max --hinge");
  ASSERT_EQ(ran.code, 0) << ran.output;
  EXPECT_NE(ran.output.find("a100-80g-sxm.eff_gemm"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("no influence:"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("│"), std::string::npos);
  const auto document = nlohmann::json::parse(assay("--json reproduce flash-attention-2#forward-max --hinge").output);
  const auto& table = document["hinges"]["attention/flash-attention-2#forward-max"];
  double last = 1e300;
  for (const auto& bar : table["conditions"]) {
    EXPECT_LE(bar["reach"].get<double>(), last);
    last = bar["reach"];
  }
  EXPECT_GT(table["conditions"].size(), 3u);
}

TEST_F(Reproduce, AnUnknownKeyOfATechniqueNamesTheNearest) {
  const Ran ran = assay("reproduce flash-attention-2#forward-mac");
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.output.find("forward-max"), std::string::npos) << ran.output;
}

}  // namespace
