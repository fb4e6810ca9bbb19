// Orca (Yu et al., OSDI 2022): iteration-level scheduling with selective batching.
//
//   every iteration: one token for every running sequence, and whole prompts of new requests beside them, first come
//   first served, while a place and a reservation for the longest request there may be are left
//
// Why it is fast: an ended request's place is taken in the next iteration. Why it is slow: a prompt makes its iteration
// long for all decodes in it, and keys and values are reserved for the longest request from the start.
#include "impls/serving/schedulers.h"
#include "impls/serving/serving_case.h"

namespace assay::serving {

Plan schedule_orca(Engine& engine) {
  const EngineOptions& options = engine.options();
  Plan plan{.decode = engine.take_decode_slots()};
  while (engine.has_waiting()) {
    const std::int64_t tokens = engine.front_tokens();
    const std::int64_t held = options.reserved_tokens > 0 ? options.reserved_tokens : tokens;
    if (!engine.pool().can_ever_admit(held) || tokens > options.max_tokens) {
      engine.reject_front();
      continue;
    }
    if (!engine.can_admit_front() || engine.running() == options.max_sequences) break;
    engine.prefill(engine.admit_front(), tokens);
    plan.prefill = true;
  }
  plan.steady = !plan.prefill;
  return plan;
}

namespace {

void run(harness::State& state) {
  run_serving(state, {.schedule = schedule_orca, .budget = Budget::longest_prompt, .reserves = true});
}

const harness::Registration registration({
    .id = "serving/orca",
    .title = "Orca: iteration-level scheduling",
    .paper = "OSDI 2022",
    .summary = "hybrid batches of whole prompts and decodes, keys and values reserved for the longest request",
    .implementations =
        {{.axes = serving_axes(Budget::longest_prompt), .run = run, .source_file = __FILE__, .projects = true}},
});

}  // namespace
}  // namespace assay::serving
