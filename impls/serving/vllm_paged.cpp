// PagedAttention's serving engine, version 0 (Kwon et al., arXiv 2309.06180): first come first served, prompts first.
//
//   while something waits:                        a batch of prompts alone, whole ones
//     stop unless its blocks leave the watermark free, its tokens fit the batch and a place is left
//   else every running sequence gets a token      in order of arrival
//     where no block is free the newest running sequence is preempted: its blocks go, it waits at the head of the
//     queue, and prompt and generated tokens are prefilled again in one pass
//
// Why it is fast: blocks of 16 tokens instead of one reservation per request leave room for many sequences, and the
// weights are read once for all of them. Why it is slow: decodes stand still while prompts run, as long as those take.
#include "impls/serving/schedulers.h"
#include "impls/serving/serving_case.h"

namespace assay::serving {

Plan schedule_vllm(Engine& engine) {
  const EngineOptions& options = engine.options();
  while (engine.has_waiting()) {
    const std::int64_t tokens = engine.front_tokens();
    if (!engine.pool().can_ever_admit(tokens) || tokens > options.max_tokens) {
      engine.reject_front();
      continue;
    }
    if (!engine.can_admit_front() || engine.scheduled_tokens() + tokens > options.max_tokens ||
        engine.running() == options.max_sequences)
      break;
    engine.prefill(engine.admit_front(), tokens);
  }
  if (engine.scheduled_tokens() > 0) return {.prefill = true};
  return {.decode = engine.take_decode_slots(), .steady = true};
}

namespace {

void run(harness::State& state) { run_serving(state, {.schedule = schedule_vllm, .budget = Budget::longest_prompt}); }

const harness::Registration registration({
    .id = "serving/vllm-paged",
    .title = "PagedAttention: first come first served continuous batching",
    .paper = "arXiv 2309.06180",
    .summary = "paged keys and values, prompts first, preemption by recomputation",
    .implementations =
        {{.axes = serving_axes(Budget::longest_prompt), .run = run, .source_file = __FILE__, .projects = true}},
});

}  // namespace
}  // namespace assay::serving
