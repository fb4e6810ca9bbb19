// StreamBP (arXiv 2506.03077): exact backpropagation in chunks of the sequence, on one device.
//
// With checkpoints of the layers' inputs what is left at the peak are the logits and the activations of one layer. For
// any partition of a function's output, dL/dW = sum_i (dZ_i/dW)^T dL/dZ_i: chunks are computed again, differentiated
// and freed one at a time.
//   head    for chunk i:  l_i = z_i W;  loss += CE(l_i);  dl_i = (softmax l_i - onehot) / n;  dW += z_i^T dl_i;
//                         dz_i = dl_i W^T                                      n words count, over all chunks
//   layer   K, V of the whole sequence once;
//           for chunk i of queries, with keys up to its last:  forward again from x_i; from dz_i back through the inner
//             layer, the output and attention: dQ_i, and dK, dV added up;  all gradients of weights but K's and V's
//           for chunk i:  dWk, dWv and the rest of dx_i from dK_i, dV_i        the norm's backward is linear in dn
// Here: one layer (norm, QKV, attention, output, norm, inner layer with GELU, residuals) under one head, every rank
// with a sequence of its own. Gradients are reduced over ranks once, after the last chunk.
//
// Costs: of the layer's activations 1/D, of the logits 1/D; K, V and float32 dK, dV whole. Score products (1 + D)/2D of
// the square, which is what causal attention that skips the upper triangle saves as well. One chunk is checkpointing.
#include "impls/parallelism/sequence/streambp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "harness/claims/baselines.h"
#include "impls/parallelism/sequence/streambp_case.h"
#include "impls/parallelism/sequence/streambp_claims.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpDtype;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

StreamPlan::StreamPlan(const SequenceProblem& layer, int chunk_count, std::int64_t words)
    : problem(layer),
      layout(Layout::contiguous, layer.length, layer.ranks),
      block(layer.block()),
      chunks(chunk_count),
      hidden(std::int64_t{layer.heads} * layer.head_dim),
      inner(4 * hidden),
      vocab(words),
      q_width(hidden),
      kv_width(std::int64_t{layer.kv_heads} * layer.head_dim) {}

std::int64_t StreamPlan::rows_of(Weight which) const {
  return which == output ? q_width : which == inner_down ? inner : hidden;
}
std::int64_t StreamPlan::columns_of(Weight which) const {
  switch (which) {
    case query:
      return q_width;
    case key:
    case value:
      return kv_width;
    case inner_up:
      return inner;
    case head:
      return vocab;
    default:
      return hidden;
  }
}
std::int64_t StreamPlan::offset(Weight which) const {
  std::int64_t before = 0;
  for (int each = 0; each < which; ++each) before += size(static_cast<Weight>(each));
  return before;
}

double StreamPlan::flops() const {
  double pairs = 0;
  for (int r = 0; r < problem.ranks; ++r) {
    const auto length = static_cast<double>(tokens(r));
    pairs += problem.causal ? length * (length + 1) / 2 : length * length;
  }
  return 6.0 * static_cast<double>(problem.length * problem.batch) * static_cast<double>(weights()) +
         14 * pairs * problem.batch * problem.heads * problem.head_dim;
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
  std::int64_t begin, end;    // tokens
  Buffer normal;              // norm of x
  Buffer q, o, lse;           // [B][chunk][H][d], [B][chunk][H]
  Buffer y, normal_y, inner;  // after attention, its norm, before GELU

  std::int64_t tokens() const { return end - begin; }
};

class Stream {
 public:
  Stream(Rank& rank, const StreamPlan& plan, StreamMemory memory)
      : rank_(rank), plan_(plan), memory_(memory), me_(rank.id()), rows_(plan.rows(me_)), h_(plan.hidden) {
    for (std::int64_t t = 0; rank.real() && t < plan.tokens(me_); ++t) everywhere_.push_back(t);
    x_ = rank.adopt("x", Memory::input, plan.bytes(rows_ * h_), memory.x);
    weights_ = rank.adopt("weights", Memory::state, plan.bytes(plan.weights()), memory.weights);
    z_ = rank.adopt("z", Memory::output, plan.bytes(rows_ * h_), memory.z);
  }

  Task<> forward();
  Task<> head();
  Task<> layer_backward();
  Task<> reduce();

 private:
  using Weight = StreamPlan::Weight;

  // -- work, as the device sees it
  OpDtype dtype() const { return plan_.problem.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32; }
  OpWork gemm(std::int64_t m, std::int64_t n, std::int64_t k) const { return substrate::gemm_work(m, n, k, dtype()); }
  OpWork gemm(std::int64_t rows, Weight which) const {
    return gemm(rows, plan_.columns_of(which), plan_.rows_of(which));
  }
  // The gradient of the product's input, and that of its weight.
  OpWork gemm_back(std::int64_t rows, Weight which) const {
    return gemm(rows, plan_.rows_of(which), plan_.columns_of(which));
  }
  OpWork gemm_gradient(std::int64_t rows, Weight which) const {
    return gemm(plan_.rows_of(which), plan_.columns_of(which), rows);
  }
  OpWork normalising(std::int64_t rows, double tensors_read) const {
    const auto count = static_cast<double>(rows * h_);
    return substrate::norm_work(tensors_read * count, count, dtype(), rows);
  }
  OpWork pointwise(std::int64_t read, std::int64_t written, std::int64_t rows) const {
    return substrate::pointwise_work(static_cast<double>(read), static_cast<double>(written), dtype(), rows);
  }
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

  // -- real data in float32
  std::int64_t rows_of(std::int64_t tokens) const { return tokens * plan_.problem.batch; }
  Floats floats(const Buffer& from, std::int64_t first, std::int64_t count) const {
    Floats values(at(count));
    load(plan_.problem.dtype, from.read<std::byte>().data(), first, count, values.data());
    return values;
  }
  Floats whole(const Buffer& from) const { return floats(from, 0, from.bytes() / size_of(plan_.problem.dtype)); }
  Floats rows(const Buffer& from, const Chunk& chunk) const {
    return floats(from, rows_of(chunk.begin) * h_, rows_of(chunk.tokens()) * h_);
  }
  Floats weight(Weight which) const { return floats(weights_, plan_.offset(which), plan_.size(which)); }
  void keep(const Floats& values, Buffer& to, std::int64_t first = 0) const {
    store(plan_.problem.dtype, values.data(), static_cast<std::int64_t>(values.size()),
          to.write<std::byte>().data() + plan_.bytes(first));
  }
  // As stored between two operators.
  Floats stored(Floats values) const {
    if (plan_.problem.dtype == substrate::DType::bf16)
      for (float& each : values) each = substrate::to_float(substrate::to_bf16(each));
    return values;
  }
  Floats times(const Floats& a, Weight which, std::int64_t rows) const {
    Floats c(at(rows * plan_.columns_of(which)));
    product(a.data(), weight(which).data(), rows, plan_.rows_of(which), plan_.columns_of(which), c.data());
    return c;
  }
  Floats times_back(const Floats& d, Weight which, std::int64_t rows) const {
    Floats c(at(rows * plan_.rows_of(which)));
    product(d.data(), transposed(weight(which), plan_.rows_of(which), plan_.columns_of(which)).data(), rows,
            plan_.columns_of(which), plan_.rows_of(which), c.data());
    return c;
  }
  void add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows, int chunk) {
    if (chunk == plan_.forgets) return;
    outer_product(input.data(), d.data(), rows, plan_.rows_of(which), plan_.columns_of(which),
                  d_weights_.write<float>().data() + plan_.offset(which));
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
  const std::byte* values_of(const Buffer& kv) const { return kv.read<std::byte>().data() + kv.bytes() / 2; }

  Buffer allocate(const char* name, std::int64_t elements) {
    return rank_.allocate(name, Memory::activation, plan_.bytes(elements));
  }
  Chunk chunk(int index) const {
    return {.begin = plan_.first_token(me_, index), .end = plan_.first_token(me_, index + 1)};
  }

  Task<Buffer> keys_and_values();
  Task<> compute_again(Chunk& chunk, const Buffer& kv);
  Task<> inner_backward(Chunk& chunk, int index, Buffer& dy);
  Task<> attention_backward(Chunk& chunk, int index, const Buffer& kv, const Buffer& dy, Buffer& d_kv);
  Task<> keys_backward(const Buffer& d_kv);

  Rank& rank_;
  const StreamPlan& plan_;
  StreamMemory memory_;
  int me_;
  std::int64_t rows_, h_;
  std::vector<std::int64_t> everywhere_;
  Buffer x_, weights_, z_;
  Buffer dz_, dx_, d_weights_;
};

// K and V of all tokens, [B][T][Hk][d] each, from norms computed chunk by chunk.
Task<Buffer> Stream::keys_and_values() {
  const std::int64_t all = plan_.tokens(me_), kw = plan_.kv_width;
  Buffer kv = allocate("kv", 2 * rows_ * kw);
  for (int index = 0; index < plan_.chunks; ++index) {
    const Chunk part = chunk(index);
    const std::int64_t rows = rows_of(part.tokens());
    co_await rank_.compute(normalising(rows, 1), [] {});
    co_await rank_.compute(gemm(rows, 2 * kw, h_), [&] {
      Floats normal = this->rows(x_, part);
      normalise(normal, h_);
      normal = stored(std::move(normal));
      for (int v = 0; v < 2; ++v) {
        const Floats projected =
            by_sequence(times(normal, v == 0 ? Weight::key : Weight::value, rows), part.tokens(), kw, false);
        for (int b = 0; b < plan_.problem.batch; ++b) {
          const Floats of_sequence(projected.begin() + b * part.tokens() * kw,
                                   projected.begin() + (b + 1) * part.tokens() * kw);
          keep(of_sequence, kv, v * rows_ * kw + (b * all + part.begin) * kw);
        }
      }
    });
  }
  co_return kv;
}

// Everything of a chunk up to the inner layer.
Task<> Stream::compute_again(Chunk& chunk, const Buffer& kv) {
  const SequenceProblem& p = plan_.problem;
  const std::int64_t rows = rows_of(chunk.tokens()), heads = rows * p.heads;
  chunk.normal = allocate("normalised", rows * h_);
  co_await rank_.compute(normalising(rows, 1), [&] {
    Floats normal = this->rows(x_, chunk);
    normalise(normal, h_);
    keep(normal, chunk.normal);
  });
  chunk.q = allocate("q", rows * plan_.q_width);
  co_await rank_.compute(gemm(rows, Weight::query), [&] {
    keep(by_sequence(times(whole(chunk.normal), Weight::query, rows), chunk.tokens(), plan_.q_width, false), chunk.q);
  });
  chunk.o = allocate("o", rows * plan_.q_width);
  chunk.lse = rank_.allocate("lse", Memory::activation, heads * 4);
  {
    Buffer wide = rank_.allocate("o accumulator", Memory::workspace, rows * plan_.q_width * 4);
    co_await rank_.compute(
        substrate::attention_work(attention(chunk), substrate::AttentionSchedule::flash2, dtype()), [&] {
          std::ranges::fill(wide.write<float>(), 0.0F);
          std::ranges::fill(chunk.lse.write<float>(), -std::numeric_limits<float>::infinity());
          block_forward(plan_.block, chunk.q.read<std::byte>().data(), positions(chunk), kv.read<std::byte>().data(),
                        values_of(kv), everywhere_, merge_rescaled, wide.write<float>().data(),
                        chunk.lse.write<float>().data());
          store(p.dtype, wide.read<float>().data(), rows * plan_.q_width, chunk.o.write<std::byte>().data());
        });
  }
  chunk.y = allocate("y", rows * h_);
  co_await rank_.compute(gemm(rows, Weight::output), [&] {
    Floats y = stored(times(by_sequence(whole(chunk.o), chunk.tokens(), plan_.q_width, true), Weight::output, rows));
    const Floats x = this->rows(x_, chunk);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += x[i];
    keep(y, chunk.y);
  });
  chunk.normal_y = allocate("normalised y", rows * h_);
  co_await rank_.compute(normalising(rows, 1), [&] {
    Floats normal = whole(chunk.y);
    normalise(normal, h_);
    keep(normal, chunk.normal_y);
  });
  chunk.inner = allocate("inner", rows * plan_.inner);
  co_await rank_.compute(gemm(rows, Weight::inner_up),
                         [&] { keep(times(whole(chunk.normal_y), Weight::inner_up, rows), chunk.inner); });
}

Task<> Stream::forward() {
  const Buffer kv = co_await keys_and_values();
  for (int index = 0; index < plan_.chunks; ++index) {
    Chunk part = chunk(index);
    co_await compute_again(part, kv);
    const std::int64_t rows = rows_of(part.tokens());
    Buffer active = allocate("inner, active", rows * plan_.inner);
    co_await rank_.compute(pointwise(rows * plan_.inner, rows * plan_.inner, rows), [&] {
      Floats values = whole(part.inner);
      for (float& each : values) each = gelu(each);
      keep(values, active);
    });
    co_await rank_.compute(gemm(rows, Weight::inner_down), [&] {
      Floats z = stored(times(whole(active), Weight::inner_down, rows));
      const Floats y = whole(part.y);
      for (std::size_t i = 0; i < z.size(); ++i) z[i] += y[i];
      keep(z, z_, rows_of(part.begin) * h_);
    });
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
    Buffer logits = rank_.allocate("logits", Memory::workspace, rows * words * 4);
    co_await rank_.compute(gemm(rows, Weight::head), [&] {
      std::ranges::copy(times(this->rows(z_, part), Weight::head, rows), logits.write<float>().begin());
    });
    // softmax and the gradient of the loss, in place.
    co_await rank_.compute(substrate::norm_work(static_cast<double>(2 * rows * words),
                                                static_cast<double>(rows * words), OpDtype::fp32, rows),
                           [&] {
                             double counted = static_cast<double>(memory_.counted);
                             if (plan_.own_mean) counted /= plan_.problem.ranks;
                             for (std::int64_t i = 0; i < rows; ++i) {
                               float* row = logits.write<float>().data() + i * words;
                               const std::int32_t next = memory_.next[rows_of(part.begin) + i];
                               if (next < 0) {
                                 std::fill_n(row, words, 0.0F);
                                 continue;
                               }
                               const float top = *std::max_element(row, row + words);
                               float total = 0;
                               for (std::int64_t w = 0; w < words; ++w) total += std::exp(row[w] - top);
                               sum += static_cast<double>(top + std::log(total) - row[next]) / counted;
                               for (std::int64_t w = 0; w < words; ++w)
                                 row[w] = std::exp(row[w] - top) / total / static_cast<float>(counted);
                               row[next] -= 1 / static_cast<float>(counted);
                             }
                           });
    co_await rank_.compute(gemm_gradient(rows, Weight::head), [&] {
      const auto d = logits.read<float>();
      add_gradient(Weight::head, this->rows(z_, part), stored(Floats(d.begin(), d.end())), rows, index);
    });
    co_await rank_.compute(gemm_back(rows, Weight::head), [&] {
      const auto d = logits.read<float>();
      Floats dz = times_back(stored(Floats(d.begin(), d.end())), Weight::head, rows);
      if (plan_.round_gradient)
        for (float& each : dz) each = substrate::to_float(substrate::to_bf16(each));
      keep(dz, dz_, rows_of(part.begin) * h_);
    });
  }
  if (rank_.real()) loss.write<float>()[0] = static_cast<float>(sum);
}

// From dz to dy, with the gradients of the inner layer's weights.
Task<> Stream::inner_backward(Chunk& chunk, int index, Buffer& dy) {
  const std::int64_t rows = rows_of(chunk.tokens()), f = plan_.inner;
  Buffer d_inner = allocate("gradient of inner", rows * f);
  co_await rank_.compute(gemm_back(rows, Weight::inner_down), [&] {
    Floats d = stored(times_back(this->rows(dz_, chunk), Weight::inner_down, rows));
    const Floats before = whole(chunk.inner);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] *= gelu_slope(before[i]);
    keep(d, d_inner);
  });
  co_await rank_.compute(gemm_gradient(rows, Weight::inner_down), [&] {
    Floats active = whole(chunk.inner);
    for (float& each : active) each = gelu(each);
    add_gradient(Weight::inner_down, stored(std::move(active)), this->rows(dz_, chunk), rows, index);
  });
  co_await rank_.compute(gemm_gradient(rows, Weight::inner_up),
                         [&] { add_gradient(Weight::inner_up, whole(chunk.normal_y), whole(d_inner), rows, index); });
  Buffer d_normal = allocate("gradient of a norm", rows * h_);
  co_await rank_.compute(gemm_back(rows, Weight::inner_up),
                         [&] { keep(times_back(whole(d_inner), Weight::inner_up, rows), d_normal); });
  co_await rank_.compute(normalising(rows, 3), [&] {
    Floats d = whole(d_normal);
    norm_backward(whole(chunk.y), h_, plan_.divisor_constant, d);
    const Floats past = this->rows(dz_, chunk);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += past[i];
    keep(d, dy);
  });
  chunk.inner = Buffer();
  chunk.normal_y = Buffer();
  chunk.y = Buffer();
}

// From dy to this chunk's part of dx that comes through its queries, and to dK, dV.
Task<> Stream::attention_backward(Chunk& chunk, int index, const Buffer& kv, const Buffer& dy, Buffer& d_kv) {
  const SequenceProblem& p = plan_.problem;
  const std::int64_t rows = rows_of(chunk.tokens()), qw = plan_.q_width, heads = rows * p.heads;
  Buffer d_o = allocate("gradient of o", rows * qw);
  co_await rank_.compute(gemm_back(rows, Weight::output), [&] {
    keep(by_sequence(times_back(whole(dy), Weight::output, rows), chunk.tokens(), qw, false), d_o);
  });
  co_await rank_.compute(gemm_gradient(rows, Weight::output), [&] {
    add_gradient(Weight::output, by_sequence(whole(chunk.o), chunk.tokens(), qw, true), whole(dy), rows, index);
  });
  Buffer delta = rank_.allocate("delta", Memory::workspace, heads * 4);
  co_await rank_.compute(pointwise(2 * rows * qw, heads, rows), [&] {
    row_delta(plan_.block, d_o.read<std::byte>().data(), chunk.o.read<std::byte>().data(), heads,
              delta.write<float>().data());
  });
  Buffer dq = rank_.allocate("dq", Memory::workspace, rows * qw * 4);
  co_await rank_.compute(
      substrate::attention_backward_work(attention(chunk), substrate::AttentionSchedule::flash2, dtype()), [&] {
        std::ranges::fill(dq.write<float>(), 0.0F);
        float* gradient = d_kv.write<float>().data();
        const std::int64_t half = rows_ * plan_.kv_width;
        if (plan_.last_keys_only) std::ranges::fill(d_kv.write<float>(), 0.0F);
        add_block_backward(plan_.block, chunk.q.read<std::byte>().data(), positions(chunk), kv.read<std::byte>().data(),
                           values_of(kv), everywhere_, d_o.read<std::byte>().data(), chunk.lse.read<float>().data(),
                           delta.read<float>().data(), dq.write<float>().data(), gradient, gradient + half);
      });
  const auto gradient_of_q = [&] {
    const auto d = dq.read<float>();
    return by_sequence(stored(Floats(d.begin(), d.end())), chunk.tokens(), qw, true);
  };
  co_await rank_.compute(gemm_gradient(rows, Weight::query),
                         [&] { add_gradient(Weight::query, whole(chunk.normal), gradient_of_q(), rows, index); });
  Buffer d_normal = allocate("gradient of a norm", rows * h_);
  co_await rank_.compute(gemm_back(rows, Weight::query),
                         [&] { keep(times_back(gradient_of_q(), Weight::query, rows), d_normal); });
  co_await rank_.compute(normalising(rows, 3), [&] {
    Floats d = whole(d_normal);
    norm_backward(this->rows(x_, chunk), h_, plan_.divisor_constant, d);
    const Floats past = whole(dy);
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
      return by_sequence(stored(std::move(of_chunk)), part.tokens(), kw, true);
    };
    Buffer normal = allocate("normalised", rows * h_);
    co_await rank_.compute(normalising(rows, 1), [&] {
      Floats values = this->rows(x_, part);
      normalise(values, h_);
      keep(values, normal);
    });
    co_await rank_.compute(gemm(h_, 2 * kw, rows), [&] {
      add_gradient(Weight::key, whole(normal), gradient(0), rows, index);
      add_gradient(Weight::value, whole(normal), gradient(1), rows, index);
    });
    Buffer d_normal = allocate("gradient of a norm", rows * h_);
    co_await rank_.compute(gemm(rows, h_, 2 * kw), [&] {
      Floats d = times_back(gradient(0), Weight::key, rows);
      const Floats of_values = times_back(gradient(1), Weight::value, rows);
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += of_values[i];
      keep(d, d_normal);
    });
    co_await rank_.compute(normalising(rows, 3), [&] {
      Floats d = whole(d_normal);
      norm_backward(this->rows(x_, part), h_, plan_.divisor_constant, d);
      float* to = dx_.write<float>().data() + rows_of(part.begin) * h_;
      for (std::size_t i = 0; i < d.size(); ++i) to[i] += d[i];
    });
  }
}

Task<> Stream::layer_backward() {
  dx_ = rank_.adopt("dx", Memory::output, rows_ * h_ * 4, memory_.dx);
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

Task<> Stream::reduce() {
  if (rank_.size() > 1 && !plan_.not_reduced)
    co_await substrate::all_reduce(rank_, d_weights_, {}, substrate::DType::f32, kGradients);
}

}  // namespace

Task<> stream_backpropagation(Rank& rank, const StreamPlan& plan, StreamMemory memory) {
  Stream stream(rank, plan, memory);
  co_await stream.forward();
  co_await stream.head();
  co_await stream.layer_backward();
  co_await stream.reduce();
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/streambp",
    .title = "StreamBP: memory-efficient exact backpropagation",
    .paper = "arXiv 2506.03077",
    .summary = "a layer and a language head differentiated in chunks of the sequence; exact; gradients reduced once",
    .implementations = over_ranks<stream_scheme>(stream_axes(), __FILE__),
    .project = project_streambp,
});
const harness::claims::BaselineRegistration baselines("parallelism/sequence/streambp", project_streambp_baseline);
}  // namespace

}  // namespace assay::parallelism
