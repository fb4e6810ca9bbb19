#pragma once
// What a state offers whose launch keeps a timeline of work on real data.
#include <functional>

namespace assay::harness {

class TimelineKeeper {
 public:
  virtual ~TimelineKeeper() = default;
  // One more run of the region that says when it did what through State::interval; given before measure(). It is made
  // after the samples of a launch, so that none is disturbed, on every process of an ensemble.
  virtual void trace(const std::function<void()>& run) = 0;
};

}  // namespace assay::harness
