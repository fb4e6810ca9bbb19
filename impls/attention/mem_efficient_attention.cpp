// Self-attention does not need O(n^2) memory (arXiv 2112.05682): attention by chunks of queries and keys.
//
//   for each chunk of queries:                           1024 of them, as in the paper's code
//     for each chunk of keys, each for itself:           4096 of them
//       m_k = rowmax S;  P = 2^(S c - m_k c);  l_k = rowsum P;  A_k = P V        S = Q K_k^T of the chunk, materialised
//     m = max_k m_k;  w_k = 2^((m_k - m) c)
//     O = sum_k w_k A_k / sum_k w_k l_k;  LSE = m scale + ln(sum_k w_k l_k)
//
// Why it is fast: memory falls from N M to one chunk of scores and the partial results. Why it is slower than
// FlashAttention: the scores of a chunk (1024 x 4096) do not fit the caches, and the partial results go through memory
// to be merged.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>

#include "impls/attention/registration.h"
#include "impls/attention/techniques.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

constexpr int kQueryChunk = 1024;
constexpr int kKeyChunk = 4096;
constexpr int kKeyBlock = 256;  // blocks of the packed operands only
constexpr int kTilesPerChunk = kQueryChunk / kTileQueries;
constexpr int kBlocksPerChunk = kKeyChunk / kKeyBlock;

struct Partial {
  std::array<float, kTileQueries> m, l;
};

// One chunk pair of scores, and the partial results of one query chunk against every key chunk, for one thread.
struct Chunk {
  int key_chunks;
  std::int64_t tile_scores;               // scores of a tile against one key chunk
  std::int64_t tile_outputs;              // elements of O^T of a tile
  substrate::AlignedBuffer<float> s;      // [tile][key][32]
  substrate::AlignedBuffer<std::byte> p;  // the same in operand form
  substrate::AlignedBuffer<float> a;      // [key chunk][tile][column][32]
  std::vector<Partial> partials;          // [key chunk][tile]

  Chunk(const substrate::TileKernels& kernels, const Shape& shape)
      : key_chunks((shape.key_blocks + kBlocksPerChunk - 1) / kBlocksPerChunk),
        tile_scores(static_cast<std::int64_t>(std::min(shape.key_blocks, kBlocksPerChunk)) * shape.key_block *
                    kTileQueries),
        tile_outputs(static_cast<std::int64_t>(shape.columns) * kTileQueries),
        s(static_cast<std::size_t>(tile_scores) * std::min(shape.query_tiles, kTilesPerChunk)),
        p(s.size() * size_of(kernels.operand)),
        a(static_cast<std::size_t>(tile_outputs) * key_chunks * kTilesPerChunk),
        partials(static_cast<std::size_t>(key_chunks) * kTilesPerChunk) {}

  float* output(int k, int t) { return a.data() + (static_cast<std::int64_t>(k) * kTilesPerChunk + t) * tile_outputs; }
  Partial& partial_of(int k, int t) {
    return partials[static_cast<std::size_t>(k) * kTilesPerChunk + static_cast<std::size_t>(t)];
  }
};

struct Workspace {
  substrate::ForkJoin pool;
  PackedKeys packed;
  std::vector<QueryTile> tiles;
  std::vector<Chunk> chunks;

  Workspace(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape, int threads)
      : pool(threads),
        packed(problem, kernels, shape),
        tiles(one_each<QueryTile>(threads, kernels, shape)),
        chunks(one_each<Chunk>(threads, kernels, shape)) {}
};

// Rescales the partial results of tile t to the common maximum and adds them up, into key chunk 0's place.
void merge(Chunk& chunk, int t, float c) {
  Partial& total = chunk.partial_of(0, t);
  std::array<float, kTileQueries> m = total.m;
  for (int k = 1; k < chunk.key_chunks; ++k) {
    for (int lane = 0; lane < kTileQueries; ++lane) m[lane] = std::max(m[lane], chunk.partial_of(k, t).m[lane]);
  }
  std::array<float, kTileQueries> l{};
  for (int k = 0; k < chunk.key_chunks; ++k) {
    const Partial& part = chunk.partial_of(k, t);
    std::array<float, kTileQueries> weight;
    for (int lane = 0; lane < kTileQueries; ++lane) {
      weight[lane] = part.l[lane] > 0 ? std::exp2((part.m[lane] - m[lane]) * c) : 0;
      l[lane] += weight[lane] * part.l[lane];
    }
    float* into = chunk.output(0, t);
    const float* from = chunk.output(k, t);
    for (std::int64_t e = 0; e < chunk.tile_outputs; e += kTileQueries) {
      for (int lane = 0; lane < kTileQueries; ++lane) {
        into[e + lane] = (k == 0 ? 0 : into[e + lane]) + weight[lane] * from[e + lane];
      }
    }
  }
  total.m = m;
  total.l = l;
}

}  // namespace

Kernel mem_efficient_attention(const Problem& problem, const Execution& execution) {
  const auto& kernels = kernels_for(problem, execution);
  const Shape shape(problem, kernels, kKeyBlock);
  const auto work = std::make_shared<Workspace>(problem, kernels, shape, execution.threads);
  const int query_chunks = (shape.query_tiles + kTilesPerChunk - 1) / kTilesPerChunk;

  return [=, &kernels](const Tensors& tensors) {
    work->packed.pack(tensors, work->pool);
    const float c = problem.scale * std::numbers::log2e_v<float>;
    const std::int64_t tasks = static_cast<std::int64_t>(problem.batch) * problem.heads * query_chunks;
    work->pool.run(tasks, [&](std::int64_t task, int worker) {
      const int b = static_cast<int>(task / query_chunks / problem.heads);
      const int h = static_cast<int>(task / query_chunks % problem.heads);
      const int kv = problem.kv_head(h);
      const int first_tile = (query_chunks - 1 - static_cast<int>(task % query_chunks)) * kTilesPerChunk;
      const int tiles = std::min(kTilesPerChunk, shape.query_tiles - first_tile);
      QueryTile& tile = work->tiles[static_cast<std::size_t>(worker)];
      Chunk& chunk = work->chunks[static_cast<std::size_t>(worker)];
      const substrate::TileTask task_on_tiles(kernels);

      for (int k = 0; k < chunk.key_chunks; ++k) {
        const int first_block = k * kBlocksPerChunk;
        const int end_block = std::min(shape.key_blocks, first_block + kBlocksPerChunk);
        const auto s_of = [&](int t) { return chunk.s.data() + t * chunk.tile_scores; };
        const auto p_of = [&](int t) { return chunk.p.data() + t * chunk.tile_scores * size_of(kernels.operand); };
        const auto scores_before = [&](int j) {
          return static_cast<std::int64_t>(j - first_block) * shape.key_block * kTileQueries;
        };
        for (int t = 0; t < tiles; ++t) {  // S of the chunk
          tile.load_queries(kernels, shape, problem, tensors, b, h, first_tile + t);
          const int visible = tile_visible(problem, first_tile + t);
          for (int j = first_block; j < end_block; ++j) {
            const int keys = shape.keys_taken(j, visible);
            if (keys == 0) break;
            kernels.product(work->packed.keys(b, kv, j), shape.depth, tile.q.data(), keys, shape.depth,
                            s_of(t) + scores_before(j));
          }
        }
        for (int t = 0; t < tiles; ++t) {  // its softmax, with the maximum of this chunk alone
          const int first_key = first_block * shape.key_block;
          const int first_query = (first_tile + t) * kTileQueries;
          const int seen = std::min(tile_visible(problem, first_tile + t), end_block * shape.key_block) - first_key;
          const int rows = substrate::round_up(std::max(seen, 0), shape.grain);
          if (partial(problem, first_query, first_key, rows)) mask(problem, first_query, first_key, rows, s_of(t));
          std::fill_n(tile.m, kTileQueries, -std::numeric_limits<float>::infinity());
          std::fill_n(tile.l, kTileQueries, 0.0F);
          kernels.column_max(s_of(t), rows, c, tile.m, tile.alpha);
          kernels.softmax_block(s_of(t), rows, c, tile.m, tile.alpha, tile.l, p_of(t));
          std::copy_n(tile.m, kTileQueries, chunk.partial_of(k, t).m.data());
          std::copy_n(tile.l, kTileQueries, chunk.partial_of(k, t).l.data());
        }
        std::fill_n(tile.alpha, kTileQueries, 1.0F);
        for (int t = 0; t < tiles; ++t) {  // P V of the chunk
          float* a = chunk.output(k, t);
          std::fill_n(a, chunk.tile_outputs, 0.0F);
          const int visible = tile_visible(problem, first_tile + t);
          for (int j = first_block; j < end_block; ++j) {
            const int keys = shape.keys_taken(j, visible);
            if (keys == 0) break;
            kernels.scaled_product_add(work->packed.values(b, kv, j), shape.key_block,
                                       p_of(t) + scores_before(j) * size_of(kernels.operand), shape.columns, keys,
                                       tile.alpha, a);
          }
        }
      }
      for (int t = 0; t < tiles; ++t) {
        merge(chunk, t, c);
        const Partial& total = chunk.partial_of(0, t);
        finish(problem, tensors, b, h, first_tile + t, chunk.output(0, t), total.m.data(), total.l.data());
      }
    });
  };
}

namespace {

double issued(const Problem& problem, const Execution& execution) {
  return issued_flops(problem, Shape(problem, kernels_for(problem, execution), kKeyBlock));
}

const harness::Registration registration({
    .id = "attention/mem-efficient-attention",
    .title = "Self-attention Does Not Need O(n^2) Memory",
    .paper = "arXiv 2112.05682",
    .summary = "chunks of queries and keys, partial results merged by their maxima",
    .implementations = {{.axes = axes(),
                         .run = [](harness::State& state) { run(state, mem_efficient_attention, issued); },
                         .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::attention
