#pragma once
// Launching the suspects of a gate again before anyone is alarmed: assay gate --confirm, assay run --confirm.
#include <string>

#include "harness/cli/commands.h"
#include "harness/gate.h"

namespace assay::cli {

struct ConfirmArguments {
  bool all_unsure = false;   // every UNSURE case, not only suspects
  std::string base_binary;   // the base's build, launched in turns with this one; "": this one alone
  bool ignore_load = false;  // on a busy machine too
};

// Judges as harness::gate does, launches what is suspected again (a run of its own, harness::confirm_tag), and judges
// with those launches too. UserError when they cannot be launched here: other machine, other build. `store` is open for
// writing, and is again on return.
harness::GateReport gate_and_confirm(results_db::Store& store, const harness::GateOptions& options,
                                     const ConfirmArguments& given, const Context& context);

}  // namespace assay::cli
