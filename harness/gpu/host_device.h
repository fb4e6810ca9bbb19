#pragma once
// What a function that host and device both call is marked with. Plain C++ compilers read it as constexpr alone.
#ifdef __CUDACC__
#define ASSAY_HOST_DEVICE __host__ __device__ constexpr
#else
#define ASSAY_HOST_DEVICE constexpr
#endif
