#pragma once
// Tensor maps made by the driver.
#include "impls/attention/cuda/descriptors.h"

namespace assay::attention::cuda {

// Throws harness::gpu::NoDevice where the driver is too old, std::invalid_argument for a tensor that it refuses.
TensorMap encode_by_driver(const TiledTensor& tensor);

}  // namespace assay::attention::cuda
