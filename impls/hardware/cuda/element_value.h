#pragma once
#include <cstddef>

#include "impls/hardware/cuda/roof_kernels.h"

namespace assay::hardware::cuda {

// The value of an element as the device stores it, decoded here bit by bit: the oracle does not trust the conversions
// that drew it. NaN stays NaN; e4m3 has no infinity (OCP 8-bit floating point, section 5.3).
double element_value(Element type, const std::byte* at);

}  // namespace assay::hardware::cuda
