// The program: parses the line, runs one sub-command, maps every failure to the documented exit codes.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "datasets/user_error.h"
#include "harness/cli/commands.h"

namespace assay::cli {

int run_program(int argc, char** argv) {
  Context context;
  CLI::App app{"assay: runs, checks, records and judges ML-systems techniques", "assay"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("assay ") + ASSAY_VERSION);
  app.add_option("--db", context.database, "results database")->envname("ASSAY_DB");
  app.add_flag("--json", context.json, "machine-readable output (every one has schema_version)");
  app.fallthrough();
  for (int i = 0; i < argc; ++i) context.command_line += (i == 0 ? "" : " ") + std::string(argv[i]);
  add_run(app, context);
  add_show(app, context);
  add_rerun(app, context);
  add_worker(app, context);
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
    fmt::print(stderr, "assay: {} (see --help)\n", wrong.what());
    return 2;
  } catch (const UserError& wrong) {
    fmt::print(stderr, "assay: {}\n", wrong.what());
    return wrong.exit_code();
  }
}

}  // namespace assay::cli
