#pragma once
// What every scheme along the sequence reads from a claim's setting, and how its layer and its training step answer.
#include <initializer_list>
#include <optional>
#include <string>

#include "harness/claims/projection.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/fabric.h"

namespace assay::parallelism {

// The layer a setting describes; nothing where it leaves the shape open or asks for another dtype than bf16.
// `open_length` stands where the length is open. `ranks` is the degree asked for, else as many as there are heads:
// what a degree cannot use is data parallel. Whether the heads can be dealt is for the scheme to say.
std::optional<SequenceProblem> layer_shape(const harness::claims::Setting& setting, bool backward,
                                           std::int64_t open_length = 0);

bool model_has(const harness::claims::Setting& setting, std::initializer_list<const char*> numbers);

// comm_bytes: what rank 0 sent.
harness::claims::Projection sent_by_a_rank(const substrate::RunReport& counts);

// throughput, device_flops, mfu or step_time of a training step; nothing for other quantities. FLOPs count causal
// attention once (half of L^2) and no recomputation. `rate`: tokens a second of one device.
std::optional<double> step_quantity(const harness::claims::Setting& setting, const std::string& quantity,
                                    std::int64_t length, double rate, double seconds);

}  // namespace assay::parallelism
