#include "impls/attention/tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "impls/substrate/simd/packing.h"

namespace assay::attention {

using substrate::round_up;
using substrate::TileKernels;

namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

substrate::Rows rows_of(const substrate::View& view, int b, int h, int first, int rows, int columns) {
  return {view.at(b, h, first), view.dtype, view.row, rows, columns};
}

}  // namespace

const TileKernels& kernels_for(const Problem& problem, const Execution& execution) {
  if (execution.emulate) return substrate::emulated_amx_kernels();
  return substrate::tile_kernels(execution.isa, problem.dtype);
}

Shape::Shape(const Problem& problem, const TileKernels& kernels, int block)
    : depth(round_up(problem.head_dim, kernels.depth_grain)),
      columns(round_up(problem.head_dim, kernels.row_grain)),
      grain(std::max(kernels.row_grain, kernels.depth_grain)),
      key_block(std::min(round_up(block, grain), std::max(grain, round_up(problem.keys, grain)))),
      key_blocks((problem.keys + key_block - 1) / key_block),
      query_tiles((problem.queries + kTileQueries - 1) / kTileQueries) {}

int Shape::keys_taken(int block, int visible) const {
  return round_up(std::clamp(visible - block * key_block, 0, key_block), grain);
}

int tile_rows(const Problem& problem, int tile) {
  return std::min(kTileQueries, problem.queries - tile * kTileQueries);
}

int tile_visible(const Problem& problem, int tile) {
  return problem.visible(tile * kTileQueries + tile_rows(problem, tile) - 1);
}

double issued_flops(const Problem& problem, const Shape& shape) {
  double keys = 0;
  for (int tile = 0; tile < shape.query_tiles; ++tile) {
    const int visible = tile_visible(problem, tile);
    for (int block = 0; block < shape.key_blocks; ++block) keys += shape.keys_taken(block, visible);
  }
  return 2.0 * keys * kTileQueries * (shape.depth + shape.columns) * problem.heads * problem.batch;
}

PackedKeys::PackedKeys(const Problem& problem, const TileKernels& kernels, const Shape& shape)
    : problem_(problem),
      kernels_(kernels),
      shape_(shape),
      key_bytes_(static_cast<std::int64_t>(shape.key_block) * shape.depth * size_of(kernels.operand)),
      value_bytes_(static_cast<std::int64_t>(shape.columns) * shape.key_block * size_of(kernels.operand)) {
  const std::int64_t blocks = static_cast<std::int64_t>(problem.batch) * problem.kv_heads * shape.key_blocks;
  keys_ = substrate::AlignedBuffer<std::byte>(static_cast<std::size_t>(blocks * key_bytes_));
  values_ = substrate::AlignedBuffer<std::byte>(static_cast<std::size_t>(blocks * value_bytes_));
}

void PackedKeys::pack(const Tensors& tensors, substrate::ForkJoin& pool) {
  const std::int64_t per_batch = static_cast<std::int64_t>(problem_.kv_heads) * shape_.key_blocks;
  pool.run(problem_.batch * per_batch, [&](std::int64_t i, int) {
    const int b = static_cast<int>(i / per_batch);
    const int kv = static_cast<int>(i % per_batch / shape_.key_blocks);
    const int block = static_cast<int>(i % shape_.key_blocks);
    const int first = block * shape_.key_block;
    const int rows = std::min(shape_.key_block, problem_.keys - first);
    substrate::pack_keys(kernels_, rows_of(tensors.k, b, kv, first, rows, problem_.head_dim), shape_.key_block,
                         shape_.depth, keys_.data() + i * key_bytes_);
    substrate::pack_values(kernels_, rows_of(tensors.v, b, kv, first, rows, problem_.head_dim), shape_.columns,
                           shape_.key_block, shape_.key_block, values_.data() + i * value_bytes_);
  });
}

QueryTile::QueryTile(const TileKernels& kernels, const Shape& shape)
    : q(static_cast<std::size_t>(shape.depth) * kTileQueries * size_of(kernels.operand)),
      o(static_cast<std::size_t>(shape.columns) * kTileQueries) {}

ScoreTile::ScoreTile(const TileKernels& kernels, const Shape& shape)
    : s(static_cast<std::size_t>(shape.key_block) * kTileQueries),
      p(static_cast<std::size_t>(shape.key_block) * kTileQueries * size_of(kernels.operand)) {}

void QueryTile::load_queries(const TileKernels& kernels, const Shape& shape, const Problem& problem,
                             const Tensors& tensors, int b, int h, int tile) {
  substrate::pack_queries(kernels,
                          rows_of(tensors.q, b, h, tile * kTileQueries, tile_rows(problem, tile), problem.head_dim),
                          shape.depth, q.data());
}

void QueryTile::start(const TileKernels& kernels, const Shape& shape, const Problem& problem, const Tensors& tensors,
                      int b, int h, int tile) {
  load_queries(kernels, shape, problem, tensors, b, h, tile);
  std::fill_n(o.data(), o.size(), 0.0F);
  std::fill_n(m, kTileQueries, kMinusInfinity);
  std::fill_n(l, kTileQueries, 0.0F);
}

void mask(const Problem& problem, int first_query, int first_key, int rows, float* s) {
  int limit[kTileQueries];  // keys of this range that each lane sees
  for (int lane = 0; lane < kTileQueries; ++lane) {
    const int row = std::min(first_query + lane, problem.queries - 1);
    limit[lane] = problem.visible(row) - first_key;
  }
  // Every lane sees the keys that the first one sees.
  for (int j = std::max(limit[0], 0); j < rows; ++j) {
    float* line = s + static_cast<std::int64_t>(j) * kTileQueries;
    for (int lane = 0; lane < kTileQueries; ++lane) line[lane] = j < limit[lane] ? line[lane] : kMinusInfinity;
  }
}

bool partial(const Problem& problem, int first_query, int first_key, int rows) {
  return problem.visible(first_query) < first_key + rows;
}

void finish(const Problem& problem, const Tensors& tensors, int b, int h, int tile, const float* o, const float* m,
            const float* l, Normalised normalised) {
  const int rows = tile_rows(problem, tile);
  const int first = tile * kTileQueries;
  float scale[kTileQueries];
  substrate::Row to[kTileQueries];
  for (int lane = 0; lane < rows; ++lane) {
    const bool seen = l[lane] > 0;
    scale[lane] = !seen ? 0.0F : normalised == Normalised::yes ? 1.0F : 1.0F / l[lane];
    to[lane] = tensors.o.at(b, h, first + lane);
    tensors.lse_at(problem, b, h, first + lane) = seen ? m[lane] * problem.scale + std::log(l[lane]) : kMinusInfinity;
  }
  substrate::unpack_output(o, scale, rows, problem.head_dim, to, problem.dtype);
}

}  // namespace assay::attention
