#pragma once
// The planner of FlexSP (arXiv 2412.01523): which sequences are worked on by sequence-parallel groups of which degree.
//
// A group of degree d = 2^k with sequences s takes  fixed + sum c(s, d),  c = (pair p(s) + token s)/d + exchange_d s,
// p(s) causal pairs. A micro-batch takes as long as its slowest group; a batch is a sum of micro-batches. The paper
// solves this as a mixed integer program; here every multiset of degrees (1,828 for 64 ranks) is tried with its longest
// sequences placed first, where a bound does not rule it out. `exact_micro_batch` enumerates assignments, for tests.
#include <cstdint>
#include <vector>

namespace assay::parallelism {

struct FlexSpCosts {
  double pair_seconds = 0, token_seconds = 0;  // of one rank, whole model, forward and backward
  double fixed_seconds = 0;                    // of a micro-batch
  double least_seconds = 0;                    // of a micro-batch: what it hides takes as long
  std::vector<double> exchange_seconds;        // of a token in a group of degree 2^k, by k
  std::vector<double> exchange_fixed_seconds;  // of a micro-batch in such a group
  std::int64_t capacity = 0;                   // tokens a rank holds

  double sequence(std::int64_t length, int level) const;
  double group(int level) const { return fixed_seconds + exchange_fixed_seconds[static_cast<std::size_t>(level)]; }
  // Level of the smallest group that holds a sequence.
  int least_level(std::int64_t length) const;
};

struct FlexSpGroup {
  int degree = 1;
  std::vector<int> sequences;
  double seconds = 0;
};
struct FlexSpMicroBatch {
  std::vector<FlexSpGroup> groups;  // falling degrees, those without sequences left out
  double seconds = 0;               // of the slowest
};
struct FlexSpPlan {
  std::vector<FlexSpMicroBatch> micro_batches;
  double seconds = 0;  // infinity: nothing fits
};

// One micro-batch of the sequences `which` on `ranks` ranks; `seconds` infinity where nothing fits. Buckets 0: every
// sequence by its own length; else lengths are rounded up to the tops of so many buckets while searching, as the paper
// does to shrink its program. Times returned are always of the real lengths.
FlexSpMicroBatch solve_micro_batch(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                   const FlexSpCosts& costs, int buckets);
// The same for one degree of all groups.
FlexSpMicroBatch solve_one_degree(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                  int level, const FlexSpCosts& costs);
// The best there is: all multisets of degrees and all assignments. Up to 8 sequences and 8 ranks.
FlexSpMicroBatch exact_micro_batch(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                   const FlexSpCosts& costs);
// No plan of this micro-batch is faster: all work at the cheapest degree shared evenly, and each sequence at its best.
double micro_batch_bound(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                         const FlexSpCosts& costs);

// The whole batch. The least number of micro-batches that the memory allows and `more` further ones are tried (the
// paper's M' = 5: 0 to 4), and the best single degree; sequences cut by length into micro-batches whose largest number
// of tokens is least.
FlexSpPlan plan_flexsp(const std::vector<std::int64_t>& lengths, int ranks, const FlexSpCosts& costs, int buckets = 16,
                       int more = 4);
// Best homogeneous degree for the batch (FlexSP-BatchAda), and one fixed level (DeepSpeed): best-fit rows of a group's
// capacity, as many groups at a time as there are.
FlexSpPlan plan_one_degree(const std::vector<std::int64_t>& lengths, int ranks, int level, const FlexSpCosts& costs);
FlexSpPlan plan_batch_adaptive(const std::vector<std::int64_t>& lengths, int ranks, const FlexSpCosts& costs);

// -- parts
// Tops of at most `buckets` buckets that minimise the sum of (top - length), rising.
std::vector<std::int64_t> bucket_tops(std::vector<std::int64_t> lengths, int buckets);
// Tokens that rounding up to the tops adds, as a share of all.
double bucket_error(const std::vector<std::int64_t>& lengths, const std::vector<std::int64_t>& tops);
// The sequences longest first, cut into `parts` runs whose largest sum of tokens is as small as it can be.
std::vector<std::vector<int>> cut_by_tokens(const std::vector<std::int64_t>& lengths, int parts);

}  // namespace assay::parallelism
