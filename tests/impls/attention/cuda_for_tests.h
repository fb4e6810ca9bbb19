#pragma once
// Problems of the family as the CUDA kernels take them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "impls/attention/cuda/emulator/kernels.h"
#include "impls/attention/oracle.h"
#include "impls/attention/problem.h"

namespace assay::attention::cuda {

inline ElementType element_type(DType dtype) { return dtype == DType::bf16 ? ElementType::bf16 : ElementType::fp16; }

inline Matrix matrix(const substrate::View& view) { return {view.data, view.batch, view.head, view.row}; }

inline Mask mask_of(const Problem& p) { return {p.queries, p.keys, p.causal, p.diagonal}; }

inline ForwardProblem forward_problem(const Problem& p, const Tensors& t) {
  return {.q = matrix(t.q),
          .k = matrix(t.k),
          .v = matrix(t.v),
          .o = matrix(t.o),
          .lse = t.lse,
          .ragged = {},
          .mask = mask_of(p),
          .batch = p.batch,
          .heads = p.heads,
          .kv_heads = p.kv_heads,
          .scale = p.scale};
}

// Q, K, V to read, O and LSE to write.
inline std::vector<emulator::Region> regions(const Problem& p, Storage& storage) {
  const Tensors& t = storage.tensors();
  const std::size_t q = static_cast<std::size_t>(p.batch) * p.heads * p.queries * p.head_dim * size_of(p.dtype);
  const std::size_t k = static_cast<std::size_t>(p.batch) * p.kv_heads * p.keys * p.head_dim * size_of(p.dtype);
  return {{t.q.data, q, false},
          {t.k.data, k, false},
          {t.v.data, k, false},
          {storage.output().data(), storage.output().size(), true},
          {storage.lse().data(), storage.lse().size(), true}};
}

inline std::string first_fault(const emulator::Findings& found) {
  return found.faults.empty() ? "" : found.faults.front();
}

inline void expect_each_byte_written_once(const std::vector<emulator::Region>& memory, const std::string& what) {
  for (const emulator::Region& region : memory) {
    if (!region.writable) continue;
    const auto once = static_cast<std::size_t>(std::ranges::count(region.writes, 1));
    EXPECT_EQ(once, region.bytes) << what;
  }
}

// Both element types, all head sizes, lengths that divide nothing, causal and full, through `run(problem, storage,
// memory)`: the attention of float64, no race, no bank conflict, every byte of O and LSE written once.
template <class Run>
void expect_attention_of_float64(const Run& run) {
  struct Shape {
    int queries, keys;
  };
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const Shape shape : {Shape{1, 1}, {130, 130}, {70, 300}, {150, 40}}) {
        for (const bool causal : {false, true}) {
          if (head_dim == 256 && (dtype == DType::f16) != causal) continue;  // half of the slowest
          const Problem p = aligned({.batch = 1,
                                     .queries = shape.queries,
                                     .keys = shape.keys,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = head_dim,
                                     .dtype = dtype,
                                     .causal = causal});
          Storage storage(p);
          draw_inputs(p, InputLaw::normal, 11, storage.tensors());
          std::ranges::fill(storage.output(), std::byte{0xff});
          std::ranges::fill(storage.lse(), std::byte{0xff});
          std::vector<emulator::Region> memory = regions(p, storage);
          const emulator::Findings found = run(p, storage, memory);
          const std::string what = fmt::format("{} d={} N={} M={} causal={}", substrate::to_string(dtype), head_dim,
                                               shape.queries, shape.keys, causal);
          const harness::Check check = Reference(p, storage.tensors(), 1).compare(storage.tensors());
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
          EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
          EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
          expect_each_byte_written_once(memory, what);
        }
      }
    }
  }
}

// A ragged batch through `run(problem, memory)`: each sequence as float64 has it, no row of another touched.
template <class Run>
void expect_ragged_sequences_are_each_their_own(int head_dim, const Run& run) {
  const std::vector<int> query_starts = {0, 5, 5, 145};  // 5, 0 and 140 queries
  const std::vector<int> key_starts = {0, 70, 80, 220};  // 70, 10 and 140 keys
  constexpr int kHeads = 2;
  constexpr int kLongest = 140;
  // One packed sequence of all rows holds the data.
  const Problem packed = aligned({.queries = 145, .keys = 220, .heads = kHeads, .kv_heads = 1, .head_dim = head_dim});
  Storage storage(packed);
  const Tensors& t = storage.tensors();
  draw_inputs(packed, InputLaw::normal, 14, t);
  std::vector<float> lse(3 * kHeads * kLongest, 1e30F);
  ForwardProblem problem = forward_problem(packed, t);
  problem.lse = lse.data();
  problem.batch = 3;
  problem.q.batch = problem.k.batch = problem.v.batch = problem.o.batch = 0;
  problem.mask = {kLongest, 140, true, 0};
  problem.ragged = {query_starts.data(), key_starts.data(), 145, 220};
  std::vector<emulator::Region> memory = regions(packed, storage);
  memory[4] = {lse.data(), lse.size() * sizeof(float), true};
  memory.push_back({query_starts.data(), query_starts.size() * sizeof(int), false});
  memory.push_back({key_starts.data(), key_starts.size() * sizeof(int), false});
  const emulator::Findings found = run(problem, memory);
  EXPECT_EQ(found.fault_count, 0) << first_fault(found);
  EXPECT_EQ(std::ranges::count(memory[3].writes, 1), static_cast<std::ptrdiff_t>(memory[3].bytes))
      << "O, each row once";
  for (std::size_t b = 0; b < 3; ++b) {
    const int queries = query_starts[b + 1] - query_starts[b];
    const int keys = key_starts[b + 1] - key_starts[b];
    const Problem one =
        aligned({.queries = queries, .keys = keys, .heads = kHeads, .kv_heads = 1, .head_dim = head_dim});
    Tensors own = t;
    own.q.data = t.q.at(0, 0, query_starts[b]);
    own.o.data = t.o.at(0, 0, query_starts[b]);
    own.k.data = t.k.at(0, 0, key_starts[b]);
    own.v.data = t.v.at(0, 0, key_starts[b]);
    own.lse = nullptr;
    for (int h = 0; h < kHeads; ++h) {
      for (int row = 0; row < queries; ++row) {
        const ExactRow exact = exact_row(one, own, 0, h, row);
        const NaiveRow naive = naive_row(one, own, 0, h, row);
        double yardstick = 1e-5 + 0x1p-9;
        for (std::size_t c = 0; c < static_cast<std::size_t>(head_dim); ++c)
          yardstick = std::max(yardstick, 2 * std::abs(static_cast<double>(naive.o[c]) - exact.o[c]));
        for (int c = 0; c < head_dim; ++c)
          EXPECT_NEAR(own.o.load(0, h, row, c), exact.o[static_cast<std::size_t>(c)], 2 * yardstick)
              << b << " " << h << " " << row;
        EXPECT_NEAR(lse[(b * kHeads + static_cast<std::size_t>(h)) * kLongest + static_cast<std::size_t>(row)],
                    exact.lse, 1e-4);
      }
    }
  }
}

}  // namespace assay::attention::cuda
