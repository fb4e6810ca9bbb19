// What a user can get wrong: one clear line on standard error, nothing on standard output, exit code 2.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

class BadInput : public testing::Test {
 protected:
  void refused(const std::string& arguments, const std::vector<std::string>& said, int code = 2) const {
    const Outcome outcome = scratch_.assay(arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << arguments << "\n" << outcome.err;
    EXPECT_EQ(outcome.err.rfind("assay: ", 0), 0U) << outcome.err;
    for (const std::string& part : said)
      EXPECT_NE(outcome.err.find(part), std::string::npos) << part << " in: " << outcome.err;
  }
  void sql(const std::string& database, const std::string& text) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(database.c_str(), &handle), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, text.c_str(), nullptr, nullptr, &error), SQLITE_OK)
        << (error == nullptr ? "" : error);
    sqlite3_close(handle);
  }

  Scratch scratch_{"bad"};
};

TEST_F(BadInput, UnknownTechniqueNamesTheNearest) {
  refused("run flash-atention-2", {"flash-atention-2", "attention/flash-attention-2"});
}

TEST_F(BadInput, UnknownSuiteNamesTheNearest) {
  refused("run quikc", {"no suite of that name (nearest: quick)", "unknown technique 'quikc'"});
  refused("run paper/sarthi", {"paper/sarathi"});
}

TEST_F(BadInput, ARefusedRunLeavesNoDatabaseBehind) {
  refused("run ring-attention --fabric threads --axis ranks=65 --ignore-load --no-roofs",
          {"ranks", "65", "at most 64"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

TEST_F(BadInput, BadTomlNamesFileAndLine) {
  const auto file = scratch_.write("broken.toml", "title = \"x\"\n[[case]]\ntechnique = \n");
  refused("run " + file.string(), {"broken.toml:3"});
}

TEST_F(BadInput, UnknownKeyNamesLineAndKey) {
  const auto file =
      scratch_.write("key.toml", "title = \"x\"\nlaunchs = 3\n[[case]]\ntechnique = \"naive-attention\"\n");
  refused("run " + file.string(), {"key.toml:2", "launchs", "launches"});
}

TEST_F(BadInput, WrongUnit) {
  const auto file = scratch_.write(
      "unit.toml", "title = \"x\"\ntime_budget = \"3 parsecs\"\n[[case]]\ntechnique = \"naive-attention\"\n");
  refused("run " + file.string(), {"unit.toml:2", "time_budget", "parsecs"});
}

TEST_F(BadInput, NegativeSize) {
  refused("run naive-attention --axis sequence_length=-5", {"sequence_length", "-5"});
  const auto file =
      scratch_.write("negative.toml",
                     "title = \"x\"\n[[case]]\ntechnique = \"naive-attention\"\naxes = { sequence_length = -4096 }\n");
  refused("run " + file.string(), {"negative.toml:4", "sequence_length", "-4096"});
}

TEST_F(BadInput, SuiteThatSelectsNothing) {
  const auto file = scratch_.write("empty.toml",
                                   "title = \"x\"\n[[case]]\ntechnique = \"naive-attention\"\naxes = { causal = 0 }\n"
                                   "[[case.exclude]]\ncausal = 0\n");
  refused("run " + file.string(), {"empty.toml", "selects nothing"});
}

TEST_F(BadInput, AxisValuesThatDoNotFitEachOther) {
  refused("run naive-attention --axis heads=6 --axis kv_heads=4", {"heads"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()) && scratch_.assay("show").code == 0)
      << "nothing may be recorded";
}

TEST_F(BadInput, ClaimWithAnUnknownMetric) {
  const auto file =
      scratch_.write("mine.claims.toml",
                     "schema = 2\n[[claim]]\nid = \"attention/flash-attention-2#mine\"\nquantity = \"speediness\"\n"
                     "form = \"absolute\"\nbound = \"point\"\nvalue = 1.0\nunit = \"1\"\nkind = \"untestable\"\n"
                     "source = \"derived\"\ngroup = \"table\"\npublished = \"x\"\nnote = \"y\"\n");
  refused("reproduce --claims " + file.string(), {"mine.claims.toml:", "speediness", "quantity"});
}

TEST_F(BadInput, UnknownRun) {
  ASSERT_EQ(scratch_.assay("db sample " + scratch_.database()).code, 0);
  refused("show no-such-run", {"no-such-run"});
}

TEST_F(BadInput, MissingDatabase) { refused("show", {"test.db"}); }

TEST_F(BadInput, DamagedDatabase) {
  ASSERT_EQ(scratch_.assay("db sample " + scratch_.database()).code, 0);
  std::filesystem::resize_file(scratch_.database(), 6000);
  refused("show", {"test.db"});
}

TEST_F(BadInput, FileThatIsNoDatabase) {
  scratch_.write("test.db", std::string(5000, 'x'));
  refused("show", {"test.db", "not"});
}

TEST_F(BadInput, NewerDatabase) {
  ASSERT_EQ(scratch_.assay("db sample " + scratch_.database()).code, 0);
  sql(scratch_.database(), "PRAGMA user_version = 999");
  refused("show", {"test.db", "999", "newer"});
}

TEST_F(BadInput, ForeignDatabase) {
  sql(scratch_.database(), "CREATE TABLE recipes (name TEXT); PRAGMA user_version = 1");
  refused("show", {"test.db"});
  refused("run naive-attention", {"test.db"});
}

TEST_F(BadInput, UnknownCommandAndOption) {
  refused("runn quick", {});
  refused("run quick --lanuches 3", {"lanuches"});
}

TEST_F(BadInput, TraceWithACorruptLineNamesFileLineAndColumn) {
  const std::string head = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n";
  const auto csv = scratch_.write("corrupt.csv", head + "2023-11-16 18:15:47.00,39 6,109\n");
  for (const char* target : {"serving-trace", "sarathi"})
    refused(std::string("run ") + target + " --set trace=" + csv.string(),
            {"corrupt.csv:3:24: ContextTokens: found '39 6', expected a whole number"});
  const auto jsonl =
      scratch_.write("corrupt.jsonl", "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 2}\n{\"time");
  refused("run vllm-paged --set trace=" + jsonl.string(), {"corrupt.jsonl:2:"});
  refused("run orca --set trace=" + scratch_.path("none.csv").string(), {"none.csv: found no file"});
  refused("run sarathi --set trace=azur-conv", {"azur-conv", "azure-conv"});
  refused("run sarathi --set model=llama2-70b", {"llama2-70b", "leave no room"});
  refused("run sarathi --set model=llama2-7b --set tensor=3", {"tensor: found 3", "heads"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()) && scratch_.assay("show").code == 0)
      << "nothing may be recorded";
}

// A descriptor of the project under another name, without the line of one key.
std::string without(const Scratch& scratch, const std::string& descriptor, const std::string& name,
                    const std::string& key) {
  std::ifstream file(std::string(ASSAY_SOURCE_DIR) + "/datasets/" + descriptor);
  std::string text, line;
  while (std::getline(file, line))
    if (line.rfind("id = ", 0) == 0) {
      text += "id = \"" + name + "\"\n";
    } else if (line.rfind(key + " = ", 0) != 0) {
      text += line + "\n";
    }
  return scratch.write(name + ".toml", text).string();
}

TEST_F(BadInput, ADescriptorThatLacksANumberNamesFileAndKey) {
  const std::string device = without(scratch_, "hardware/devices/a100-80g-sxm.toml", "mine", "memory_bandwidth");
  refused("run sarathi --set requests=10 --set device=" + device, {"mine.toml: memory_bandwidth is missing"});
  const std::string peak = without(scratch_, "hardware/devices/a100-80g-sxm.toml", "blunt", "peak_fp16");
  refused("run sarathi --set requests=10 --set device=" + peak, {"blunt.toml: peak_fp16 is missing"});
  const std::string model = without(scratch_, "models/gpt2-small.toml", "small", "layers");
  refused("run gpu-decode --set model=" + model, {"small.toml: layers is missing"});
  refused("run pim-gpt --set model=" + model, {"small.toml: layers is missing"});
  const std::string cluster = without(scratch_, "hardware/clusters/dgx-a100.toml", "lone", "intra_bandwidth");
  for (const char* technique : {"ring-attention", "ulysses", "megatron-sp"})
    refused(std::string("run parallelism/sequence/") + technique + " --fabric cluster --set cluster=" + cluster,
            {"lone.toml: intra_bandwidth is missing"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database())) << "nothing may be recorded";
}

TEST_F(BadInput, WhatAModelledClusterCannotHoldIsRefusedBeforeAnythingIsRecorded) {
  const std::string run = "run parallelism/sequence/ring-attention --fabric cluster ";
  refused(run + "--set cluster=dgx-a101", {"dgx-a101", "dgx-a100"});
  refused(run + "--set ranks=16 --set cluster=sarathi-8xa40", {"16", "8"});
  refused("run parallelism/sequence/megatron-sp --fabric cluster --axis ranks=3", {"ranks: found 3", "heads"});
  refused("run vllm-paged --set pipeline=3", {"pipeline: found 3", "layers of llama2-7b (32)"});
  refused("run sarathi --set pipeline=2 --set tensor=8 --set cluster=sarathi-8xa40 --set device=a40-48g",
          {"pipeline: found 2 stages of 8", "8 devices of sarathi-8xa40"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

TEST_F(BadInput, RanksThatCannotShareALayerAreRefusedWithTheReason) {
  refused("run parallelism/sequence/ulysses --fabric threads --ignore-load --no-roofs --axis ranks=3 --axis heads=8",
          {"ranks: found 3, expected a divisor of heads (8)"});
  refused("run parallelism/sequence/streambp --fabric threads --ignore-load --no-roofs --axis head_dim=31",
          {"head_dim: found 31, expected an even number"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

TEST_F(BadInput, ATopologyThatIsNoNetworkNamesFileAndLinks) {
  const std::string tree =
      read_file(std::string(ASSAY_SOURCE_DIR) + "/datasets/hardware/clusters/tokenring-4xa10-tree.toml");
  const std::size_t named = tree.find("name = "), bridge = tree.find("[[node_links]]\njoin = [\"switch0\"");
  ASSERT_NE(bridge, std::string::npos);
  const auto on = [&](const std::string& id, const std::string& rest) {
    const std::string file = scratch_.write(id + ".toml", "id = \"" + id + "\"\n" + rest).string();
    return "run parallelism/sequence/tokenring --fabric cluster --set cluster=" + file;
  };
  const std::string back =
      "[[node_links]]\njoin = [\"device2\"]\nto = \"device0\"\nbandwidth = 1e10\nsource = \"none\"\n";
  refused(on("cycle", tree.substr(named) + "\n" + back),
          {"cycle.toml:", "device2 to device0 closes a cycle, expected a tree"});
  refused(on("halves", tree.substr(named, bridge - named)),
          {"halves.toml: node_links: no path from device0 to device2"});
  const std::string polaris = without(scratch_, "hardware/clusters/polaris.toml", "dragon", "groups");
  refused("run parallelism/sequence/ring-attention --fabric cluster --axis ranks=8 --set cluster=" + polaris,
          {"dragon.toml: groups is missing, expected groups of routers for topology dragonfly"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

TEST_F(BadInput, AProfileWithAnUnknownOperatorNamesIt) {
  const std::string head = "device,model,n_head,n_kv_head,n_embd,n_ff,tensor_parallel,num_tokens,";
  const std::string row = "a100,m,32,32,4096,11008,1,64,0.05\n";
  refused("validate " + scratch_.write("ops.csv", head + "attn_pre_prjo_ms\n" + row).string(),
          {"ops.csv:1: unknown operator attn_pre_prjo_ms", "attn_pre_proj_ms"});
  refused("validate " +
              scratch_.write("cells.csv", head + "attn_pre_proj_ms\n" + row + "a100,m,32,x" + row.substr(12)).string(),
          {"cells.csv:3:", "n_kv_head: 'x"});
  refused("validate " + scratch_
                            .write("links.csv",
                                   "collective,ranks,devices_per_node,bytes,median_ms\n"
                                   "all_redcue,2,1,2048,0.04\n")
                            .string(),
          {"links.csv:2:1: collective: unknown operator 'all_redcue'", "all_reduce"});
  refused("validate " + scratch_.path("none.csv").string(), {"none.csv"});
}

TEST_F(BadInput, AMissingLauncherIsNamed) {
  refused("run parallelism/sequence/ulysses --fabric mpi --ignore-load --launcher /nowhere/mpirun",
          {"--launcher: found '/nowhere/mpirun'"});
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

}  // namespace
}  // namespace assay::e2e
