// FlashAttention-2, forward (arXiv 2307.08691, Algorithm 1): exact attention without the score matrix.
//
//   for each query tile Q_i, all independent:
//     O = 0, l = 0, m = -inf
//     for each key block j that the tile sees:
//       S = Q_i K_j^T                           masked scores to -inf (diagonal and last blocks only)
//       m' = max(m, rowmax S);  a = 2^((m - m') c)          c = scale * log2 e
//       P = 2^(S c - m' c);     l = a l + rowsum P
//       O = diag(a) O + P V_j;  m = m'
//     O_i = O / l;  LSE_i = m scale + ln l
//
// Why it is fast: scores never leave the caches, so work per byte from memory grows with the tile; against
// FlashAttention-1 the loops are swapped (O stays put, tiles run in parallel over the sequence too), O is divided once
// at the end, and one number a row is kept instead of two. Products are at the peak of the unit and the softmax is
// about a tenth of them at d = 128.
//
// Here a tile is 32 queries in the vector lanes (see substrate/simd/tile_kernels.h): S^T of a block (key_block x 32 x 4
// bytes), P^T and Q^T stay in L1, O^T and the key block in L2.
#include <algorithm>
#include <memory>
#include <numbers>

#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

constexpr int kKeyBlock = 128;

struct Workspace {
  substrate::ForkJoin pool;
  PackedKeys packed;
  std::vector<QueryTile> tiles;

  Workspace(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape, int threads)
      : pool(threads),
        packed(problem, kernels, shape),
        tiles(one_each<QueryTile>(threads, kernels, shape, shape.key_block)) {}
};

}  // namespace

Kernel flash_attention_2(const Problem& problem, const Execution& execution) {
  const auto& kernels = kernels_for(problem, execution);
  const Shape shape(problem, kernels, kKeyBlock);
  const auto work = std::make_shared<Workspace>(problem, kernels, shape, execution.threads);

  return [=, &kernels](const Tensors& tensors) {
    work->packed.pack(tensors, work->pool);
    const float c = problem.scale * std::numbers::log2e_v<float>;
    const std::int64_t tiles = static_cast<std::int64_t>(problem.batch) * problem.heads * shape.query_tiles;
    work->pool.run(tiles, [&](std::int64_t task, int worker) {
      const int b = static_cast<int>(task / shape.query_tiles / problem.heads);
      const int h = static_cast<int>(task / shape.query_tiles % problem.heads);
      const int kv = problem.kv_head(h);
      const int i =
          shape.query_tiles - 1 - static_cast<int>(task % shape.query_tiles);  // longest first under a causal mask
      const int visible = tile_visible(problem, i);
      QueryTile& tile = work->tiles[static_cast<std::size_t>(worker)];
      const substrate::TileTask task_on_tiles(kernels);

      tile.start(kernels, shape, problem, tensors, b, h, i);
      for (int j = 0; j < shape.key_blocks; ++j) {
        const int keys = shape.keys_taken(j, visible);
        if (keys == 0) break;
        const int first_key = j * shape.key_block;
        kernels.product(work->packed.keys(b, kv, j), shape.depth, tile.q.data(), keys, shape.depth, tile.s.data());
        if (partial(problem, i * kTileQueries, first_key, keys)) {
          mask(problem, i * kTileQueries, first_key, keys, tile.s.data());
        }
        kernels.column_max(tile.s.data(), keys, c, tile.m, tile.alpha);
        kernels.softmax_block(tile.s.data(), keys, c, tile.m, tile.alpha, tile.l, tile.p.data());
        kernels.scaled_product_add(work->packed.values(b, kv, j), shape.key_block, tile.p.data(), shape.columns, keys,
                                   tile.alpha, tile.o.data());
      }
      finish(problem, tensors, b, h, i, tile.o.data(), tile.m, tile.l);
    });
  };
}

namespace {

double issued(const Problem& problem, const Execution& execution) {
  return issued_flops(problem, Shape(problem, kernels_for(problem, execution), kKeyBlock));
}

const harness::Registration registration({
    .id = "attention/flash-attention-2",
    .title = "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning",
    .paper = "arXiv 2307.08691",
    .summary = "tiled online softmax, one task a query tile, output divided once",
    .implementations = {{.axes = axes(),
                         .run = [](harness::State& state) { run(state, flash_attention_2, issued); },
                         .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::attention
