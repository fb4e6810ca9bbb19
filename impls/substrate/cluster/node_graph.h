#pragma once
// The links inside a node that a descriptor lists one by one: PCIe trees, NVLink meshes without a switch. A message
// takes the path of fewest links, of equals the widest, then the one over lower vertices; the table of paths is of one
// node, whatever the number of nodes.
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/machine.h"

namespace assay::substrate {

class NodeGraph {
 public:
  // Of a descriptor's node_links. Throws UserError where they do not join all devices.
  explicit NodeGraph(const datasets::Cluster& cluster);

  // Directed links: the first half from `from` to `to` of the k-th listed one, the second half back.
  std::size_t links() const { return capacity_.size(); }
  double capacity(std::size_t link) const { return capacity_[link]; }
  bool has_nics() const { return has_nics_; }  // else adapters hang on their devices
  std::span<const std::uint32_t> between(int from_device, int to_device) const { return path(from_device, to_device); }
  std::span<const std::uint32_t> to_nic(int device, int nic) const { return path(device, devices_ + nic); }
  std::span<const std::uint32_t> from_nic(int nic, int device) const { return path(devices_ + nic, device); }
  std::size_t longest() const { return longest_; }

 private:
  std::span<const std::uint32_t> path(int from, int to) const {
    const auto& found = paths_[static_cast<std::size_t>(from * ends_ + to)];
    return found;
  }

  int devices_;
  int ends_;  // devices, then adapters
  bool has_nics_ = false;
  std::vector<double> capacity_;
  std::vector<std::vector<std::uint32_t>> paths_;  // [from][to] of the ends
  std::size_t longest_ = 0;
};

}  // namespace assay::substrate
