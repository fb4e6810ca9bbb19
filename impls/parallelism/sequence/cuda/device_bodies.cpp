#include "impls/parallelism/sequence/cuda/device_bodies.h"

#include <stdexcept>
#include <vector>

#include "impls/attention/cuda/forward.h"
#include "impls/parallelism/sequence/cuda/ring_kernels.h"

namespace assay::parallelism::cuda {
namespace {

using attention::cuda::Matrix;
using substrate::BufferPlace;

struct Run {
  int first = 0;  // slot in the rank's tokens
  int count = 0;
  std::int64_t position = 0;  // of the first
};

// A rank's tokens are a few runs of neighbours (sequence_layout.h): inside a pair of runs the mask is a diagonal.
std::vector<Run> runs_of(Positions positions) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (i == 0 || positions[i] != positions[i - 1] + 1) runs.push_back({static_cast<int>(i), 0, positions[i]});
    ++runs.back().count;
  }
  return runs;
}

// Rows from `first` on of a [batch][tokens][heads][d] tensor.
Matrix rows_of(const std::byte* data, std::int64_t tokens, int heads, int d, int first) {
  const std::int64_t row = static_cast<std::int64_t>(heads) * d;
  return {const_cast<std::byte*>(data) + first * row * 2, tokens * row, d, row};
}

// Given back in the order of the stream, so kernels enqueued before may still use it.
class Workspace {
 public:
  Workspace(BufferPlace& place, std::size_t bytes) : place_(place), data_(place.allocate(bytes)) {}
  ~Workspace() { place_.release(data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  std::byte* data() const { return data_; }

 private:
  BufferPlace& place_;
  std::byte* data_;
};

}  // namespace

void DeviceBodies::start(substrate::Rank& rank, std::span<float> acc, std::span<float> lse) const {
  launch_start(acc.data(), static_cast<std::int64_t>(acc.size()), lse.data(), static_cast<std::int64_t>(lse.size()),
               rank.place()->stream());
}

void DeviceBodies::attend(substrate::Rank& rank, const BlockShape& shape, const std::byte* q, Positions q_positions,
                          const std::byte* k, const std::byte* v, Positions k_positions, Merge, float* acc,
                          float* lse) const {
  if (shape.dtype != substrate::DType::bf16) throw std::invalid_argument("the ring's kernels take bf16");
  const auto place = rank.place();
  const auto tokens = static_cast<std::int64_t>(q_positions.size());
  const auto keys = static_cast<std::int64_t>(k_positions.size());
  const int d = shape.head_dim;
  for (const Run& rows : runs_of(q_positions)) {
    const std::size_t heads = static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads) *
                              static_cast<std::size_t>(rows.count);
    const Workspace part_o(*place, heads * static_cast<std::size_t>(d) * 4);
    const Workspace part_lse(*place, heads * 4);
    for (const Run& columns : runs_of(k_positions)) {
      // Row i sees keys j <= i + diagonal; beyond the run's length more is the same.
      const std::int64_t ahead = rows.position - columns.position;
      if (shape.causal && ahead + rows.count <= 0) continue;
      const int diagonal = static_cast<int>(std::min<std::int64_t>(ahead, columns.count));
      attention::cuda::ForwardProblem problem;
      problem.q = rows_of(q, tokens, shape.heads, d, rows.first);
      problem.k = rows_of(k, keys, shape.kv_heads, d, columns.first);
      problem.v = rows_of(v, keys, shape.kv_heads, d, columns.first);
      problem.wide_o = reinterpret_cast<float*>(part_o.data());
      problem.lse = reinterpret_cast<float*>(part_lse.data());
      problem.mask = {rows.count, columns.count, shape.causal, diagonal};
      problem.batch = shape.batch;
      problem.heads = shape.heads;
      problem.kv_heads = shape.kv_heads;
      problem.scale = shape.scale;
      attention::cuda::flash_attention_2_forward(problem, d, attention::cuda::ElementType::bf16, place->stream());
      launch_merge({.acc = acc,
                    .lse = lse,
                    .part_o = problem.wide_o,
                    .part_lse = problem.lse,
                    .batch = shape.batch,
                    .tokens = static_cast<int>(tokens),
                    .first = rows.first,
                    .rows = rows.count,
                    .heads = shape.heads,
                    .head_dim = d,
                    .rescale = rescale_},
                   place->stream());
    }
  }
}

void DeviceBodies::store(substrate::Rank& rank, substrate::DType dtype, const float* from, std::int64_t count,
                         std::byte* to) const {
  if (dtype != substrate::DType::bf16) throw std::invalid_argument("the ring's kernels take bf16");
  launch_store_bf16(from, count, reinterpret_cast<std::uint16_t*>(to), rank.place()->stream());
}

}  // namespace assay::parallelism::cuda
