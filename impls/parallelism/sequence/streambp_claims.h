#pragma once
// What StreamBP says to the configurations of its paper: the longest sequence by what is held, the time of a backward
// pass by its operators, and the structure of its program.
#include <optional>
#include <string>

#include "datasets/machine.h"
#include "harness/claims/projection.h"

namespace assay::parallelism {

// max_sequence: of a bf16 model whose layers' inputs are checkpointed; with `tuning` = "lora" or `objective` =
// "bp-only" weights alone are held, with "dpo" two sequences a sample. step_time: head and layers backward with the
// layers computed again, of the arm of the configuration. memory_peak: 1 where twice the tokens take twice the memory,
// weights and their gradients aside. flops: the full square of scores over what is computed.
std::optional<harness::claims::Projection> project_streambp(const harness::claims::Setting& setting,
                                                            const std::string& quantity);
// The same of gradient checkpointing, no checkpointing, and mini-sequences (the MLP and the head in chunks, attention
// whole).
std::optional<harness::claims::Projection> project_streambp_baseline(const harness::claims::Setting& setting,
                                                                     const std::string& quantity);

// Bytes that a layer or the head holds of one sequence at the worst moment, in chunks of that many tokens and with all
// of K and V: the program's ledger less what goes from layer to layer (a test).
double stream_working_bytes(const datasets::Model& model, double tokens, double chunk);

}  // namespace assay::parallelism
