// assay gui: starts the dashboard, a program of its own, so that this one needs no display and no Qt.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "datasets/user_error.h"
#include "harness/cli/commands.h"

namespace assay::cli {
namespace {

std::filesystem::path dashboard_beside(const std::filesystem::path& program) {
  return program.parent_path() / "assay-gui";
}

[[noreturn]] void start(const std::vector<std::string>& rest, const Context& context) {
  const auto dashboard = dashboard_beside(std::filesystem::read_symlink("/proc/self/exe"));
  if (!std::filesystem::exists(dashboard))
    throw UserError("gui: " + dashboard.string() +
                        " is not there: this build has no dashboard. Install qt6-base-dev, qt6-charts-dev and "
                        "qt6-svg-dev (ci/bootstrap does) and build again",
                    3);
  std::vector<std::string> words = {dashboard.string()};
  const bool names_one = std::any_of(rest.begin(), rest.end(), [](const std::string& word) {
    return word == "--db" || word.starts_with("--db=") || word.ends_with(".db");
  });
  if (!names_one) words.insert(words.end(), {"--db", context.database});
  words.insert(words.end(), rest.begin(), rest.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(argv.front(), argv.data());
  throw UserError("gui: " + dashboard.string() + " cannot be started: " + std::strerror(errno));
}

}  // namespace

void add_gui(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("gui", "look at the results in the dashboard");
  // Its options are another program's: none goes back to this one's parser, not even --db.
  command->fallthrough(false);
  command->allow_extras();
  command->footer(
      "What follows goes to assay-gui (`assay-gui --help`). Examples:\n"
      "  assay gui\n"
      "  assay gui mine.db theirs.db\n"
      "  assay gui --view explore --filter 'attention seq=16k'\n"
      "  assay gui --screenshot overview overview.png --size 2560x1440 --theme dark");
  command->callback([command, &context] { start(command->remaining(), context); });
}

}  // namespace assay::cli
