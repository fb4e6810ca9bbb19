#include "impls/substrate/fabric/nccl/nccl_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "harness/gpu/device.h"
#include "harness/gpu/library_search.h"

namespace assay::substrate::nccl {
namespace {

template <typename Function>
void load(void* handle, Function& entry, const char* name) {
  entry = reinterpret_cast<Function>(dlsym(handle, name));
  if (entry == nullptr) throw NcclUnavailable(fmt::format("NCCL lacks {}", name));
}

const char* name_of(int result) {
  constexpr const char* names[] = {"ncclSuccess",       "ncclUnhandledCudaError", "ncclSystemError",
                                   "ncclInternalError", "ncclInvalidArgument",    "ncclInvalidUsage",
                                   "ncclRemoteError",   "ncclInProgress"};
  return result >= 0 && result < 8 ? names[result] : "ncclResult";
}

}  // namespace

void Library::check(int result, const char* doing) const {
  if (result == 0) return;
  throw harness::gpu::DeviceError(name_of(result), error_string(result), doing);
}

Library open_library(const std::vector<std::string>& names) {
  const auto opened = harness::gpu::open_library(names);
  if (opened.handle == nullptr) throw NcclUnavailable("no NCCL: " + opened.reason);
  Library library;
  library.path = opened.path;
  load(opened.handle, library.get_version, "ncclGetVersion");
  load(opened.handle, library.get_unique_id, "ncclGetUniqueId");
  load(opened.handle, library.init_rank, "ncclCommInitRank");
  load(opened.handle, library.destroy, "ncclCommDestroy");
  load(opened.handle, library.group_start, "ncclGroupStart");
  load(opened.handle, library.group_end, "ncclGroupEnd");
  load(opened.handle, library.send, "ncclSend");
  load(opened.handle, library.receive, "ncclRecv");
  load(opened.handle, library.all_gather, "ncclAllGather");
  load(opened.handle, library.all_reduce, "ncclAllReduce");
  load(opened.handle, library.reduce_scatter, "ncclReduceScatter");
  load(opened.handle, library.broadcast, "ncclBroadcast");
  load(opened.handle, library.error_string, "ncclGetErrorString");
  library.check(library.get_version(&library.version), "reading NCCL's version");
  return library;
}

}  // namespace assay::substrate::nccl
