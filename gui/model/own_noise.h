#pragma once
// How large a difference is beside what the case does when nothing changed.
#include <limits>
#include <string>
#include <unordered_set>

#include "gui/model/database.h"
#include "harness/comparison.h"
#include "harness/stats/fence.h"

namespace assay::gui {

struct OwnNoise {
  double allowance = 0;  // what two sessions of this case may differ by, relative; 0: exact, or nothing is known
  int runs = 0;          // that show it, all at the base's level; 0: too few do, so the general allowance is taken
  // The difference in multiples of the allowance or of the effect floor, whichever is larger, on a logarithmic scale:
  // what the gate's magnitudes are classes of. NaN without a ratio.
  double times = std::numeric_limits<double>::quiet_NaN();
};

// Of side A's case on the machine of side A's run, from the runs at the level of that run; the contender is no witness.
class NoiseReader {
 public:
  explicit NoiseReader(Database& database);
  OwnNoise of(const harness::Comparison& comparison, const harness::ComparedCase& row);

 private:
  harness::stats::Fence fence_of_base(const harness::Comparison& comparison, const harness::ComparedCase& row);

  Database& database_;
  std::unordered_set<std::string> tracked_;  // runs that follow the code
  std::vector<results_db::AlertRecord> alerts_;
};

}  // namespace assay::gui
