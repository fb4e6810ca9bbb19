// Ring Self-Attention (arXiv 2105.13120): the first sequence parallelism, before flash attention. A rank holds the
// whole row of scores of each of its queries, so that softmax is local, and two rings fill and use it:
//
//   stage 1   K goes round:  S_r = Q_r [K_0 .. K_{P-1}]^T      B H c L scores, then softmax
//   stage 2   V goes round:  O_r = sum_j P_rj V_j
// Backward, V goes round again for dP = dO V^T and K for dQ = dS K; dV = P^T dO and dK = dS^T Q of a rank's queries
// have the length of the sequence and are summed over ranks by an all-reduce each, of which a rank keeps its part.
//
// Costs per rank: forward 2 (P-1) messages of c Hk d e bytes, the bytes of Ring Attention; backward 2 (P-1) of the same
// and two ring all-reduces of L Hk d float32. What Ring Attention removed is B H c L scores, which are kept for the
// backward pass. The scores are float32; the paper's are of the dtype of its models, which is float32 too. Blocks that
// no query sees are passed on unread.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "harness/claims/baselines.h"
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/rsa_claims.h"
#include "impls/parallelism/sequence/score_rows.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;
using substrate::Transfer;

namespace {

constexpr Tag kKeys{.value = 1, .name = "k"};
constexpr Tag kValues{.value = 2, .name = "v"};
constexpr Tag kValueGradients{.value = 3, .name = "dv"};
constexpr Tag kKeyGradients{.value = 4, .name = "dk"};

struct RsaPlan : RingPlan {
  using RingPlan::RingPlan;

  std::int64_t score_elements(int rank) const { return rows(rank) * problem.length; }
  std::int64_t key_elements(int rank) const { return kv_elements(rank) / 2; }
  std::int64_t key_bytes(int rank) const { return kv_bytes(rank) / 2; }
  // Of all ranks' keys, one rank's after the other.
  std::int64_t first_key(int rank) const {
    std::int64_t before = 0;
    for (int r = 0; r < rank; ++r) before += layout.tokens(r);
    return before;
  }
  ScoreColumns columns(int source) const {
    return {.length = problem.length, .first = first_key(source), .count = layout.tokens(source)};
  }

  // One product of a stage: c x c_source x d of every head, on rows of scores in float32.
  OpWork product_work(int rank, int source) const {
    const std::int64_t queries = layout.tokens(rank), keys = layout.tokens(source);
    OpWork work = substrate::gemm_work(queries, keys, problem.head_dim, matrix_dtype(),
                                       std::int64_t{problem.batch} * problem.heads);
    work.bytes += static_cast<double>((4 - size_of(problem.dtype)) * rows(rank) * keys);
    return work;
  }
  OpWork softmax_work(int rank, int tensors_read) const {
    const auto elements = static_cast<double>(score_elements(rank));
    return substrate::norm_work(tensors_read * elements, elements, substrate::OpDtype::fp32, rows(rank));
  }

  // What is wrong in mutants.
  int values_missed = -1;         // V of this rank is passed on unread
  bool own_queries_only = false;  // dK and dV are not summed over ranks
  bool round_scores = false;      // probabilities pass through bf16
};

// `own` of every rank goes round once; `use` gets the block of a rank where a query of this one sees it.
Task<> ring_pass(Rank& rank, const RsaPlan& plan, const Buffer& own, Tag tag,
                 std::function<void(int source, const std::byte* block)> use) {
  const int me = rank.id();
  Buffer travelling;
  const Buffer* held = &own;
  for (int hop = 0; hop < rank.size(); ++hop) {
    const int source = plan.source(me, hop);
    std::optional<Transfer> next;
    if (hop + 1 < rank.size())
      next.emplace(
          rank.shift(*held, +1, {.bytes = plan.key_bytes(plan.source(me, hop + 1)), .tag = tag, .name = "block"}));
    if (plan.pairs(me, source) > 0)
      co_await rank.compute(plan.product_work(me, source), [&] { use(source, held->read<std::byte>().data()); });
    if (next) {
      travelling = co_await *next;
      held = &travelling;
    }
  }
}

Task<> forward(Rank& rank, const RsaPlan& plan, RingShard& shard, Buffer& scores) {
  const int me = rank.id();
  const std::int64_t queries = plan.layout.tokens(me);
  const BlockShape& shape = plan.block;
  scores = rank.allocate("scores", Memory::activation, plan.score_elements(me) * 4);
  if (rank.real()) std::ranges::fill(scores.write<float>(), -std::numeric_limits<float>::infinity());
  const Buffer keys = rank.slice(shard.kv, 0, plan.key_bytes(me));
  const Buffer values = rank.slice(shard.kv, plan.key_bytes(me), plan.key_bytes(me));

  co_await ring_pass(rank, plan, keys, kKeys, [&](int source, const std::byte* k) {
    float* rows = scores.write<float>().data();
    score_columns(shape, shard.q.read<std::byte>().data(), queries, k, plan.columns(source), shape.scale, rows);
    mask_columns(shape, shard.positions, plan.layout.positions(source), plan.columns(source), rows);
  });
  co_await rank.compute(plan.softmax_work(me, 1), [&] {
    softmax_rows(scores.write<float>().data(), plan.rows(me), plan.problem.length, shard.lse.write<float>().data());
    if (plan.round_scores)
      for (float& each : scores.write<float>()) each = substrate::to_float(substrate::to_bf16(each));
  });

  Buffer acc = rank.allocate("o accumulator", Memory::workspace, plan.q_elements(me) * 4);
  if (rank.real()) std::ranges::fill(acc.write<float>(), 0.0F);
  co_await ring_pass(rank, plan, values, kValues, [&](int source, const std::byte* v) {
    if (source == plan.values_missed) return;
    add_weighted_keys(shape, scores.read<float>().data(), queries, v, plan.columns(source), 1,
                      acc.write<float>().data());
  });
  co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 4.0 + size_of(plan.problem.dtype)), [&] {
    store(plan.problem.dtype, acc.read<float>().data(), plan.q_elements(me), shard.o.write<std::byte>().data());
  });
  if (!plan.problem.backward) scores = Buffer();
}

// rows^T a of this rank's queries for the keys of all ranks, summed over ranks; returns the part of its own keys.
Task<Buffer> summed_over_queries(Rank& rank, const RsaPlan& plan, const Buffer& rows, const Buffer& a, float factor,
                                 Tag tag) {
  const int me = rank.id();
  std::int64_t elements = 0;
  for (int r = 0; r < rank.size(); ++r) elements += plan.key_elements(r);
  Buffer all = rank.allocate("gradient of all keys", Memory::communication, elements * 4);
  const std::int64_t each = elements / plan.problem.length;  // of a key
  OpWork work = plan.product_work(me, me);
  work.n = plan.problem.length;
  work.flops *= static_cast<double>(plan.problem.length) / static_cast<double>(plan.layout.tokens(me));
  work.bytes = static_cast<double>(plan.score_elements(me) * 4 + plan.q_bytes(me) + elements * 4);
  co_await rank.compute(work, [&] {
    for (int source = 0; source < rank.size(); ++source)
      weighted_queries(plan.block, rows.read<float>().data(), plan.layout.tokens(me), a.read<std::byte>().data(),
                       plan.columns(source), factor, all.write<float>().data() + plan.first_key(source) * each);
  });
  if (!plan.own_queries_only) co_await substrate::all_reduce(rank, all, {}, substrate::DType::f32, tag);
  Buffer mine = rank.allocate("gradient of own keys", Memory::workspace, plan.key_elements(me) * 4);
  if (rank.real()) {
    const auto from = all.read<float>();
    std::copy_n(from.begin() + plan.first_key(me) * each, plan.key_elements(me), mine.write<float>().begin());
  }
  co_return mine;
}

Task<> backward(Rank& rank, const RsaPlan& plan, RingShard& shard, Buffer& probabilities) {
  const int me = rank.id();
  const std::int64_t queries = plan.layout.tokens(me);
  const BlockShape& shape = plan.block;
  const Buffer keys = rank.slice(shard.kv, 0, plan.key_bytes(me));
  const Buffer values = rank.slice(shard.kv, plan.key_bytes(me), plan.key_bytes(me));

  const Buffer dv = co_await summed_over_queries(rank, plan, probabilities, shard.d_out, 1, kValueGradients);
  Buffer d_scores = rank.allocate("gradient of scores", Memory::activation, plan.score_elements(me) * 4);
  if (rank.real()) std::ranges::fill(d_scores.write<float>(), 0.0F);  // where no block comes P is zero
  co_await ring_pass(rank, plan, values, kValues, [&](int source, const std::byte* v) {
    score_columns(shape, shard.d_out.read<std::byte>().data(), queries, v, plan.columns(source), 1,
                  d_scores.write<float>().data());
  });
  co_await rank.compute(plan.softmax_work(me, 2), [&] {
    softmax_gradient_rows(probabilities.read<float>().data(), d_scores.write<float>().data(), plan.rows(me),
                          plan.problem.length);
    std::ranges::fill(shard.dq.write<float>(), 0.0F);
  });
  probabilities = Buffer();

  const Buffer dk = co_await summed_over_queries(rank, plan, d_scores, shard.q, shape.scale, kKeyGradients);
  co_await ring_pass(rank, plan, keys, kKeys, [&](int source, const std::byte* k) {
    add_weighted_keys(shape, d_scores.read<float>().data(), queries, k, plan.columns(source), shape.scale,
                      shard.dq.write<float>().data());
  });
  shard.d_kv = rank.allocate("dkv", Memory::workspace, plan.gradient_bytes(me));
  if (rank.real()) {
    std::ranges::copy(dk.read<float>(), shard.d_kv.write<float>().begin());
    std::ranges::copy(dv.read<float>(), shard.d_kv.write<float>().begin() + plan.key_elements(me));
  }
}

Task<> rsa_layer(Rank& rank, const RsaPlan& plan, SequenceMemory memory) {
  Buffer scores;  // probabilities from softmax on, held from the forward to the backward pass
  co_await sharded_layer(
      rank, plan, memory, [&](Rank& each, RingShard& shard) { return forward(each, plan, shard, scores); },
      [&](Rank& each, RingShard& shard) { return backward(each, plan, shard, scores); });
}

RankProgram rsa_of(RsaPlan plan) {
  return [plan = std::make_shared<const RsaPlan>(std::move(plan))](Rank& rank, ProgramData* data) {
    return rsa_layer(rank, *plan, sequence_memory(data, rank.id()));
  };
}

ProgramScheme rsa_scheme(const harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    RsaPlan changed(problem);
    change(changed);
    mutants.push_back({name, rsa_of(std::move(changed))});
  };
  if (problem.ranks > 1) wrong("values-of-the-first-rank-missed", [](RsaPlan& plan) { plan.values_missed = 0; });
  if (problem.ranks > 1 && problem.backward)
    wrong("gradients-not-summed", [](RsaPlan& plan) { plan.own_queries_only = true; });
  if (problem.dtype == substrate::DType::f32) wrong("lower-precision", [](RsaPlan& plan) { plan.round_scores = true; });
  wrong("wrong-scale", [](RsaPlan& plan) { plan.block.scale *= 1.0625F; });
  return sequence_scheme(problem, {.program = rsa_program, .data = ring_data}, std::move(mutants));
}

const harness::Registration registration({
    .id = "parallelism/sequence/rsa",
    .title = "Ring Self-Attention",
    .paper = "arXiv 2105.13120",
    .summary = "whole rows of scores on a rank; K and then V go round a ring; exact, forward and backward",
    .implementations = over_ranks<rsa_scheme>(without(sequence_axes(), {"layout"}), __FILE__),
    .project = project_rsa,
});
const harness::claims::BaselineRegistration baselines("parallelism/sequence/rsa", project_rsa_baseline);

}  // namespace

RankProgram rsa_program(const SequenceProblem& layer) { return rsa_of(RsaPlan(layer)); }

}  // namespace assay::parallelism
