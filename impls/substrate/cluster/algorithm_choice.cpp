#include "impls/substrate/cluster/algorithm_choice.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace assay::substrate {

namespace {

constexpr std::int64_t kLeastPiece = 4096;
constexpr int kLargestPower = 34;

// Seconds of one message on a link that `sharing` messages of its direction share.
double step(const datasets::Link& link, double bytes, double sharing = 1) {
  return link.latency + bytes * sharing / link.bandwidth;
}

struct Shape {
  int of_node, nodes;
  double per_nic;  // devices of a node that share a NIC
};

Shape shape_of(const datasets::Cluster& cluster, int ranks) {
  const int of_node = std::min(ranks, cluster.devices_per_node);
  const int nodes = (ranks + of_node - 1) / of_node;
  return {of_node, nodes, std::max(1.0, static_cast<double>(of_node) / cluster.nics_per_node)};
}

double ring_seconds(const datasets::Link& link, int members, double bytes, double sharing = 1) {
  return members < 2 ? 0 : 2.0 * (members - 1) * step(link, bytes / members, sharing);
}

}  // namespace

double all_reduce_seconds(const datasets::Cluster& cluster, int ranks, const AllReducePlan& plan, std::int64_t bytes) {
  const Shape shape = shape_of(cluster, ranks);
  const auto n = static_cast<double>(bytes);
  const bool one = shape.nodes == 1;
  const datasets::Link& slow = one ? cluster.intra : cluster.inter;
  switch (plan.algorithm) {
    case AllReduce::ring:
      // Every step waits for its slowest hop; of a node only one rank sends to the next node.
      return std::max(ring_seconds(cluster.intra, ranks, n), one ? 0 : ring_seconds(cluster.inter, ranks, n));
    case AllReduce::halving_doubling: {
      const int core = static_cast<int>(std::bit_floor(static_cast<unsigned>(ranks)));
      double seconds = core == ranks ? 0 : 2 * step(cluster.intra, n);
      double part = n / 2;
      for (int distance = core / 2; distance > 0; distance /= 2, part /= 2) {
        const bool between = !one && distance >= shape.of_node;
        seconds += 2 * (between ? step(cluster.inter, part, shape.per_nic) : step(cluster.intra, part));
      }
      return seconds;
    }
    case AllReduce::double_tree: {
      // Up and down through the levels with one piece, then two directions of both halves through the busiest port: an
      // inner member sends 2 n, and up to two edges of a node cross its NIC.
      const double inside = std::log2(static_cast<double>(std::max(1, shape.of_node)));
      const double outside = std::log2(static_cast<double>(shape.nodes));
      const double piece = std::min<double>(static_cast<double>(plan.piece_bytes), n / 2);
      const double fill = 2 * (inside * step(cluster.intra, piece) + outside * step(cluster.inter, piece));
      const double pieces = std::max(1.0, std::ceil(n / 2 / piece));
      return fill + (pieces - 1) * (slow.latency + 4 * piece / slow.bandwidth);
    }
    case AllReduce::hierarchical:
      return ring_seconds(cluster.intra, shape.of_node, n) +
             ring_seconds(cluster.inter, shape.nodes, n / shape.of_node, shape.per_nic);
    case AllReduce::star: {
      const double inside = shape.of_node - 1, outside = ranks - shape.of_node;
      return 2 * (slow.latency + n * std::max((inside + (one ? 0 : outside)) / cluster.intra.bandwidth,
                                              one ? 0 : outside / cluster.inter.bandwidth));
    }
  }
  return 0;
}

AllReducePlan plan_all_reduce(const datasets::Cluster& cluster, int ranks, AllReduce algorithm, std::int64_t bytes) {
  AllReducePlan plan{.algorithm = algorithm};
  const int of_node = shape_of(cluster, ranks).of_node;
  plan.node_ranks = ranks % of_node == 0 ? of_node : 0;
  if (algorithm != AllReduce::double_tree) return plan;
  AllReducePlan best = plan;
  best.piece_bytes = kLeastPiece;
  for (std::int64_t piece = kLeastPiece; piece < std::max(bytes, 2 * kLeastPiece); piece *= 2) {
    plan.piece_bytes = piece;
    if (all_reduce_seconds(cluster, ranks, plan, bytes) < all_reduce_seconds(cluster, ranks, best, bytes)) best = plan;
  }
  return best;
}

std::vector<AllReduceRow> all_reduce_table(const datasets::Cluster& cluster, int ranks) {
  const Shape shape = shape_of(cluster, ranks);
  std::vector<AllReduceRow> table;
  for (int power = 0; power <= kLargestPower; ++power) {
    const std::int64_t bytes = std::int64_t{1} << power;
    AllReducePlan best = plan_all_reduce(cluster, ranks, AllReduce::ring, bytes);
    for (const AllReduce algorithm : kAllReduces) {
      if (algorithm == AllReduce::hierarchical && (shape.nodes == 1 || ranks % shape.of_node != 0)) continue;
      const AllReducePlan plan = plan_all_reduce(cluster, ranks, algorithm, bytes);
      if (all_reduce_seconds(cluster, ranks, plan, bytes) < all_reduce_seconds(cluster, ranks, best, bytes))
        best = plan;
    }
    const bool same = !table.empty() && table.back().plan.algorithm == best.algorithm &&
                      (best.algorithm != AllReduce::double_tree || table.back().plan.piece_bytes == best.piece_bytes);
    if (!same) table.push_back({bytes, best});
  }
  table.front().from_bytes = 0;
  return table;
}

AllReducePlan choose_all_reduce(const std::vector<AllReduceRow>& table, std::int64_t bytes) {
  AllReducePlan plan = table.front().plan;
  for (const AllReduceRow& row : table)
    if (row.from_bytes <= bytes) plan = row.plan;
  return plan;
}

}  // namespace assay::substrate
