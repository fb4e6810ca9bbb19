#pragma once
// What the listed links inside a node must be: every device joined to every other, each pair of vertices at most once,
// and no cycle where the descriptor says tree.
#include "datasets/machine.h"

namespace assay::datasets {

// Throws UserError: file, line, what was found, what was expected.
void check_node_links(const Cluster& cluster);

double constant_or(const Cluster& cluster, std::string_view key, double fallback);

}  // namespace assay::datasets
