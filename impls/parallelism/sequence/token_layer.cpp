#include "impls/parallelism/sequence/token_layer.h"

#include <algorithm>
#include <utility>

#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Task;

TokenLayer::TokenLayer(Rank& rank, const StreamPlan& plan, const Buffer& weights, std::int64_t rows,
                       std::vector<std::int64_t> positions)
    : rank_(rank), plan_(plan), of_{.plan = &plan, .weights = &weights}, rows_(rows), h_(plan.hidden) {
  shard_.positions = std::move(positions);
}

Buffer TokenLayer::activation(const char* name, std::int64_t columns) {
  return rank_.allocate(name, Memory::activation, plan_.bytes(rows_ * columns));
}

Task<> TokenLayer::forward(const Buffer& x, Buffer& z, const ShardPass& attend) {
  const std::int64_t qw = plan_.q_width, kw = plan_.kv_width, f = plan_.inner;
  const bool has_positions = plan_.rotary_base != 0;
  normal_ = activation("normalised", h_);
  co_await rank_.compute(of_.normalising(rows_, 1),
                         [&] { of_.keep(of_.normalised(of_.whole(x), Weight::attention_norm), normal_); });
  shard_.q = activation("q", qw);
  co_await rank_.compute(of_.gemm(rows_, Weight::query),
                         [&] { of_.keep(of_.times(of_.whole(normal_), Weight::query, rows_), shard_.q); });
  shard_.kv = activation("kv", 2 * kw);
  co_await rank_.compute(of_.gemm(rows_, 2 * kw, h_), [&] {
    of_.keep(of_.times(of_.whole(normal_), Weight::key, rows_), shard_.kv);
    of_.keep(of_.times(of_.whole(normal_), Weight::value, rows_), shard_.kv, rows_ * kw);
  });
  if (has_positions)
    co_await rank_.compute(of_.pointwise(rows_, qw + kw, qw + kw), [&] {
      of_.keep(of_.turned(of_.whole(shard_.q), qw, shard_.positions, 1, false), shard_.q);
      of_.keep(of_.turned(of_.floats(shard_.kv, 0, rows_ * kw), kw, shard_.positions, 1, false), shard_.kv);
    });
  shard_.o = activation("o", qw);
  shard_.lse = rank_.allocate("lse", Memory::activation, rows_ * plan_.problem.heads * 4);
  co_await attend(rank_, shard_);
  y_ = activation("y", h_);
  co_await rank_.compute(of_.gemm(rows_, Weight::output), [&] {
    Floats y = of_.stored(of_.times(of_.whole(shard_.o), Weight::output, rows_));
    const Floats past = of_.whole(x);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += past[i];
    of_.keep(y, y_);
  });
  normal_y_ = activation("normalised y", h_);
  co_await rank_.compute(of_.normalising(rows_, 1),
                         [&] { of_.keep(of_.normalised(of_.whole(y_), Weight::inner_norm), normal_y_); });
  gate_ = activation("gate", f);
  up_ = activation("up", f);
  co_await rank_.compute(of_.gemm(rows_, 2 * f, h_), [&] {
    of_.keep(of_.times(of_.whole(normal_y_), Weight::gate, rows_), gate_);
    of_.keep(of_.times(of_.whole(normal_y_), Weight::up, rows_), up_);
  });
  active_ = activation("active", f);
  co_await rank_.compute(of_.pointwise(rows_, 2 * f, f),
                         [&] { of_.keep(LayerArithmetic::active(of_.whole(gate_), of_.whole(up_)), active_); });
  co_await rank_.compute(of_.gemm(rows_, Weight::down), [&] {
    Floats out = of_.stored(of_.times(of_.whole(active_), Weight::down, rows_));
    const Floats past = of_.whole(y_);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += past[i];
    of_.keep(out, z);
  });
}

Task<> TokenLayer::backward(const Buffer& x, const Buffer& dz, Buffer& d_weights, const ShardPass& attend) {
  const std::int64_t qw = plan_.q_width, kw = plan_.kv_width, f = plan_.inner;
  Buffer d_up = activation("gradient of up", f), d_gate = activation("gradient of gate", f);
  co_await rank_.compute(of_.gemm_back(rows_, Weight::down),
                         [&] { of_.keep(of_.times_back(of_.whole(dz), Weight::down, rows_), d_up); });
  co_await rank_.compute(of_.pointwise(rows_, 3 * f, 2 * f), [&] {
    Floats gate = of_.whole(gate_), up = of_.whole(up_);
    LayerArithmetic::active_gradient(of_.whole(d_up), gate, up);
    of_.keep(gate, d_gate);
    of_.keep(up, d_up);
  });
  co_await rank_.compute(of_.gemm_gradient(rows_, Weight::down),
                         [&] { of_.add_gradient(Weight::down, of_.whole(active_), of_.whole(dz), rows_, d_weights); });
  active_ = Buffer();
  gate_ = Buffer();
  up_ = Buffer();
  co_await rank_.compute(of_.gemm(h_, 2 * f, rows_), [&] {
    of_.add_gradient(Weight::gate, of_.whole(normal_y_), of_.whole(d_gate), rows_, d_weights);
    of_.add_gradient(Weight::up, of_.whole(normal_y_), of_.whole(d_up), rows_, d_weights);
  });
  Buffer dy = activation("dy", h_);
  co_await rank_.compute(of_.gemm(rows_, h_, 2 * f), [&] {
    Floats d = of_.times_back(of_.whole(d_gate), Weight::gate, rows_);
    const Floats of_up = of_.times_back(of_.whole(d_up), Weight::up, rows_);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += of_up[i];
    of_.keep(d, dy);
  });
  d_gate = Buffer();
  d_up = Buffer();
  co_await rank_.compute(of_.normalising(rows_, 3), [&] {
    Floats d = of_.whole(dy);
    of_.norm_gradient(of_.whole(y_), Weight::inner_norm, d, &d_weights);
    const Floats past = of_.whole(dz);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += past[i];
    of_.keep(d, dy);
  });
  normal_y_ = Buffer();
  y_ = Buffer();

  shard_.d_out = activation("gradient of o", qw);
  co_await rank_.compute(of_.gemm_back(rows_, Weight::output),
                         [&] { of_.keep(of_.times_back(of_.whole(dy), Weight::output, rows_), shard_.d_out); });
  co_await rank_.compute(of_.gemm_gradient(rows_, Weight::output), [&] {
    of_.add_gradient(Weight::output, of_.whole(shard_.o), of_.whole(dy), rows_, d_weights);
  });
  shard_.dq = rank_.allocate("dq", Memory::workspace, rows_ * qw * 4);
  co_await attend(rank_, shard_);
  // Of queries, keys and values as their products gave them.
  Buffer d_q = activation("gradient of q", qw), d_kv = activation("gradient of kv", 2 * kw);
  co_await rank_.compute(of_.pointwise(rows_, qw + 2 * kw, qw + 2 * kw), [&] {
    const auto of_queries = shard_.dq.read<float>(), of_keys = shard_.d_kv.read<float>();
    const auto middle = of_keys.begin() + rows_ * kw;
    const auto back = [&](Floats d, std::int64_t width) {
      return of_.turned(of_.stored(std::move(d)), width, shard_.positions, 1, true);
    };
    of_.keep(back(Floats(of_queries.begin(), of_queries.end()), qw), d_q);
    of_.keep(back(Floats(of_keys.begin(), middle), kw), d_kv);
    of_.keep(Floats(middle, middle + rows_ * kw), d_kv, rows_ * kw);
  });
  co_await rank_.compute(of_.gemm_gradient(rows_, Weight::query), [&] {
    of_.add_gradient(Weight::query, of_.whole(normal_), of_.whole(d_q), rows_, d_weights);
  });
  co_await rank_.compute(of_.gemm(h_, 2 * kw, rows_), [&] {
    of_.add_gradient(Weight::key, of_.whole(normal_), of_.floats(d_kv, 0, rows_ * kw), rows_, d_weights);
    of_.add_gradient(Weight::value, of_.whole(normal_), of_.floats(d_kv, rows_ * kw, rows_ * kw), rows_, d_weights);
  });
  // Of x only the gains of its norm are asked for.
  Buffer d_normal = activation("gradient of a norm", h_);
  co_await rank_.compute(of_.gemm(rows_, h_, qw + 2 * kw), [&] {
    Floats d = of_.times_back(of_.whole(d_q), Weight::query, rows_);
    const Floats keys = of_.times_back(of_.floats(d_kv, 0, rows_ * kw), Weight::key, rows_),
                 values = of_.times_back(of_.floats(d_kv, rows_ * kw, rows_ * kw), Weight::value, rows_);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += keys[i] + values[i];
    of_.keep(d, d_normal);
  });
  co_await rank_.compute(of_.normalising(rows_, 2), [&] {
    Floats d = of_.whole(d_normal);
    of_.norm_gradient(of_.whole(x), Weight::attention_norm, d, &d_weights);
  });
}

}  // namespace assay::parallelism
