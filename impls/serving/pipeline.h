#pragma once
// Serving over the stages of a pipeline: as many engines as stages, each with its own requests, blocks and places, take
// turns at the first stage, so that as many iterations are under way as there are stages. A sequence is in one of them
// at a time, because its next token needs its last. Requests are dealt to the engines in turn.
//
// An iteration is composed when the first stage is free and waits at every later one until that is; what it does not
// fill is a bubble: iterations of unequal length behind one another, or an engine that has nothing to run.
#include <vector>

#include "impls/serving/engine.h"

namespace assay::serving {

// When each stage has ended what came to it.
class Stages {
 public:
  explicit Stages(int count, IterationLog* log = nullptr) : free_(static_cast<std::size_t>(count)), log_(log) {}
  Picoseconds free_at() const { return free_.front(); }
  // Sends an iteration in at `start`, not before free_at(); returns when it leaves the last stage. `engine` and `batch`
  // are what the log says of it.
  Picoseconds pass(Picoseconds start, const Passage& iteration, int engine = 0, const Batch& batch = {});

 private:
  std::vector<Picoseconds> free_;
  IterationLog* log_;
};

// All requests to their end, over the stages of `time`'s deployment. Blocks and places of `options` are those of all
// engines together. `busy` of the result adds up iterations that were under way side by side; `peak_blocks` adds up
// the peaks of the engines.
EngineRun serve(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& options);

}  // namespace assay::serving
