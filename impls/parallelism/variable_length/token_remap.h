#pragma once
// Tokens moved between the layout of attention and an even one, and back: Zeppelin's remapping layer.
#include "impls/parallelism/variable_length/batch_program.h"

namespace assay::parallelism {

// The rows of O that `plan.moves` name go where they are to be worked on and come back; what a layer computes for its
// tokens beside attention is booked in between. A rank gives up its last tokens, in the order of its items.
substrate::Task<> remapped_layer(substrate::Rank& rank, const BatchPlan& plan, const BatchMemory& memory,
                                 bool backward);

}  // namespace assay::parallelism
