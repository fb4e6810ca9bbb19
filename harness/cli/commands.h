#pragma once
// One function a sub-command: it adds itself to the parser, with its own help and examples. A command's callback stores
// its exit code in `exit_code`; what a user can mend is thrown as UserError.
#include <string>

namespace CLI {
class App;
}

namespace assay::cli {

struct Context {
  std::string database = "assay.db";  // --db
  bool json = false;                  // --json
  bool color = false;                 // terminal and no NO_COLOR
  int width = 100;                    // columns of the terminal
  std::string command_line;           // as typed, for the record
  int exit_code = 0;
};

int run_program(int argc, char** argv);

void add_list(CLI::App& app, Context& context);
void add_run(CLI::App& app, Context& context);
void add_show(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_history(CLI::App& app, Context& context);
void add_gate(CLI::App& app, Context& context);
void add_alerts(CLI::App& app, Context& context);
void add_calibrate(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_reproduce(CLI::App& app, Context& context);
void add_rerun(CLI::App& app, Context& context);
void add_db(CLI::App& app, Context& context);
void add_validate(CLI::App& app, Context& context);
void add_probe(CLI::App& app, Context& context);
void add_doctor(CLI::App& app, Context& context);
void add_worker(CLI::App& app, Context& context);
void add_gui(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);
void add_manual(CLI::App& app, Context& context);

}  // namespace assay::cli
