// MR-SP (Scaling RL to Long Videos, arXiv 2507.07966): sequence parallelism for reinforcement learning on long videos.
//
// A step of GRPO sees one video G + 2 times: in every rollout of a group, for the policy's log-probabilities and for
// the reference's. Its encoder is not trained, so that its embeddings can be kept:
//   stage 1   every rank encodes its frames; all-gather of embeddings; kept for all uses   1/P of one encoding a rank
//   stage 2   embeddings and response, padded to a multiple of P, are dealt to ranks;
//             policy and reference run with context parallelism (K and V gathered),
//             the policy forward and backward                                              1/P of the activations
// This is the kernel of it, not the system: an encoder of one layer whose attention stays inside a frame and has no
// positions, a decoder of one layer of Qwen's kind under a head, log-probabilities of given responses, and the
// gradient of
//   L = -1/(G R) sum_g sum_t (A_g rho_t - b (e^(r-l) - (r-l) - 1)),
//   l, r = log p of policy, reference;  rho = p / p_old = 1
// Responses are drawn, not generated: the serving engine, rewards and the optimizer are outside.
//
// Costs per rank: stage 1 P-1 messages of F p h / P elements; stage 2 per rollout P-1 messages of 2 c Hk d forward for
// each of both models, the same again and 2 c Hk d float32 backward; one all-reduce of the gradients.
#include "impls/parallelism/sequence/mr_sp.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "impls/parallelism/sequence/mr_sp_case.h"
#include "impls/parallelism/sequence/mr_sp_claims.h"
#include "impls/parallelism/sequence/token_layer.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

VideoStages video_stages_from(std::string_view name) {
  if (name == "none") return VideoStages::none;
  if (name == "cache") return VideoStages::cache;
  if (name == "encode") return VideoStages::encode;
  if (name == "prefill") return VideoStages::prefill;
  throw std::invalid_argument("stages " + std::string(name));
}

namespace {

SequenceProblem shape_of(const VideoProblem& p, std::int64_t length, int ranks, int batch, bool causal) {
  return {.length = length,
          .ranks = ranks,
          .batch = batch,
          .heads = p.heads,
          .kv_heads = p.kv_heads,
          .head_dim = p.head_dim,
          .dtype = p.dtype,
          .causal = causal,
          .backward = true,
          .node_ranks = p.node_ranks};
}

std::int64_t padded(const VideoProblem& p) { return (p.length() + p.ranks - 1) / p.ranks * p.ranks; }

}  // namespace

MrSpPlan::MrSpPlan(const VideoProblem& video)
    : problem(video),
      encoder(shape_of(video, video.frame_tokens, 1, video.frames, false), 1, {.inner = video.inner, .rotary_base = 0}),
      decoder(shape_of(video, video.length(), 1, 1, true), 1, {.inner = video.inner, .vocab = video.vocab}),
      sharded(shape_of(video, padded(video), video.ranks, 1, true)),
      local(shape_of(video, video.length(), 1, 1, true)) {}

double MrSpPlan::flops() const {
  const double width = static_cast<double>(problem.heads) * problem.head_dim;
  const auto video = static_cast<double>(problem.video_tokens()), length = static_cast<double>(problem.length());
  const double encoding =
      2 * video * static_cast<double>(encoder.layer_products()) + 4 * video * problem.frame_tokens * width;
  const double layer = 2 * length * static_cast<double>(decoder.layer_products());
  const double head = 2.0 * problem.response * static_cast<double>(decoder.size(StreamPlan::head));
  const double attention = 2 * length * (length + 1) * width;
  // The reference forward, the policy forward and backward.
  return encoding + problem.rollouts * (4 * (layer + head) + 4.5 * attention);
}

namespace {

constexpr Tag kEmbeddings{.value = 3, .name = "embeddings"};
constexpr Tag kGradients{.value = 4, .name = "gradients of the weights"};

// Attention of rows that are on the rank with all their keys: of frames each for itself, or of a whole rollout.
struct LocalAttention {
  BlockShape shape;
  substrate::AttentionShape size;
  substrate::OpDtype dtype;
  std::int64_t rows, kv_width;

  Task<> forward(Rank& rank, RingShard& shard) const {
    const std::int64_t elements = rows * shape.heads * shape.head_dim;
    Buffer wide = rank.allocate("o accumulator", Memory::workspace, elements * 4);
    co_await rank.compute(substrate::attention_work(size, substrate::AttentionSchedule::flash2, dtype), [&] {
      std::ranges::fill(wide.write<float>(), 0.0F);
      std::ranges::fill(shard.lse.write<float>(), -std::numeric_limits<float>::infinity());
      const std::byte* keys = shard.kv.read<std::byte>().data();
      block_forward(shape, shard.q.read<std::byte>().data(), shard.positions, keys, keys + shard.kv.bytes() / 2,
                    shard.positions, merge_rescaled, wide.write<float>().data(), shard.lse.write<float>().data());
      store(shape.dtype, wide.read<float>().data(), elements, shard.o.write<std::byte>().data());
    });
  }
  Task<> backward(Rank& rank, RingShard& shard) const {
    Buffer delta = rank.allocate("delta", Memory::workspace, rows * shape.heads * 4);
    shard.d_kv = rank.allocate("dkv", Memory::workspace, 2 * rows * kv_width * 4);
    co_await rank.compute(substrate::attention_backward_work(size, substrate::AttentionSchedule::flash2, dtype), [&] {
      row_delta(shape, shard.d_out.read<std::byte>().data(), shard.o.read<std::byte>().data(), rows * shape.heads,
                delta.write<float>().data());
      std::ranges::fill(shard.dq.write<float>(), 0.0F);
      const std::byte* keys = shard.kv.read<std::byte>().data();
      float* gradient = shard.d_kv.write<float>().data();
      block_backward(shape, shard.q.read<std::byte>().data(), shard.positions, keys, keys + shard.kv.bytes() / 2,
                     shard.positions, shard.d_out.read<std::byte>().data(), shard.lse.read<float>().data(),
                     delta.read<float>().data(), shard.dq.write<float>().data(), gradient, gradient + rows * kv_width);
    });
  }
};

std::vector<std::int64_t> counted_from(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> all;
  for (std::int64_t t = 0; t < count; ++t) all.push_back(first + t);
  return all;
}

class Step {
 public:
  Step(Rank& rank, const MrSpPlan& plan, MrSpMemory memory)
      : rank_(rank), plan_(plan), p_(plan.problem), memory_(memory), me_(rank.id()), h_(plan.decoder.hidden) {
    const auto adopt = [&](const char* name, Memory category, std::int64_t elements, std::byte* data) {
      return rank.adopt(name, category, plan.decoder.bytes(elements), data);
    };
    frames_ = adopt("frames", Memory::input, plan.encoded_tokens(me_) * h_, memory.frames);
    responses_ = adopt("responses", Memory::input, std::int64_t{p_.rollouts} * p_.response * h_, memory.responses);
    encoder_ = adopt("encoder", Memory::state, plan.encoder.weights(), memory.encoder);
    policy_ = adopt("policy", Memory::state, plan.decoder.weights(), memory.policy);
    reference_ = adopt("reference", Memory::state, plan.decoder.weights(), memory.reference);
    const std::int64_t words = std::int64_t{p_.rollouts} * p_.response * 4;
    policy_logp_ = rank.adopt("log p of the policy", Memory::output, words, memory.policy_logp);
    reference_logp_ = rank.adopt("log p of the reference", Memory::output, words, memory.reference_logp);
    d_weights_ = rank.adopt("gradients of the weights", Memory::output, plan.decoder.weights() * 4, memory.d_weights);
    if (!rank.real()) return;
    for (Buffer* each : {&policy_logp_, &reference_logp_, &d_weights_}) std::ranges::fill(each->write<float>(), 0.0F);
  }

  Task<> run();

 private:
  Task<> encode();
  Task<> rollout(int index);
  Task<Buffer> rows_of(int rollout);
  Task<> log_probabilities(const LayerArithmetic& layer, const Buffer& z, int rollout, Buffer& to, Buffer& logits);
  Task<> head_backward(const LayerArithmetic& layer, const Buffer& z, int rollout, const Buffer& logits, Buffer& dz);

  // Tokens of a rollout that this rank works on; the padding's positions come after the last one.
  std::int64_t first() const { return plan_.shards_rollouts() ? plan_.sharded.layout.tokens(0) * me_ : 0; }
  std::int64_t rows() const { return plan_.shards_rollouts() ? plan_.sharded.layout.tokens(me_) : p_.length(); }
  // Rows whose next word is of the response: [begin, end) of the rank's rows, and which word the first predicts.
  std::int64_t speaking_begin() const { return std::clamp<std::int64_t>(p_.video_tokens() - 1 - first(), 0, rows()); }
  std::int64_t speaking_end() const { return std::clamp<std::int64_t>(p_.length() - 1 - first(), 0, rows()); }
  std::int64_t speaking() const { return speaking_end() - speaking_begin(); }
  std::int64_t first_word() const { return first() + speaking_begin() - (p_.video_tokens() - 1); }

  LocalAttention attention_of_frames() const {
    const BlockShape& block = plan_.encoder.block;
    const std::int64_t rows = plan_.encoded_tokens(me_), frames = rows / p_.frame_tokens;
    BlockShape shape = block;
    shape.batch = static_cast<int>(frames);
    return {.shape = shape,
            .size = {.batch = frames,
                     .heads = p_.heads,
                     .kv_heads = p_.kv_heads,
                     .sequence = p_.frame_tokens,
                     .keys = p_.frame_tokens,
                     .head_dim = p_.head_dim},
            .dtype = plan_.local.matrix_dtype(),
            .rows = rows,
            .kv_width = plan_.encoder.kv_width};
  }
  LocalAttention attention_of_rollout() const {
    return {.shape = plan_.local.block,
            .size = {.heads = p_.heads,
                     .kv_heads = p_.kv_heads,
                     .sequence = p_.length(),
                     .keys = p_.length(),
                     .head_dim = p_.head_dim,
                     .causal = true},
            .dtype = plan_.local.matrix_dtype(),
            .rows = p_.length(),
            .kv_width = plan_.decoder.kv_width};
  }
  ShardPass forward_pass() const {
    if (plan_.shards_rollouts())
      return [this](Rank& rank, RingShard& shard) { return gather_attention_forward(rank, plan_.sharded, shard); };
    return [local = attention_of_rollout()](Rank& rank, RingShard& shard) { return local.forward(rank, shard); };
  }
  ShardPass backward_pass() const {
    if (plan_.shards_rollouts())
      return [this](Rank& rank, RingShard& shard) { return gather_attention_backward(rank, plan_.sharded, shard); };
    return [local = attention_of_rollout()](Rank& rank, RingShard& shard) { return local.backward(rank, shard); };
  }

  Rank& rank_;
  const MrSpPlan& plan_;
  const VideoProblem& p_;
  MrSpMemory memory_;
  int me_;
  std::int64_t h_;
  Buffer frames_, responses_, encoder_, policy_, reference_;
  Buffer policy_logp_, reference_logp_, d_weights_;
  std::vector<Buffer> embeddings_;  // by rank that encoded them, or one
};

// Stage 1.
Task<> Step::encode() {
  const std::int64_t rows = plan_.encoded_tokens(me_);
  embeddings_.clear();
  Buffer mine = rank_.allocate("embeddings", Memory::activation, plan_.encoder.bytes(rows * h_));
  if (rows > 0) {
    const LocalAttention attention = attention_of_frames();
    TokenLayer layer(rank_, plan_.encoder, encoder_, rows,
                     rank_.real() ? counted_from(0, p_.frame_tokens) : std::vector<std::int64_t>());
    const ShardPass attend = [&attention](Rank& rank, RingShard& shard) { return attention.forward(rank, shard); };
    co_await layer.forward(frames_, mine, attend);
  }
  if (!plan_.parallel_encode()) {
    embeddings_.push_back(std::move(mine));
    co_return;
  }
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < rank_.size(); ++r) bytes.push_back(plan_.encoder.bytes(plan_.encoded_tokens(r) * h_));
  substrate::AllGather gather(rank_, std::move(mine), std::move(bytes), p_.node_ranks, kEmbeddings,
                              "embeddings of others");
  embeddings_ = co_await gather.arrived();
  if (plan_.lost_frames >= 0 && rank_.real())
    std::ranges::fill(embeddings_[at(plan_.lost_frames)].write<std::byte>(), std::byte{0});
}

// This rank's rows of [embeddings, response, padding].
Task<Buffer> Step::rows_of(int rollout) {
  const std::int64_t token = plan_.decoder.bytes(h_);
  Buffer x = rank_.allocate("x", Memory::activation, rows() * token);
  co_await rank_.copy(x.bytes(), [&] {
    std::byte* to = x.write<std::byte>().data();
    std::int64_t position = 0;  // of a piece in the rollout
    const auto piece = [&](const std::byte* from, std::int64_t tokens) {
      const std::int64_t begin = std::max(first(), position), end = std::min(first() + rows(), position + tokens);
      if (begin < end)
        std::memcpy(to + (begin - first()) * token, from + (begin - position) * token,
                    static_cast<std::size_t>((end - begin) * token));
      position += tokens;
    };
    std::ranges::fill(x.write<std::byte>(), std::byte{0});
    for (const Buffer& part : embeddings_) piece(part.read<std::byte>().data(), part.bytes() / token);
    piece(responses_.read<std::byte>().data() + std::int64_t{rollout} * p_.response * token, p_.response);
  });
  co_return x;
}

// log p of the words of the response that this rank's rows predict; `logits` become probabilities.
Task<> Step::log_probabilities(const LayerArithmetic& layer, const Buffer& z, int rollout, Buffer& to, Buffer& logits) {
  const std::int64_t count = speaking(), words = p_.vocab;
  if (count == 0) co_return;
  logits = rank_.allocate("logits", Memory::workspace, count * words * 4);
  co_await rank_.compute(substrate::gemm_work(count, words, h_, layer.dtype()), [&] {
    const Floats rows = layer.floats(z, speaking_begin() * h_, count * h_);
    std::ranges::copy(layer.times(rows, StreamPlan::head, count), logits.write<float>().begin());
  });
  co_await rank_.compute(substrate::norm_work(static_cast<double>(2 * count * words),
                                              static_cast<double>(count * words), substrate::OpDtype::fp32, count),
                         [&] {
                           for (std::int64_t i = 0; i < count; ++i) {
                             float* row = logits.write<float>().data() + i * words;
                             const std::int64_t word = std::int64_t{rollout} * p_.response + first_word() + i;
                             const float top = *std::max_element(row, row + words);
                             const float spoken = row[memory_.words[word]];
                             float total = 0;
                             for (std::int64_t w = 0; w < words; ++w) {
                               row[w] = std::exp(row[w] - top);
                               total += row[w];
                             }
                             for (std::int64_t w = 0; w < words; ++w) row[w] /= total;
                             to.write<float>()[at(word)] = spoken - top - std::log(total);
                           }
                         });
}

// dL/dz from the probabilities of the policy, zero where a row predicts no word.
Task<> Step::head_backward(const LayerArithmetic& layer, const Buffer& z, int rollout, const Buffer& logits,
                           Buffer& dz) {
  const std::int64_t count = speaking(), words = p_.vocab;
  if (rank_.real()) std::ranges::fill(dz.write<std::byte>(), std::byte{0});
  if (count == 0) co_return;
  Floats d;  // of real data only
  co_await rank_.compute(
      substrate::pointwise_work(static_cast<double>(count * words), static_cast<double>(count * words),
                                substrate::OpDtype::fp32, count),
      [&] {
        const auto probabilities = logits.read<float>();
        d.assign(probabilities.begin(), probabilities.end());
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t word = std::int64_t{rollout} * p_.response + first_word() + i;
          const float own = policy_logp_.read<float>()[at(word)], other = reference_logp_.read<float>()[at(word)];
          const float pull = plan_.without_kl ? 0.0F : static_cast<float>(kDivergence) * (1 - std::exp(other - own));
          const float share = -(memory_.advantages[rollout] - pull) / static_cast<float>(p_.rollouts * p_.response);
          float* row = d.data() + i * words;
          for (std::int64_t w = 0; w < words; ++w) row[w] *= -share;
          row[memory_.words[word]] += share;
        }
        d = layer.stored(std::move(d));
      });
  co_await rank_.compute(substrate::gemm_work(h_, words, count, layer.dtype()), [&] {
    layer.add_gradient(StreamPlan::head, layer.floats(z, speaking_begin() * h_, count * h_), d, count, d_weights_);
  });
  co_await rank_.compute(substrate::gemm_work(count, h_, words, layer.dtype()), [&] {
    Floats back = layer.times_back(d, StreamPlan::head, count);
    if (plan_.round_gradient)
      for (float& each : back) each = substrate::to_float(substrate::to_bf16(each));
    store(p_.dtype, back.data(), count * h_, dz.write<std::byte>().data() + plan_.decoder.bytes(speaking_begin() * h_));
  });
}

// Stage 2 of one rollout.
Task<> Step::rollout(int index) {
  const Buffer x = co_await rows_of(index);
  const std::vector<std::int64_t> positions =
      rank_.real() ? counted_from(first(), rows()) : std::vector<std::int64_t>();
  const ShardPass attend = forward_pass(), attend_back = backward_pass();
  {
    TokenLayer layer(rank_, plan_.decoder, reference_, rows(), positions);
    Buffer z = rank_.allocate("z", Memory::activation, x.bytes()), logits;
    co_await layer.forward(x, z, attend);
    co_await log_probabilities(layer.arithmetic(), z, index, reference_logp_, logits);
  }
  TokenLayer layer(rank_, plan_.decoder, policy_, rows(), positions);
  Buffer z = rank_.allocate("z", Memory::activation, x.bytes()), logits;
  co_await layer.forward(x, z, attend);
  co_await log_probabilities(layer.arithmetic(), z, index, policy_logp_, logits);
  Buffer dz = rank_.allocate("dz", Memory::activation, x.bytes());
  co_await head_backward(layer.arithmetic(), z, index, logits, dz);
  logits = Buffer();
  co_await layer.backward(x, dz, d_weights_, attend_back);
}

Task<> Step::run() {
  for (int use = 0; use < plan_.encodings(); ++use) co_await encode();
  for (int index = 0; index < p_.rollouts; ++index)
    if (plan_.works_on(me_, index)) co_await rollout(index);
  if (rank_.size() > 1 && !plan_.not_reduced)
    co_await substrate::all_reduce(rank_, d_weights_, {}, substrate::DType::f32, kGradients);
}

}  // namespace

Task<> mr_sp_step(Rank& rank, const MrSpPlan& plan, MrSpMemory memory) {
  Step step(rank, plan, memory);
  co_await step.run();
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/mr-sp",
    .title = "MR-SP: sequence parallelism for reinforcement learning on long videos",
    .paper = "arXiv 2507.07966",
    .summary = "frames encoded once and over ranks, then policy and reference over a rollout's tokens; the exact "
               "log-probabilities and gradient of a step, without generation",
    .implementations = over_ranks<mr_sp_scheme>(mr_sp_axes(), __FILE__),
    .project = project_mr_sp,
});
}  // namespace

}  // namespace assay::parallelism
