// FlashAttention, forward (arXiv 2205.14135, Algorithm 1): the first exact attention that never writes the score
// matrix.
//
//   for each key block j:                        K_j, V_j stay in fast memory
//     for each query tile i that sees it:
//       load Q_i, O_i, l_i, m_i
//       S = Q_i K_j^T;  m~ = rowmax S;  m' = max(m_i, m~)
//       P = 2^(S c - m' c);  l' = 2^((m_i - m') c) l_i + rowsum P
//       O_i = diag(l')^-1 (diag(l_i) 2^((m_i - m') c) O_i + P V_j)
//       write back O_i, l_i = l', m_i = m'
//
// Why it is fast: memory traffic falls from N M scores to O(N M d^2 / cache). Why version 2 is faster: with the keys
// outside, O_i, l_i and m_i travel through memory once a key block, O is divided in every block, and only whole heads
// run in parallel. The paper's block sizes: B_c = ceil(cache / 4d) keys; the cache here is the L2.
#include <algorithm>
#include <memory>
#include <numbers>

#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

// Paper, Algorithm 1 line 1: B_c = ceil(cache / (4 d)) elements, for 256 KiB of fast memory in bf16 at d = 128.
constexpr int kKeyBlock = 256;

// What the algorithm keeps in memory for every query tile of a head: O_i (normalised), l_i, m_i.
struct Running {
  substrate::AlignedBuffer<float> o, l, m;

  explicit Running(const Shape& shape)
      : o(static_cast<std::size_t>(shape.query_tiles) * shape.columns * kTileQueries),
        l(static_cast<std::size_t>(shape.query_tiles) * kTileQueries),
        m(l.size()) {}
};

struct Workspace {
  substrate::ForkJoin pool;
  PackedKeys packed;
  std::vector<QueryTile> tiles;
  std::vector<ScoreTile> scores;
  std::vector<Running> running;

  Workspace(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape, int threads)
      : pool(threads),
        packed(problem, kernels, shape),
        tiles(one_each<QueryTile>(threads, kernels, shape)),
        scores(one_each<ScoreTile>(threads, kernels, shape)),
        running(one_each<Running>(threads, shape)) {}
};

}  // namespace

Kernel flash_attention_1(const Problem& problem, const Execution& execution) {
  const auto& kernels = kernels_for(problem, execution);
  const Shape shape(problem, kernels, kKeyBlock);
  const auto work = std::make_shared<Workspace>(problem, kernels, shape, execution.threads);

  return [=, &kernels](const Tensors& tensors) {
    work->packed.pack(tensors, work->pool);
    const float c = problem.scale * std::numbers::log2e_v<float>;
    work->pool.run(static_cast<std::int64_t>(problem.batch) * problem.heads, [&](std::int64_t task, int worker) {
      const int b = static_cast<int>(task / problem.heads);
      const int h = static_cast<int>(task % problem.heads);
      const int kv = problem.kv_head(h);
      QueryTile& tile = work->tiles[static_cast<std::size_t>(worker)];
      ScoreTile& score = work->scores[static_cast<std::size_t>(worker)];
      Running& running = work->running[static_cast<std::size_t>(worker)];
      const substrate::TileTask task_on_tiles(kernels);
      const auto o_of = [&](int i) {
        return running.o.data() + static_cast<std::int64_t>(i) * shape.columns * kTileQueries;
      };
      const auto l_of = [&](int i) { return running.l.data() + static_cast<std::int64_t>(i) * kTileQueries; };
      const auto m_of = [&](int i) { return running.m.data() + static_cast<std::int64_t>(i) * kTileQueries; };

      std::fill_n(running.o.data(), running.o.size(), 0.0F);
      std::fill_n(running.l.data(), running.l.size(), 0.0F);
      std::fill_n(running.m.data(), running.m.size(), -std::numeric_limits<float>::infinity());
      for (int j = 0; j < shape.key_blocks; ++j) {
        const int first_key = j * shape.key_block;
        for (int i = 0; i < shape.query_tiles; ++i) {
          const int keys = shape.keys_taken(j, tile_visible(problem, i));
          if (keys == 0) continue;
          float* o = o_of(i);
          float* l = l_of(i);
          tile.load_queries(kernels, shape, problem, tensors, b, h, i);
          kernels.product(work->packed.keys(b, kv, j), shape.depth, tile.q.data(), keys, shape.depth, score.s.data());
          if (partial(problem, i * kTileQueries, first_key, keys)) {
            mask(problem, i * kTileQueries, first_key, keys, score.s.data());
          }
          kernels.column_max(score.s.data(), keys, c, m_of(i), tile.alpha);
          std::copy_n(l, kTileQueries, tile.l);
          kernels.softmax_block(score.s.data(), keys, c, m_of(i), tile.alpha, l, score.p.data());
          // diag(l_i) 2^((m - m') c) O_i + P V_j, then diag(l')^-1 of it: O_i is whole again after every block.
          for (int lane = 0; lane < kTileQueries; ++lane) tile.alpha[lane] *= tile.l[lane];
          kernels.scaled_product_add(work->packed.values(b, kv, j), shape.key_block, score.p.data(), shape.columns,
                                     keys, tile.alpha, o);
          for (int lane = 0; lane < kTileQueries; ++lane) tile.alpha[lane] = l[lane] > 0 ? 1 / l[lane] : 0;
          for (int column = 0; column < shape.columns; ++column) {
            for (int lane = 0; lane < kTileQueries; ++lane) o[column * kTileQueries + lane] *= tile.alpha[lane];
          }
        }
      }
      for (int i = 0; i < shape.query_tiles; ++i) {
        finish(problem, tensors, b, h, i, o_of(i), m_of(i), l_of(i), Normalised::yes);
      }
    });
  };
}

namespace {

double issued(const Problem& problem, const Execution& execution) {
  return issued_flops(problem, Shape(problem, kernels_for(problem, execution), kKeyBlock));
}

const harness::Registration registration({
    .id = "attention/flash-attention-1",
    .title = "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness",
    .paper = "arXiv 2205.14135",
    .summary = "tiled online softmax, keys outside, output rewritten for every key block",
    .implementations = {{.axes = axes(),
                         .run = [](harness::State& state) { run(state, flash_attention_1, issued); },
                         .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::attention
