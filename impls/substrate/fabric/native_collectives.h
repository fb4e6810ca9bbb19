#pragma once
// The collectives of the library that carries a fabric, called whole. What they send and by which algorithm is the
// library's: nothing of it is counted at the Rank API.
#include <cstddef>
#include <cstdint>
#include <span>

#include "impls/substrate/dtype.h"

namespace assay::substrate {

// All ranks make the same call in the same order; each returns when its result is there, and throws where another rank
// has failed meanwhile. Sizes in elements; `parts`: of every rank. Inputs and results do not overlap unless a tensor is
// one argument.
class NativeCollectives {
 public:
  NativeCollectives() = default;
  virtual ~NativeCollectives() = default;
  NativeCollectives(const NativeCollectives&) = delete;
  NativeCollectives& operator=(const NativeCollectives&) = delete;

  virtual void all_reduce(std::byte* tensor, std::int64_t count, DType dtype) = 0;
  virtual void reduce_scatter(const std::byte* tensor, std::byte* part, std::span<const std::int64_t> parts,
                              DType dtype) = 0;
  virtual void all_gather(const std::byte* part, std::byte* tensor, std::span<const std::int64_t> parts,
                          DType dtype) = 0;
  virtual void broadcast(std::byte* tensor, std::int64_t count, DType dtype) = 0;  // of rank 0
  // `parts[p]` elements go to rank p, from one after another; what comes, in the order of ranks.
  virtual void all_to_all(const std::byte* tensor, std::byte* arrived, std::span<const std::int64_t> parts,
                          DType dtype) = 0;
  // The sum of the ranks before this one; rank 0's result is left as it is.
  virtual void exclusive_scan(const std::byte* tensor, std::byte* sum, std::int64_t count, DType dtype) = 0;
};

}  // namespace assay::substrate
