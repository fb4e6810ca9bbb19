#include "impls/parallelism/sequence/cuda/device_bodies.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

#include "impls/attention/cuda/backward.h"
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

// The tokens of two ranks as few runs of positions `step` apart (sequence_layout.h): neighbours, or every P-th token.
// Inside a pair of runs of one step the mask is a diagonal.
struct Runs {
  std::int64_t step = 0;  // the least distance in either; 0 where neither has two tokens
  std::vector<Run> rows, columns;
};

std::int64_t least_step(Positions positions, std::int64_t so_far) {
  for (std::size_t i = 1; i < positions.size(); ++i) {
    const std::int64_t step = positions[i] - positions[i - 1];
    so_far = so_far == 0 ? step : std::min(so_far, step);
  }
  return so_far;
}

std::vector<Run> cut_by_step(Positions positions, std::int64_t step) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (i == 0 || positions[i] != positions[i - 1] + step) runs.push_back({static_cast<int>(i), 0, positions[i]});
    ++runs.back().count;
  }
  return runs;
}

Runs runs_of(Positions rows, Positions columns) {
  const std::int64_t step = least_step(columns, least_step(rows, 0));
  return {step, cut_by_step(rows, step), cut_by_step(columns, step)};
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
  float* floats() const { return reinterpret_cast<float*>(data_); }

 private:
  BufferPlace& place_;
  std::byte* data_;
};

std::size_t rows_of_heads(const BlockShape& shape, const Run& rows) {
  return static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads) *
         static_cast<std::size_t>(rows.count);
}

// What a run of queries sees of a run of keys; nothing where it sees none.
std::optional<attention::cuda::Mask> mask_of(const BlockShape& shape, std::int64_t step, const Run& rows,
                                             const Run& columns) {
  // Row i is at position p + i s and sees key j at k + j s where j <= i + floor((p - k) / s); beyond the run's length
  // more is the same.
  const std::int64_t distance = rows.position - columns.position, s = std::max<std::int64_t>(step, 1);
  const std::int64_t ahead = distance >= 0 ? distance / s : -((s - 1 - distance) / s);
  if (shape.causal && ahead + rows.count <= 0) return std::nullopt;
  const int diagonal = static_cast<int>(std::min<std::int64_t>(ahead, columns.count));
  return attention::cuda::Mask{rows.count, columns.count, shape.causal, diagonal};
}

void check(const BlockShape& shape) {
  if (shape.dtype != substrate::DType::bf16) throw std::invalid_argument("the ring's kernels take bf16");
}

}  // namespace

void DeviceBodies::start(substrate::Rank& rank, std::span<float> acc, std::span<float> lse) const {
  launch_start(acc.data(), static_cast<std::int64_t>(acc.size()), lse.data(), static_cast<std::int64_t>(lse.size()),
               rank.place()->stream());
}

void DeviceBodies::attend(substrate::Rank& rank, const BlockShape& shape, const std::byte* q, Positions q_positions,
                          const std::byte* k, const std::byte* v, Positions k_positions, Merge, float* acc,
                          float* lse) const {
  check(shape);
  const auto place = rank.place();
  const auto tokens = static_cast<std::int64_t>(q_positions.size());
  const auto keys = static_cast<std::int64_t>(k_positions.size());
  const int d = shape.head_dim;
  const Runs runs = runs_of(q_positions, k_positions);
  for (const Run& rows : runs.rows) {
    const std::size_t count = rows_of_heads(shape, rows);
    const Workspace part_o(*place, count * static_cast<std::size_t>(d) * 4);
    const Workspace part_lse(*place, count * 4);
    for (const Run& columns : runs.columns) {
      const std::optional<attention::cuda::Mask> mask = mask_of(shape, runs.step, rows, columns);
      if (!mask) continue;
      attention::cuda::ForwardProblem problem;
      problem.q = rows_of(q, tokens, shape.heads, d, rows.first);
      problem.k = rows_of(k, keys, shape.kv_heads, d, columns.first);
      problem.v = rows_of(v, keys, shape.kv_heads, d, columns.first);
      problem.wide_o = part_o.floats();
      problem.lse = part_lse.floats();
      problem.mask = *mask;
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

void DeviceBodies::row_delta(substrate::Rank& rank, const BlockShape& shape, const std::byte* d_out, const std::byte* o,
                             std::int64_t rows, float* delta) const {
  check(shape);
  launch_row_delta(d_out, o, rows, shape.head_dim, delta, rank.place()->stream());
}

void DeviceBodies::attend_backward(substrate::Rank& rank, const BlockShape& shape, const std::byte* q,
                                   Positions q_positions, const std::byte* k, const std::byte* v, Positions k_positions,
                                   const std::byte* d_out, const float* lse, const float* delta, float* dq, float* dk,
                                   float* dv) const {
  check(shape);
  const auto place = rank.place();
  const auto tokens = static_cast<std::int64_t>(q_positions.size());
  const auto keys = static_cast<std::int64_t>(k_positions.size());
  const int d = shape.head_dim;
  const std::size_t gradient_bytes = static_cast<std::size_t>(shape.batch * keys * shape.kv_heads * d) * 4;
  place->fill(reinterpret_cast<std::byte*>(dk), 0, gradient_bytes);
  place->fill(reinterpret_cast<std::byte*>(dv), 0, gradient_bytes);
  const std::int64_t key_row = static_cast<std::int64_t>(shape.kv_heads) * d;
  const Runs runs = runs_of(q_positions, k_positions);
  for (const Run& rows : runs.rows) {
    const std::size_t count = rows_of_heads(shape, rows);
    const Workspace part_lse(*place, count * 4);
    const Workspace part_delta(*place, count * 4);
    const Workspace part_dq(*place, count * static_cast<std::size_t>(d) * 4);
    place->fill(part_dq.data(), 0, count * static_cast<std::size_t>(d) * 4);
    QueryRows of;
    of.batch = shape.batch;
    of.tokens = static_cast<int>(tokens);
    of.first = rows.first;
    of.rows = rows.count;
    of.heads = shape.heads;
    launch_gather(of, lse, part_lse.floats(), place->stream());
    launch_gather(of, delta, part_delta.floats(), place->stream());
    for (const Run& columns : runs.columns) {
      const std::optional<attention::cuda::Mask> mask = mask_of(shape, runs.step, rows, columns);
      if (!mask) continue;
      attention::cuda::BackwardProblem problem;
      problem.forward.q = rows_of(q, tokens, shape.heads, d, rows.first);
      problem.forward.k = rows_of(k, keys, shape.kv_heads, d, columns.first);
      problem.forward.v = rows_of(v, keys, shape.kv_heads, d, columns.first);
      problem.forward.lse = part_lse.floats();
      problem.forward.mask = *mask;
      problem.forward.batch = shape.batch;
      problem.forward.heads = shape.heads;
      problem.forward.kv_heads = shape.kv_heads;
      problem.forward.scale = shape.scale;
      problem.d_o = rows_of(d_out, tokens, shape.heads, d, rows.first);
      problem.row_dots = part_delta.floats();
      problem.d_q_sum = part_dq.floats();
      problem.wide_d_k = {dk + columns.first * key_row, keys * key_row, d, key_row};
      problem.wide_d_v = {dv + columns.first * key_row, keys * key_row, d, key_row};
      attention::cuda::flash_attention_2_backward_part(problem, d, place->stream());
    }
    launch_add_scaled(of, d, part_dq.floats(), shape.scale, dq, place->stream());
  }
}

void DeviceBodies::store(substrate::Rank& rank, substrate::DType dtype, const float* from, std::int64_t count,
                         std::byte* to) const {
  if (dtype != substrate::DType::bf16) throw std::invalid_argument("the ring's kernels take bf16");
  launch_store_bf16(from, count, reinterpret_cast<std::uint16_t*>(to), rank.place()->stream());
}

}  // namespace assay::parallelism::cuda
