// Sarathi-Serve (Agrawal et al., arXiv 2403.02310): chunked prefills in stall-free batches. With a budget of tau tokens
// an iteration:
//
//   1. every running sequence whose prompt is done gets a token      first, so that none ever waits for a prompt
//   2. prompts under way go on:       min(what is left, tau - used) tokens each
//   3. new requests, first come first served:   min(prompt, tau - used) tokens, while blocks for the whole prompt leave
//      the watermark free and a place is left
//
// Why it is fast: decodes ride along with a chunk that fills the matrix units, and no iteration is longer than its
// budget takes. What it costs: a prompt of n tokens reads its own keys again in each of its n / tau chunks.
#include "impls/serving/schedulers.h"
#include "impls/serving/serving_case.h"

#include <algorithm>
#include <vector>

namespace assay::serving {
namespace {

// Steps 2 and 3 of a budget of which `used` is spent.
bool fill_with_prompts(Engine& engine, std::int64_t used) {
  const EngineOptions& options = engine.options();
  bool any = false;
  const auto chunk = [&](std::int32_t sequence) {
    const std::int64_t tokens = std::min(engine.left_to_prefill(sequence), options.max_tokens - used);
    if (tokens <= 0) return;
    engine.prefill(sequence, tokens);
    used += tokens;
    any = true;
  };
  for (const std::int32_t sequence : engine.prefilling()) chunk(sequence);
  while (engine.has_waiting()) {
    if (!engine.pool().can_ever_admit(engine.front_tokens())) {
      engine.reject_front();
      continue;
    }
    if (used >= options.max_tokens || engine.running() == options.max_sequences || !engine.can_admit_front()) break;
    chunk(engine.admit_front());
  }
  return any;
}

}  // namespace

Plan schedule_sarathi(Engine& engine) {
  const bool decode = engine.take_decode_slots();
  const bool prefill = fill_with_prompts(engine, engine.scheduled_tokens());
  return {.decode = decode, .prefill = prefill, .steady = !prefill};
}

// The ablation with chunks but without hybrid batches: prompts and decodes take turns.
Plan schedule_chunks_only(Engine& engine) {
  const bool prompts_turn = !engine.last_was_prefill();
  if (prompts_turn && fill_with_prompts(engine, 0)) return {.prefill = true};
  if (engine.take_decode_slots()) return {.decode = true, .steady = prompts_turn};
  return {.prefill = fill_with_prompts(engine, 0)};
}

namespace {

void run(harness::State& state) { run_serving(state, {.schedule = schedule_sarathi, .budget = Budget::chunk}); }

const harness::Registration registration({
    .id = "serving/sarathi",
    .title = "Sarathi-Serve: chunked prefills, stall-free batching",
    .paper = "arXiv 2403.02310",
    .summary = "a token budget an iteration: all decodes first, prompts in chunks behind them",
    .implementations = {{.axes = serving_axes(Budget::chunk), .run = run, .source_file = __FILE__, .projects = true}},
});

}  // namespace
}  // namespace assay::serving
