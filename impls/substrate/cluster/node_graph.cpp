#include "impls/substrate/cluster/node_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "datasets/node_links.h"
#include "datasets/user_error.h"

namespace assay::substrate {

namespace {

struct Edge {
  int to;
  std::uint32_t link;
};

// The way into a vertex from the start of a search.
struct Arrival {
  int distance = -1, from = -1;
  std::uint32_t link = 0;
  double width = 0;
};

std::vector<Arrival> search(const std::vector<std::vector<Edge>>& edges, const std::vector<double>& capacity,
                            int start) {
  std::vector<Arrival> arrival(edges.size());
  arrival[static_cast<std::size_t>(start)] = {.distance = 0, .width = capacity.empty() ? 0 : 1e300};
  std::vector<int> level{start};
  while (!level.empty()) {
    std::vector<int> next;
    for (const int at : level) {
      const Arrival here = arrival[static_cast<std::size_t>(at)];
      for (const Edge& edge : edges[static_cast<std::size_t>(at)]) {
        Arrival& there = arrival[static_cast<std::size_t>(edge.to)];
        const double width = std::min(here.width, capacity[edge.link]);
        if (there.distance < 0) next.push_back(edge.to);
        if (there.distance < 0 || (there.distance == here.distance + 1 && width > there.width))
          there = {.distance = here.distance + 1, .from = at, .link = edge.link, .width = width};
      }
    }
    std::sort(next.begin(), next.end());
    level = std::move(next);
  }
  return arrival;
}

}  // namespace

NodeGraph::NodeGraph(const datasets::Cluster& cluster) : devices_(cluster.devices_per_node) {
  datasets::check_node_links(cluster);
  std::map<std::string, int> vertex;
  for (int d = 0; d < devices_; ++d) vertex.emplace(fmt::format("device{}", d), d);
  for (const datasets::NodeLink& link : cluster.node_links)
    has_nics_ = has_nics_ || link.from.starts_with("nic") || link.to.starts_with("nic");
  ends_ = devices_ + (has_nics_ ? cluster.nics_per_node : 0);
  for (int n = devices_; n < ends_; ++n) vertex.emplace(fmt::format("nic{}", n - devices_), n);
  for (const datasets::NodeLink& link : cluster.node_links)
    for (const std::string& name : {link.from, link.to}) vertex.emplace(name, static_cast<int>(vertex.size()));

  const auto half = static_cast<std::uint32_t>(cluster.node_links.size());
  const double scale = datasets::constant_or(cluster, "eff_intra", 1);
  std::vector<std::vector<Edge>> edges(vertex.size());
  for (std::uint32_t i = 0; i < half; ++i) {
    const datasets::NodeLink& link = cluster.node_links[i];
    const int a = vertex.at(link.from), b = vertex.at(link.to);
    edges[static_cast<std::size_t>(a)].push_back({b, i});
    edges[static_cast<std::size_t>(b)].push_back({a, half + i});
    capacity_.push_back(link.bandwidth * scale);
  }
  capacity_.insert(capacity_.end(), capacity_.begin(), capacity_.begin() + half);

  paths_.resize(static_cast<std::size_t>(ends_) * static_cast<std::size_t>(ends_));
  for (int from = 0; from < ends_; ++from) {
    const std::vector<Arrival> arrival = search(edges, capacity_, from);
    for (int to = 0; to < ends_; ++to) {
      auto& path = paths_[static_cast<std::size_t>(from * ends_ + to)];
      for (int at = to; at != from; at = arrival[static_cast<std::size_t>(at)].from)
        path.push_back(arrival[static_cast<std::size_t>(at)].link);
      std::reverse(path.begin(), path.end());
      longest_ = std::max(longest_, path.size());
    }
  }
}

}  // namespace assay::substrate
