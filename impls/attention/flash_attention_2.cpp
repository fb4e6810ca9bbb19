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
// Here a tile is 32 queries in the vector lanes (see substrate/simd/tile_kernels.h) and a task is up to eight of them:
// S^T and P^T of one tile and one key block stay in L1, the O^T of the task and the key block in L2.
#include <algorithm>
#include <memory>
#include <numbers>

#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

constexpr int kKeyBlock = 256;

// B_r of a task in tiles: a key block is fetched once for all of them, so as many as leave every thread four tasks to
// balance.
int tiles_a_task(const Problem& problem, const Shape& shape, int threads) {
  const std::int64_t heads = static_cast<std::int64_t>(problem.batch) * problem.heads;
  int tiles = 8;
  while (tiles > 1 && heads * (shape.query_tiles / tiles) < 4LL * threads) tiles /= 2;
  return tiles;
}

struct Workspace {
  substrate::ForkJoin pool;
  PackedKeys packed;
  std::vector<QueryTile> tiles;  // those of a task, for each thread
  std::vector<ScoreTile> scores;

  Workspace(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape, int threads,
            int tiles_each)
      : pool(threads),
        packed(problem, kernels, shape),
        tiles(one_each<QueryTile>(threads * tiles_each, kernels, shape)),
        scores(one_each<ScoreTile>(threads, kernels, shape)) {}
};

}  // namespace

Kernel flash_attention_2(const Problem& problem, const Execution& execution) {
  const auto& kernels = kernels_for(problem, execution);
  const Shape shape(problem, kernels, kKeyBlock);
  const int a_task = tiles_a_task(problem, shape, execution.threads);
  const auto work = std::make_shared<Workspace>(problem, kernels, shape, execution.threads, a_task);
  const int tasks_a_head = (shape.query_tiles + a_task - 1) / a_task;

  return [=, &kernels](const Tensors& tensors) {
    work->packed.pack(tensors, work->pool);
    const float c = problem.scale * std::numbers::log2e_v<float>;
    const std::int64_t tasks = static_cast<std::int64_t>(problem.batch) * problem.heads * tasks_a_head;
    work->pool.run(tasks, [&](std::int64_t task, int worker) {
      const int b = static_cast<int>(task / tasks_a_head / problem.heads);
      const int h = static_cast<int>(task / tasks_a_head % problem.heads);
      const int kv = problem.kv_head(h);
      const int first_tile = (tasks_a_head - 1 - static_cast<int>(task % tasks_a_head)) * a_task;  // longest first
      const int end_tile = std::min(shape.query_tiles, first_tile + a_task);
      QueryTile* const tiles = work->tiles.data() + static_cast<std::ptrdiff_t>(worker) * a_task;
      ScoreTile& score = work->scores[static_cast<std::size_t>(worker)];
      const substrate::TileTask task_on_tiles(kernels);

      for (int i = first_tile; i < end_tile; ++i)
        tiles[i - first_tile].start(kernels, shape, problem, tensors, b, h, i);
      for (int j = 0; j < shape.key_blocks; ++j) {
        const int first_key = j * shape.key_block;
        for (int i = first_tile; i < end_tile; ++i) {
          const int keys = shape.keys_taken(j, tile_visible(problem, i));
          if (keys == 0) continue;
          QueryTile& tile = tiles[i - first_tile];
          kernels.product(work->packed.keys(b, kv, j), shape.depth, tile.q.data(), keys, shape.depth, score.s.data());
          if (partial(problem, i * kTileQueries, first_key, keys)) {
            mask(problem, i * kTileQueries, first_key, keys, score.s.data());
          }
          kernels.column_max(score.s.data(), keys, c, tile.m, tile.alpha);
          kernels.softmax_block(score.s.data(), keys, c, tile.m, tile.alpha, tile.l, score.p.data());
          kernels.scaled_product_add(work->packed.values(b, kv, j), shape.key_block, score.p.data(), shape.columns,
                                     keys, tile.alpha, tile.o.data());
        }
        if (first_key >= tile_visible(problem, end_tile - 1)) break;
      }
      for (int i = first_tile; i < end_tile; ++i) {
        const QueryTile& tile = tiles[i - first_tile];
        finish(problem, tensors, b, h, i, tile.o.data(), tile.m, tile.l);
      }
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
