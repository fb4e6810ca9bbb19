#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "results_db/store.h"

namespace assay::cli {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

struct Answer {
  int exit_code = -1;
  std::string out;
};

Answer shell(const std::string& command) {
  Answer answer;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) answer.out.append(buffer.data(), n);
  const int status = pclose(pipe);
  answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return answer;
}

Words lines_of(const std::string& text) {
  Words lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class Completion : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("completion-" + std::to_string(getpid()));
    fs::create_directories(folder_ / "suites");
    std::ofstream(folder_ / "suites" / "small.toml") << "[[case]]\ntechnique = \"attention/naive-attention\"\n";
    database_ = (folder_ / "runs.db").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What a real bash answers to TAB behind `line`: the script is sourced, the function found by `complete -p` is called
  // with readline's variables set as readline sets them (which splits words at '=').
  Words press_tab(const std::string& line) const {
    const fs::path script = folder_ / "press_tab.bash";
    std::ofstream(script) << R"(
source <(assay completion bash) || exit 9
[[ $(complete -p assay) =~ -F\ ([^ ]+) ]] || exit 8
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
read -ra parts <<< "$COMP_LINE"
[[ $COMP_LINE == *' ' ]] && parts+=("")
COMP_WORDS=()
for part in "${parts[@]}"; do
  while [[ $part == *=* ]]; do
    [[ ${part%%=*} ]] && COMP_WORDS+=("${part%%=*}")
    COMP_WORDS+=("=")
    part="${part#*=}"
    last_was_equals=1
  done
  if [[ $part || -z $last_was_equals ]]; then COMP_WORDS+=("$part"); fi
  last_was_equals=
done
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"${BASH_REMATCH[1]}" assay "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\n' "${COMPREPLY[@]}"
)";
    const std::string path = fs::path(ASSAY_BINARY).parent_path().string();
    const Answer answer =
        shell("cd '" + folder_.string() + "' && PATH='" + path + "':$PATH ASSAY_SUITES='" +
              (folder_ / "suites").string() + "' bash --norc '" + script.string() + "' '" + line + "'");
    EXPECT_EQ(answer.exit_code, 0) << line;
    return lines_of(answer.out);
  }

  fs::path folder_;
  std::string database_;
};

bool has(const Words& words, const std::string& wanted) {
  return std::find(words.begin(), words.end(), wanted) != words.end();
}

TEST_F(Completion, SubCommandsComplete) {
  EXPECT_EQ(press_tab("assay comple"), (Words{"completion"}));
  EXPECT_TRUE(has(press_tab("assay "), "list"));
  EXPECT_FALSE(has(press_tab("assay "), "__complete")) << "the hidden command stays hidden";
}

TEST_F(Completion, OptionsOfTheCommandAndOfTheProgramComplete) {
  EXPECT_EQ(press_tab("assay list --fam"), (Words{"--family"}));
  EXPECT_EQ(press_tab("assay list --js"), (Words{"--json"}));
}

TEST_F(Completion, TechniquesCompleteByIdAndByBareName) {
  EXPECT_EQ(press_tab("assay list techniques attention/nai"), (Words{"attention/naive-attention"}));
  EXPECT_EQ(press_tab("assay list techniques nai"), (Words{"naive-attention"}));
}

TEST_F(Completion, ValuesOfOptionsComplete) {
  EXPECT_EQ(press_tab("assay list techniques --family att"), (Words{"attention"}));
  EXPECT_EQ(press_tab("assay list techniques --family=att"), (Words{"attention"}))
      << "readline replaces only what stands behind '='";
}

TEST_F(Completion, SuitesDevicesAndShellsComplete) {
  EXPECT_EQ(press_tab("assay list suites "), (Words{"small"}));
  EXPECT_TRUE(has(press_tab("assay list devices h100"), "h100-80g-sxm"));
  EXPECT_EQ(press_tab("assay completion "), (Words{"bash", "zsh", "fish"}));
}

TEST_F(Completion, FilesCompleteWhereAFileIsAsked) {
  std::ofstream(folder_ / "mine.db") << "";
  EXPECT_EQ(press_tab("assay --db mi"), (Words{"mine.db"}));
  EXPECT_EQ(press_tab("assay --db=mi"), (Words{"mine.db"}));
}

TEST_F(Completion, AnUnreadableDatabaseIsNoErrorWhileCompleting) {
  std::ofstream(database_) << "no database";
  const Answer answer = shell(std::string(ASSAY_BINARY) + " __complete -- --db " + database_ + " show '' 2>&1");
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_EQ(answer.out.find("assay:"), std::string::npos) << answer.out;
}

TEST_F(Completion, OtherShellsAreRefusedAndNamed) {
  const Answer answer = shell(std::string(ASSAY_BINARY) + " completion ksh 2>&1");
  EXPECT_EQ(answer.exit_code, 2);
  EXPECT_EQ(answer.out, "assay: completion: found 'ksh', expected bash, zsh or fish\n");
}

// A shell that is not installed cannot check its script: the test says so instead of passing.
void check_syntax(const std::string& name) {
  if (shell("command -v " + name).exit_code != 0) GTEST_SKIP() << name << " is not installed: script not checked";
  const Answer answer = shell(std::string(ASSAY_BINARY) + " completion " + name + " | " + name + " -n 2>&1");
  EXPECT_EQ(answer.exit_code, 0) << answer.out;
}
TEST(CompletionScript, BashReadsIt) { check_syntax("bash"); }
TEST(CompletionScript, ZshReadsIt) { check_syntax("zsh"); }
TEST(CompletionScript, FishReadsIt) { check_syntax("fish"); }

}  // namespace
}  // namespace assay::cli
