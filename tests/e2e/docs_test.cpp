// The documentation says what the program does: examples load, and every key that a suite may have is explained.
#include <gtest/gtest.h>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

std::string suites_page() { return read_file(std::filesystem::path(ASSAY_SOURCE_DIR) / "docs" / "suites.md"); }

std::vector<std::string> fenced(const std::string& page, const std::string& language) {
  std::vector<std::string> blocks;
  const std::string open = "```" + language + "\n";
  for (std::size_t at = page.find(open); at != std::string::npos; at = page.find(open, at)) {
    const std::size_t begin = at + open.size();
    at = page.find("```", begin);
    blocks.push_back(page.substr(begin, at - begin));
  }
  return blocks;
}

// The program's own list: an unknown key that is near none of the known ones is answered with all of them.
std::vector<std::string> known_keys(const Scratch& scratch, const std::string& text) {
  const std::string said = scratch.assay("run " + scratch.write("key.toml", text).string()).err;
  const std::size_t at = said.find("known: ");
  if (at == std::string::npos) return {};
  std::vector<std::string> keys;
  std::stringstream list(said.substr(at + 7));
  for (std::string key; std::getline(list, key, ',');) {
    key.erase(0, key.find_first_not_of(' '));
    keys.push_back(key.substr(0, key.find_first_of(" \n")));
  }
  return keys;
}

TEST(Docs, ExamplesOfSuitesLoadToAsManyCasesAsTheySay) {
  const Scratch scratch("docs");
  const auto examples = fenced(suites_page(), "toml");
  ASSERT_FALSE(examples.empty());
  for (const std::string& example : examples) {
    ASSERT_NE(example.find("expected_cases = 18"), std::string::npos) << "the loader checks the number";
    const Outcome outcome = scratch.assay("run " + scratch.write("example.toml", example).string() + " --dry-run");
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_NE(outcome.out.find("\n18 cases\n"), std::string::npos) << outcome.out;
    EXPECT_NE(outcome.out.find("flash-attention-2 cpu"), std::string::npos);
    EXPECT_NE(outcome.out.find("ring-attention cpu/cluster"), std::string::npos);
  }
}

TEST(Docs, ExplainEveryKeyOfASuite) {
  const Scratch scratch("docs-keys");
  const std::string page = suites_page();
  const auto of_file = known_keys(scratch, "zzzzzzzzzzzz = 1\n[[case]]\ntechnique = \"naive-attention\"\n");
  const auto of_case = known_keys(scratch, "[[case]]\ntechnique = \"naive-attention\"\nzzzzzzzzzzzz = 1\n");
  ASSERT_GE(of_file.size(), 17U);
  ASSERT_GE(of_case.size(), 14U);
  const std::size_t middle = page.find("## Keys of a `[[case]]`");
  ASSERT_NE(middle, std::string::npos);
  for (const std::string& key : of_file) EXPECT_LT(page.find("`" + key + "`"), middle) << key;
  for (const std::string& key : of_case) EXPECT_NE(page.find("`" + key + "`", middle), std::string::npos) << key;
}

}  // namespace
}  // namespace assay::e2e
