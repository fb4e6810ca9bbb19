#pragma once
// When to stop sampling one launch: the median is known well enough, or the money is spent.
#include <cstddef>
#include <vector>

namespace assay::harness::stats {

struct StopRule {
  double noise_target = 0.01;   // relative half-width of the median's 95% interval
  double budget_seconds = 1.0;  // ends it whatever is known by then, after one sample at the least
  int min_samples = 10;         // before the noise is looked at
  int max_samples = 1'000'000;
};

enum class Stop { go_on, noise, budget, samples };
const char* to_string(Stop stop);

// Fed every sample in order. The interval is looked at only when the number of samples has grown by an eighth since the
// last look, so a look costs O(n) and a sample O(1) amortised; few looks also mean little chance to stop on luck.
// `noise` needs two looks running to agree.
class Stopper {
 public:
  explicit Stopper(const StopRule& rule);
  // `elapsed_seconds`: what counts against the budget, so far.
  Stop add(double seconds_per_iteration, double elapsed_seconds);
  double half_width() const { return half_width_; }  // at the last look; +inf before the first
  const std::vector<double>& samples() const { return samples_; }

 private:
  StopRule rule_;
  std::vector<double> samples_;
  std::size_t next_look_;
  bool was_quiet_ = false;
  double half_width_;
};

}  // namespace assay::harness::stats
