#include "impls/serving/pipeline.h"

#include <algorithm>
#include <deque>
#include <optional>

namespace assay::serving {

Picoseconds Stages::pass(Picoseconds start, const Passage& iteration, int engine, const Batch& batch) {
  Picoseconds at = start;
  for (std::size_t stage = 0; stage < free_.size(); ++stage) {
    at = std::max(at, free_[stage]);
    const Picoseconds begun = at;
    at += stage == 0 ? iteration.first : stage + 1 == free_.size() ? iteration.last : iteration.stage;
    free_[stage] = at;
    if (log_ != nullptr)
      log_->note({.engine = engine, .stage = static_cast<int>(stage), .start = begun, .end = at, .batch = batch});
    if (stage + 1 < free_.size()) at += iteration.hop;
  }
  return at;
}

EngineRun serve(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& options) {
  const int count = time.deployment().pipeline;
  if (count == 1) return Engine(trace, time, options).run();

  EngineOptions each = options;
  each.blocks /= count;
  each.max_sequences = std::max(1, options.max_sequences / count);
  std::deque<Engine> engines;
  for (int e = 0; e < count; ++e) {
    datasets::RequestTrace own;
    for (std::size_t k = static_cast<std::size_t>(e); k < trace.requests.size(); k += static_cast<std::size_t>(count))
      own.requests.push_back(trace.requests[k]);
    each.engine = e;
    engines.emplace_back(own, time, each);
  }
  Stages stages(count, options.log);
  while (options.watch == nullptr || !options.watch->broken()) {
    Engine* next = nullptr;
    Picoseconds earliest = 0;
    for (Engine& engine : engines)
      if (const std::optional<Picoseconds> ready = engine.ready(); ready && (next == nullptr || *ready < earliest)) {
        next = &engine;
        earliest = *ready;
      }
    if (next == nullptr) break;
    next->step(std::max(earliest, stages.free_at()), stages);
  }

  EngineRun all;
  all.outcomes.resize(trace.requests.size());
  std::size_t e = 0;
  for (Engine& engine : engines) {
    EngineRun run = engine.finish();
    for (std::size_t k = 0; k < run.outcomes.size(); ++k)
      all.outcomes[k * static_cast<std::size_t>(count) + e] = run.outcomes[k];
    all.gaps.insert(all.gaps.end(), run.gaps.begin(), run.gaps.end());
    all.end = std::max(all.end, run.end);
    all.busy += run.busy;
    all.iterations += run.iterations;
    all.prefilled_tokens += run.prefilled_tokens;
    all.recomputed_tokens += run.recomputed_tokens;
    all.generated_tokens += run.generated_tokens;
    all.peak_blocks += run.peak_blocks;
    all.block_seconds += run.block_seconds;
    all.left_blocks += run.left_blocks;
    ++e;
  }
  return all;
}

}  // namespace assay::serving
