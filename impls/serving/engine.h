#pragma once
// The engine loop of a serving system in virtual time: requests arrive, a scheduler composes the next iteration, the
// iteration takes as long as the device model says, tokens are stamped at its end. Greedy bookkeeping only: what runs,
// which blocks it holds, when each token appeared.
//
// Sequences that decode are never touched one by one. Every decode iteration adds one token to all of them, so a
// sequence keeps the number of the iteration it joined at, and contexts, ends and block boundaries follow from it: an
// iteration costs what changes in it. Iterations in which nothing can change but the contexts (no arrival to admit, no
// end, no lack of blocks) are taken in a tight loop that does not ask the scheduler; `fuse = false` asks it each time
// and gives the same bits (a test holds it to that).
#include <cstdint>
#include <deque>
#include <optional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "datasets/workloads/request_trace.h"
#include "impls/serving/iteration_time.h"
#include "impls/serving/kv_pool.h"

namespace assay::serving {

class Engine;
class Stages;

// Ways for an engine to be wrong, for gates that must notice.
enum class Fault { none, leaks_blocks, admits_newest_first };

// What the scheduler decided for one iteration.
struct Plan {
  bool decode = false;  // every running sequence that has its prompt gets a token
  bool prefill = false;
  // Of decodes alone: asked again the scheduler would decide the same until an end gives blocks or a place back, or,
  // when nothing waits, until a request arrives.
  bool steady = false;
};

// Counts what is later than its limit while requests run, so that a run that can no longer hold it ends early.
struct Watch {
  double gap = 0, delay = 0;                              // limits, s
  std::int64_t most_late_gaps = 0, most_late_starts = 0;  // that may be
  std::int64_t late_gaps = 0, late_starts = 0;
  bool rejected = false;
  bool broken() const { return rejected || late_gaps > most_late_gaps || late_starts > most_late_starts; }
};

// What an iteration works on.
struct Batch {
  std::int64_t prefilled = 0;  // prompt tokens
  std::int64_t decoded = 0;    // sequences that get a token
};

// One iteration on one stage.
struct Stay {
  int engine = 0, stage = 0;
  Picoseconds start = 0, end = 0;
  Batch batch;
};

// The first `most` stays of a run, in the order in which they were decided.
struct IterationLog {
  std::size_t most = 0;
  std::vector<Stay> stays;
  void note(const Stay& stay) {
    if (stays.size() < most) stays.push_back(stay);
  }
};

struct EngineOptions {
  // Composes the next iteration through the engine's operations; see the techniques' files.
  Plan (*schedule)(Engine&) = nullptr;
  int block_tokens = 16;
  std::int64_t blocks = 0;
  double watermark = 0.01;      // share of the blocks that stays free at admissions
  std::int64_t max_tokens = 0;  // of an iteration: the token budget, or the most prompt tokens
  int max_sequences = 256;
  std::int64_t reserved_tokens = 0;  // contiguous systems: every request holds this many from admission; 0: paged
  bool fuse = true;
  Watch* watch = nullptr;       // of one run; a run it ends is not whole
  IterationLog* log = nullptr;  // of one run
  int engine = 0;               // which one of those that share the stages of a pipeline
  Fault fault = Fault::none;
};

// What happened to one request. Times in picoseconds since the first arrival; -1: never.
struct Outcome {
  Picoseconds arrival = 0, scheduled = -1, first_token = -1, last_token = -1;
  Picoseconds longest_gap = 0;  // between two of its tokens
  std::int32_t tokens = 0;      // delivered
  std::int32_t preemptions = 0;
  bool rejected = false;
  bool operator==(const Outcome&) const = default;
};

// `count` tokens came `gap` after the token before them.
struct Gap {
  Picoseconds gap = 0;
  std::int64_t count = 0;
  bool operator==(const Gap&) const = default;
};

struct EngineRun {
  std::vector<Outcome> outcomes;  // in the order of the trace
  std::vector<Gap> gaps;          // of all tokens but each request's first, in time order
  Picoseconds end = 0;            // of the last iteration
  Picoseconds busy = 0;           // time in iterations
  std::int64_t iterations = 0;
  std::int64_t prefilled_tokens = 0, recomputed_tokens = 0, generated_tokens = 0;
  std::int64_t peak_blocks = 0;
  double block_seconds = 0;      // integral of the blocks in use over time
  std::int64_t left_blocks = 0;  // in use after the last request: none, or the engine leaks
  bool operator==(const EngineRun&) const = default;
};

class Engine {
 public:
  Engine(const datasets::RequestTrace& trace, IterationTime& time, const EngineOptions& options);

  EngineRun run();

  // -- for engines that share the stages of a pipeline, instead of run()
  // When it could compose its next iteration; nothing when all are served.
  std::optional<Picoseconds> ready() const;
  // Composes one at `start` and sends it through the stages.
  void step(Picoseconds start, Stages& stages);
  EngineRun finish();

  static KvPool pool_of(const EngineOptions& options, std::size_t sequences);

  // -- what a scheduler sees
  const EngineOptions& options() const { return options_; }
  bool has_waiting() const { return !waiting_.empty(); }
  std::int64_t front_tokens() const;  // prompt, and what was generated before a preemption
  std::int64_t decoding() const { return static_cast<std::int64_t>(decoding_.size()); }
  const std::set<std::int32_t>& prefilling() const { return prefilling_; }
  std::int64_t left_to_prefill(std::int32_t sequence) const;
  std::int64_t running() const { return static_cast<std::int64_t>(decoding_.size() + prefilling_.size()); }
  const KvPool& pool() const { return pool_; }
  bool last_was_prefill() const { return last_was_prefill_; }          // the last iteration had prompts and no decodes
  std::int64_t scheduled_tokens() const { return scheduled_tokens_; }  // in the iteration being composed

  // -- what it can do
  // The request at the head of the queue can never be served; it leaves.
  void reject_front();
  // Whether the front's blocks can be had with the watermark left.
  bool can_admit_front() const;
  // Takes the front in, with blocks for its whole prompt (or its reservation).
  std::int32_t admit_front();
  // `tokens` more of a running sequence's prompt belong to this iteration.
  void prefill(std::int32_t sequence, std::int64_t tokens);
  // A slot for every decoding sequence's next token, in order of arrival; where no block is free the newest running
  // sequence is preempted. True when any is left to decode.
  bool take_decode_slots();

 private:
  struct Sequence {
    std::int32_t input = 0, output = 0;
    std::int32_t generated = 0;  // while decoding: when it joined
    std::int32_t target = 0;     // tokens of this prefill: prompt and what was generated before
    std::int32_t prefilled = 0;
    std::int64_t joined = 0;  // decode iterations before it joined
    std::uint32_t stamp = 0;  // changes when it leaves the decoding ones: tells old ends from live ones
    bool fresh = false;       // has not decoded since it joined
  };
  struct Slice {
    std::int32_t sequence;
    std::int64_t tokens;
  };
  struct End {
    std::int64_t epoch;
    std::int32_t sequence;
    std::uint32_t stamp;
    bool operator>(const End& other) const {
      return std::pair(epoch, sequence) > std::pair(other.epoch, other.sequence);
    }
  };

  void ingest();
  std::int64_t context(const Sequence& sequence) const { return sequence.target + epoch_ - sequence.joined; }
  std::vector<std::int32_t>& bucket(const Sequence& sequence);
  std::vector<std::int32_t>& bucket_now() { return buckets_[static_cast<std::size_t>(epoch_ % options_.block_tokens)]; }
  bool paged() const { return options_.reserved_tokens == 0; }
  void join(std::int32_t id);
  void leave(std::int32_t id);
  void preempt(std::int32_t id);
  void give_back(std::int32_t id);
  Passage passage(const Plan& plan);
  Batch batch(const Plan& plan) const;
  Plan compose();
  void apply(const Plan& plan, Picoseconds duration);
  void decode_step();
  void end_finished();
  void end_slices();
  void fused_run();
  void note_blocks(Picoseconds duration);
  void gap_of(std::int32_t id);
  void note_gap(Picoseconds gap, std::int64_t count);
  bool given_up() const { return options_.watch != nullptr && options_.watch->broken(); }
  Picoseconds longest_common_gap(std::int64_t from) const;

  IterationTime& time_;
  EngineOptions options_;
  KvPool pool_;
  EngineRun run_;
  std::vector<Sequence> sequences_;
  Picoseconds now_ = 0;
  std::size_t arrived_ = 0;

  std::deque<std::int32_t> waiting_;
  std::set<std::int32_t> decoding_, prefilling_;  // in order of arrival
  std::vector<Slice> slices_;                     // of the iteration being composed
  std::int64_t scheduled_tokens_ = 0;
  bool last_was_prefill_ = false;
  bool leaked_ = false;

  std::int64_t epoch_ = 0;     // decode iterations so far
  std::int64_t contexts_ = 0;  // sum over the decoding sequences
  Picoseconds last_decode_ = 0;
  std::vector<std::int32_t> fresh_;                 // joined since the last decode iteration
  std::vector<std::vector<std::int32_t>> buckets_;  // by the epoch, modulo the block, at which they need a block
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  std::vector<std::pair<std::int64_t, Picoseconds>> maxima_;  // (epoch, gap), gaps falling: suffix maxima of the gaps
};

}  // namespace assay::serving
