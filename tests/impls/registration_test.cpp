// Techniques register themselves from their files; nothing else lists them. What the program holds and what the folders
// hold must be the same, or a technique was dropped by the linker or copied without its name.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

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

std::set<std::string> files_that_register() {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(ASSAY_SOURCE_DIR) / "impls")) {
    if (entry.path().extension() != ".cpp") continue;
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
      EXPECT_EQ(technique.id, (file.parent_path() / name).string());
    }
  }
}

TEST(Suites, EachOfTheTreeExpandsToCases) {
  const auto ids = suite_ids();
  EXPECT_FALSE(ids.empty());
  for (const std::string& id : ids) EXPECT_FALSE(expand(load_suite(id)).empty()) << id;
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
