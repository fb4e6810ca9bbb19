#include "impls/parallelism/variable_length/zeppelin_planner.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "impls/parallelism/variable_length/packing.h"

namespace assay::parallelism {

namespace {

double work_of(std::int64_t length) { return static_cast<double>(causal_pairs(length)); }

// Sequences of `order` (longest first) that are not among the first `split`, each to the place with the least work that
// has room; empty where one has none. `used`: tokens every place holds already.
std::vector<std::vector<int>> spread(const std::vector<std::int64_t>& lengths, const std::vector<int>& order,
                                     std::size_t split, int places, std::int64_t room, std::int64_t used) {
  std::vector<std::vector<int>> held(static_cast<std::size_t>(places));
  std::vector<std::int64_t> left(held.size(), room - used);
  std::vector<double> work(held.size(), 0);
  for (std::size_t k = split; k < order.size(); ++k) {
    const std::int64_t length = lengths[static_cast<std::size_t>(order[k])];
    std::size_t best = held.size();
    for (std::size_t place = 0; place < held.size(); ++place)
      if (left[place] >= length && (best == held.size() || work[place] < work[best])) best = place;
    if (best == held.size()) return {};
    held[best].push_back(order[k]);
    left[best] -= length;
    work[best] += work_of(length);
  }
  return held;
}

// Of so many of the longest cut over `places`: the most any gets.
std::int64_t cut_tokens(const std::vector<std::int64_t>& lengths, const std::vector<int>& order, std::size_t split,
                        int places) {
  std::int64_t sum = 0;
  for (std::size_t k = 0; k < split; ++k) sum += lengths[static_cast<std::size_t>(order[k])];
  return (sum + places - 1) / places;
}

}  // namespace

ZeppelinZones zeppelin_zones(const std::vector<std::int64_t>& lengths, const ZeppelinTopology& topology) {
  const std::vector<int> order = longest_first(lengths);
  const std::int64_t node_room = topology.capacity * topology.node_ranks;
  ZeppelinZones zones;
  std::vector<std::vector<int>> nodes;
  std::size_t split = 0;
  for (; split <= order.size(); ++split) {
    // Sequences of one length are of one zone.
    if (split > 0 && split < order.size() &&
        lengths[static_cast<std::size_t>(order[split])] == lengths[static_cast<std::size_t>(order[split - 1])])
      continue;
    nodes = spread(lengths, order, split, topology.nodes, node_room, cut_tokens(lengths, order, split, topology.nodes));
    if (!nodes.empty()) break;
  }
  split = std::min(split, order.size());
  zones.between_nodes.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(split));
  if (nodes.empty()) nodes.resize(static_cast<std::size_t>(topology.nodes));
  const std::int64_t already =
      cut_tokens(lengths, order, split, topology.nodes * topology.node_ranks);  // on every rank
  for (const std::vector<int>& held : nodes) {
    double work = 0;
    for (const int sequence : held) work += work_of(lengths[static_cast<std::size_t>(sequence)]);
    std::size_t cut = 0;
    while (cut < held.size() && topology.node_ranks > 1 &&
           work_of(lengths[static_cast<std::size_t>(held[cut])]) > work / topology.node_ranks)
      ++cut;
    std::vector<std::vector<int>> ranks;
    for (; cut <= held.size(); ++cut) {
      ranks = spread(lengths, held, cut, topology.node_ranks, topology.capacity,
                     already + cut_tokens(lengths, held, cut, topology.node_ranks));
      if (!ranks.empty()) break;
    }
    cut = std::min(cut, held.size());
    zones.inside_node.emplace_back(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(cut));
    if (ranks.empty()) ranks.resize(static_cast<std::size_t>(topology.node_ranks));
    for (std::vector<int>& local : ranks) zones.local.push_back(std::move(local));
  }
  return zones;
}

std::vector<BatchItem> zeppelin_items(const BatchProblem& problem, const ZeppelinZones& zones,
                                      const ZeppelinTopology& topology) {
  std::vector<BatchItem> items;
  const auto ranks_from = [](int first, int count) {
    std::vector<int> ranks(static_cast<std::size_t>(count));
    std::iota(ranks.begin(), ranks.end(), first);
    return ranks;
  };
  if (!zones.between_nodes.empty())
    items.push_back(make_item(problem, ranks_from(0, problem.ranks), zones.between_nodes, Exchange::ring));
  for (int node = 0; node < topology.nodes; ++node)
    if (const auto& inside = zones.inside_node[static_cast<std::size_t>(node)]; !inside.empty())
      items.push_back(
          make_item(problem, ranks_from(node * topology.node_ranks, topology.node_ranks), inside, Exchange::ring));
  for (int rank = 0; rank < problem.ranks; ++rank)
    if (const auto& local = zones.local[static_cast<std::size_t>(rank)]; !local.empty())
      items.push_back(make_item(problem, {rank}, local, Exchange::ring));
  return items;
}

std::vector<TokenMove> even_out(const std::vector<std::int64_t>& tokens, int node_ranks) {
  const auto ranks = static_cast<std::int64_t>(tokens.size());
  const std::int64_t all = std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0});
  // Who has most keeps the tokens that an even share leaves over.
  std::vector<std::size_t> by_tokens(tokens.size());
  std::iota(by_tokens.begin(), by_tokens.end(), std::size_t{0});
  std::ranges::stable_sort(by_tokens, std::greater{}, [&](std::size_t rank) { return tokens[rank]; });
  std::vector<std::int64_t> surplus(tokens.size());
  for (std::size_t k = 0; k < by_tokens.size(); ++k)
    surplus[by_tokens[k]] = tokens[by_tokens[k]] - all / ranks - (static_cast<std::int64_t>(k) < all % ranks ? 1 : 0);
  std::vector<TokenMove> moves;
  const auto settle = [&](std::size_t from, std::size_t to) {
    const std::int64_t count = std::min(surplus[from], -surplus[to]);
    if (count <= 0) return;
    moves.push_back({static_cast<int>(from), static_cast<int>(to), count});
    surplus[from] -= count;
    surplus[to] += count;
  };
  const auto node_of = [&](std::size_t rank) { return rank / static_cast<std::size_t>(node_ranks); };
  for (const bool same_node : {true, false})
    for (std::size_t from = 0; from < surplus.size(); ++from)
      for (std::size_t to = 0; to < surplus.size(); ++to)
        if (surplus[from] > 0 && surplus[to] < 0 && (node_of(from) == node_of(to)) == same_node) settle(from, to);
  return moves;
}

BatchPlan plan_zeppelin(const BatchProblem& problem, std::string_view arm, int node_ranks, std::int64_t capacity) {
  BatchPlan plan;
  plan.problem = problem;
  if (problem.ranks % node_ranks != 0 || node_ranks > problem.ranks) node_ranks = problem.ranks;
  const ZeppelinTopology topology{.nodes = problem.ranks / node_ranks, .node_ranks = node_ranks, .capacity = capacity};
  if (arm == "te-cp" || arm == "routing") {
    std::vector<int> ranks(static_cast<std::size_t>(problem.ranks)), all(problem.lengths.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    std::iota(all.begin(), all.end(), 0);
    plan.items = {make_item(problem, std::move(ranks), std::move(all), Exchange::ring)};
  } else {
    plan.items = zeppelin_items(problem, zeppelin_zones(problem.lengths, topology), topology);
  }
  if (arm != "te-cp" && arm != "engine" && topology.nodes > 1) plan.routed_node_ranks = node_ranks;
  if (arm != "all") return plan;
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(problem.ranks), 0);
  for (const BatchItem& item : plan.items)
    for (std::size_t m = 0; m < item.ranks.size(); ++m)
      tokens[static_cast<std::size_t>(item.ranks[m])] += tokens_of(item.shares[m]);
  plan.moves = even_out(tokens, node_ranks);
  return plan;
}

}  // namespace assay::parallelism
