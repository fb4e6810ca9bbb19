#pragma once
// What every scheme along the sequence reads from a claim's setting, and how its layer and its training step answer.
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>

#include "harness/claims/projection.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/remembered_run.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

// The layer a setting describes; nothing where it leaves the shape open or asks for another dtype than bf16.
// `open_length` stands where the length is open. `ranks` is the degree asked for, else as many as there are heads:
// what a degree cannot use is data parallel. Whether the heads can be dealt is for the scheme to say.
std::optional<SequenceProblem> layer_shape(const harness::claims::Setting& setting, bool backward,
                                           std::int64_t open_length = 0);

bool model_has(const harness::claims::Setting& setting, std::initializer_list<const char*> numbers);

// What a step needs to know of the model, and of the memory of a device with ZeRO-3 over all ranks of the setting.
bool has_step_model(const harness::claims::Setting& setting);
double held_states(const harness::claims::Setting& setting);  // 16 bytes a parameter over all ranks
double held_by_token(const datasets::Model& model);           // activations, no layer recomputed

// Bytes a second of rings over that many ranks through all NICs of a node at once.
double ring_bandwidth(const datasets::Cluster& cluster, int ranks);

// One layer of a rank program on the device and the cluster of the setting. With a `name`, which says all that the
// program follows from beside the machine, a run on a machine that differs in nothing it uses is not repeated.
using LayerRun = CriticalPath;
LayerRun run_layer(const harness::claims::Setting& setting, const RankProgram& program, int ranks);
LayerRun run_layer(const harness::claims::Setting& setting, const std::string& name, int ranks,
                   const std::function<RankProgram()>& make);

// A scheme's program for a layer; `name` says what of it the layer does not.
struct ProgramOfLayer {
  std::string name;
  std::function<RankProgram(const SequenceProblem&)> make;
};
// Every number of a layer, as text.
std::string name_of(const SequenceProblem& layer);

// comm_bytes: what rank 0 sent.
harness::claims::Projection sent_by_a_rank(const substrate::RunReport& counts);

// Whether the configuration's flop_convention counts the whole square of attention ("full") or its causal half
// ("causal-halved"); `unsaid` where it has none, nothing where it has another.
std::optional<bool> counts_whole_square(const harness::claims::Setting& setting, bool unsaid);
// Forward and backward, 6 a parameter and token, attention of `length` tokens; nothing twice.
double flops_of_token(const datasets::Model& model, std::int64_t length, bool whole_square);

// throughput, device_flops, mfu or step_time of a training step; nothing for other quantities. FLOPs as the
// configuration's flop_convention says, else with the causal half. `rate`: tokens a second of one device.
std::optional<double> step_quantity(const harness::claims::Setting& setting, const std::string& quantity,
                                    std::int64_t length, double rate, double seconds);

// The same of a model whose attention is a program over the ranks of `layer` and whose other operators see a rank's
// tokens, with ZeRO-3 over all ranks. The shape's degree, with its batch; and the degree with the highest throughput of
// those that `can_deal` allows, each with the largest micro-batch (a power of two) that fits the memory.
std::optional<harness::claims::Projection> project_layer_step(const harness::claims::Setting& setting,
                                                              const std::string& quantity, const SequenceProblem& layer,
                                                              const ProgramOfLayer& program);
std::optional<harness::claims::Projection> project_best_layer_step(
    const harness::claims::Setting& setting, const std::string& quantity, const SequenceProblem& shape,
    const ProgramOfLayer& program, const std::function<bool(const SequenceProblem&)>& can_deal);

}  // namespace assay::parallelism
