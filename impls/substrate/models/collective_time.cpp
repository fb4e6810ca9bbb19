#include "impls/substrate/models/collective_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "datasets/user_error.h"

namespace assay::substrate {
namespace {

using datasets::Cluster;

double constant(const Cluster& cluster, std::string_view key, double fallback) {
  const auto found = cluster.constants.find(key);
  return found == cluster.constants.end() ? fallback : found->second.value;
}

// NICs that a node's ranks reach together: one each until they share.
double rails(const Cluster& cluster, int ranks_of_node) {
  if (ranks_of_node <= cluster.nics_per_node) return ranks_of_node;
  return cluster.nics_per_node * constant(cluster, "eff_shared_nic", 1);
}

CollectiveTime finish(double latency, double moving, const char* algorithm) {
  CollectiveTime time;
  time.latency = latency;
  time.moving = moving;
  time.seconds = latency + moving;
  time.algorithm = algorithm;
  return time;
}

CollectiveTime send_recv(const Cluster& cluster, const CollectiveWork& work, bool one_node) {
  const datasets::Link& link = one_node ? cluster.intra : cluster.inter;
  return finish(link.latency, work.bytes / link.bandwidth, "copy");
}

// Ring: 2 (P - 1) steps that each carry bytes / P; what passes every link is 2 (P - 1) / P bytes. Between nodes the
// rings leave a node through its NICs side by side.
CollectiveTime ring(const Cluster& cluster, const CollectiveWork& work, int per_node, bool one_node) {
  const double ranks = work.ranks, steps = 2 * (ranks - 1), wire = steps / ranks * work.bytes;
  const double intra = constant(cluster, "intra_bandwidth", 0) * constant(cluster, "eff_reduce", 1);
  const double start = constant(cluster, "reduce_seconds", 0);
  if (one_node)
    return finish(start + steps * constant(cluster, "reduce_step_seconds", cluster.intra.latency), wire / intra,
                  "ring");
  const double inter =
      rails(cluster, per_node) * constant(cluster, "inter_bandwidth", 0) * constant(cluster, "eff_inter_reduce", 1);
  return finish(start + steps * constant(cluster, "inter_reduce_step_seconds", cluster.inter.latency),
                wire / std::min(intra, inter), "ring");
}

// Tree over nodes: up and down in 2 log2 P steps; a node's share passes one NIC in each direction.
CollectiveTime tree(const Cluster& cluster, const CollectiveWork& work) {
  const double steps = 2 * std::log2(static_cast<double>(work.ranks));
  const double inter = constant(cluster, "inter_bandwidth", 0) * constant(cluster, "eff_inter_reduce", 1) *
                       constant(cluster, "eff_tree", 1);
  return finish(constant(cluster, "reduce_seconds", 0) +
                    steps * constant(cluster, "inter_reduce_step_seconds", cluster.inter.latency),
                work.bytes / inter, "tree");
}

}  // namespace

CollectiveTime collective_time(const Cluster& cluster, const CollectiveWork& work) {
  const int per_node =
      std::min(work.ranks, work.devices_per_node > 0 ? work.devices_per_node : cluster.devices_per_node);
  const int nodes = (work.ranks + per_node - 1) / per_node;
  if (per_node > cluster.devices_per_node || nodes > cluster.nodes) {
    throw UserError(fmt::format("{}: {} ranks at {} a node need {} nodes; the cluster has {} of {} devices",
                                cluster.file, work.ranks, per_node, nodes, cluster.nodes, cluster.devices_per_node));
  }
  if (work.ranks <= 1) return finish(0, 0, "none");
  const bool one_node = nodes == 1;
  CollectiveTime time;
  if (work.kind == CollectiveKind::send_recv) {
    time = send_recv(cluster, work, one_node);
  } else {
    // The library's own choice, which is not always the faster: trees between nodes while a rank's share is small.
    const bool small = work.bytes < work.ranks * constant(cluster, "tree_bytes_per_rank", 0);
    time = !one_node && small && per_node > 1 ? tree(cluster, work) : ring(cluster, work, per_node, one_node);
  }
  // Measured: up to 16 ranks on two nodes, 2 KiB to 64 MiB; below 64 KiB the medians scatter by a factor of three.
  time.inside_domain = cluster.constants.contains("eff_reduce") && work.bytes >= 65536 && work.bytes <= 128e6 &&
                       work.ranks <= 16 && nodes <= 2;
  return time;
}

}  // namespace assay::substrate
