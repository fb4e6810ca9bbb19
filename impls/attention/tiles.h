#pragma once
// What every tiled technique of this folder holds in its hands: packed key blocks, a query tile with its softmax state,
// the mask, the epilogue. The products and the softmax themselves are substrate/simd/tile_kernels.h.
#include <cstdint>
#include <vector>

#include "impls/attention/problem.h"
#include "impls/substrate/fork_join.h"
#include "impls/substrate/simd/tile_kernels.h"
#include "impls/substrate/tensor.h"

namespace assay::attention {

using substrate::kTileQueries;

// The table of tile operations an execution asks for.
const substrate::TileKernels& kernels_for(const Problem& problem, const Execution& execution);

// Sizes in the padded form of the operands.
struct Shape {
  int depth;    // d padded to the depth grain: depth of S^T = K Q^T
  int columns;  // d padded to the row grain: rows of O^T
  int grain;    // keys are taken in multiples of this
  int key_block;
  int key_blocks;
  int query_tiles;

  Shape(const Problem& problem, const substrate::TileKernels& kernels, int key_block);

  int padded_keys() const { return key_blocks * key_block; }
  // Keys a tile takes from key block `block` when it sees keys [0, visible): 0 when it sees none, else padded to the
  // grain.
  int keys_taken(int block, int visible) const;
};

// Query tile `tile` is rows [tile * 32, tile * 32 + rows).
int tile_rows(const Problem& problem, int tile);
// Keys its last row sees: no row of the tile sees more.
int tile_visible(const Problem& problem, int tile);

// FLOPs the products execute when every tile of 32 queries takes the key blocks it sees, padding included.
double issued_flops(const Problem& problem, const Shape& shape);

// K and V of all (batch, kv head) as operands, block by block: made once, used by every query tile and all G heads.
class PackedKeys {
 public:
  PackedKeys(const Problem& problem, const substrate::TileKernels& kernels, const Shape& shape);
  void pack(const Tensors& tensors, substrate::ForkJoin& pool);

  // A operand of S^T: [key_block][depth].
  const std::byte* keys(int b, int kv, int block) const { return keys_.data() + index(b, kv, block) * key_bytes_; }
  // A operand of O^T: [columns][key_block].
  const std::byte* values(int b, int kv, int block) const {
    return values_.data() + index(b, kv, block) * value_bytes_;
  }

 private:
  std::int64_t index(int b, int kv, int block) const {
    return (static_cast<std::int64_t>(b) * problem_.kv_heads + kv) * shape_.key_blocks + block;
  }

  Problem problem_;
  const substrate::TileKernels& kernels_;
  Shape shape_;
  std::int64_t key_bytes_, value_bytes_;
  substrate::AlignedBuffer<std::byte> keys_, values_;
};

// A query tile on its way through the keys.
struct QueryTile {
  substrate::AlignedBuffer<std::byte> q;  // B operand [depth][32]
  substrate::AlignedBuffer<float> o;      // O^T [columns][32], not normalised
  alignas(64) float m[kTileQueries];      // largest score so far, before scaling
  alignas(64) float l[kTileQueries];      // sum of exponentials relative to m
  alignas(64) float alpha[kTileQueries];  // what the last block rescales the earlier ones by

  QueryTile(const substrate::TileKernels& kernels, const Shape& shape);
  void load_queries(const substrate::TileKernels& kernels, const Shape& shape, const Problem& problem,
                    const Tensors& tensors, int b, int h, int tile);
  // load_queries, then O = 0, l = 0, m = -inf.
  void start(const substrate::TileKernels& kernels, const Shape& shape, const Problem& problem, const Tensors& tensors,
             int b, int h, int tile);
};

// Scores of one query tile against one key block, and their exponentials; both stay in L1.
struct ScoreTile {
  substrate::AlignedBuffer<float> s;      // S^T [key_block][32]
  substrate::AlignedBuffer<std::byte> p;  // P^T, B operand [key_block][32]

  ScoreTile(const substrate::TileKernels& kernels, const Shape& shape);
};

// S^T rows of keys [first_key, first_key + rows): -inf where query (first_query + lane) does not see the key.
void mask(const Problem& problem, int first_query, int first_key, int rows, float* s);

// True when some query of the tile does not see some key of the range (or the range is padded).
bool partial(const Problem& problem, int first_query, int first_key, int rows);

// O = O^T / l (O^T itself when it is normalised already) transposed into place, rounded to the dtype, and
// LSE = m * scale + ln l; a row without keys gives 0 and -inf.
enum class Normalised { no, yes };
void finish(const Problem& problem, const Tensors& tensors, int b, int h, int tile, const float* o, const float* m,
            const float* l, Normalised normalised = Normalised::no);

// One workspace a thread.
template <class T, class... Arguments>
std::vector<T> one_each(int threads, const Arguments&... arguments) {
  std::vector<T> all;
  all.reserve(static_cast<std::size_t>(threads));
  for (int t = 0; t < threads; ++t) all.emplace_back(arguments...);
  return all;
}

}  // namespace assay::attention
