// StreamBP (arXiv 2506.03077): exact backpropagation in chunks of the sequence, on one device.
//
// With checkpoints of the layers' inputs what is left at the peak are the logits and the activations of one layer. For
// any partition of a function's output, dL/dW = sum_i (dZ_i/dW)^T dL/dZ_i: chunks are computed again, differentiated
// and freed one at a time.
//   head    for chunk i:  l_i = z_i W;  loss += CE(l_i);  dl_i = (softmax l_i - onehot) / n;  dW += z_i^T dl_i;
//                         dz_i = dl_i W^T                                      n words count, over all chunks
//   layer   K = rope(norm(x) Wk), V = norm(x) Wv of the whole sequence once;
//           for chunk i of queries, with keys up to its last:  forward again from x_i; from dz_i back through the inner
//             layer, the output and attention: dQ_i, and dK, dV added up;  all gradients of weights but K's and V's
//           for chunk i:  dWk, dWv and the rest of dx_i from dK_i, dV_i        the norm's backward is linear in dn
// Here: layers of Qwen 3 and Llama (norms with gains, rotary positions, grouped heads, a gated inner layer, residuals)
// under one head, every rank with a sequence of its own. Gradients are reduced over ranks once, after the last chunk.
// Left out: Qwen 3's norms of single heads and the norm below the head.
//
// Costs: of the layer's activations 1/D, of the logits 1/D; K, V and float32 dK, dV whole, and every layer's input.
// Score products (1 + D)/2D of the square, which is what causal attention that skips the upper triangle saves as well.
// One chunk is checkpointing.
#include "impls/parallelism/sequence/streambp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "harness/claims/baselines.h"
#include "impls/parallelism/sequence/layer_arithmetic.h"
#include "impls/parallelism/sequence/streambp_case.h"
#include "impls/parallelism/sequence/streambp_claims.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpDtype;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

StreamPlan::StreamPlan(const SequenceProblem& layer, int chunk_count, const DecoderShape& decoder)
    : problem(layer),
      layout(Layout::contiguous, layer.length, layer.ranks),
      block(layer.block()),
      chunks(chunk_count),
      layers(decoder.layers),
      hidden(decoder.hidden > 0 ? decoder.hidden : std::int64_t{layer.heads} * layer.head_dim),
      inner(decoder.inner > 0 ? decoder.inner : 3 * hidden),
      vocab(decoder.vocab),
      q_width(std::int64_t{layer.heads} * layer.head_dim),
      kv_width(std::int64_t{layer.kv_heads} * layer.head_dim),
      rotary_base(decoder.rotary_base) {}

std::int64_t StreamPlan::rows_of(Weight which) const {
  return is_norm(which) ? 1 : which == output ? q_width : which == down ? inner : hidden;
}
std::int64_t StreamPlan::columns_of(Weight which) const {
  switch (which) {
    case query:
      return q_width;
    case key:
    case value:
      return kv_width;
    case gate:
    case up:
      return inner;
    case head:
      return vocab;
    default:
      return hidden;
  }
}
std::int64_t StreamPlan::offset(Weight which, int layer) const {
  if (which == head) return layers * layer_weights();
  std::int64_t before = layer * layer_weights();
  for (int each = 0; each < which; ++each) before += size(static_cast<Weight>(each));
  return before;
}
std::int64_t StreamPlan::layer_weights() const {
  std::int64_t all = 0;
  for (int each = 0; each < head; ++each) all += size(static_cast<Weight>(each));
  return all;
}

double StreamPlan::flops() const {
  double pairs = 0;
  for (int r = 0; r < problem.ranks; ++r) {
    const auto length = static_cast<double>(tokens(r));
    pairs += problem.causal ? length * (length + 1) / 2 : length * length;
  }
  return 6.0 * static_cast<double>(problem.length * problem.batch) *
             static_cast<double>(layers * layer_products() + size(head)) +
         14 * pairs * layers * problem.batch * problem.heads * problem.head_dim;
}

std::int64_t StreamPlan::chunk_pairs(int rank) const {
  std::int64_t pairs = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t end = first_token(rank, chunk + 1);
    pairs += (end - first_token(rank, chunk)) * (problem.causal ? end : tokens(rank));
  }
  return pairs;
}

namespace {

constexpr Tag kGradients{.value = 1, .name = "gradients of the weights"};

// What a chunk of tokens has between its forward and its backward pass.
struct Chunk {
  std::int64_t begin, end;  // tokens
  Buffer normal;            // norm of x
  Buffer q, o, lse;         // [B][chunk][H][d], [B][chunk][H]
  Buffer y, normal_y;       // after attention, its norm
  Buffer gate, up, active;  // of the inner layer

  std::int64_t tokens() const { return end - begin; }
};

class Stream {
 public:
  Stream(Rank& rank, const StreamPlan& plan, StreamMemory memory)
      : rank_(rank),
        plan_(plan),
        memory_(memory),
        me_(rank.id()),
        rows_(plan.rows(me_)),
        h_(plan.hidden),
        weights_(rank.adopt("weights", Memory::state, plan.bytes(plan.weights()), memory.weights)),
        of_{.plan = &plan_, .weights = &weights_} {
    for (std::int64_t t = 0; rank.real() && t < plan.tokens(me_); ++t) everywhere_.push_back(t);
    x_ = rank.adopt("x", Memory::input, plan.bytes(rows_ * h_), memory.x);
    z_ = rank.adopt("z", Memory::output, plan.bytes(rows_ * h_), memory.z);
  }

  Task<> forward();
  Task<> head();
  Task<> backward();
  Task<> reduce();

 private:
  using Weight = StreamPlan::Weight;

  // Queries of a chunk against the keys they may see.
  substrate::AttentionShape attention(const Chunk& chunk) const {
    const SequenceProblem& p = plan_.problem;
    return {.batch = p.batch,
            .heads = p.heads,
            .kv_heads = p.kv_heads,
            .sequence = chunk.tokens(),
            .keys = p.causal ? chunk.end : plan_.tokens(me_),
            .head_dim = p.head_dim,
            .causal = p.causal};
  }
  const Buffer& input() const { return of_.layer == 0 ? x_ : inputs_[at(of_.layer - 1)]; }
  Buffer& result() { return of_.layer + 1 == plan_.layers ? z_ : inputs_[at(of_.layer)]; }

  // -- real data in float32
  std::int64_t rows_of(std::int64_t tokens) const { return tokens * plan_.problem.batch; }
  Floats rows(const Buffer& from, const Chunk& chunk) const {
    return of_.floats(from, rows_of(chunk.begin) * h_, rows_of(chunk.tokens()) * h_);
  }
  void add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows, int chunk) {
    if (chunk != plan_.forgets) of_.add_gradient(which, input, d, rows, d_weights_);
  }
  // d <- the gradient of the norm's input, with that of its gains.
  void norm_gradient(const Floats& x, Weight which, Floats& d, int chunk) {
    of_.norm_gradient(x, which, d, chunk == plan_.forgets ? nullptr : &d_weights_);
  }
  // Rows of tokens [n][B][width] from or to the kernels' [B][n][width].
  Floats by_sequence(const Floats& rows, std::int64_t tokens, std::int64_t width, bool back) const {
    Floats turned(rows.size());
    const std::int64_t batch = plan_.problem.batch;
    for (std::int64_t t = 0; t < tokens; ++t)
      for (std::int64_t b = 0; b < batch; ++b) {
        const std::int64_t of_tokens = (t * batch + b) * width, of_sequence = (b * tokens + t) * width;
        std::copy_n(&rows[at(back ? of_sequence : of_tokens)], at(width), &turned[at(back ? of_tokens : of_sequence)]);
      }
    return turned;
  }
  Positions positions(const Chunk& chunk) const {
    return Positions(everywhere_).subspan(at(chunk.begin), at(chunk.tokens()));
  }
  Floats turned(Floats rows, const Chunk& chunk, std::int64_t width, bool back) const {
    return of_.turned(std::move(rows), width, positions(chunk), plan_.problem.batch, back);
  }
  Floats queries_turned(Floats rows, const Chunk& chunk, bool back) const {
    const Chunk from{.begin = 0, .end = chunk.tokens()};
    return turned(std::move(rows), plan_.positions_of_chunk ? from : chunk, plan_.q_width, back);
  }
  const std::byte* values_of(const Buffer& kv) const { return kv.read<std::byte>().data() + kv.bytes() / 2; }

  Buffer allocate(const char* name, std::int64_t elements) {
    return rank_.allocate(name, Memory::activation, plan_.bytes(elements));
  }
  Chunk chunk(int index) const {
    return {.begin = plan_.first_token(me_, index), .end = plan_.first_token(me_, index + 1)};
  }

  Task<Buffer> keys_and_values();
  Task<> compute_again(Chunk& chunk, const Buffer& kv);
  Task<> layer_forward();
  Task<> layer_backward();
  Task<> inner_backward(Chunk& chunk, int index, Buffer& dy);
  Task<> attention_backward(Chunk& chunk, int index, const Buffer& kv, const Buffer& dy, Buffer& d_kv);
  Task<> keys_backward(const Buffer& d_kv);

  Rank& rank_;
  const StreamPlan& plan_;
  StreamMemory memory_;
  int me_;
  std::int64_t rows_, h_;
  std::vector<std::int64_t> everywhere_;
  Buffer weights_;
  LayerArithmetic of_;  // the layer at hand
  Buffer x_, z_;
  std::vector<Buffer> inputs_;  // of the layers after the first
  Buffer dz_, dx_, d_weights_;
};

// K, turned, and V of all tokens, [B][T][Hk][d] each, from norms computed chunk by chunk.
Task<Buffer> Stream::keys_and_values() {
  const std::int64_t all = plan_.tokens(me_), kw = plan_.kv_width;
  Buffer kv = allocate("kv", 2 * rows_ * kw);
  for (int index = 0; index < plan_.chunks; ++index) {
    const Chunk part = chunk(index);
    const std::int64_t rows = rows_of(part.tokens());
    co_await rank_.compute(of_.normalising(rows, 1), [] {});
    co_await rank_.compute(of_.gemm(rows, 2 * kw, h_), [] {});
    co_await rank_.compute(of_.pointwise(rows, kw, kw), [&] {
      const Floats normal = of_.stored(of_.normalised(this->rows(input(), part), Weight::attention_norm));
      for (int v = 0; v < 2; ++v) {
        Floats projected = of_.stored(of_.times(normal, v == 0 ? Weight::key : Weight::value, rows));
        if (v == 0) projected = turned(std::move(projected), part, kw, false);
        projected = by_sequence(projected, part.tokens(), kw, false);
        for (int b = 0; b < plan_.problem.batch; ++b) {
          const Floats of_sequence(projected.begin() + b * part.tokens() * kw,
                                   projected.begin() + (b + 1) * part.tokens() * kw);
          of_.keep(of_sequence, kv, v * rows_ * kw + (b * all + part.begin) * kw);
        }
      }
    });
  }
  co_return kv;
}

// Everything of a chunk up to what the inner layer multiplies with its last weight.
Task<> Stream::compute_again(Chunk& chunk, const Buffer& kv) {
  const SequenceProblem& p = plan_.problem;
  const std::int64_t rows = rows_of(chunk.tokens()), heads = rows * p.heads, qw = plan_.q_width, f = plan_.inner;
  chunk.normal = allocate("normalised", rows * h_);
  co_await rank_.compute(of_.normalising(rows, 1), [&] {
    of_.keep(of_.normalised(this->rows(input(), chunk), Weight::attention_norm), chunk.normal);
  });
  chunk.q = allocate("q", rows * qw);
  co_await rank_.compute(of_.gemm(rows, Weight::query),
                         [&] { of_.keep(of_.times(of_.whole(chunk.normal), Weight::query, rows), chunk.q); });
  co_await rank_.compute(of_.pointwise(rows, qw, qw), [&] {
    of_.keep(by_sequence(queries_turned(of_.whole(chunk.q), chunk, false), chunk.tokens(), qw, false), chunk.q);
  });
  chunk.o = allocate("o", rows * qw);
  chunk.lse = rank_.allocate("lse", Memory::activation, heads * 4);
  {
    Buffer wide = rank_.allocate("o accumulator", Memory::workspace, rows * qw * 4);
    co_await rank_.compute(
        substrate::attention_work(attention(chunk), substrate::AttentionSchedule::flash2, of_.dtype()), [&] {
          std::ranges::fill(wide.write<float>(), 0.0F);
          std::ranges::fill(chunk.lse.write<float>(), -std::numeric_limits<float>::infinity());
          block_forward(plan_.block, chunk.q.read<std::byte>().data(), positions(chunk), kv.read<std::byte>().data(),
                        values_of(kv), everywhere_, merge_rescaled, wide.write<float>().data(),
                        chunk.lse.write<float>().data());
          store(p.dtype, wide.read<float>().data(), rows * qw, chunk.o.write<std::byte>().data());
        });
  }
  chunk.y = allocate("y", rows * h_);
  co_await rank_.compute(of_.gemm(rows, Weight::output), [&] {
    Floats y = of_.stored(of_.times(by_sequence(of_.whole(chunk.o), chunk.tokens(), qw, true), Weight::output, rows));
    const Floats x = this->rows(input(), chunk);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    of_.keep(y, chunk.y);
  });
  chunk.normal_y = allocate("normalised y", rows * h_);
  co_await rank_.compute(of_.normalising(rows, 1),
                         [&] { of_.keep(of_.normalised(of_.whole(chunk.y), Weight::inner_norm), chunk.normal_y); });
  chunk.gate = allocate("gate", rows * f);
  chunk.up = allocate("up", rows * f);
  co_await rank_.compute(of_.gemm(rows, 2 * f, h_), [&] {
    of_.keep(of_.times(of_.whole(chunk.normal_y), Weight::gate, rows), chunk.gate);
    of_.keep(of_.times(of_.whole(chunk.normal_y), Weight::up, rows), chunk.up);
  });
  chunk.active = allocate("active", rows * f);
  co_await rank_.compute(of_.pointwise(rows, 2 * f, f), [&] {
    of_.keep(LayerArithmetic::active(of_.whole(chunk.gate), of_.whole(chunk.up)), chunk.active);
  });
}

Task<> Stream::layer_forward() {
  const Buffer kv = co_await keys_and_values();
  for (int index = 0; index < plan_.chunks; ++index) {
    Chunk part = chunk(index);
    co_await compute_again(part, kv);
    const std::int64_t rows = rows_of(part.tokens());
    co_await rank_.compute(of_.gemm(rows, Weight::down), [&] {
      Floats z = of_.stored(of_.times(of_.whole(part.active), Weight::down, rows));
      const Floats y = of_.whole(part.y);
      for (std::size_t i = 0; i < z.size(); ++i) z[i] += y[i];
      of_.keep(z, result(), rows_of(part.begin) * h_);
    });
  }
}

Task<> Stream::forward() {
  for (of_.layer = 0; of_.layer < plan_.layers; ++of_.layer) {
    if (of_.layer + 1 < plan_.layers) inputs_.push_back(allocate("inputs of layers", rows_ * h_));
    co_await layer_forward();
  }
}

Task<> Stream::head() {
  const std::int64_t words = plan_.vocab;
  d_weights_ = rank_.adopt("gradients of the weights", Memory::output, plan_.weights() * 4, memory_.d_weights);
  dz_ = allocate("dz", rows_ * h_);
  Buffer loss = rank_.adopt("loss", Memory::output, 4, memory_.loss);
  if (rank_.real()) {
    std::ranges::fill(d_weights_.write<float>(), 0.0F);
    loss.write<float>()[0] = 0;
  }
  double sum = 0;
  for (int index = 0; index < plan_.chunks; ++index) {
    const Chunk part = chunk(index);
    const std::int64_t rows = rows_of(part.tokens());
    Buffer logits = rank_.allocate("logits", Memory::workspace, plan_.bytes(rows * words));
    co_await rank_.compute(of_.gemm(rows, Weight::head),
                           [&] { of_.keep(of_.times(this->rows(z_, part), Weight::head, rows), logits); });
    // What frameworks hold: the logits, the same in float32, and the gradient of these.
    Buffer wide = rank_.allocate("logits in float32", Memory::workspace, rows * words * 4);
    Buffer d = rank_.allocate("gradient of the logits", Memory::workspace, rows * words * 4);
    co_await rank_.compute(of_.pointwise(rows, words, 2 * words),
                           [&] { std::ranges::copy(of_.whole(logits), wide.write<float>().begin()); });
    co_await rank_.compute(substrate::norm_work(static_cast<double>(2 * rows * words),
                                                static_cast<double>(rows * words), OpDtype::fp32, rows),
                           [&] {
                             double counted = static_cast<double>(memory_.counted);
                             if (plan_.own_mean) counted /= plan_.problem.ranks;
                             for (std::int64_t i = 0; i < rows; ++i) {
                               const float* row = wide.read<float>().data() + i * words;
                               float* to = d.write<float>().data() + i * words;
                               const std::int32_t next = memory_.next[rows_of(part.begin) + i];
                               if (next < 0) {
                                 std::fill_n(to, words, 0.0F);
                                 continue;
                               }
                               const float top = *std::max_element(row, row + words);
                               float total = 0;
                               for (std::int64_t w = 0; w < words; ++w) total += std::exp(row[w] - top);
                               sum += static_cast<double>(top + std::log(total) - row[next]) / counted;
                               for (std::int64_t w = 0; w < words; ++w)
                                 to[w] = std::exp(row[w] - top) / total / static_cast<float>(counted);
                               to[next] -= 1 / static_cast<float>(counted);
                             }
                           });
    const auto gradient = [&] {
      const auto from = d.read<float>();
      return of_.stored(Floats(from.begin(), from.end()));
    };
    co_await rank_.compute(of_.gemm_gradient(rows, Weight::head),
                           [&] { add_gradient(Weight::head, this->rows(z_, part), gradient(), rows, index); });
    co_await rank_.compute(of_.gemm_back(rows, Weight::head), [&] {
      Floats dz = of_.times_back(gradient(), Weight::head, rows);
      if (plan_.round_gradient)
        for (float& each : dz) each = substrate::to_float(substrate::to_bf16(each));
      of_.keep(dz, dz_, rows_of(part.begin) * h_);
    });
  }
  if (rank_.real()) loss.write<float>()[0] = static_cast<float>(sum);
}

// From dz to dy, with the gradients of the inner layer's weights.
Task<> Stream::inner_backward(Chunk& chunk, int index, Buffer& dy) {
  const std::int64_t rows = rows_of(chunk.tokens()), f = plan_.inner;
  Buffer d_up = allocate("gradient of up", rows * f), d_gate = allocate("gradient of gate", rows * f);
  co_await rank_.compute(of_.gemm_back(rows, Weight::down),
                         [&] { of_.keep(of_.times_back(this->rows(dz_, chunk), Weight::down, rows), d_up); });
  co_await rank_.compute(of_.pointwise(rows, 3 * f, 2 * f), [&] {
    Floats gate = of_.whole(chunk.gate), up = of_.whole(chunk.up);
    LayerArithmetic::active_gradient(of_.whole(d_up), gate, up);
    of_.keep(gate, d_gate);
    of_.keep(up, d_up);
  });
  co_await rank_.compute(of_.gemm_gradient(rows, Weight::down), [&] {
    add_gradient(Weight::down, of_.whole(chunk.active), this->rows(dz_, chunk), rows, index);
  });
  chunk.active = Buffer();
  chunk.gate = Buffer();
  chunk.up = Buffer();
  co_await rank_.compute(of_.gemm(h_, 2 * f, rows), [&] {
    add_gradient(Weight::gate, of_.whole(chunk.normal_y), of_.whole(d_gate), rows, index);
    add_gradient(Weight::up, of_.whole(chunk.normal_y), of_.whole(d_up), rows, index);
  });
  Buffer d_normal = allocate("gradient of a norm", rows * h_);
  co_await rank_.compute(of_.gemm(rows, h_, 2 * f), [&] {
    Floats d = of_.times_back(of_.whole(d_gate), Weight::gate, rows);
    const Floats of_up = of_.times_back(of_.whole(d_up), Weight::up, rows);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += of_up[i];
    of_.keep(d, d_normal);
  });
  co_await rank_.compute(of_.normalising(rows, 3), [&] {
    Floats d = of_.whole(d_normal);
    norm_gradient(of_.whole(chunk.y), Weight::inner_norm, d, index);
    const Floats past = this->rows(dz_, chunk);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += past[i];
    of_.keep(d, dy);
  });
  chunk.normal_y = Buffer();
  chunk.y = Buffer();
}

// From dy to this chunk's part of dx that comes through its queries, and to dK, dV.
Task<> Stream::attention_backward(Chunk& chunk, int index, const Buffer& kv, const Buffer& dy, Buffer& d_kv) {
  const SequenceProblem& p = plan_.problem;
  const std::int64_t rows = rows_of(chunk.tokens()), qw = plan_.q_width, heads = rows * p.heads;
  Buffer d_o = allocate("gradient of o", rows * qw);
  co_await rank_.compute(of_.gemm_back(rows, Weight::output), [&] {
    of_.keep(by_sequence(of_.times_back(of_.whole(dy), Weight::output, rows), chunk.tokens(), qw, false), d_o);
  });
  co_await rank_.compute(of_.gemm_gradient(rows, Weight::output), [&] {
    add_gradient(Weight::output, by_sequence(of_.whole(chunk.o), chunk.tokens(), qw, true), of_.whole(dy), rows, index);
  });
  Buffer delta = rank_.allocate("delta", Memory::workspace, heads * 4);
  co_await rank_.compute(of_.pointwise(rows, 2 * qw, p.heads), [&] {
    row_delta(plan_.block, d_o.read<std::byte>().data(), chunk.o.read<std::byte>().data(), heads,
              delta.write<float>().data());
  });
  Buffer dq = rank_.allocate("dq", Memory::workspace, rows * qw * 4);
  co_await rank_.compute(
      substrate::attention_backward_work(attention(chunk), substrate::AttentionSchedule::flash2, of_.dtype()), [&] {
        std::ranges::fill(dq.write<float>(), 0.0F);
        float* gradient = d_kv.write<float>().data();
        const std::int64_t half = rows_ * plan_.kv_width;
        if (plan_.last_keys_only) std::ranges::fill(d_kv.write<float>(), 0.0F);
        add_block_backward(plan_.block, chunk.q.read<std::byte>().data(), positions(chunk), kv.read<std::byte>().data(),
                           values_of(kv), everywhere_, d_o.read<std::byte>().data(), chunk.lse.read<float>().data(),
                           delta.read<float>().data(), dq.write<float>().data(), gradient, gradient + half);
      });
  co_await rank_.compute(of_.pointwise(rows, qw, qw), [&] {
    const auto d = dq.read<float>();
    const Floats back =
        queries_turned(by_sequence(of_.stored(Floats(d.begin(), d.end())), chunk.tokens(), qw, true), chunk, true);
    std::ranges::copy(of_.stored(back), dq.write<float>().begin());
  });
  const auto gradient_of_q = [&] {
    const auto d = dq.read<float>();
    return Floats(d.begin(), d.end());
  };
  co_await rank_.compute(of_.gemm_gradient(rows, Weight::query),
                         [&] { add_gradient(Weight::query, of_.whole(chunk.normal), gradient_of_q(), rows, index); });
  Buffer d_normal = allocate("gradient of a norm", rows * h_);
  co_await rank_.compute(of_.gemm_back(rows, Weight::query),
                         [&] { of_.keep(of_.times_back(gradient_of_q(), Weight::query, rows), d_normal); });
  co_await rank_.compute(of_.normalising(rows, 3), [&] {
    Floats d = of_.whole(d_normal);
    norm_gradient(this->rows(input(), chunk), Weight::attention_norm, d, index);
    const Floats past = of_.whole(dy);
    float* to = dx_.write<float>().data() + rows_of(chunk.begin) * h_;
    for (std::size_t i = 0; i < d.size(); ++i) to[i] = d[i] + past[i];
  });
}

// What comes back through K and V, which needed the gradients of all chunks' queries.
Task<> Stream::keys_backward(const Buffer& d_kv) {
  const std::int64_t all = plan_.tokens(me_), kw = plan_.kv_width;
  for (int index = 0; index < plan_.chunks; ++index) {
    const Chunk part = chunk(index);
    const std::int64_t rows = rows_of(part.tokens());
    const auto gradient = [&](int v) {
      Floats of_chunk(at(rows * kw));
      for (int b = 0; b < plan_.problem.batch; ++b)
        std::copy_n(d_kv.read<float>().data() + v * rows_ * kw + (b * all + part.begin) * kw, part.tokens() * kw,
                    &of_chunk[at(b * part.tokens() * kw)]);
      Floats d = by_sequence(of_.stored(std::move(of_chunk)), part.tokens(), kw, true);
      return v == 0 ? of_.stored(turned(std::move(d), part, kw, true)) : d;
    };
    Buffer normal = allocate("normalised", rows * h_);
    co_await rank_.compute(of_.normalising(rows, 1), [&] {
      of_.keep(of_.normalised(this->rows(input(), part), Weight::attention_norm), normal);
    });
    co_await rank_.compute(of_.pointwise(rows, kw, kw), [] {});
    co_await rank_.compute(of_.gemm(h_, 2 * kw, rows), [&] {
      add_gradient(Weight::key, of_.whole(normal), gradient(0), rows, index);
      add_gradient(Weight::value, of_.whole(normal), gradient(1), rows, index);
    });
    Buffer d_normal = allocate("gradient of a norm", rows * h_);
    co_await rank_.compute(of_.gemm(rows, h_, 2 * kw), [&] {
      Floats d = of_.times_back(gradient(0), Weight::key, rows);
      const Floats of_values = of_.times_back(gradient(1), Weight::value, rows);
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += of_values[i];
      of_.keep(d, d_normal);
    });
    co_await rank_.compute(of_.normalising(rows, 3), [&] {
      Floats d = of_.whole(d_normal);
      norm_gradient(this->rows(input(), part), Weight::attention_norm, d, index);
      float* to = dx_.write<float>().data() + rows_of(part.begin) * h_;
      for (std::size_t i = 0; i < d.size(); ++i) to[i] += d[i];
    });
  }
}

Task<> Stream::layer_backward() {
  const Buffer kv = co_await keys_and_values();
  Buffer d_kv = rank_.allocate("dkv", Memory::workspace, 2 * rows_ * plan_.kv_width * 4);
  if (rank_.real()) std::ranges::fill(d_kv.write<float>(), 0.0F);
  for (int index = 0; index < plan_.chunks; ++index) {
    Chunk part = chunk(index);
    co_await compute_again(part, kv);
    Buffer dy = allocate("dy", rows_of(part.tokens()) * h_);
    co_await inner_backward(part, index, dy);
    co_await attention_backward(part, index, kv, dy, d_kv);
  }
  co_await keys_backward(d_kv);
}

Task<> Stream::backward() {
  dx_ = rank_.adopt("dx", Memory::output, rows_ * h_ * 4, memory_.dx);
  for (of_.layer = plan_.layers - 1; of_.layer >= 0; --of_.layer) {
    co_await layer_backward();
    if (of_.layer == 0) break;
    inputs_.pop_back();
    co_await rank_.compute(of_.pointwise(rows_, 2 * h_, h_), [&] {  // what was summed in float32, to the layer below
      const auto d = dx_.read<float>();
      of_.keep(Floats(d.begin(), d.end()), dz_);
    });
  }
}

Task<> Stream::reduce() {
  if (rank_.size() > 1 && !plan_.not_reduced)
    co_await substrate::all_reduce(rank_, d_weights_, {}, substrate::DType::f32, kGradients);
}

}  // namespace

Task<> stream_backpropagation(Rank& rank, const StreamPlan& plan, StreamMemory memory) {
  Stream stream(rank, plan, memory);
  co_await stream.forward();
  co_await stream.head();
  co_await stream.backward();
  co_await stream.reduce();
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/streambp",
    .title = "StreamBP: memory-efficient exact backpropagation",
    .paper = "arXiv 2506.03077",
    .summary =
        "decoder layers and a language head differentiated in chunks of the sequence; exact; gradients reduced once",
    .implementations = over_ranks<stream_scheme>(stream_axes(), __FILE__),
    .project = project_streambp,
});
const harness::claims::BaselineRegistration baselines("parallelism/sequence/streambp", project_streambp_baseline);
}  // namespace

}  // namespace assay::parallelism
