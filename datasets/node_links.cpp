#include "datasets/node_links.h"

#include <fmt/format.h>

#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/user_error.h"

namespace assay::datasets {

namespace {

// k of "device<k>"; none where the name is of another kind.
std::optional<int> numbered(std::string_view name, std::string_view kind) {
  if (!name.starts_with(kind) || name.size() == kind.size() || name.size() > kind.size() + 6) return {};
  int number = 0;
  for (const char digit : name.substr(kind.size())) {
    if (digit < '0' || digit > '9') return {};
    number = 10 * number + (digit - '0');
  }
  return number;
}

// Vertices that are joined so far.
class Parts {
 public:
  int index(const std::string& name) {
    const auto [found, fresh] = index_.emplace(name, static_cast<int>(root_.size()));
    if (fresh) root_.push_back(found->second);
    return found->second;
  }
  int root(int at) const {
    while (root_[static_cast<std::size_t>(at)] != at) at = root_[static_cast<std::size_t>(at)];
    return at;
  }
  void join(int a, int b) { root_[static_cast<std::size_t>(root(a))] = root(b); }
  const std::map<std::string, int>& vertices() const { return index_; }

 private:
  std::map<std::string, int> index_;
  std::vector<int> root_;
};

}  // namespace

void check_node_links(const Cluster& cluster) {
  Parts parts;
  for (int d = 0; d < cluster.devices_per_node; ++d) parts.index(fmt::format("device{}", d));
  std::map<std::pair<int, int>, int> listed;  // and where
  for (const NodeLink& link : cluster.node_links) {
    const std::string place = fmt::format("{}:{}: node_links", cluster.file, link.line);
    if (!(link.bandwidth > 0))
      throw UserError(fmt::format("{}: bandwidth of {} to {} is {}, expected more than 0 B/s", place, link.from,
                                  link.to, link.bandwidth));
    for (const std::string& end : {link.from, link.to}) {
      for (const auto& [kind, most] :
           {std::pair("device", cluster.devices_per_node), std::pair("nic", cluster.nics_per_node)}) {
        const auto number = numbered(end, kind);
        if (number && *number >= most)
          throw UserError(fmt::format("{}: found {}, expected {}0 to {}{}", place, end, kind, kind, most - 1));
      }
    }
    int a = parts.index(link.from), b = parts.index(link.to);
    const bool cycle = parts.root(a) == parts.root(b);
    if (a > b) std::swap(a, b);
    const auto [found, fresh] = listed.emplace(std::pair(a, b), link.line);
    if (a == b) throw UserError(fmt::format("{}: {} is joined to itself, expected two vertices", place, link.from));
    if (!fresh)
      throw UserError(fmt::format("{}: {} and {} are joined already in line {}, expected one link a pair", place,
                                  link.from, link.to, found->second));
    if (cycle && cluster.node_topology == "tree")
      throw UserError(
          fmt::format("{}: {} to {} closes a cycle, expected a tree (node_topology = \"mesh\" allows cycles)", place,
                      link.from, link.to));
    parts.join(a, b);
  }
  const int first = parts.root(parts.index("device0"));
  for (const auto& [name, vertex] : parts.vertices())
    if (parts.root(vertex) != first)
      throw UserError(fmt::format("{}: node_links: no path from device0 to {}, expected one connected {}", cluster.file,
                                  name, cluster.node_topology.empty() ? "mesh" : cluster.node_topology));
}

double constant_or(const Cluster& cluster, std::string_view key, double fallback) {
  const auto found = cluster.constants.find(key);
  return found == cluster.constants.end() ? fallback : found->second.value;
}

}  // namespace assay::datasets
