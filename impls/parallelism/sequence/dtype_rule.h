#pragma once
// The rule of programs of whole layers: err(program, float64) <= 2 err(the same in the program's dtype at once,
// float64)
// + `least` of the largest element; err is the largest absolute difference of a tensor.
#include <cstdint>
#include <string>

#include "harness/state.h"
#include "impls/substrate/dtype.h"

namespace assay::parallelism {

constexpr double kLeast = 2e-6;  // of the largest element, allowed in any case
// Of what is few numbers or hangs on few, whose distance in the dtype may be small by chance: a rounding to the dtype.
inline double least_of_few(substrate::DType dtype) { return dtype == substrate::DType::bf16 ? 0x1p-8 : kLeast; }

// Takes the worst element of `count` into the check, where it is worse than what that holds.
void hold(const std::string& tensor, const double* got, const double* exact, const double* naive, std::int64_t count,
          harness::Check& check, double least = kLeast);

}  // namespace assay::parallelism
