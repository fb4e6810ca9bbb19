#pragma once
// The rank program of LASP-2H, for tests of its counts.
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/linear_block.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

// The last of every `softmax_every` layers is standard attention, the others are linear.
struct HybridLayers {
  int count = 4, softmax_every = 4;
  Decay decay = Decay::none;

  bool standard(int layer) const { return layer % softmax_every == softmax_every - 1; }
  int standards() const { return count / softmax_every; }
};

RankProgram hybrid_program(const SequenceProblem& layer, const HybridLayers& layers);

}  // namespace assay::parallelism
