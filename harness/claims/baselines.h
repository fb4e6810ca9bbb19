#pragma once
// Baselines of papers that are no techniques here (external:NAME, or an id nobody registers): a technique may know the
// other side of its own claims. A static object of a technique file, like its Registration.
#include <string>
#include <string_view>

#include "harness/claims/projection.h"

namespace assay::harness::claims {

struct BaselineRegistration {
  // `project` is asked with role "baseline" and the baseline's name in Setting::technique; it says nothing of others.
  BaselineRegistration(const std::string& technique, Projector project);
};

// Null where the technique knows none.
Projector projector_of_baselines(std::string_view technique);

}  // namespace assay::harness::claims
