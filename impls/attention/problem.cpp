#include "impls/attention/problem.h"

#include <algorithm>
#include <cmath>

#include "impls/attention/rows_in_parallel.h"
#include "impls/substrate/random.h"

namespace assay::attention {

int Problem::visible(int row) const {
  if (!causal) return keys;
  return std::clamp(row + diagonal + 1, 0, keys);
}

std::int64_t Problem::pairs() const {
  if (!causal) return static_cast<std::int64_t>(queries) * keys;
  std::int64_t sum = 0;
  for (int row = 0; row < queries; ++row) sum += visible(row);
  return sum;
}

double Problem::flops() const { return 2.0 * static_cast<double>(pairs()) * (2.0 * head_dim) * heads * batch; }

double Problem::exps() const { return static_cast<double>(pairs()) * heads * batch; }

double Problem::least_bytes() const {
  const double q_and_o = 2.0 * batch * heads * static_cast<double>(queries) * head_dim;
  const double k_and_v = 2.0 * batch * kv_heads * static_cast<double>(keys) * head_dim;
  return substrate::size_of(dtype) * (q_and_o + k_and_v) + 4.0 * batch * heads * static_cast<double>(queries);
}

Problem aligned(Problem problem) {
  problem.scale = 1.0F / std::sqrt(static_cast<float>(problem.head_dim));
  problem.diagonal = problem.keys - problem.queries;
  return problem;
}

namespace {

substrate::AlignedBuffer<std::byte> buffer(const Problem& p, int heads, int rows) {
  return substrate::AlignedBuffer<std::byte>(static_cast<std::size_t>(p.batch) * heads * rows * p.head_dim *
                                             substrate::size_of(p.dtype));
}

substrate::View view(const Problem& p, substrate::AlignedBuffer<std::byte>& buffer, int heads, int rows) {
  const std::int64_t head = static_cast<std::int64_t>(rows) * p.head_dim;
  return {buffer.data(), p.dtype, head * heads, head, p.head_dim};
}

}  // namespace

Storage::Storage(const Problem& p)
    : q_(buffer(p, p.heads, p.queries)),
      k_(buffer(p, p.kv_heads, p.keys)),
      v_(buffer(p, p.kv_heads, p.keys)),
      o_(buffer(p, p.heads, p.queries)),
      lse_(static_cast<std::size_t>(p.batch) * p.heads * p.queries),
      tensors_{view(p, q_, p.heads, p.queries), view(p, k_, p.kv_heads, p.keys), view(p, v_, p.kv_heads, p.keys),
               view(p, o_, p.heads, p.queries), lse_.data()} {}

void draw_tensor(const substrate::View& to, int batch, int heads, int rows, int columns, InputLaw law,
                 std::uint64_t seed) {
  in_parallel(std::int64_t{batch} * heads, [&](std::int64_t each) {
    const auto b = static_cast<int>(each / heads);
    const auto h = static_cast<int>(each % heads);
    substrate::Random random(seed + 0xd1342543de82ef95ULL * static_cast<std::uint64_t>(each + 1));
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        double value = random.normal();
        if (law == InputLaw::outlier && random.below(1000) == 0) value += 10.0 * random.normal();
        to.store(b, h, r, c, static_cast<float>(value));
      }
    }
  });
}

void draw_inputs(const Problem& p, InputLaw law, std::uint64_t seed, const Tensors& tensors) {
  substrate::Random of_tensors(seed);
  draw_tensor(tensors.q, p.batch, p.heads, p.queries, p.head_dim, law, of_tensors.bits());
  draw_tensor(tensors.k, p.batch, p.kv_heads, p.keys, p.head_dim, law, of_tensors.bits());
  draw_tensor(tensors.v, p.batch, p.kv_heads, p.keys, p.head_dim, law, of_tensors.bits());
}

}  // namespace assay::attention
