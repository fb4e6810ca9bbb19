#pragma once
// How far the parts of an iteration reach when the fitted constants of the machines are moved by their residuals.
//
// A projection's interval moves one constant at a time, each way, and adds what the result does in squares: two dozen
// constants, fifty simulations. Here the squares are added part by part instead (what a product, an attention call, an
// all-reduce, the host's work can be off by), and the requests are simulated twice more, with all parts short and all
// parts long. A result that grows with every part, as latencies do, moves at least as far that way: for
// nonnegative weights g, |sum_i g_i v_i| <= sum_i g_i |v_i| with v_i the moves of part i by constant (Minkowski). So
// the interval is never narrower to first order, and costs two simulations.
//
// Moves of products are looked up at every size up to 64 and eight sizes an octave above, those of a prompt's slice at
// the nearest powers of two of its tokens and keys: they are shares of some ten percent, which tiles make jump by a
// few, and a workload has tens of thousands of distinct parts.
#include <map>
#include <utility>
#include <vector>

#include "impls/serving/iteration_time.h"

namespace assay::serving {

// Shares of the nominal that a part may be shorter or longer.
struct RelativeReach {
  double down = 0, up = 0;
};

class IterationReach {
 public:
  explicit IterationReach(const Deployment& deployment);

  const Deployment& nominal() const { return nominal_.deployment(); }

  RelativeReach linear(std::int64_t tokens) const;
  RelativeReach head(std::int64_t rows) const;
  RelativeReach hop(std::int64_t tokens) const;
  RelativeReach prefill(const PrefillSlice& slice) const;
  RelativeReach decode_call() const;
  RelativeReach decode_key() const;
  RelativeReach host_iteration() const;
  RelativeReach host_sequence() const;

 private:
  struct Moved {
    std::string cause;
    IterationTime time;
  };
  using Grid = std::map<std::int64_t, RelativeReach>;  // by tokens or rows
  template <class Part>
  RelativeReach of(Part&& part) const;
  template <class Part>
  RelativeReach between(Grid& grid, std::int64_t size, Part&& part) const;

  IterationTime nominal_;
  std::vector<Moved> moved_;
  mutable Grid linear_, head_, hop_;
  mutable std::map<std::pair<int, int>, RelativeReach> prefill_;
};

// The deployments an interval stands for, one constant of device or links after the other at either end, each with the
// constant's name.
std::vector<std::pair<std::string, Deployment>> moved_deployments(const Deployment& deployment);

}  // namespace assay::serving
