#pragma once
// Which all-reduce a cluster calls for, as NCCL chooses: the alpha-beta time of every algorithm (docs/fabrics.md) on
// the cluster's links, and the least of them, as a table over sizes. Resolved once per case from the descriptor and
// given to every fabric, so that real and virtual runs send the same messages.
#include <cstdint>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/fabric/all_reduce.h"

namespace assay::substrate {

// Of consecutive ranks that fill nodes; the additions themselves are not in it. Hierarchical and double-tree read their
// node and piece from the plan.
double all_reduce_seconds(const datasets::Cluster& cluster, int ranks, const AllReducePlan& plan, std::int64_t bytes);

// The best piece of a double tree for a size: a power of two from 4 KiB on.
AllReducePlan plan_all_reduce(const datasets::Cluster& cluster, int ranks, AllReduce algorithm, std::int64_t bytes);

struct AllReduceRow {
  std::int64_t from_bytes = 0;  // up to the next row's
  AllReducePlan plan;
};
// Rows over powers of two from 1 B to 16 GiB.
std::vector<AllReduceRow> all_reduce_table(const datasets::Cluster& cluster, int ranks);
AllReducePlan choose_all_reduce(const std::vector<AllReduceRow>& table, std::int64_t bytes);

}  // namespace assay::substrate
