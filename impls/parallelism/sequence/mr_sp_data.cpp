#include "impls/parallelism/sequence/mr_sp_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "impls/parallelism/sequence/decoder_data.h"
#include "impls/parallelism/sequence/dtype_rule.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/parallelism/sequence/transformer_oracle.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using Matrix = std::vector<double>;
using Weight = StreamPlan::Weight;

TransformerInputs layer_of(const StreamPlan& plan, const Matrix& weights, Matrix x) {
  return layer_inputs(plan, weights, 0, plan.problem.length, plan.problem.batch, std::move(x));
}

// [a][b][width] to [b][a][width].
Matrix exchanged(const Matrix& from, std::int64_t a, std::int64_t b, std::int64_t width) {
  Matrix to(from.size());
  for (std::int64_t i = 0; i < a; ++i)
    for (std::int64_t j = 0; j < b; ++j)
      std::copy_n(from.begin() + (i * b + j) * width, width, to.begin() + (j * a + i) * width);
  return to;
}

}  // namespace

MrSpData::MrSpData(MrSpPlan plan, std::optional<int> only)
    : plan_(std::move(plan)), shards_(static_cast<std::size_t>(plan_.problem.ranks)) {
  const VideoProblem& p = plan_.problem;
  const auto words = static_cast<std::size_t>(p.rollouts) * static_cast<std::size_t>(p.response);
  words_.resize(words);
  advantages_.resize(static_cast<std::size_t>(p.rollouts));
  for (int r = 0; r < p.ranks; ++r) {
    if (only.value_or(r) != r) continue;
    Shard& shard = shards_[static_cast<std::size_t>(r)];
    shard.policy.resize(words * 4);
    shard.reference.resize(words * 4);
    shard.d_weights.resize(at(plan_.decoder.weights() * 4));
  }
}

void MrSpData::draw(std::uint64_t seed) {
  expected_.reset();
  const VideoProblem& p = plan_.problem;
  substrate::Random random(seed);
  const std::int64_t h = plan_.decoder.hidden;
  const auto give = [&](Tensor& tensor, Matrix drawn) {
    tensor.stored = packed(drawn, p.dtype);
    tensor.drawn = std::move(drawn);
  };
  give(frames_, drawn_normal(random, p.video_tokens() * h, 1, p.dtype));
  give(responses_, drawn_normal(random, static_cast<std::int64_t>(words_.size()) * h, 1, p.dtype));
  give(encoder_, drawn_weights(random, plan_.encoder));
  give(policy_, drawn_weights(random, plan_.decoder));
  give(reference_, drawn_weights(random, plan_.decoder));
  for (std::int32_t& word : words_) word = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(p.vocab)));
  for (float& advantage : advantages_) advantage = static_cast<float>(random.normal());
}

MrSpMemory MrSpData::memory(int rank) {
  Shard& shard = shards_[static_cast<std::size_t>(rank)];
  const std::int64_t token = plan_.decoder.bytes(plan_.decoder.hidden);
  const std::int64_t first =
      plan_.parallel_encode() ? std::int64_t{plan_.first_frame(rank)} * plan_.problem.frame_tokens : 0;
  return {.frames = frames_.stored.data() + first * token,
          .responses = responses_.stored.data(),
          .encoder = encoder_.stored.data(),
          .policy = policy_.stored.data(),
          .reference = reference_.stored.data(),
          .words = words_.data(),
          .advantages = advantages_.data(),
          .policy_logp = shard.policy.data(),
          .reference_logp = shard.reference.data(),
          .d_weights = shard.d_weights.data()};
}

std::vector<std::span<std::byte>> MrSpData::outputs_of(int rank) {
  Shard& shard = shards_[static_cast<std::size_t>(rank)];
  return {shard.policy, shard.reference, shard.d_weights};
}

std::vector<harness::Output> MrSpData::outputs() {
  std::vector<harness::Output> all;
  for (std::size_t r = 0; r < shards_.size(); ++r) {
    if (shards_[r].policy.empty()) continue;
    all.push_back({fmt::format("log p of the policy on rank {}", r), shards_[r].policy});
    all.push_back({fmt::format("log p of the reference on rank {}", r), shards_[r].reference});
    all.push_back({fmt::format("gradients of the weights on rank {}", r), shards_[r].d_weights});
  }
  return all;
}

// float64, or float32 with what is stored rounded to the dtype.
template <class Sum>
MrSpData::Result MrSpData::whole() const {
  constexpr bool exact = sizeof(Sum) == 8;
  const VideoProblem& p = plan_.problem;
  const auto layer = [&](const TransformerInputs& in) {
    return exact ? transformer_exact(in) : transformer_naive(in, p.dtype);
  };
  const auto stored = [&](Sum value) -> Sum {
    if (exact || p.dtype == DType::f32) return value;
    return static_cast<Sum>(substrate::to_float(substrate::to_bf16(static_cast<float>(value))));
  };
  const std::int64_t h = plan_.decoder.hidden, words = p.vocab, video = p.video_tokens();
  // Frames are the batch of the encoder: [F][p][h] to its [p][F][h] and back.
  const Matrix embeddings =
      exchanged(layer(layer_of(plan_.encoder, encoder_.drawn, exchanged(frames_.drawn, p.frames, p.frame_tokens, h))).z,
                p.frame_tokens, p.frames, h);
  Result result;
  result.d_weights.resize(at(plan_.decoder.weights()));
  const std::int64_t head = plan_.decoder.offset(Weight::head);
  for (int g = 0; g < p.rollouts; ++g) {
    Matrix x = embeddings;
    const auto response = responses_.drawn.begin() + std::int64_t{g} * p.response * h;
    x.insert(x.end(), response, response + p.response * h);
    // Probabilities of the words after each row that predicts one, and their logarithms.
    const auto speak = [&](const Matrix& z, const Matrix& weights, std::vector<Sum>& probabilities, Matrix& logp) {
      for (int t = 0; t < p.response; ++t) {
        std::vector<Sum> row(at(words));
        for (std::int64_t c = 0; c < h; ++c)
          for (std::int64_t w = 0; w < words; ++w)
            row[at(w)] +=
                static_cast<Sum>(z[at((video - 1 + t) * h + c)]) * static_cast<Sum>(weights[at(head + c * words + w)]);
        const Sum top = *std::ranges::max_element(row);
        Sum total = 0;
        for (const Sum each : row) total += std::exp(each - top);
        const auto word = words_[at(std::int64_t{g} * p.response + t)];
        logp.push_back(static_cast<double>(row[at(word)] - top - std::log(total)));
        for (const Sum each : row) probabilities.push_back(std::exp(each - top) / total);
      }
    };
    std::vector<Sum> of_policy, of_reference;
    Matrix other;
    speak(layer(layer_of(plan_.decoder, reference_.drawn, x)).z, reference_.drawn, of_reference, other);
    TransformerInputs policy = layer_of(plan_.decoder, policy_.drawn, x);
    const Matrix z = layer(policy).z;
    Matrix own;
    speak(z, policy_.drawn, of_policy, own);

    policy.dz.assign(x.size(), 0);
    Matrix dw(at(plan_.decoder.size(Weight::head)));
    std::vector<Sum> sums(dw.size());
    for (int t = 0; t < p.response; ++t) {
      const Sum pull = static_cast<Sum>(kDivergence) * (1 - std::exp(static_cast<Sum>(other[at(t)] - own[at(t)])));
      const Sum share = -(static_cast<Sum>(advantages_[at(g)]) - pull) / static_cast<Sum>(p.rollouts * p.response);
      std::vector<Sum> d(at(words));
      for (std::int64_t w = 0; w < words; ++w) {
        const bool spoken = words_[at(std::int64_t{g} * p.response + t)] == w;
        d[at(w)] = stored(share * ((spoken ? 1 : 0) - of_policy[at(t * words + w)]));
      }
      for (std::int64_t c = 0; c < h; ++c) {
        Sum back = 0;
        for (std::int64_t w = 0; w < words; ++w) {
          back += d[at(w)] * static_cast<Sum>(policy_.drawn[at(head + c * words + w)]);
          sums[at(c * words + w)] += d[at(w)] * static_cast<Sum>(z[at((video - 1 + t) * h + c)]);
        }
        policy.dz[at((video - 1 + t) * h + c)] = static_cast<double>(stored(back));
      }
    }
    std::ranges::copy(sums, dw.begin());
    const TransformerOutputs back = layer(policy);
    add_gradients(plan_.decoder, 0, back, result.d_weights);
    add_gradient(plan_.decoder, 0, Weight::head, dw, result.d_weights);
    result.policy.insert(result.policy.end(), own.begin(), own.end());
    result.reference.insert(result.reference.end(), other.begin(), other.end());
  }
  return result;
}

void MrSpData::refer(std::uint64_t /*seed*/) const {
  expected_ = std::make_shared<const Reference>(Reference{whole<double>(), whole<float>()});
}

harness::Check MrSpData::compare(std::uint64_t seed) const {
  if (!expected_) refer(seed);
  const Result &exact = expected_->exact, &naive = expected_->naive;
  harness::Check check{.error = 0, .coverage = 1, .detail = {}};
  // Each word is on one rank, zero on the others.
  Matrix policy(words_.size()), reference(words_.size());
  for (const Shard& shard : shards_) {
    const Matrix own = unpacked(shard.policy, DType::f32), other = unpacked(shard.reference, DType::f32);
    for (std::size_t i = 0; i < policy.size(); ++i) {
      policy[i] += own[i];
      reference[i] += other[i];
    }
  }
  const auto words = static_cast<std::int64_t>(words_.size());
  hold("log p of the policy", policy.data(), exact.policy.data(), naive.policy.data(), words, check,
       least_of_few(plan_.problem.dtype));
  hold("log p of the reference", reference.data(), exact.reference.data(), naive.reference.data(), words, check,
       least_of_few(plan_.problem.dtype));
  for (std::size_t r = 0; r < shards_.size(); ++r)
    hold_gradients(plan_.decoder, r, unpacked(shards_[r].d_weights, DType::f32), exact.d_weights, naive.d_weights,
                   check, least_of_few(plan_.problem.dtype));
  return check;
}

}  // namespace assay::parallelism
