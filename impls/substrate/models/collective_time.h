#pragma once
// How long the collectives of a vendor library take on a cluster, from its links, the steps of its algorithms and the
// constants fitted on measured collectives. The cluster fabric moves messages of our own algorithms; this is for
// operators of a step that are one library call (tensor-parallel all-reduces of a serving iteration).
#include <string>

#include "datasets/machine.h"

namespace assay::substrate {

enum class CollectiveKind { all_reduce, send_recv };

struct CollectiveWork {
  CollectiveKind kind = CollectiveKind::all_reduce;
  int ranks = 2;
  int devices_per_node = 0;  // ranks on one node; 0: as many as the cluster's nodes hold
  double bytes = 0;          // of one rank's buffer
};

struct CollectiveTime {
  double seconds = 0;
  double latency = 0;  // of launches and steps
  double moving = 0;   // bytes over the links that bound it
  bool inside_domain = true;
  std::string algorithm;  // none, ring, tree, copy
};

// Throws UserError where the cluster cannot hold the ranks.
CollectiveTime collective_time(const datasets::Cluster& cluster, const CollectiveWork& work);

}  // namespace assay::substrate
