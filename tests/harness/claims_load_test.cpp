#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "datasets/user_error.h"
#include "harness/claims/claim.h"
#include "harness/claims/quantities.h"

namespace assay::harness::claims {
namespace {

namespace fs = std::filesystem;

// Line 1 is "schema = 2"; the configuration begins on line 2, the claim on line 5.
const std::string kHead =
    "schema = 2\n[[configuration]]\nid = \"t/c\"\naxes = { batch = 4, ratio = 0.5, mode = \"x\" }\n";
const std::map<std::string, std::string> kRow{{"id", "\"attention/t#k\""},
                                              {"quantity", "\"throughput\""},
                                              {"form", "\"absolute\""},
                                              {"bound", "\"point\""},
                                              {"value", "2"},
                                              {"unit", "\"FLOP/s\""},
                                              {"kind", "\"projected\""},
                                              {"source", "\"abstract\""},
                                              {"group", "\"headline\""},
                                              {"published", "\"two\""},
                                              {"configuration", "\"t/c\""}};

std::string row(const std::map<std::string, std::string>& changes, const std::string& table = "claim") {
  std::map<std::string, std::string> keys = kRow;
  for (const auto& [key, value] : changes) keys[key] = value;
  std::string text = "[[" + table + "]]\n";
  for (const auto& [key, value] : keys) {
    if (!value.empty()) text += key + " = " + value + "\n";
  }
  return text;
}

class ClaimFiles : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string file = (folder_ / name).string();
    std::ofstream(file) << text;
    return file;
  }
  // The faults of one file, as texts without its folder.
  std::vector<std::string> faults(const std::string& text) const {
    std::vector<Fault> found;
    read_library({write("a.claims.toml", text)}, found);
    std::vector<std::string> texts;
    for (const Fault& fault : found) texts.push_back(fault.text().substr(folder_.string().size() + 1));
    return texts;
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("assay_claims_" + std::to_string(::getpid()));
};

TEST_F(ClaimFiles, AGoodFileIsReadWhole) {
  std::vector<Fault> found;
  const Library library = read_library({write("a.claims.toml", kHead + row({{"flags", "[\"inconsistent\"]"}}))}, found);
  EXPECT_TRUE(found.empty()) << found.front().text();
  ASSERT_EQ(library.claims.size(), 1u);
  const Claim& claim = library.claims.front();
  EXPECT_EQ(claim.technique, "attention/t");
  EXPECT_EQ(claim.key, "k");
  EXPECT_EQ(claim.line, 5);
  EXPECT_TRUE(claim.flagged("inconsistent"));
  const Configuration& configuration = library.configuration(claim, "t/c");
  EXPECT_EQ(configuration.axes.integer("batch"), 4);
  EXPECT_DOUBLE_EQ(configuration.axes.real("ratio"), 0.5);
  EXPECT_EQ(configuration.axes.text("mode"), "x");
}

TEST_F(ClaimFiles, EveryFileShippedIsCleanAndNothingIsLost) {
  const Library library = load_library(std::string(ASSAY_SOURCE_DIR) + "/suites");
  const std::map<std::string, int> counts{
      {"attention", 162}, {"data_tensor_overlap", 121}, {"hardware", 268},          {"memory_resilience_rl", 141},
      {"moe", 244},       {"pipeline_auto", 444},       {"sequence_parallel", 207}, {"serving", 185}};
  for (const auto& [name, count] : counts) {
    const auto found =
        library.rows_by_file.find(std::string(ASSAY_SOURCE_DIR) + "/suites/claims/" + name + ".claims.toml");
    ASSERT_NE(found, library.rows_by_file.end()) << name;
    EXPECT_EQ(found->second, count) << name;
  }
  EXPECT_EQ(library.claims.size(), 1772u);
  EXPECT_EQ(library.models.size(), 8u);
}

struct Broken {
  const char* name;
  std::string text;
  const char* says;
};

class BrokenClaims : public ClaimFiles, public testing::WithParamInterface<Broken> {};

TEST_P(BrokenClaims, AreRefusedAtTheirLine) {
  const auto found = faults(GetParam().text);
  ASSERT_EQ(found.size(), 1u) << (found.empty() ? "no fault" : found[1]);
  EXPECT_NE(found.front().find(GetParam().says), std::string::npos) << found.front();
  EXPECT_EQ(found.front().find('\n'), std::string::npos);
}

// Keys of a row stand in alphabetical order below line 5: bound 6, configuration 7, form 8, group 9, id 10, kind 11,
// published 12, quantity 13, source 14, unit 15, value 16.
INSTANTIATE_TEST_SUITE_P(
    Load, BrokenClaims,
    testing::Values(
        Broken{"no_schema", kHead.substr(11) + row({}), "a.claims.toml:1: schema is missing, expected schema = 2"},
        Broken{"other_schema", "schema = 1\n" + kHead.substr(11) + row({}), "a.claims.toml:1: schema is 1, expected"},
        Broken{"unknown_table", kHead + row({}) + "[[claims]]\nid = 1\n", "claims is an unknown table"},
        Broken{"table_for_rows", kHead + "[claim]\nid = 1\n",
               "a.claims.toml:5: claim is a table, expected rows headed [[claim]]"},
        Broken{"not_toml", kHead + "[[claim]\n", "a.claims.toml:5: "},
        Broken{"unknown_key", kHead + row({{"valeu", "3"}}), "attention/t#k: valeu is an unknown key"},
        Broken{"unknown_metric", kHead + row({{"quantity", "\"thruput\""}}),
               "a.claims.toml:13: attention/t#k: quantity is 'thruput', expected one of the closed list (nearest: "
               "throughput"},
        Broken{"unknown_unit", kHead + row({{"unit", "\"ms\""}}), "a.claims.toml:15: attention/t#k: unit is 'ms'"},
        Broken{"unknown_form", kHead + row({{"form", "\"rate\""}}), "a.claims.toml:8: attention/t#k: form is 'rate'"},
        Broken{"unknown_bound", kHead + row({{"bound", "\"about\""}}),
               "a.claims.toml:6: attention/t#k: bound is 'about'"},
        Broken{"unknown_kind", kHead + row({{"kind", "\"guess\""}}),
               "a.claims.toml:11: attention/t#k: kind is 'guess'"},
        Broken{"unknown_source", kHead + row({{"source", "\"web\""}}), ":14: attention/t#k: source is 'web'"},
        Broken{"unknown_group", kHead + row({{"group", "\"x\""}}), ":9: attention/t#k: group is 'x'"},
        Broken{"no_published", kHead + row({{"published", ""}}), ":5: attention/t#k: published is missing"},
        Broken{"no_value", kHead + row({{"value", ""}}), ":5: attention/t#k: value is missing"},
        Broken{"value_as_text", kHead + row({{"value", "\"2x\""}}),
               ":16: attention/t#k: value is '2x', expected a number"},
        Broken{"bad_bool", kHead + row({{"form", "\"bool\""}}), ":16: attention/t#k: value is 2, expected 0 or 1"},
        Broken{"ratio_with_unit", kHead + row({{"form", "\"ratio\""}, {"baseline", "\"attention/u\""}}),
               "unit is 'FLOP/s', expected 1"},
        Broken{"ratio_without_baseline", kHead + row({{"form", "\"ratio\""}, {"unit", "\"1\""}}),
               "baseline is missing"},
        Broken{"difference_without_baseline", kHead + row({{"form", "\"difference\""}}), "baseline is missing"},
        Broken{"odd_baseline", kHead + row({{"baseline", "\"cublas\""}}), ":6: attention/t#k: baseline is 'cublas'"},
        Broken{"empty_external", kHead + row({{"baseline", "\"external:\""}}), "baseline is 'external:'"},
        Broken{"range_without_high", kHead + row({{"bound", "\"range\""}, {"low", "1"}}), "high is missing"},
        Broken{"range_upside_down", kHead + row({{"bound", "\"range\""}, {"low", "3"}, {"high", "1"}}),
               "low is 3 above high = 1"},
        Broken{"id_without_key", kHead + row({{"id", "\"attention/t\""}}),
               ":10: attention/t: id is 'attention/t', expected"},
        Broken{"unknown_family", kHead + row({{"id", "\"vision/t#k\""}}), "expected family/technique#key"},
        Broken{"two_hashes", kHead + row({{"id", "\"attention/t#k#l\""}}), "expected family/technique#key"},
        Broken{"undefined_configuration", kHead + row({{"configuration", "[\"t/c\", \"t/d\"]"}}),
               ":7: attention/t#k: configuration is 't/d', which is not defined, expected a [[configuration]] of this "
               "file (nearest: t/c)"},
        Broken{"no_configuration", kHead + row({{"configuration", ""}}), "configuration is missing"},
        Broken{"untestable_without_reason", kHead + row({{"kind", "\"untestable\""}}), "note is missing"},
        Broken{"same_id_twice", kHead + row({}) + row({}, "target"), ":22: attention/t#k: id is an id also at "},
        Broken{"same_configuration_twice", kHead + kHead.substr(11) + row({}),
               ":6: t/c: id is an id that stands twice"},
        Broken{"bad_ranks", "schema = 2\n[[configuration]]\nid = \"t/c\"\nranks = 0\n" + row({}),
               ":4: t/c: ranks is 0"},
        Broken{"axis_list", "schema = 2\n[[configuration]]\nid = \"t/c\"\naxes = { a = [1] }\n" + row({}),
               ":4: t/c: axes is a = a list"},
        Broken{"axis_name", "schema = 2\n[[configuration]]\nid = \"t/c\"\naxes = { Batch = 1 }\n" + row({}),
               "snake_case"}),
    [](const auto& tested) { return tested.param.name; });

TEST_F(ClaimFiles, IdsAreUniqueOverFiles) {
  std::vector<Fault> found;
  read_library({write("a.claims.toml", kHead + row({})), write("b.claims.toml", kHead + row({}))}, found);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found.front().text().find("b.claims.toml:10"), std::string::npos);
  EXPECT_NE(found.front().text().find("a.claims.toml:5"), std::string::npos);
}

TEST_F(ClaimFiles, AUserErrorShowsTheFirstFaultAndCountsTheRest) {
  const std::string file = write("a.claims.toml", kHead + row({{"unit", "\"ms\""}, {"quantity", "\"speed\""}}));
  try {
    load_file(file);
    FAIL() << "a broken file was read";
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("(and 1 more faults)"), std::string::npos) << wrong.what();
    EXPECT_EQ(wrong.exit_code(), 2);
  }
  EXPECT_THROW(load_file((folder_ / "absent.toml").string()), UserError);
}

TEST_F(ClaimFiles, ModelsComeFromTheFamilysOwnFactsFirst) {
  std::vector<Fault> found;
  const auto model = [](int layers) {
    return "[[model]]\nid = \"m\"\nsource = \"s\"\nlayers = " + std::to_string(layers) + "\n";
  };
  const Library library =
      read_library({write("a.claims.toml", kHead + row({})), write("a.facts.toml", model(2)),
                    write("0.facts.toml", model(1) + "[[model]]\nid = \"n\"\nsource = \"s\"\nlayers = 3\n")},
                   found);
  ASSERT_TRUE(found.empty()) << found.front().text();
  EXPECT_DOUBLE_EQ(library.model(library.claims.front(), "m")->at("layers"), 2);
  EXPECT_DOUBLE_EQ(library.model(library.claims.front(), "n")->at("layers"), 3);
  EXPECT_EQ(library.model(library.claims.front(), "o"), nullptr);
}

TEST(ClaimLists, KnowTheClosedQuantitiesAndIds) {
  EXPECT_EQ(quantities().size(), 64u);
  EXPECT_EQ(find_quantity("latency")->better, Better::less);
  EXPECT_EQ(find_quantity("throughput")->better, Better::more);
  EXPECT_EQ(find_quantity("speed"), nullptr);
  EXPECT_TRUE(is_technique_id("parallelism/sequence/ring-attention"));
  EXPECT_FALSE(is_technique_id("parallelism/ring-attention"));
  EXPECT_FALSE(is_technique_id("attention/Ring"));
}

}  // namespace
}  // namespace assay::harness::claims
