// Megatron sequence parallelism (arXiv 2205.05198): tensor parallelism whose token-wise regions are cut along tokens.
//
// x [B, L/P, h] is cut along tokens; weights along heads and along the inner layer. Per layer:
//   n  = norm(x)                                          token-wise, of the rank's tokens
//   N  = all-gather(n)                                    [B, L, h] on every rank
//   Q, K, V = N Wqkv;  O = attention(Q, K, V)             of the rank's heads, over the whole sequence
//   y  = x + reduce-scatter(O Wo)                         partial sums over heads, back to tokens
//   z  = y + reduce-scatter(gelu(all-gather(norm(y)) W1) W2)
// Backward mirrors it: gradients are gathered where partial sums were scattered and scattered where activations were
// gathered. Only x and y are kept of what was gathered; one more all-gather a half rebuilds N for the gradients of the
// weights, under way while the gradient of the product's other side is computed; so is the reduce-scatter with them.
//
// Costs per rank: forward 2 all-gathers and 2 reduce-scatters of B L h elements, 4 (P-1)/P B L h sent; backward 4 and
// 2. None of it falls with P, where that of all-to-all does; the gathered activations take memory that does not fall
// either. The norm is of root mean square, without weights; partial sums travel in the dtype of the layer.
#include "impls/parallelism/sequence/megatron_sp.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "harness/claims/baselines.h"
#include "impls/parallelism/sequence/megatron_sp_case.h"
#include "impls/parallelism/sequence/megatron_sp_claims.h"
#include "impls/parallelism/sequence/megatron_training_claims.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::AllGather;
using substrate::Buffer;
using substrate::Memory;
using substrate::OpDtype;
using substrate::OpWork;
using substrate::Rank;
using substrate::ReduceScatter;
using substrate::Tag;
using substrate::Task;

MegatronPlan::MegatronPlan(const SequenceProblem& layer, std::int64_t inner_width)
    : problem(layer),
      layout(Layout::contiguous, layer.length, layer.ranks),
      local(layer.block()),
      hidden(std::int64_t{layer.heads} * layer.head_dim),
      inner(inner_width > 0 ? inner_width : 4 * hidden),
      q_width(hidden / layer.ranks),
      kv_width(std::int64_t{layer.kv_heads} * layer.head_dim / layer.ranks),
      qkv_width(q_width + 2 * kv_width),
      inner_mine(inner / layer.ranks) {
  local.heads = layer.heads / layer.ranks;
  local.kv_heads = layer.kv_heads / layer.ranks;
}

double MegatronPlan::flops() const {
  const double products = 2 * static_cast<double>(all_rows()) * static_cast<double>(weights()) * problem.ranks;
  return products * (problem.backward ? 3 : 1) + problem.flops();
}

namespace {

constexpr Tag kIntoAttention{.value = 1, .name = "activations to attention"};
constexpr Tag kOutOfAttention{.value = 2, .name = "partial sums of attention"};
constexpr Tag kIntoInner{.value = 3, .name = "activations to the inner layer"};
constexpr Tag kOutOfInner{.value = 4, .name = "partial sums of the inner layer"};
constexpr Tag kBackIntoInner{.value = 5, .name = "gradients to the inner layer"};
constexpr Tag kAgainInner{.value = 6, .name = "activations again, inner layer"};
constexpr Tag kBackOutOfInner{.value = 7, .name = "partial gradients of the inner layer"};
constexpr Tag kBackIntoAttention{.value = 8, .name = "gradients to attention"};
constexpr Tag kAgainAttention{.value = 9, .name = "activations again, attention"};
constexpr Tag kBackOutOfAttention{.value = 10, .name = "partial gradients of attention"};

class Layer {
 public:
  Layer(Rank& rank, const MegatronPlan& plan, MegatronMemory memory)
      : rank_(rank), plan_(plan), memory_(memory), me_(rank.id()), mine_(plan.rows(me_)), all_(plan.all_rows()) {
    for (int r = 0; r < rank.size(); ++r) sizes_.push_back(plan.activation_bytes(r));
    if (rank.real())
      for (std::int64_t t = 0; t < plan.problem.length; ++t) everywhere_.push_back(t);
    x_ = rank.adopt("x", Memory::input, plan.activation_bytes(me_), memory.x);
    weights_ = rank.adopt("weights", Memory::state, plan.bytes(plan.weights()), memory.weights);
    z_ = rank.adopt("z", Memory::output, plan.activation_bytes(me_), memory.z);
  }

  Task<> forward();
  Task<> backward();

 private:
  using Parts = std::vector<Buffer>;

  // -- work, as the device sees it
  OpDtype dtype() const { return plan_.problem.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32; }
  OpWork gemm(std::int64_t m, std::int64_t n, std::int64_t k) const { return substrate::gemm_work(m, n, k, dtype()); }
  OpWork normalising() const {
    const double count = static_cast<double>(mine_ * plan_.hidden);
    return substrate::norm_work(count, count, dtype(), mine_);
  }
  OpWork pointwise(std::int64_t read, std::int64_t written, std::int64_t rows) const {
    return substrate::pointwise_work(static_cast<double>(read), static_cast<double>(written), dtype(), rows);
  }
  substrate::AttentionShape attention() const {
    const SequenceProblem& p = plan_.problem;
    return {.batch = p.batch,
            .heads = plan_.local.heads,
            .kv_heads = plan_.local.kv_heads,
            .sequence = p.length,
            .keys = p.length,
            .head_dim = p.head_dim,
            .causal = p.causal};
  }

  // -- real data in float32
  Floats floats(const Buffer& from, std::int64_t first, std::int64_t count) const {
    Floats values(at(count));
    load(plan_.problem.dtype, from.read<std::byte>().data(), first, count, values.data());
    return values;
  }
  Floats weight(std::int64_t first, std::int64_t count) const { return floats(weights_, first, count); }
  void keep(const Floats& values, Buffer& to) const {
    store(plan_.problem.dtype, values.data(), static_cast<std::int64_t>(values.size()), to.write<std::byte>().data());
  }
  // The rows of all ranks in the order of the sequence.
  Floats joined(const Parts& parts) const {
    Floats all;
    for (int r = 0; r < rank_.size(); ++r) {
      Floats part = floats(parts[at(r)], 0, plan_.rows(r) * plan_.hidden);
      if (r == plan_.deaf_to) std::ranges::fill(part, 0.0F);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  void deal(const Floats& rows, Parts& parts) const {
    std::int64_t first = 0;
    for (int r = 0; r < rank_.size(); ++r) {
      const std::int64_t count = plan_.rows(r) * plan_.hidden;
      store(plan_.problem.dtype, rows.data() + first, count, parts[at(r)].write<std::byte>().data());
      first += count;
    }
  }
  // For weight gradients: all rows, or a mutant's own.
  Floats counted(Floats rows, std::int64_t width) const {
    if (!plan_.own_tokens_only) return rows;
    std::int64_t first = 0;
    for (int r = 0; r < me_; ++r) first += plan_.rows(r) * width;
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(rows.size()); ++i)
      if (i < first || i >= first + mine_ * width) rows[at(i)] = 0;
    return rows;
  }
  // Rows of the sequence [L][B][heads][d] to the kernels' [B][L][heads][d], or back: `first` of `stride` columns.
  template <class Move>
  void by_sequence(std::int64_t width, std::int64_t stride, std::int64_t first, Move&& move) const {
    const SequenceProblem& p = plan_.problem;
    for (std::int64_t t = 0; t < p.length; ++t)
      for (int b = 0; b < p.batch; ++b) move((t * p.batch + b) * stride + first, (b * p.length + t) * width, width);
  }

  Parts partial_parts(const char* name) {
    Parts parts;
    for (int r = 0; r < rank_.size(); ++r)
      parts.push_back(rank_.allocate(name, Memory::communication, plan_.activation_bytes(r)));
    return parts;
  }
  AllGather gather(Buffer part, Tag tag) {
    return {rank_, std::move(part), sizes_, plan_.problem.node_ranks, tag, "gathered"};
  }
  ReduceScatter scatter(Parts parts, Tag tag) {
    return {rank_, std::move(parts),         plan_.problem.dtype, plan_.problem.node_ranks,
            tag,   "partial sums of others", plan_.silent};
  }

  Task<Buffer> normalised(const Buffer& from);
  Task<> residual(const Buffer& from, const Buffer& sum, Buffer& to, bool last);
  Task<> norm_gradient(const Buffer& input, const Buffer& d_norm, const Buffer& d_skip, Buffer& d_input, bool last);
  Task<> attention_half();
  Task<> inner_half();
  Task<> inner_backward();
  Task<> attention_backward();

  Rank& rank_;
  const MegatronPlan& plan_;
  MegatronMemory memory_;
  int me_;
  std::int64_t mine_, all_;
  std::vector<std::int64_t> sizes_, everywhere_;
  Buffer x_, weights_, z_, y_;
  Buffer q_, kv_, o_, lse_;  // of the rank's heads, [B][L][heads][d]
  Buffer inner_;             // before the activation, [L][B][f/P]
  Buffer dz_, dy_, dx_, d_weights_;
};

Task<Buffer> Layer::normalised(const Buffer& from) {
  Buffer normal = rank_.allocate("normalised", Memory::activation, plan_.activation_bytes(me_));
  co_await rank_.compute(normalising(), [&] {
    const std::int64_t h = plan_.hidden;
    Floats rows = floats(from, 0, mine_ * h);
    normalise(rows, h);
    keep(rows, normal);
  });
  co_return normal;
}

// to = from + sum.
Task<> Layer::residual(const Buffer& from, const Buffer& sum, Buffer& to, bool last) {
  const std::int64_t count = mine_ * plan_.hidden;
  co_await rank_.compute(pointwise(2 * count, count, mine_), [&] {
    Floats rows = floats(from, 0, count);
    const Floats added = floats(sum, 0, count);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] += added[i];
    if (last && plan_.round_output)
      for (float& each : rows) each = substrate::to_float(substrate::to_bf16(each));
    keep(rows, to);
  });
}

// dx of the norm, and what came past it.
Task<> Layer::norm_gradient(const Buffer& input, const Buffer& d_norm, const Buffer& d_skip, Buffer& d_input,
                            bool last) {
  const std::int64_t h = plan_.hidden, count = mine_ * h;
  co_await rank_.compute(
      substrate::norm_work(3.0 * static_cast<double>(count), static_cast<double>(count), dtype(), mine_), [&] {
        const Floats in = floats(input, 0, count), past = floats(d_skip, 0, count);
        Floats d = floats(d_norm, 0, count);
        norm_backward(in, h, plan_.divisor_constant, d);
        for (std::size_t i = 0; i < d.size(); ++i) d[i] += past[i];
        if (last) {
          std::ranges::copy(d, d_input.write<float>().begin());
        } else {
          keep(d, d_input);
        }
      });
}

Task<> Layer::forward() {
  y_ = rank_.allocate("y", Memory::activation, plan_.activation_bytes(me_));
  co_await attention_half();
  co_await inner_half();
}

Task<> Layer::attention_half() {
  const std::int64_t h = plan_.hidden, qw = plan_.q_width, kw = plan_.kv_width, w = plan_.qkv_width;
  Buffer normal = co_await normalised(x_);
  q_ = rank_.allocate("q", Memory::activation, plan_.bytes(all_ * qw));
  kv_ = rank_.allocate("kv", Memory::activation, plan_.bytes(2 * all_ * kw));
  o_ = rank_.allocate("o", Memory::activation, plan_.bytes(all_ * qw));
  lse_ = rank_.allocate("lse", Memory::activation, 4 * plan_.problem.length * plan_.problem.batch * plan_.local.heads);
  {
    AllGather under_way = gather(std::move(normal), kIntoAttention);
    const Parts parts = co_await under_way.arrived();
    co_await rank_.compute(gemm(all_, w, h), [&] {
      Floats qkv(at(all_ * w));
      product(joined(parts).data(), weight(0, plan_.qkv_weights()).data(), all_, h, w, qkv.data());
      std::byte* q = q_.write<std::byte>().data();
      std::byte* kv = kv_.write<std::byte>().data();
      const substrate::DType type = plan_.problem.dtype;
      by_sequence(qw, w, 0, [&](auto from, auto to, auto n) { store(type, &qkv[at(from)], n, q + plan_.bytes(to)); });
      for (int v = 0; v < 2; ++v)
        by_sequence(kw, w, qw + v * kw, [&](auto from, auto to, auto n) {
          store(type, &qkv[at(from)], n, kv + plan_.bytes(v * all_ * kw + to));
        });
    });
  }
  Parts partial = partial_parts("partial sums");
  {
    Buffer wide = rank_.allocate("o accumulator", Memory::workspace, all_ * qw * 4);
    co_await rank_.compute(substrate::attention_work(attention(), substrate::AttentionSchedule::flash2, dtype()), [&] {
      std::ranges::fill(wide.write<float>(), 0.0F);
      std::ranges::fill(lse_.write<float>(), -std::numeric_limits<float>::infinity());
      const std::byte* keys = kv_.read<std::byte>().data();
      block_forward(plan_.local, q_.read<std::byte>().data(), everywhere_, keys, keys + plan_.bytes(all_ * kw),
                    everywhere_, merge_rescaled, wide.write<float>().data(), lse_.write<float>().data());
      store(plan_.problem.dtype, wide.read<float>().data(), all_ * qw, o_.write<std::byte>().data());
    });
  }
  co_await rank_.compute(gemm(all_, h, qw), [&] {
    const Floats by_batch = floats(o_, 0, all_ * qw);
    Floats rows(by_batch.size()), sums(at(all_ * h));
    by_sequence(qw, qw, 0, [&](auto to, auto from, auto n) { std::copy_n(&by_batch[at(from)], at(n), &rows[at(to)]); });
    product(rows.data(), weight(plan_.qkv_weights(), plan_.output_weights()).data(), all_, qw, h, sums.data());
    deal(sums, partial);
  });
  ReduceScatter under_way = scatter(std::move(partial), kOutOfAttention);
  const Buffer sum = co_await under_way.sum();
  co_await residual(x_, sum, y_, false);
}

Task<> Layer::inner_half() {
  const std::int64_t h = plan_.hidden, f = plan_.inner_mine;
  Buffer normal = co_await normalised(y_);
  inner_ = rank_.allocate("inner layer", Memory::activation, plan_.bytes(all_ * f));
  Buffer active = rank_.allocate("inner layer, active", Memory::activation, plan_.bytes(all_ * f));
  {
    AllGather under_way = gather(std::move(normal), kIntoInner);
    const Parts parts = co_await under_way.arrived();
    co_await rank_.compute(gemm(all_, f, h), [&] {
      Floats rows(at(all_ * f));
      product(joined(parts).data(), weight(plan_.qkv_weights() + plan_.output_weights(), plan_.inner_weights()).data(),
              all_, h, f, rows.data());
      keep(rows, inner_);
    });
  }
  co_await rank_.compute(pointwise(all_ * f, all_ * f, all_), [&] {
    Floats rows = floats(inner_, 0, all_ * f);
    for (float& each : rows) each = gelu(each);
    keep(rows, active);
  });
  Parts partial = partial_parts("partial sums");
  co_await rank_.compute(gemm(all_, h, f), [&] {
    Floats sums(at(all_ * h));
    product(floats(active, 0, all_ * f).data(),
            weight(plan_.weights() - plan_.inner_weights(), plan_.inner_weights()).data(), all_, f, h, sums.data());
    deal(sums, partial);
  });
  active = Buffer();
  ReduceScatter under_way = scatter(std::move(partial), kOutOfInner);
  const Buffer sum = co_await under_way.sum();
  co_await residual(y_, sum, z_, true);
}

Task<> Layer::backward() {
  dz_ = rank_.adopt("dz", Memory::input, plan_.activation_bytes(me_), memory_.dz);
  dx_ = rank_.adopt("dx", Memory::output, mine_ * plan_.hidden * 4, memory_.dx);
  d_weights_ = rank_.adopt("gradients of the weights", Memory::output, plan_.weights() * 4, memory_.d_weights);
  dy_ = rank_.allocate("dy", Memory::activation, plan_.activation_bytes(me_));
  co_await inner_backward();
  co_await attention_backward();
}

Task<> Layer::inner_backward() {
  const std::int64_t h = plan_.hidden, f = plan_.inner_mine;
  const std::int64_t first_inner = plan_.qkv_weights() + plan_.output_weights(),
                     first_outer = first_inner + plan_.inner_weights();
  Buffer sent = rank_.allocate("dz to send", Memory::communication, plan_.activation_bytes(me_));
  co_await rank_.copy(plan_.activation_bytes(me_),
                      [&] { std::ranges::copy(dz_.read<std::byte>(), sent.write<std::byte>().begin()); });
  AllGather gradients = gather(std::move(sent), kBackIntoInner);
  Parts d_out = co_await gradients.arrived();
  Buffer normal = co_await normalised(y_);
  AllGather again = gather(std::move(normal), kAgainInner);

  Buffer d_inner = rank_.allocate("gradient of the inner layer", Memory::activation, plan_.bytes(all_ * f));
  Buffer active = rank_.allocate("inner layer, active", Memory::activation, plan_.bytes(all_ * f));
  co_await rank_.compute(gemm(all_, f, h), [&] {
    Floats rows(at(all_ * f));
    product(joined(d_out).data(), transposed(weight(first_outer, plan_.inner_weights()), f, h).data(), all_, h, f,
            rows.data());
    keep(rows, d_inner);
  });
  co_await rank_.compute(pointwise(2 * all_ * f, 2 * all_ * f, all_), [&] {
    Floats rows = floats(inner_, 0, all_ * f), d = floats(d_inner, 0, all_ * f);
    for (std::size_t i = 0; i < d.size(); ++i) {
      d[i] *= gelu_slope(rows[i]);
      rows[i] = gelu(rows[i]);
    }
    keep(d, d_inner);
    keep(rows, active);
  });
  inner_ = Buffer();
  Parts partial = partial_parts("partial gradients");
  co_await rank_.compute(gemm(all_, h, f), [&] {
    Floats sums(at(all_ * h));
    product(floats(d_inner, 0, all_ * f).data(), transposed(weight(first_inner, plan_.inner_weights()), h, f).data(),
            all_, f, h, sums.data());
    deal(sums, partial);
  });
  const Parts inputs = co_await again.arrived();
  ReduceScatter scattering = scatter(std::move(partial), kBackOutOfInner);
  co_await rank_.compute(gemm(f, h, all_), [&] {
    float* d = d_weights_.write<float>().data() + first_outer;
    std::fill_n(d, plan_.inner_weights(), 0.0F);
    outer_product(counted(floats(active, 0, all_ * f), f).data(), joined(d_out).data(), all_, f, h, d);
  });
  d_out.clear();
  active = Buffer();
  co_await rank_.compute(gemm(h, f, all_), [&] {
    float* d = d_weights_.write<float>().data() + first_inner;
    std::fill_n(d, plan_.inner_weights(), 0.0F);
    outer_product(counted(joined(inputs), h).data(), floats(d_inner, 0, all_ * f).data(), all_, h, f, d);
  });
  const Buffer sum = co_await scattering.sum();
  co_await norm_gradient(y_, sum, dz_, dy_, false);
  y_ = Buffer();
}

Task<> Layer::attention_backward() {
  const std::int64_t h = plan_.hidden, qw = plan_.q_width, kw = plan_.kv_width, w = plan_.qkv_width;
  Buffer sent = rank_.allocate("dy to send", Memory::communication, plan_.activation_bytes(me_));
  co_await rank_.copy(plan_.activation_bytes(me_),
                      [&] { std::ranges::copy(dy_.read<std::byte>(), sent.write<std::byte>().begin()); });
  AllGather gradients = gather(std::move(sent), kBackIntoAttention);
  Parts d_out = co_await gradients.arrived();
  Buffer normal = co_await normalised(x_);
  AllGather again = gather(std::move(normal), kAgainAttention);

  Buffer d_context = rank_.allocate("gradient of o", Memory::activation, plan_.bytes(all_ * qw));
  co_await rank_.compute(gemm(all_, qw, h), [&] {
    Floats rows(at(all_ * qw));
    product(joined(d_out).data(), transposed(weight(plan_.qkv_weights(), plan_.output_weights()), qw, h).data(), all_,
            h, qw, rows.data());
    std::byte* to_data = d_context.write<std::byte>().data();
    by_sequence(qw, qw, 0, [&](auto from, auto to, auto n) {
      store(plan_.problem.dtype, &rows[at(from)], n, to_data + plan_.bytes(to));
    });
  });
  const std::int64_t query_rows = plan_.problem.length * plan_.problem.batch * plan_.local.heads;
  Buffer delta = rank_.allocate("delta", Memory::workspace, query_rows * 4);
  co_await rank_.compute(pointwise(2 * all_ * qw, query_rows, all_), [&] {
    row_delta(plan_.local, d_context.read<std::byte>().data(), o_.read<std::byte>().data(), query_rows,
              delta.write<float>().data());
  });
  Buffer d_qkv = rank_.allocate("gradients of q, k, v", Memory::activation, plan_.bytes(all_ * w));
  {
    Buffer dq = rank_.allocate("dq", Memory::workspace, all_ * qw * 4);
    Buffer d_kv = rank_.allocate("dkv", Memory::workspace, 2 * all_ * kw * 4);
    co_await rank_.compute(
        substrate::attention_backward_work(attention(), substrate::AttentionSchedule::flash2, dtype()), [&] {
          std::ranges::fill(dq.write<float>(), 0.0F);
          float* gradient = d_kv.write<float>().data();
          const std::byte* keys = kv_.read<std::byte>().data();
          block_backward(plan_.local, q_.read<std::byte>().data(), everywhere_, keys, keys + plan_.bytes(all_ * kw),
                         everywhere_, d_context.read<std::byte>().data(), lse_.read<float>().data(),
                         delta.read<float>().data(), dq.write<float>().data(), gradient, gradient + all_ * kw);
          Floats rows(at(all_ * w));
          const float* q = dq.read<float>().data();
          by_sequence(qw, w, 0, [&](auto to, auto from, auto n) { std::copy_n(q + from, n, &rows[at(to)]); });
          for (int v = 0; v < 2; ++v)
            by_sequence(kw, w, qw + v * kw, [&](auto to, auto from, auto n) {
              std::copy_n(gradient + v * all_ * kw + from, n, &rows[at(to)]);
            });
          keep(rows, d_qkv);
        });
  }
  delta = Buffer();
  d_context = Buffer();
  q_ = Buffer();
  kv_ = Buffer();
  Parts partial = partial_parts("partial gradients");
  co_await rank_.compute(gemm(all_, h, w), [&] {
    Floats sums(at(all_ * h));
    product(floats(d_qkv, 0, all_ * w).data(), transposed(weight(0, plan_.qkv_weights()), h, w).data(), all_, w, h,
            sums.data());
    deal(sums, partial);
  });
  const Parts inputs = co_await again.arrived();
  ReduceScatter scattering = scatter(std::move(partial), kBackOutOfAttention);
  co_await rank_.compute(gemm(qw, h, all_), [&] {
    const Floats by_batch = floats(o_, 0, all_ * qw);
    Floats rows(by_batch.size());
    by_sequence(qw, qw, 0, [&](auto to, auto from, auto n) { std::copy_n(&by_batch[at(from)], at(n), &rows[at(to)]); });
    float* d = d_weights_.write<float>().data() + plan_.qkv_weights();
    std::fill_n(d, plan_.output_weights(), 0.0F);
    outer_product(counted(std::move(rows), qw).data(), joined(d_out).data(), all_, qw, h, d);
  });
  d_out.clear();
  co_await rank_.compute(gemm(h, w, all_), [&] {
    float* d = d_weights_.write<float>().data();
    std::fill_n(d, plan_.qkv_weights(), 0.0F);
    outer_product(counted(joined(inputs), h).data(), floats(d_qkv, 0, all_ * w).data(), all_, h, w, d);
  });
  const Buffer sum = co_await scattering.sum();
  co_await norm_gradient(x_, sum, dy_, dx_, true);
}

}  // namespace

Task<> megatron_layer(Rank& rank, const MegatronPlan& plan, MegatronMemory memory) {
  Layer layer(rank, plan, memory);
  co_await layer.forward();
  if (plan.problem.backward) co_await layer.backward();
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/megatron-sp",
    .title = "Megatron sequence parallelism",
    .paper = "arXiv 2205.05198",
    .summary = "a transformer layer cut along heads, its token-wise parts along tokens: all-gather before, "
               "reduce-scatter after; forward and backward",
    .implementations = over_ranks<megatron_scheme>(megatron_axes(), __FILE__),
    .project = project_megatron_claim,
});
const harness::claims::BaselineRegistration baselines("parallelism/sequence/megatron-sp", project_megatron_tp);
}  // namespace

}  // namespace assay::parallelism
