#pragma once
// One layer of linear attention over a sequence cut into runs, one a rank: the parts that every schedule of its scan
// shares. What a schedule supplies is how the state before a rank comes to it.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/linear_block.h"
#include "impls/parallelism/sequence/sequence_layout.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

struct LinearPlan {
  LinearPlan(const SequenceProblem& layer, Decay kind, int state_blocks);

  SequenceProblem problem;
  Decay decay;
  int blocks;  // of the state, along its key rows, where a schedule sends it in parts
  SequenceLayout layout;
  LinearShape shape;
  int state_element = 4;  // bytes; less in projections only

  std::int64_t elements(int rank) const {  // of q, k, v, o each
    return layout.tokens(rank) * problem.batch * problem.heads * problem.head_dim;
  }
  std::int64_t bytes(int rank) const { return elements(rank) * size_of(problem.dtype); }
  // As it travels and as it is kept. The programs compute with float32; the papers send 16 bits.
  std::int64_t state_bytes() const { return shape.state_elements() * state_element; }
  std::int64_t decay_bytes() const { return shape.decay_elements() * 4; }
  // Key rows [first, last) of block `index`.
  int first_row(int index) const { return index * problem.head_dim / blocks; }

  substrate::OpWork state_work(int rank) const;  // 2 c d^2 of every head
  substrate::OpWork intra_work(int rank) const;  // by chunks of kChunk tokens inside the rank
  substrate::OpWork inter_work(int rank) const;  // 2 c d^2
  substrate::OpWork backward_work(int rank) const;

  double flops() const;  // of all ranks, of the recurrence: 4 L d^2 a head forward, 10 backward

  // What is wrong in mutants.
  int forgets = -1;           // what comes before this rank is taken for nothing
  bool undecayed = false;     // states are passed on as if nothing decayed
  bool own_included = false;  // the state before a rank holds that of the rank itself
  bool narrow_state = false;  // states travel in bf16
};

struct LinearMemory {
  std::byte *q = nullptr, *kv = nullptr, *log_decay = nullptr, *o = nullptr, *d_out = nullptr, *dq = nullptr,
            *d_kv = nullptr, *d_log_decay = nullptr;
};

// Gives a rank the state before it (after it where `reverse`) from every rank's own: nothing for the first one. `total`
// is G of the rank.
using StateExchange = std::function<substrate::Task<substrate::Buffer>(substrate::Rank& rank, const LinearPlan& plan,
                                                                       substrate::Buffer own,
                                                                       const substrate::Buffer& total, bool reverse)>;

// The ring (one block) and the pipeline: every rank composes what comes with its own and passes it on.
substrate::Task<substrate::Buffer> passed_state(substrate::Rank& rank, const LinearPlan& plan, substrate::Buffer own,
                                                const substrate::Buffer& total, bool reverse);

// One gather, and at every rank the composition of those before it (LASP-2).
substrate::Task<substrate::Buffer> gathered_state(substrate::Rank& rank, const LinearPlan& plan, substrate::Buffer own,
                                                  const substrate::Buffer& total, bool reverse);

// `above`: what happens between the forward and the backward pass, with all that the latter needs held.
substrate::Task<> linear_layer(substrate::Rank& rank, const LinearPlan& plan, LinearMemory memory,
                               const StateExchange& exchange, std::function<substrate::Task<>()> above = nullptr);

// The axes of such a layer with its decay's default, and the scheme of a case.
std::vector<harness::Axis> linear_axes(const char* decay);
struct LinearCase {
  SequenceProblem problem;
  Decay decay = Decay::none;
  int blocks = 1;
};
LinearCase linear_case(const harness::State& state);
ProgramScheme linear_scheme(const LinearCase& layer, const StateExchange& exchange);
RankProgram linear_program(const LinearPlan& plan, const StateExchange& exchange);

}  // namespace assay::parallelism
