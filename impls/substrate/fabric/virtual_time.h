#pragma once
#include <cmath>
#include <cstdint>

namespace assay::substrate {

// Time of a rank program since its start. Modelled durations are rounded up, so a projection never gains from rounding.
using Picoseconds = std::int64_t;

inline Picoseconds to_picoseconds(double seconds) { return static_cast<Picoseconds>(std::ceil(seconds * 1e12)); }
inline double to_seconds(Picoseconds time) { return static_cast<double>(time) * 1e-12; }

}  // namespace assay::substrate
