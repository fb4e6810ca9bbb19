#pragma once
// The timing loop of one launch: Google Benchmark runs fixed-iteration batches with manual time, the stop rule is ours.
// docs/methodology.md says why each step is as it is.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace assay::harness {

struct TimingPlan {
  double noise_target = 0.02;   // relative half-width of the median's 95% interval at which to stop
  double budget_seconds = 1.0;  // time for all samples of this launch, set-up excluded
  int min_samples = 5;
  int max_samples = 10000;
  bool cold_cache = false;            // walk a buffer of twice the last-level cache before every sample
  double min_sample_seconds = 10e-6;  // shorter regions are repeated inside one sample; the batch size is kept
  double warmup_seconds = 0.02;       // leading samples up to this time are flagged as warm-up, never dropped
};

struct TimingResult {
  std::vector<double> samples;      // seconds per iteration, in order, warm-up first
  std::vector<std::int64_t> at_ns;  // Unix time at the start of each sample
  std::vector<float> clock_hz;      // of the core that ran it, or empty where not readable
  std::int64_t batch = 1;           // iterations a sample averages
  int warmup = 0;                   // leading samples that are warm-up
  std::string stop_reason;          // noise | budget | samples
  double wall_seconds = 0;
};

// What happens untimed around a sample; each may be empty.
struct SampleHooks {
  std::function<void(std::int64_t iterations)> prepare;             // before the caches are flushed
  std::function<void()> start;                                      // last before the clock is read
  std::function<void(std::size_t samples, double width)> progress;  // count and relative half-width after every batch
};
TimingResult time_region(const std::function<void()>& region, const TimingPlan& plan, const SampleHooks& hooks = {});

// Where a sample does not come from this process's clock (a GPU's own, see harness/gpu/device_sampler.h): the same loop
// and stop rule around it. The plan's cold_cache is the sampler's to see to.
struct Sampler {
  std::function<double(std::int64_t iterations)> take;  // seconds of so many runs of the region together
  std::function<float()> clock_hz;                      // after a sample; empty: not readable
};
TimingResult time_samples(const Sampler& sampler, const TimingPlan& plan, const SampleHooks& hooks = {});

// Evicts the caches by writing twice the last level. The size is read from the machine, not assumed.
class CacheFlush {
 public:
  CacheFlush();
  void operator()();

 private:
  std::vector<unsigned char> buffer_;
};

}  // namespace assay::harness
