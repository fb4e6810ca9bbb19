#pragma once
// Kernels of an sm_90a and their launch. For .cu files.
#include "impls/attention/cuda/encode_tensor.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {

// Block::run() as a kernel of Block::kThreads threads. `given` is a parameter that stays where it is, because the copy
// engine reads tensor maps from there. In code for other architectures the kernel is empty, and no case launches it.
template <class Block>
__global__ void __launch_bounds__(Block::kThreads, 1) on_sm_90a(const __grid_constant__ typename Block::Given given) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  Block::run(given);
#endif
}

template <class Block>
void launch_on_sm_90a(Grid grid, const typename Block::Given& given, CUstream_st* stream) {
  launch(on_sm_90a<Block>, grid, Block::kThreads, Block::kSharedBytes, stream, given);
}

}  // namespace assay::attention::cuda
