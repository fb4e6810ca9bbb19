#pragma once
// What a function is marked with that both host and device call: ASSAY_HOST_DEVICE std::uint32_t hash(std::uint32_t x) {...}
// Plain C++ compilers read it as constexpr alone.
#ifdef __CUDACC__
#define ASSAY_HOST_DEVICE __host__ __device__ constexpr
#else
#define ASSAY_HOST_DEVICE constexpr
#endif
