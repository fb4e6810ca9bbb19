#pragma once
// Hardware counters of the GPU over a region: what its matrix units, its memory and its L2 cache did. From a pass of
// its own that runs the region several times, never from a timed one.
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay::harness::profile {

// The library is not here, is of another version, or refuses (counters are for administrators unless the driver was
// told otherwise); one line.
class CountersUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct CounterValues {
  double tensor_active = 0;  // share of the elapsed cycles in which the matrix units worked, mean over multiprocessors
  double dram_bytes = 0;     // read and written
  double l2_hit_rate = 0;    // of the sectors asked for
  int passes = 0;            // the region was run so often
};

class HardwareCounters {
 public:
  virtual ~HardwareCounters() = default;
  // `region` returns when the device has done its work; it is run once a pass.
  virtual CounterValues count(const std::function<void()>& region) = 0;
};

// Through CUPTI's range profiler on the device in use, opened at run time from `libraries` (names or paths). Throws
// CountersUnavailable.
std::unique_ptr<HardwareCounters> open_hardware_counters(const std::vector<std::string>& libraries = {
                                                             "libcupti.so.13"});

}  // namespace assay::harness::profile
