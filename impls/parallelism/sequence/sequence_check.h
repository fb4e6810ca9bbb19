#pragma once
// The check of a sharded attention layer against the one-rank oracle of the same inputs.
//
// Rule: err(program, float64) <= 2 err(naive attention in the program's dtype, float64) + 1e-5. err is the largest
// absolute difference of a tensor over all batches and heads, taken separately over positions [0, 64), [64, 192), [192,
// 448), ...: under a causal mask early rows see few keys and are large, and their error must not excuse late rows. In
// bf16 the yardstick has what storing O costs: delta = dO . O takes its rounding into every gradient, of either.
//
// Up to 2 GFLOP every element is compared. Above, for every head at least 64 positions (first, last, both sides of
// every shard border, seeded others): O, lse and dQ of the query there, and dK and dV of the key there as float64
// makes them from lse and O of all queries, which the program found and the rows have sampled. Two identities hold all
// of dQ, dK and dV together, to 1e-4 of the root of the sum of their squared terms: sum_j dV_j = sum_i dO_i, and
// <dK, K> = <dQ, Q> for every key head. Gradients stored in bf16 are allowed what that rounding adds to a sum.
#include <cstdint>
#include <vector>

#include "harness/state.h"
#include "impls/parallelism/sequence/attention_oracle.h"

namespace assay::parallelism {

class SequenceReference {
 public:
  // `borders`: positions that must be among the compared ones. `gradients_in_dtype`: the yardstick stores dQ, dK, dV in
  // the dtype too, as the program does.
  SequenceReference(OracleInputs inputs, substrate::DType dtype, bool all, const std::vector<std::int64_t>& borders,
                    std::uint64_t seed, bool gradients_in_dtype = false);
  // `got` in the order of the inputs.
  harness::Check compare(const OracleOutputs& got) const;

 private:
  void store_gradients(std::vector<double>& values) const;
  harness::Check compare_all(const OracleOutputs& got) const;
  harness::Check compare_sampled(const OracleOutputs& got) const;

  OracleInputs in_;
  substrate::DType dtype_;
  bool gradients_in_dtype_;
  OracleOutputs exact_, naive_;        // of everything ...
  std::vector<std::int64_t> sampled_;  // ... or of the queries at these positions, [B][positions][H][d]
};

}  // namespace assay::parallelism
