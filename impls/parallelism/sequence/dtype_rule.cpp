#include "impls/parallelism/sequence/dtype_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace assay::parallelism {

void hold(const std::string& tensor, const double* got, const double* exact, const double* naive, std::int64_t count,
          harness::Check& check, double least) {
  double distance = 0, largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    distance = std::max(distance, std::abs(naive[i] - exact[i]));
    largest = std::max(largest, std::abs(exact[i]));
  }
  const double allowed = 2 * distance + least * largest;
  for (std::int64_t i = 0; i < count; ++i) {
    const double error = std::abs(got[i] - exact[i]) / allowed;
    if (std::isnan(check.error) || error <= check.error) continue;
    check.error = error;
    check.detail = fmt::format("{} element {} is {:.6g}, the oracle says {:.6g} within {:.2g}", tensor, i, got[i],
                               exact[i], allowed);
  }
}

}  // namespace assay::parallelism
