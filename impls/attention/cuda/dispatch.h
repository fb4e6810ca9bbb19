#pragma once
// From run-time values to a kernel's template arguments.
#include <stdexcept>
#include <string>

#include "impls/attention/cuda/forward.h"

namespace assay::attention::cuda {

// body<kHeadDim>() for the run-time value; returns what it returns.
template <class Body>
decltype(auto) for_head_dim(int head_dim, const Body& body) {
  switch (head_dim) {
    case 64:
      return body.template operator()<64>();
    case 128:
      return body.template operator()<128>();
    case 256:
      return body.template operator()<256>();
    default:
      throw std::invalid_argument("head_dim: found " + std::to_string(head_dim) + ", expected 64, 128 or 256");
  }
}

// body<Element, kHeadDim>().
template <class Body>
decltype(auto) for_kernel(int head_dim, ElementType element, const Body& body) {
  return for_head_dim(head_dim, [&]<int kHeadDim>() -> decltype(auto) {
    return element == ElementType::bf16 ? body.template operator()<Bf16, kHeadDim>()
                                        : body.template operator()<Fp16, kHeadDim>();
  });
}

}  // namespace assay::attention::cuda
