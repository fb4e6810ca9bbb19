// Naive attention: softmax attention with the score matrix written to memory, the baseline of every paper here.
//
//   S = Q K^T                       one matrix product, N x M scores to memory
//   P = softmax(scale * S + mask)   three passes over them: maximum; exponential and sum; division
//   O = P V                         one matrix product, N x M weights from memory
//
// Why it is slow: 4 N M d FLOPs move at least (4 + 4 + e) N M bytes of S and P, so past the caches memory decides; and
// the memory needed grows with N M. It is an honest baseline: both products run at the speed of the tile kernels, the
// three passes are vectorised, blocks beyond the causal diagonal are skipped, and each thread keeps the scores of one
// head only.
#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <numbers>

#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

constexpr int kKeyBlock = 256;  // blocks of the packed operands only; the passes run over whole rows

// The scores of one head, for one thread.
struct Scores {
  substrate::AlignedBuffer<float> s;      // S^T of all its query tiles: [tile][key][32]
  substrate::AlignedBuffer<std::byte> p;  // P^T, in the operand form of the second product
  std::vector<std::array<float, kTileQueries>> m, l;

  Scores(const substrate::TileKernels& kernels, const Shape& shape)
      : s(static_cast<std::size_t>(shape.padded_keys()) * kTileQueries * shape.query_tiles),
        p(s.size() * size_of(kernels.operand)),
        m(static_cast<std::size_t>(shape.query_tiles)),
        l(m.size()) {}
};

struct Workspace {
  substrate::ForkJoin pool;
  PackedKeys packed;
  std::vector<QueryTile> tiles;
  std::vector<Scores> scores;

  Workspace(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape, int threads)
      : pool(threads),
        packed(problem, kernels, shape),
        tiles(one_each<QueryTile>(threads, kernels, shape)),
        scores(one_each<Scores>(threads, kernels, shape)) {}
};

}  // namespace

Kernel naive_attention(const Problem& problem, const Execution& execution) {
  const auto& kernels = kernels_for(problem, execution);
  const Shape shape(problem, kernels, kKeyBlock);
  const std::int64_t tile_scores = static_cast<std::int64_t>(shape.padded_keys()) * kTileQueries;
  const auto work = std::make_shared<Workspace>(problem, kernels, shape, execution.threads);

  return [=, &kernels](const Tensors& tensors) {
    work->packed.pack(tensors, work->pool);
    const float c = problem.scale * std::numbers::log2e_v<float>;
    work->pool.run(static_cast<std::int64_t>(problem.batch) * problem.heads, [&](std::int64_t task, int worker) {
      const int b = static_cast<int>(task / problem.heads);
      const int h = static_cast<int>(task % problem.heads);
      const int kv = problem.kv_head(h);
      QueryTile& tile = work->tiles[static_cast<std::size_t>(worker)];
      Scores& scores = work->scores[static_cast<std::size_t>(worker)];
      const substrate::TileTask task_on_tiles(kernels);
      const auto s_of = [&](int i) { return scores.s.data() + i * tile_scores; };
      const auto p_of = [&](int i) { return scores.p.data() + i * tile_scores * size_of(kernels.operand); };

      for (int i = 0; i < shape.query_tiles; ++i) {  // S = Q K^T
        tile.start(kernels, shape, problem, tensors, b, h, i);
        const int visible = tile_visible(problem, i);
        for (int j = 0; j < shape.key_blocks; ++j) {
          const int keys = shape.keys_taken(j, visible);
          if (keys == 0) break;
          float* s = s_of(i) + static_cast<std::int64_t>(j) * shape.key_block * kTileQueries;
          kernels.product(work->packed.keys(b, kv, j), shape.depth, tile.q.data(), keys, shape.depth, s);
        }
      }
      for (int i = 0; i < shape.query_tiles; ++i) {  // P = softmax(S)
        const int rows = substrate::round_up(tile_visible(problem, i), shape.grain);
        if (partial(problem, i * kTileQueries, 0, rows)) mask(problem, i * kTileQueries, 0, rows, s_of(i));
        std::fill_n(tile.m, kTileQueries, -std::numeric_limits<float>::infinity());
        std::fill_n(tile.l, kTileQueries, 0.0F);
        kernels.column_max(s_of(i), rows, c, tile.m, tile.alpha);
        kernels.exponentials(s_of(i), rows, c, tile.m, tile.l);
        for (int lane = 0; lane < kTileQueries; ++lane) tile.alpha[lane] = tile.l[lane] > 0 ? 1 / tile.l[lane] : 0;
        kernels.pack_scaled(s_of(i), rows, tile.alpha, p_of(i));
        std::copy_n(tile.m, kTileQueries, scores.m[static_cast<std::size_t>(i)].data());
        std::copy_n(tile.l, kTileQueries, scores.l[static_cast<std::size_t>(i)].data());
      }
      std::fill_n(tile.alpha, kTileQueries, 1.0F);
      for (int i = 0; i < shape.query_tiles; ++i) {  // O = P V
        std::fill_n(tile.o.data(), tile.o.size(), 0.0F);
        const int visible = tile_visible(problem, i);
        for (int j = 0; j < shape.key_blocks; ++j) {
          const int keys = shape.keys_taken(j, visible);
          if (keys == 0) break;
          const std::byte* p =
              p_of(i) + static_cast<std::int64_t>(j) * shape.key_block * kTileQueries * size_of(kernels.operand);
          kernels.scaled_product_add(work->packed.values(b, kv, j), shape.key_block, p, shape.columns, keys, tile.alpha,
                                     tile.o.data());
        }
        finish(problem, tensors, b, h, i, tile.o.data(), scores.m[static_cast<std::size_t>(i)].data(),
               scores.l[static_cast<std::size_t>(i)].data(), Normalised::yes);
      }
    });
  };
}

namespace {

double issued(const Problem& problem, const Execution& execution) {
  return issued_flops(problem, Shape(problem, kernels_for(problem, execution), kKeyBlock));
}

const harness::Registration registration({
    .id = "attention/naive-attention",
    .title = "Naive attention (scores materialised)",
    .paper = "baseline",
    .summary = "Q K^T, softmax and P V as three steps through memory",
    .implementations = {{.axes = axes(),
                         .run = [](harness::State& state) { run(state, naive_attention, issued); },
                         .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::attention
