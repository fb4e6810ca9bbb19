#pragma once
// The planner of ByteScale's hybrid data parallelism (arXiv 2502.21231): how many ranks a sequence gets, what of its
// activations goes to host memory, and which ranks work on what and when.
#include <cstdint>
#include <vector>

#include "impls/parallelism/variable_length/batch_plan.h"

namespace assay::parallelism {

// T(s) = (pair p(s) + token s) / layers of a layer; Act(s) = act_bytes s of a layer. Of one rank.
struct HdpCosts {
  double pair_seconds = 0, token_seconds = 0;  // whole model, forward and backward
  double act_bytes = 0;                        // of a token and layer
  double host_bandwidth = 0;                   // B/s, the slower way; 0: nothing is offloaded
  int layers = 1;
  std::int64_t capacity = 1;  // C, tokens a rank holds

  double seconds(std::int64_t length) const;
};

// Eq. 3: the first and last layer stay, of the others a share r goes to the host while the next layer computes:
//   D(s, r) = ceil((2 + (1 - r)(l - 2)) Act(s) / (l Act(C))),  T(s) >= r Act(s) / B
int hdp_degree(std::int64_t length, double offload, const HdpCosts& costs);
struct HdpChoice {
  int degree = 1;
  double offload = 0;  // the least that this degree takes
};
HdpChoice choose_hdp(std::int64_t length, int ranks, const HdpCosts& costs);

// Some sequences that some ranks work on together, not placed yet.
struct HdpUnit {
  std::vector<int> sequences;
  int degree = 1;
  double offload = 0;
  double seconds = 0;  // of each of its ranks
};
// Long sequences each for themselves, short ones packed into rows of the capacity (best fit).
std::vector<HdpUnit> hdp_units(const std::vector<std::int64_t>& lengths, int ranks, const HdpCosts& costs);

enum class HdpBalance : std::uint8_t { data, pipeline };

struct HdpPlan {
  std::vector<BatchItem> items;  // in the order in which they start
  std::vector<double> seconds;   // computing of each rank
};
// Algorithm 1: units in the order of their sequences fill the ranks of one time slot after the other; what does not fit
// a slot any more waits for the next.
HdpPlan plan_hdp_naive(const BatchProblem& problem, const HdpCosts& costs);
// Algorithm 2: units sorted and cut into `buckets` of equal work; ranks that lag by more than `tolerance` of the mean
// load get the next unit: of the first bucket (data: equal work at a time), or of each in turn (pipeline: micro-batches
// side by side alike). A unit of degree D goes to the D ranks with least work. What the paper leaves open is stated
// where it is used: 8 buckets, tolerance 5%, ties to the lower rank.
HdpPlan plan_hdp_balanced(const BatchProblem& problem, const HdpCosts& costs, HdpBalance balance, int buckets = 8,
                          double tolerance = 0.05);
// The static mesh: groups of as many ranks as the longest sequence of the data set needs (a power of two), rows of the
// group's capacity dealt to the groups in turn, every sequence over all ranks of its group.
HdpPlan plan_static_mesh(const BatchProblem& problem, std::int64_t longest, const HdpCosts& costs);

}  // namespace assay::parallelism
