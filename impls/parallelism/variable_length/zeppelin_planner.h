#pragma once
// The planner of Zeppelin (arXiv 2509.21841): which sequences span nodes, which a node, which one rank; and which
// tokens move so that every rank has as many for the modules that are linear in them. The bodies of the paper's
// algorithms were not at hand: what is below is rebuilt from their description.
#include <cstdint>
#include <string_view>
#include <vector>

#include "impls/parallelism/variable_length/batch_plan.h"

namespace assay::parallelism {

struct ZeppelinTopology {
  int nodes = 1, node_ranks = 1;  // nodes x node_ranks ranks, of consecutive ids
  std::int64_t capacity = 1;      // tokens a rank holds
};

struct ZeppelinZones {
  std::vector<int> between_nodes;             // over all ranks
  std::vector<std::vector<int>> inside_node;  // over the ranks of a node, by node
  std::vector<std::vector<int>> local;        // by rank
};
// Algorithm 1: from the longest length down a threshold is lowered until the sequences below it, longest first to the
// node with the least work, leave every node within G C tokens; those above span all nodes. Algorithm 2, in a node: the
// same with ranks, where a sequence also spans the node when its work is more than an even share of the node's.
ZeppelinZones zeppelin_zones(const std::vector<std::int64_t>& lengths, const ZeppelinTopology& topology);

// Items in the order of the attention engine: between nodes first, so that slow transfers start early; then inside a
// node, then local.
std::vector<BatchItem> zeppelin_items(const BatchProblem& problem, const ZeppelinZones& zones,
                                      const ZeppelinTopology& topology);

// Moves that leave every rank with an even share, cheapest first: surplus goes to deficits of its own node before those
// of others. With one price inside a node and a higher one between nodes that is the optimum of the transportation
// problem.
std::vector<TokenMove> even_out(const std::vector<std::int64_t>& tokens, int node_ranks);

// The plan of an arm: te-cp, routing, engine, both or all. A number of ranks a node that does not divide the ranks
// stands for one node.
BatchPlan plan_zeppelin(const BatchProblem& problem, std::string_view arm, int node_ranks, std::int64_t capacity);

}  // namespace assay::parallelism
