#pragma once
// The two clocks of the harness.
#include <chrono>
#include <cstdint>

namespace assay::harness {

// Seconds of a clock that only goes forward; for differences.
inline double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Nanoseconds since 1970, for records.
inline std::int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace assay::harness
