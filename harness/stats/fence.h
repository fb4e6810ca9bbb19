#pragma once
// How far a case's numbers lie apart when nothing changed, learnt from its own past.
#include <span>
#include <vector>

namespace assay::harness::stats {

struct FenceRule {
  double reach = 1.5;         // Tukey's fence: quartiles and this many inter-quartile ranges beyond them
  int min_runs = 3;           // sessions: fewer do not show how sessions differ
  int min_launches = 6;       // fewer have no quartiles to speak of
  double least_width = 1e-3;  // relative half-width: no machine repeats itself better than this
};

// Of launch medians; computed on logarithms, so that slower and faster are alike.
struct Fence {
  double centre = 0;  // median of the launch medians
  double low = 0, high = 0;
  int runs = 0, launches = 0;
  bool known() const { return centre > 0; }
  bool holds(double value) const { return low <= value && value <= high; }
  // The larger relative distance of an end from the centre: what two sessions of one code may differ by. 0: not known.
  double allowance() const;
};

// `runs`: the launch medians of each past run of one level (since the last change), any order. Not known() when they
// are too few.
Fence fence_of(std::span<const std::vector<double>> runs, const FenceRule& rule = {});

// How large an effect is, in multiples of what the case does by itself or of the floor, whichever is larger.
enum class Magnitude { none, small, medium, large, huge };  // below 1, 2, 4, 8 times, and above
const char* to_string(Magnitude magnitude);
Magnitude magnitude_of(double ratio, double allowance, double effect_floor);

}  // namespace assay::harness::stats
