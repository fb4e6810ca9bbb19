#include "impls/parallelism/sequence/streambp_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "impls/parallelism/sequence/dtype_rule.h"
#include "impls/parallelism/sequence/head_oracle.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/parallelism/sequence/transformer_oracle.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using Matrix = std::vector<double>;
using Weight = StreamPlan::Weight;

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

constexpr double kUncounted = 0.1;
constexpr const char* kNames[StreamPlan::kWeights] = {"dWq", "dWk", "dWv", "dWo", "dW1", "dW2", "dWhead"};

Matrix loaded(DType dtype, const std::vector<std::byte>& from) {
  const std::size_t count = from.size() / (dtype == DType::f32 ? 4 : 2);
  std::vector<float> values(count);
  load(dtype, from.data(), 0, static_cast<std::int64_t>(count), values.data());
  return {values.begin(), values.end()};
}

void append(Matrix& to, const Matrix& from) { to.insert(to.end(), from.begin(), from.end()); }

}  // namespace

StreamData::StreamData(StreamPlan plan, std::optional<int> only)
    : plan_(std::move(plan)),
      only_(only),
      shards_(index(plan_.problem.ranks)),
      weights_(index(plan_.bytes(plan_.weights()))) {
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    if (only_.value_or(r) != r) continue;
    Shard& shard = shards_[index(r)];
    const std::int64_t elements = plan_.rows(r) * plan_.hidden;
    shard.x.resize(index(plan_.bytes(elements)));
    shard.z.resize(index(plan_.bytes(elements)));
    shard.dx.resize(index(elements * 4));
    shard.d_weights.resize(index(plan_.weights() * 4));
    shard.loss.resize(4);
  }
}

void StreamData::draw(std::uint64_t seed) {
  reference_.reset();
  const DType dtype = plan_.problem.dtype;
  substrate::Random random(seed);
  const auto drawn = [&](std::int64_t count, double deviation) {
    Matrix values(index(count));
    for (double& value : values) {
      const auto narrow = static_cast<float>(random.normal() * deviation);
      value = dtype == DType::bf16 ? static_cast<double>(substrate::to_float(substrate::to_bf16(narrow)))
                                   : static_cast<double>(narrow);
    }
    return values;
  };
  const auto give = [&](const Matrix& from, std::vector<std::byte>& to) {
    const std::vector<float> narrow(from.begin(), from.end());
    store(dtype, narrow.data(), static_cast<std::int64_t>(narrow.size()), to.data());
  };
  drawn_weights_.clear();
  for (int w = 0; w < StreamPlan::kWeights; ++w) {
    const auto which = static_cast<Weight>(w);
    append(drawn_weights_, drawn(plan_.size(which), 1 / std::sqrt(static_cast<double>(plan_.rows_of(which)))));
  }
  give(drawn_weights_, weights_);
  counted_ = 0;
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    Shard& shard = shards_[index(r)];
    shard.drawn = drawn(plan_.rows(r) * plan_.hidden, 1);
    if (!shard.x.empty()) give(shard.drawn, shard.x);
    shard.next.resize(index(plan_.rows(r)));
    for (std::int32_t& next : shard.next) {
      const bool counts = random.uniform() >= kUncounted;
      next = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(plan_.vocab)));
      if (counts)
        ++counted_;
      else
        next = -1;
    }
  }
  counted_ = std::max<std::int64_t>(1, counted_);
}

StreamMemory StreamData::memory(int rank) {
  Shard& shard = shards_[index(rank)];
  return {.x = shard.x.data(),
          .weights = weights_.data(),
          .z = shard.z.data(),
          .dx = shard.dx.data(),
          .d_weights = shard.d_weights.data(),
          .loss = shard.loss.data(),
          .next = shard.next.data(),
          .counted = counted_};
}

std::vector<std::span<std::byte>> StreamData::outputs_of(int rank) {
  Shard& shard = shards_[index(rank)];
  return {shard.z, shard.dx, shard.d_weights, shard.loss};
}

std::vector<harness::Output> StreamData::outputs() {
  std::vector<harness::Output> all;
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    Shard& shard = shards_[index(r)];
    if (shard.x.empty()) continue;
    all.push_back({fmt::format("z of rank {}", r), shard.z});
    all.push_back({fmt::format("dx of rank {}", r), shard.dx});
    all.push_back({fmt::format("gradients of the weights on rank {}", r), shard.d_weights});
    all.push_back({fmt::format("loss of rank {}", r), shard.loss});
  }
  return all;
}

Matrix StreamData::weight(Weight which) const {
  const auto first = drawn_weights_.begin() + plan_.offset(which);
  return {first, first + plan_.size(which)};
}

StreamData::Result StreamData::whole(bool exact) const {
  const SequenceProblem& p = plan_.problem;
  const auto layer = [&](const TransformerInputs& in) {
    return exact ? transformer_exact(in) : transformer_naive(in, p.dtype);
  };
  const Matrix head = weight(Weight::head);
  Result all;
  all.d_weights.resize(index(plan_.weights()));
  const auto add = [&](Weight which, const Matrix& gradient) {
    for (std::size_t i = 0; i < gradient.size(); ++i) all.d_weights[index(plan_.offset(which)) + i] += gradient[i];
  };
  for (int r = 0; r < p.ranks; ++r) {
    const Shard& shard = shards_[index(r)];
    if (plan_.rows(r) == 0) continue;
    TransformerInputs in{.length = plan_.tokens(r),
                         .batch = p.batch,
                         .heads = p.heads,
                         .kv_heads = p.kv_heads,
                         .head_dim = p.head_dim,
                         .inner = plan_.inner,
                         .causal = p.causal,
                         .epsilon = kNormEpsilon,
                         .x = shard.drawn,
                         .wq = weight(Weight::query),
                         .wk = weight(Weight::key),
                         .wv = weight(Weight::value),
                         .wo = weight(Weight::output),
                         .w1 = weight(Weight::inner_up),
                         .w2 = weight(Weight::inner_down),
                         .dz = {}};
    const Matrix z = layer(in).z;
    const HeadInputs on_top{.rows = plan_.rows(r),
                            .hidden = plan_.hidden,
                            .vocab = plan_.vocab,
                            .counted = counted_,
                            .z = z,
                            .w = head,
                            .next = shard.next};
    const HeadOutputs of_head = exact ? head_exact(on_top) : head_naive(on_top, p.dtype);
    in.dz = of_head.dz;
    const TransformerOutputs of_layer = layer(in);
    all.loss += of_head.loss;
    append(all.z, of_layer.z);
    append(all.dx, of_layer.dx);
    add(Weight::query, of_layer.dwq);
    add(Weight::key, of_layer.dwk);
    add(Weight::value, of_layer.dwv);
    add(Weight::output, of_layer.dwo);
    add(Weight::inner_up, of_layer.dw1);
    add(Weight::inner_down, of_layer.dw2);
    add(Weight::head, of_head.dw);
  }
  return all;
}

void StreamData::refer(std::uint64_t /*seed*/) const {
  reference_ = std::make_shared<const Reference>(Reference{whole(true), whole(false)});
}

harness::Check StreamData::compare(std::uint64_t seed) const {
  if (!reference_) refer(seed);
  const Result &exact = reference_->exact, &naive = reference_->naive;
  harness::Check check{.error = 0, .coverage = 1, .detail = {}};
  Matrix z, dx;
  double loss = 0;
  for (const Shard& shard : shards_) {
    append(z, loaded(plan_.problem.dtype, shard.z));
    append(dx, loaded(DType::f32, shard.dx));
    loss += loaded(DType::f32, shard.loss).front();
  }
  const auto elements = static_cast<std::int64_t>(z.size());
  hold("z", z.data(), exact.z.data(), naive.z.data(), elements, check);
  hold("dx", dx.data(), exact.dx.data(), naive.dx.data(), elements, check);
  hold("the loss", &loss, &exact.loss, &naive.loss, 1, check, least_of_few(plan_.problem.dtype));
  for (std::size_t r = 0; r < shards_.size(); ++r) {
    const Matrix got = loaded(DType::f32, shards_[r].d_weights);
    for (int w = 0; w < StreamPlan::kWeights; ++w) {
      const auto which = static_cast<Weight>(w);
      const std::int64_t first = plan_.offset(which);
      hold(fmt::format("{} on rank {}", kNames[w], r), got.data() + first, exact.d_weights.data() + first,
           naive.d_weights.data() + first, plan_.size(which), check);
    }
  }
  return check;
}

}  // namespace assay::parallelism
