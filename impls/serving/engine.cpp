#include "impls/serving/engine.h"

#include "impls/serving/pipeline.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

namespace assay::serving {
namespace {

constexpr Picoseconds kPerNanosecond = 1000;

// Reservations are never outgrown: nothing has to stay free.
std::int64_t watermark_blocks(const EngineOptions& options) {
  return options.reserved_tokens > 0
             ? 0
             : static_cast<std::int64_t>(options.watermark * static_cast<double>(options.blocks));
}

}  // namespace

Engine::Engine(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& options)
    : time_(time),
      options_(options),
      pool_(pool_of(options, trace.requests.size())),
      sequences_(trace.requests.size()),
      buckets_(static_cast<std::size_t>(options.block_tokens)) {
  run_.outcomes.resize(sequences_.size());
  for (std::size_t k = 0; k < sequences_.size(); ++k) {
    sequences_[k].input = trace.requests[k].input_tokens;
    sequences_[k].output = trace.requests[k].output_tokens;
    run_.outcomes[k].arrival = trace.requests[k].arrival_ns * kPerNanosecond;
  }
}

KvPool Engine::pool_of(const EngineOptions& options, std::size_t sequences) {
  return {options.blocks, options.block_tokens, watermark_blocks(options), sequences};
}

// -- queue and admissions

void Engine::ingest() {
  while (arrived_ < sequences_.size() && run_.outcomes[arrived_].arrival <= now_)
    if (options_.fault == Fault::admits_newest_first)
      waiting_.push_front(static_cast<std::int32_t>(arrived_++));
    else
      waiting_.push_back(static_cast<std::int32_t>(arrived_++));
}

std::int64_t Engine::front_tokens() const {
  const Sequence& front = sequences_[static_cast<std::size_t>(waiting_.front())];
  return front.input + front.generated;
}

std::int64_t Engine::left_to_prefill(std::int32_t id) const {
  const Sequence& sequence = sequences_[static_cast<std::size_t>(id)];
  return sequence.target - sequence.prefilled;
}

void Engine::reject_front() {
  if (options_.watch != nullptr) options_.watch->rejected = true;
  run_.outcomes[static_cast<std::size_t>(waiting_.front())].rejected = true;
  waiting_.pop_front();
}

bool Engine::can_admit_front() const { return pool_.can_admit(paged() ? front_tokens() : options_.reserved_tokens); }

std::int32_t Engine::admit_front() {
  const std::int32_t id = waiting_.front();
  waiting_.pop_front();
  Sequence& sequence = sequences_[static_cast<std::size_t>(id)];
  sequence.target = sequence.input + sequence.generated;
  sequence.prefilled = 0;
  pool_.allocate(static_cast<std::size_t>(id), paged() ? sequence.target : options_.reserved_tokens);
  prefilling_.insert(id);
  Outcome& outcome = run_.outcomes[static_cast<std::size_t>(id)];
  if (outcome.scheduled < 0) {
    outcome.scheduled = now_;
    if (options_.watch != nullptr && substrate::to_seconds(now_ - outcome.arrival) > options_.watch->delay)
      ++options_.watch->late_starts;
  }
  return id;
}

void Engine::prefill(std::int32_t id, std::int64_t tokens) {
  slices_.push_back({id, tokens});
  scheduled_tokens_ += tokens;
}

// -- the decoding set

std::vector<std::int32_t>& Engine::bucket(const Sequence& sequence) {
  // It needs a block in the epoch in which its context is a whole number of blocks.
  const std::int64_t modulus = options_.block_tokens;
  const std::int64_t at = ((sequence.joined - sequence.target) % modulus + modulus) % modulus;
  return buckets_[static_cast<std::size_t>(at)];
}

void Engine::join(std::int32_t id) {
  Sequence& sequence = sequences_[static_cast<std::size_t>(id)];
  sequence.joined = epoch_;
  sequence.fresh = true;
  decoding_.insert(id);
  fresh_.push_back(id);
  contexts_ += sequence.target;
  if (paged()) bucket(sequence).push_back(id);
  ends_.push({epoch_ + sequence.output - sequence.generated, id, sequence.stamp});
}

// Takes it out of the decoding ones and brings its own counts up to date.
void Engine::leave(std::int32_t id) {
  Sequence& sequence = sequences_[static_cast<std::size_t>(id)];
  Outcome& outcome = run_.outcomes[static_cast<std::size_t>(id)];
  decoding_.erase(id);
  contexts_ -= context(sequence);
  if (paged()) std::erase(bucket(sequence), id);
  if (sequence.fresh) {
    std::erase(fresh_, id);
  } else {
    outcome.last_token = last_decode_;
    outcome.longest_gap = std::max(outcome.longest_gap, longest_common_gap(sequence.joined + 2));
  }
  sequence.generated += static_cast<std::int32_t>(epoch_ - sequence.joined);
  outcome.tokens = sequence.generated;
  sequence.fresh = false;
  ++sequence.stamp;
}

// Recompute: its blocks go, it waits at the head of the queue and later prefills prompt and generated tokens at once.
void Engine::preempt(std::int32_t id) {
  if (decoding_.contains(id)) {
    run_.recomputed_tokens += context(sequences_[static_cast<std::size_t>(id)]);
    leave(id);
  } else {
    run_.recomputed_tokens += sequences_[static_cast<std::size_t>(id)].prefilled;
    prefilling_.erase(id);
  }
  pool_.release(static_cast<std::size_t>(id));
  ++run_.outcomes[static_cast<std::size_t>(id)].preemptions;
  waiting_.push_front(id);
}

// Of a request that has all its tokens.
void Engine::give_back(std::int32_t id) {
  if (options_.fault == Fault::leaks_blocks && !leaked_) {
    leaked_ = true;
    return;
  }
  pool_.release(static_cast<std::size_t>(id));
}

bool Engine::take_decode_slots() {
  if (paged()) {
    const std::vector<std::int32_t>& needy = bucket_now();
    if (static_cast<std::int64_t>(needy.size()) <= pool_.free_blocks()) {
      for (const std::int32_t id : needy) pool_.grow(static_cast<std::size_t>(id));
    } else {
      std::vector<std::int32_t> asking = needy;
      std::sort(asking.begin(), asking.end());
      for (const std::int32_t id : asking) {
        if (!decoding_.contains(id)) continue;  // preempted meanwhile
        while (!pool_.grow(static_cast<std::size_t>(id))) {
          const std::int32_t newest = std::max(*decoding_.rbegin(), prefilling_.empty() ? -1 : *prefilling_.rbegin());
          preempt(newest);
          if (newest == id) break;
        }
      }
    }
  }
  scheduled_tokens_ += decoding();
  return !decoding_.empty();
}

// -- an iteration

Passage Engine::passage(const Plan& plan) {
  const std::int64_t decodes = plan.decode ? decoding() : 0;
  std::int64_t tokens = decodes, rows = decodes;
  Picoseconds device = decodes > 0 ? time_.decode(decodes, contexts_ + decodes) : 0;
  for (const Slice& slice : slices_) {
    const Sequence& sequence = sequences_[static_cast<std::size_t>(slice.sequence)];
    device += time_.prefill({slice.tokens, sequence.prefilled + slice.tokens});
    tokens += slice.tokens;
    rows += sequence.prefilled + slice.tokens == sequence.target ? 1 : 0;
  }
  return time_.passage(device + time_.linear(tokens), time_.head(rows), time_.hop(tokens),
                       decodes + static_cast<std::int64_t>(slices_.size()));
}

Batch Engine::batch(const Plan& plan) const {
  Batch batch{.decoded = plan.decode ? decoding() : 0};
  for (const Slice& slice : slices_) batch.prefilled += slice.tokens;
  return batch;
}

void Engine::note_blocks(Picoseconds duration) {
  run_.peak_blocks = std::max(run_.peak_blocks, pool_.used_blocks());
  run_.block_seconds += static_cast<double>(pool_.used_blocks()) * substrate::to_seconds(duration);
}

void Engine::gap_of(std::int32_t id) {
  Outcome& outcome = run_.outcomes[static_cast<std::size_t>(id)];
  const Picoseconds gap = now_ - outcome.last_token;
  outcome.longest_gap = std::max(outcome.longest_gap, gap);
  note_gap(gap, 1);
}

void Engine::note_gap(Picoseconds gap, std::int64_t count) {
  run_.gaps.push_back({gap, count});
  if (options_.watch != nullptr && substrate::to_seconds(gap) > options_.watch->gap) options_.watch->late_gaps += count;
}

Picoseconds Engine::longest_common_gap(std::int64_t from) const {
  const auto at = std::lower_bound(maxima_.begin(), maxima_.end(), from,
                                   [](const auto& held, std::int64_t epoch) { return held.first < epoch; });
  return at == maxima_.end() ? 0 : at->second;
}

// One token for every decoding sequence, at now_.
void Engine::decode_step() {
  ++epoch_;
  const std::int64_t decodes = decoding();
  const auto joined = static_cast<std::int64_t>(fresh_.size());
  for (const std::int32_t id : fresh_) {
    gap_of(id);
    sequences_[static_cast<std::size_t>(id)].fresh = false;
  }
  fresh_.clear();
  if (decodes > joined) {
    const Picoseconds gap = now_ - last_decode_;
    note_gap(gap, decodes - joined);
    while (!maxima_.empty() && maxima_.back().second <= gap) maxima_.pop_back();
    maxima_.emplace_back(epoch_, gap);
  }
  last_decode_ = now_;
  contexts_ += decodes;
  run_.generated_tokens += decodes;
}

void Engine::end_finished() {
  while (!ends_.empty()) {
    const End end = ends_.top();
    const bool stale = sequences_[static_cast<std::size_t>(end.sequence)].stamp != end.stamp;
    if (!stale && end.epoch > epoch_) return;
    ends_.pop();
    if (stale) continue;
    leave(end.sequence);
    give_back(end.sequence);
  }
}

// Prompts that are complete give a token; the last slice of a recomputation gives the next one.
void Engine::end_slices() {
  for (const Slice& slice : slices_) {
    Sequence& sequence = sequences_[static_cast<std::size_t>(slice.sequence)];
    Outcome& outcome = run_.outcomes[static_cast<std::size_t>(slice.sequence)];
    sequence.prefilled += static_cast<std::int32_t>(slice.tokens);
    run_.prefilled_tokens += slice.tokens;
    if (sequence.prefilled < sequence.target) continue;
    prefilling_.erase(slice.sequence);
    if (outcome.first_token < 0) {
      outcome.first_token = now_;
    } else {
      gap_of(slice.sequence);
    }
    outcome.last_token = now_;
    outcome.tokens = ++sequence.generated;
    ++run_.generated_tokens;
    if (sequence.generated == sequence.output) {
      give_back(slice.sequence);
    } else {
      join(slice.sequence);
    }
  }
}

void Engine::apply(const Plan& plan, Picoseconds duration) {
  now_ += duration;
  run_.busy += duration;
  ++run_.iterations;
  note_blocks(duration);
  if (plan.decode) {
    decode_step();
    end_finished();
  }
  end_slices();
  slices_.clear();
  scheduled_tokens_ = 0;
  last_was_prefill_ = plan.prefill && !plan.decode;
}

// Iterations of decodes alone, for as long as the scheduler could decide nothing else: what waits was not admitted and
// cannot be before blocks or places are given back, what arrives queues behind it. Only when nothing waits an arrival
// is news.
void Engine::fused_run() {
  const std::int64_t decodes = decoding();
  const Picoseconds fixed = time_.linear(decodes) + time_.head(decodes);
  while (!decoding_.empty()) {
    if (waiting_.empty() && arrived_ < sequences_.size() && run_.outcomes[arrived_].arrival <= now_) return;
    const std::vector<std::int32_t>& needy = bucket_now();
    if (paged()) {
      if (static_cast<std::int64_t>(needy.size()) > pool_.free_blocks()) return;
      for (const std::int32_t id : needy) pool_.grow(static_cast<std::size_t>(id));
    }
    const Picoseconds took = time_.with_host(time_.decode(decodes, contexts_ + decodes) + fixed, decodes);
    if (options_.log != nullptr)
      options_.log->note({.engine = options_.engine, .start = now_, .end = now_ + took, .batch = {.decoded = decodes}});
    now_ += took;
    run_.busy += took;
    ++run_.iterations;
    note_blocks(took);
    decode_step();
    const std::int64_t before = decoding();
    end_finished();
    if (decoding() != before || given_up()) return;
  }
}

// Nothing to do: all that waited was rejected.
Plan Engine::compose() {
  const Plan plan = options_.schedule(*this);
  if (!plan.decode && !plan.prefill && !waiting_.empty())
    throw std::logic_error("the scheduler has requests and composes no iteration");
  return plan;
}

EngineRun Engine::run() {
  while (!given_up()) {
    ingest();
    if (waiting_.empty() && decoding_.empty() && prefilling_.empty()) {
      if (arrived_ == sequences_.size()) break;
      now_ = run_.outcomes[arrived_].arrival;
      continue;
    }
    const std::int64_t decoded = decoding();
    const Plan plan = compose();
    if (!plan.decode && !plan.prefill) continue;
    const Picoseconds took = passage(plan).first;
    if (options_.log != nullptr)
      options_.log->note({.engine = options_.engine, .start = now_, .end = now_ + took, .batch = batch(plan)});
    apply(plan, took);
    // An end or a preemption gave blocks back: the scheduler may admit again.
    const bool steady = plan.steady && prefilling_.empty() && decoding() == decoded;
    if (options_.fuse && steady) fused_run();
  }
  return finish();
}

std::optional<Picoseconds> Engine::ready() const {
  if (!waiting_.empty() || !decoding_.empty() || !prefilling_.empty()) return now_;
  if (arrived_ == sequences_.size()) return std::nullopt;
  return std::max(now_, run_.outcomes[arrived_].arrival);
}

void Engine::step(Picoseconds start, Stages& stages) {
  now_ = start;
  ingest();
  const Plan plan = compose();
  if (plan.decode || plan.prefill) apply(plan, stages.pass(start, passage(plan), options_.engine, batch(plan)) - start);
}

EngineRun Engine::finish() {
  run_.end = now_;
  run_.left_blocks = pool_.used_blocks();
  if (const auto broken = pool_.broken_invariant()) throw std::logic_error("key-value pool: " + *broken);
  return std::move(run_);
}

}  // namespace assay::serving
