// Techniques register themselves from their files; nothing else lists them. What the program holds and what the folders
// hold must be the same, or a technique was dropped by the linker or copied without its name.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "datasets/user_error.h"
#include "harness/registry.h"
#include "harness/suite.h"

namespace assay::harness {
namespace {
namespace fs = std::filesystem;

// "…/impls/attention/naive_attention.cpp" -> "attention/naive_attention.cpp"
std::string below_impls(const std::string& path) {
  const auto at = path.rfind("impls/");
  return at == std::string::npos ? path : path.substr(at + std::string("impls/").size());
}

// Implementations for GPUs lie in a folder cuda of their family, which is built where the CUDA Toolkit is.
bool is_for_cuda(const fs::path& file) { return file.parent_path().filename() == "cuda"; }

std::set<std::string> files_that_register() {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(ASSAY_SOURCE_DIR) / "impls")) {
    if (entry.path().extension() != ".cpp") continue;
    if (is_for_cuda(entry.path()) && ASSAY_HAVE_CUDA == 0) continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    if (text.str().find("Registration registration") != std::string::npos) files.insert(below_impls(entry.path()));
  }
  return files;
}

TEST(Registration, EveryFileThatRegistersIsInTheProgramAndNoOther) {
  std::set<std::string> registered;
  for (const Technique& technique : techniques())
    for (const Implementation& implementation : technique.implementations)
      registered.insert(below_impls(implementation.source_file));
  EXPECT_FALSE(registered.empty());
  EXPECT_EQ(registered, files_that_register());
}

TEST(Registration, IdsAreTheNamesOfTheirFiles) {
  for (const Technique& technique : techniques()) {
    for (const Implementation& implementation : technique.implementations) {
      const fs::path file = below_impls(implementation.source_file);
      std::string name = file.stem().string();
      std::replace(name.begin(), name.end(), '_', '-');
      const fs::path family = is_for_cuda(file) ? file.parent_path().parent_path() : file.parent_path();
      EXPECT_EQ(technique.id, (family / name).string());
      EXPECT_EQ(is_for_cuda(file), implementation.backend == "cuda") << file;
    }
  }
}

TEST(Suites, EachOfTheTreeExpandsToCases) {
  const auto ids = suite_ids();
  EXPECT_FALSE(ids.empty());
  for (const std::string& id : ids) {
    // The suites of GPUs name techniques that only a build with the CUDA Toolkit has.
    if (id.starts_with("gpu") && ASSAY_HAVE_CUDA == 0)
      EXPECT_THROW(load_suite(id), UserError) << id;
    else
      EXPECT_FALSE(expand(load_suite(id)).empty()) << id;
  }
}

// A paper's suite is named after its technique and runs it, beside what the paper compares it with.
TEST(Suites, OfAPaperCarryItsNameAndRunItsTechnique) {
  int papers = 0;
  for (const std::string& id : suite_ids()) {
    if (!id.starts_with("paper/")) continue;
    ++papers;
    const Suite suite = load_suite(id);
    EXPECT_EQ(suite.id, id);
    const std::string technique = resolve_technique(id.substr(std::string("paper/").size())).id;
    std::set<std::string> run;
    for (const Case& item : expand(suite)) run.insert(item.technique->id);
    EXPECT_TRUE(run.contains(technique)) << id;
    EXPECT_GT(run.size(), 1U) << id << " has no baseline";
  }
  EXPECT_GE(papers, 3);
}

// Every technique along the sequence that has a program over ranks is in its suite with real data, on threads and over
// processes.
TEST(Suites, OfTheSequenceFamilyRunAllOfItOnThreadsAndOverProcesses) {
  std::set<std::pair<std::string, std::string>> run;
  for (const Case& item : expand(load_suite("sequence"))) run.emplace(item.technique->id, item.fabric);
  int over_ranks = 0;
  for (const Technique& technique : techniques())
    for (const Implementation& implementation : technique.implementations)
      for (const std::string& fabric : implementation.fabrics) {
        if (!technique.id.starts_with("parallelism/sequence/") || (fabric != "threads" && fabric != "mpi")) continue;
        ++over_ranks;
        EXPECT_TRUE(run.contains({technique.id, fabric})) << technique.id << " on " << fabric;
      }
  EXPECT_GE(over_ranks, 2 * 16);
}

TEST(Registration, EveryTechniqueSaysWhatItIsAndRuns) {
  for (const Technique& technique : techniques()) {
    EXPECT_FALSE(technique.title.empty()) << technique.id;
    EXPECT_FALSE(technique.paper.empty()) << technique.id;
    EXPECT_FALSE(technique.summary.empty()) << technique.id;
    EXPECT_FALSE(technique.implementations.empty()) << technique.id;
    for (const Implementation& implementation : technique.implementations) {
      EXPECT_NE(implementation.run, nullptr) << technique.id;
      for (const Axis& axis : implementation.axes) {
        EXPECT_FALSE(axis.help.empty()) << technique.id << " " << axis.name;
        EXPECT_FALSE(axis.defaults.empty()) << technique.id << " " << axis.name;
      }
    }
  }
}

}  // namespace
}  // namespace assay::harness
