#include "harness/profile/nvtx.h"

#if ASSAY_HAVE_CUDA
#include <nvtx3/nvToolsExt.h>
#endif

namespace assay::harness::profile {

#if ASSAY_HAVE_CUDA
NvtxRange::NvtxRange(const std::string& name) { nvtxRangePushA(name.c_str()); }
NvtxRange::~NvtxRange() { nvtxRangePop(); }
#else
NvtxRange::NvtxRange(const std::string&) {}
NvtxRange::~NvtxRange() = default;
#endif

}  // namespace assay::harness::profile
