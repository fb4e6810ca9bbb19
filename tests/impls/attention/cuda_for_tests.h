#pragma once
// Problems of the family as the CUDA kernels take them.
#include <gtest/gtest.h>

#include <algorithm>
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

}  // namespace assay::attention::cuda
