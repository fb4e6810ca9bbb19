#include "impls/parallelism/sequence/token_layer.h"

#include <algorithm>
#include <utility>

#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpDtype;
using substrate::OpWork;
using substrate::Rank;
using substrate::Task;

TokenLayer::TokenLayer(Rank& rank, const StreamPlan& plan, const Buffer& weights, std::int64_t rows,
                       std::vector<std::int64_t> positions)
    : rank_(rank), plan_(plan), weights_(weights), rows_(rows), h_(plan.hidden) {
  shard_.positions = std::move(positions);
}

OpDtype TokenLayer::dtype() const {
  return plan_.problem.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32;
}
OpWork TokenLayer::gemm(Weight which) const {
  return substrate::gemm_work(rows_, plan_.columns_of(which), plan_.rows_of(which), dtype());
}
OpWork TokenLayer::gemm_back(Weight which) const {
  return substrate::gemm_work(rows_, plan_.rows_of(which), plan_.columns_of(which), dtype());
}
OpWork TokenLayer::gemm_gradient(Weight which) const {
  return substrate::gemm_work(plan_.rows_of(which), plan_.columns_of(which), rows_, dtype());
}
OpWork TokenLayer::normalising(double tensors_read) const {
  const auto count = static_cast<double>(rows_ * h_);
  return substrate::norm_work(tensors_read * count, count, dtype(), rows_);
}
Buffer TokenLayer::activation(const char* name, std::int64_t columns) {
  return rank_.allocate(name, Memory::activation, plan_.bytes(rows_ * columns));
}

Floats TokenLayer::floats(const Buffer& from, std::int64_t first, std::int64_t count) const {
  Floats values(at(count));
  load(plan_.problem.dtype, from.read<std::byte>().data(), first, count, values.data());
  return values;
}
Floats TokenLayer::whole(const Buffer& from) const {
  return floats(from, 0, from.bytes() / size_of(plan_.problem.dtype));
}
Floats TokenLayer::stored(Floats values) const {
  if (plan_.problem.dtype == substrate::DType::bf16)
    for (float& each : values) each = substrate::to_float(substrate::to_bf16(each));
  return values;
}
void TokenLayer::keep(const Floats& values, Buffer& to) const {
  store(plan_.problem.dtype, values.data(), static_cast<std::int64_t>(values.size()), to.write<std::byte>().data());
}
Floats TokenLayer::times(const Floats& a, Weight which, std::int64_t rows) const {
  Floats c(at(rows * plan_.columns_of(which)));
  product(a.data(), floats(weights_, plan_.offset(which), plan_.size(which)).data(), rows, plan_.rows_of(which),
          plan_.columns_of(which), c.data());
  return c;
}
Floats TokenLayer::times_back(const Floats& d, Weight which, std::int64_t rows) const {
  Floats c(at(rows * plan_.rows_of(which)));
  const Floats turned = transposed(floats(weights_, plan_.offset(which), plan_.size(which)), plan_.rows_of(which),
                                   plan_.columns_of(which));
  product(d.data(), turned.data(), rows, plan_.columns_of(which), plan_.rows_of(which), c.data());
  return c;
}
void TokenLayer::add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows,
                              Buffer& d_weights) const {
  outer_product(input.data(), d.data(), rows, plan_.rows_of(which), plan_.columns_of(which),
                d_weights.write<float>().data() + plan_.offset(which));
}

Task<> TokenLayer::forward(const Buffer& x, Buffer& z, const ShardPass& attend) {
  const std::int64_t qw = plan_.q_width, kw = plan_.kv_width;
  normal_ = activation("normalised", h_);
  co_await rank_.compute(normalising(1), [&] {
    Floats normal = whole(x);
    normalise(normal, h_);
    keep(normal, normal_);
  });
  shard_.q = activation("q", qw);
  co_await rank_.compute(gemm(Weight::query), [&] { keep(times(whole(normal_), Weight::query, rows_), shard_.q); });
  shard_.kv = activation("kv", 2 * kw);
  co_await rank_.compute(substrate::gemm_work(rows_, 2 * kw, h_, dtype()), [&] {
    Floats keys = times(whole(normal_), Weight::key, rows_);
    const Floats values = times(whole(normal_), Weight::value, rows_);
    keys.insert(keys.end(), values.begin(), values.end());
    keep(keys, shard_.kv);
  });
  shard_.o = activation("o", qw);
  shard_.lse = rank_.allocate("lse", Memory::activation, rows_ * plan_.problem.heads * 4);
  co_await attend(rank_, shard_);
  y_ = activation("y", h_);
  co_await rank_.compute(gemm(Weight::output), [&] {
    Floats y = stored(times(whole(shard_.o), Weight::output, rows_));
    const Floats past = whole(x);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] += past[i];
    keep(y, y_);
  });
  normal_y_ = activation("normalised y", h_);
  co_await rank_.compute(normalising(1), [&] {
    Floats normal = whole(y_);
    normalise(normal, h_);
    keep(normal, normal_y_);
  });
  inner_ = activation("inner", plan_.inner);
  co_await rank_.compute(gemm(Weight::inner_up),
                         [&] { keep(times(whole(normal_y_), Weight::inner_up, rows_), inner_); });
  co_await rank_.compute(gemm(Weight::inner_down), [&] {
    Floats active = whole(inner_);
    for (float& each : active) each = gelu(each);
    Floats out = stored(times(stored(std::move(active)), Weight::inner_down, rows_));
    const Floats past = whole(y_);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += past[i];
    keep(out, z);
  });
}

Task<> TokenLayer::backward(const Buffer& dz, Buffer& d_weights, const ShardPass& attend) {
  const std::int64_t kw = plan_.kv_width;
  Buffer d_inner = activation("gradient of inner", plan_.inner);
  co_await rank_.compute(gemm_back(Weight::inner_down), [&] {
    Floats d = stored(times_back(whole(dz), Weight::inner_down, rows_));
    const Floats before = whole(inner_);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] *= gelu_slope(before[i]);
    keep(d, d_inner);
  });
  co_await rank_.compute(gemm_gradient(Weight::inner_down), [&] {
    Floats active = whole(inner_);
    for (float& each : active) each = gelu(each);
    add_gradient(Weight::inner_down, stored(std::move(active)), whole(dz), rows_, d_weights);
  });
  co_await rank_.compute(gemm_gradient(Weight::inner_up),
                         [&] { add_gradient(Weight::inner_up, whole(normal_y_), whole(d_inner), rows_, d_weights); });
  Buffer dy = activation("dy", h_);
  co_await rank_.compute(gemm_back(Weight::inner_up),
                         [&] { keep(times_back(whole(d_inner), Weight::inner_up, rows_), dy); });
  co_await rank_.compute(normalising(3), [&] {
    Floats d = whole(dy);
    norm_backward(whole(y_), h_, false, d);
    const Floats past = whole(dz);
    for (std::size_t i = 0; i < d.size(); ++i) d[i] += past[i];
    keep(d, dy);
  });
  inner_ = Buffer();
  normal_y_ = Buffer();
  y_ = Buffer();

  shard_.d_out = activation("gradient of o", plan_.q_width);
  co_await rank_.compute(gemm_back(Weight::output),
                         [&] { keep(times_back(whole(dy), Weight::output, rows_), shard_.d_out); });
  co_await rank_.compute(gemm_gradient(Weight::output),
                         [&] { add_gradient(Weight::output, whole(shard_.o), whole(dy), rows_, d_weights); });
  shard_.dq = rank_.allocate("dq", Memory::workspace, rows_ * plan_.q_width * 4);
  co_await attend(rank_, shard_);
  co_await rank_.compute(gemm_gradient(Weight::query), [&] {
    const auto d = shard_.dq.read<float>();
    add_gradient(Weight::query, whole(normal_), stored(Floats(d.begin(), d.end())), rows_, d_weights);
  });
  co_await rank_.compute(substrate::gemm_work(h_, 2 * kw, rows_, dtype()), [&] {
    const auto d = shard_.d_kv.read<float>();
    const auto middle = d.begin() + rows_ * kw;
    add_gradient(Weight::key, whole(normal_), stored(Floats(d.begin(), middle)), rows_, d_weights);
    add_gradient(Weight::value, whole(normal_), stored(Floats(middle, middle + rows_ * kw)), rows_, d_weights);
  });
}

}  // namespace assay::parallelism
