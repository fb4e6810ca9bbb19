#pragma once
// NCCL, opened at run time. Its few entry points are declared here as its ABI has them (nccl.h of 2.x), so that a build
// needs no header of it, and a machine without the library only lacks this fabric.
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

struct CUstream_st;

namespace assay::substrate::nccl {

struct Comm;  // ncclComm
struct UniqueId {
  char bytes[128];
};
// ncclDataType_t and ncclRedOp_t.
enum class Type : int { bytes = 1, f32 = 7, bf16 = 9 };
inline constexpr int kSum = 0;

// The library is not here or lacks something; one line.
class NcclUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Library {
  std::string path;
  int version = 0;  // 22809 is 2.28.9

  int (*get_version)(int*) = nullptr;
  int (*get_unique_id)(UniqueId*) = nullptr;
  int (*init_rank)(Comm**, int ranks, UniqueId, int rank) = nullptr;
  int (*destroy)(Comm*) = nullptr;
  int (*group_start)() = nullptr;
  int (*group_end)() = nullptr;
  int (*send)(const void*, std::size_t, Type, int peer, Comm*, CUstream_st*) = nullptr;
  int (*receive)(void*, std::size_t, Type, int peer, Comm*, CUstream_st*) = nullptr;
  int (*all_gather)(const void*, void*, std::size_t of_one_rank, Type, Comm*, CUstream_st*) = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, Type, int operation, Comm*, CUstream_st*) = nullptr;
  int (*reduce_scatter)(const void*, void*, std::size_t of_one_rank, Type, int operation, Comm*,
                        CUstream_st*) = nullptr;
  int (*broadcast)(const void*, void*, std::size_t, Type, int root, Comm*, CUstream_st*) = nullptr;
  const char* (*error_string)(int) = nullptr;

  // Throws harness::gpu::DeviceError with NCCL's name of the error. `doing` completes "failed while".
  void check(int result, const char* doing) const;
};

// Throws NcclUnavailable.
Library open_library(const std::vector<std::string>& names = {"libnccl.so.2", "libnccl.so"});

}  // namespace assay::substrate::nccl
