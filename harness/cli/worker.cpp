#include "harness/worker.h"

#include <CLI/CLI.hpp>

#include "harness/cli/commands.h"

namespace assay::cli {

void add_worker(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("worker", "run jobs from standard input (started by the runner)");
  command->group("");  // not for people: left out of --help
  command->callback([&context] { context.exit_code = harness::worker_loop(); });
}

}  // namespace assay::cli
