// The program: parses the line, runs one sub-command, maps every failure to the documented exit codes.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/registry.h"

namespace assay::cli {
namespace {

// One line for a line that could not be parsed: a mistyped command or option gets its nearest neighbours.
std::string what_is_wrong(const CLI::App& app, int argc, char** argv, const CLI::ParseError& wrong) {
  std::string said = wrong.what();
  std::replace(said.begin(), said.end(), '\n', ' ');
  std::vector<std::string> commands;
  const CLI::App* chosen = nullptr;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) commands.push_back(command->get_name());
    if (command->parsed()) chosen = command;
  }
  if (chosen == nullptr) {
    for (int i = 1; i < argc; ++i) {
      const std::string word = argv[i];
      if (word == "--db") {
        ++i;
      } else if (!word.empty() && word[0] != '-') {
        const auto near = harness::nearest_names(word, commands);
        return fmt::format("unknown command '{}'{}; `assay --help` lists them", word,
                           near.empty() ? "" : fmt::format(", nearest: {}", fmt::join(near, ", ")));
      }
    }
    return said + " (`assay --help` lists the commands)";
  }
  return fmt::format("{} (`assay {} --help` shows what it takes)", said, chosen->get_name());
}

constexpr const char* footer =
    "Examples:\n"
    "  assay run quick                          check, time and store the quick suite\n"
    "  assay show                               its table again\n"
    "  assay compare latest~1 latest            is the difference real?\n"
    "  assay reproduce flash-attention-2        do the paper's numbers follow?\n"
    "  assay COMMAND --help                     more, with examples\n"
    "Exit codes: 0 ok; 1 a case failed, a regression, a verdict differs; 2 bad input; 3 nothing to compare or\n"
    "hardware absent; 70 internal error; 130 interrupted.";

}  // namespace

int run_program(int argc, char** argv) {
  Context context;
  CLI::App app{"assay: runs, checks, records and judges ML-systems techniques", "assay"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("assay ") + ASSAY_VERSION);
  app.add_option("--db", context.database, "results database")->envname("ASSAY_DB");
  app.add_flag("--json", context.json, "machine-readable output (every one has schema_version)");
  app.fallthrough();
  add_reproduce(app, context);
  app.footer(footer);
  for (int i = 0; i < argc; ++i) context.command_line += (i == 0 ? "" : " ") + std::string(argv[i]);
  add_run(app, context);
  add_show(app, context);
  add_compare(app, context);
  add_history(app, context);
  add_gate(app, context);
  add_alerts(app, context);
  add_calibrate(app, context);
  add_report(app, context);
  add_rerun(app, context);
  add_worker(app, context);
  add_validate(app, context);
  add_probe(app, context);
  add_db(app, context);
  add_doctor(app, context);
  add_list(app, context);
  add_gui(app, context);
  add_completion(app, context);
  add_manual(app, context);
  context.color = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) context.width = size.ws_col;

  try {
    app.parse(argc, argv);
    return context.exit_code;
  } catch (const CLI::CallForHelp& asked) {
    return app.exit(asked);
  } catch (const CLI::CallForVersion& asked) {
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    fmt::print(stderr, "assay: {}\n", what_is_wrong(app, argc, argv, wrong));
    return 2;
  } catch (const UserError& wrong) {
    fmt::print(stderr, "assay: {}\n", wrong.what());
    return wrong.exit_code();
  } catch (const std::exception& broken) {
    fmt::print(stderr, "assay: internal error, please report it: {}\n", broken.what());
    return 70;
  }
}

}  // namespace assay::cli
