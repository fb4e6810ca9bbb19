#include "impls/parallelism/sequence/streambp_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "impls/parallelism/sequence/decoder_data.h"
#include "impls/parallelism/sequence/dtype_rule.h"
#include "impls/parallelism/sequence/head_oracle.h"
#include "impls/parallelism/sequence/transformer_oracle.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using Matrix = std::vector<double>;
using Weight = StreamPlan::Weight;

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

constexpr double kUncounted = 0.1;
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
  drawn_weights_ = drawn_weights(random, plan_);
  weights_ = packed(drawn_weights_, dtype);
  counted_ = 0;
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    Shard& shard = shards_[index(r)];
    shard.drawn = drawn_normal(random, plan_.rows(r) * plan_.hidden, 1, dtype);
    if (!shard.x.empty()) shard.x = packed(shard.drawn, dtype);
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

StreamData::Result StreamData::whole(bool exact) const {
  const SequenceProblem& p = plan_.problem;
  const auto layer = [&](const TransformerInputs& in) {
    return exact ? transformer_exact(in) : transformer_naive(in, p.dtype);
  };
  // What goes from layer to layer, as it is stored.
  const auto between = [&](const Matrix& values) {
    return exact ? values : unpacked(packed(values, p.dtype), p.dtype);
  };
  const Matrix head = weight_of(plan_, drawn_weights_, Weight::head);
  Result all;
  all.d_weights.resize(index(plan_.weights()));
  for (int r = 0; r < p.ranks; ++r) {
    const Shard& shard = shards_[index(r)];
    if (plan_.rows(r) == 0) continue;
    std::vector<TransformerInputs> layers;
    Matrix z = shard.drawn;
    for (int each = 0; each < plan_.layers; ++each) {
      layers.push_back(layer_inputs(plan_, drawn_weights_, each, plan_.tokens(r), p.batch, std::move(z)));
      z = layer(layers.back()).z;
    }
    const HeadInputs on_top{.rows = plan_.rows(r),
                            .hidden = plan_.hidden,
                            .vocab = plan_.vocab,
                            .counted = counted_,
                            .z = z,
                            .w = head,
                            .next = shard.next};
    const HeadOutputs of_head = exact ? head_exact(on_top) : head_naive(on_top, p.dtype);
    all.loss += of_head.loss;
    add_gradient(plan_, 0, Weight::head, of_head.dw, all.d_weights);
    Matrix down = of_head.dz;
    for (int each = plan_.layers - 1; each >= 0; --each) {
      layers[index(each)].dz = between(down);
      const TransformerOutputs of_layer = layer(layers[index(each)]);
      add_gradients(plan_, each, of_layer, all.d_weights);
      down = of_layer.dx;
    }
    append(all.z, z);
    append(all.dx, down);
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
    append(z, unpacked(shard.z, plan_.problem.dtype));
    append(dx, unpacked(shard.dx, DType::f32));
    loss += unpacked(shard.loss, DType::f32).front();
  }
  const auto elements = static_cast<std::int64_t>(z.size());
  hold("z", z.data(), exact.z.data(), naive.z.data(), elements, check);
  hold("dx", dx.data(), exact.dx.data(), naive.dx.data(), elements, check);
  hold("the loss", &loss, &exact.loss, &naive.loss, 1, check, least_of_few(plan_.problem.dtype));
  for (std::size_t r = 0; r < shards_.size(); ++r)
    hold_gradients(plan_, r, unpacked(shards_[r].d_weights, DType::f32), exact.d_weights, naive.d_weights, check,
                   kLeast);
  return check;
}

}  // namespace assay::parallelism
