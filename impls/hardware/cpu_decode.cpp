// GPT decoding at batch 1 on a CPU: what PIM-GPT is compared with (arXiv 2310.09385).
//
//   T = sum over kernels of max(ops / (e_c peak), bytes / (e_b bandwidth)) + launch
//
// `software` says whether the machine's limits bound it (roofline) or the kernels of an eager framework, each of which
// costs the time to issue it (framework). A batch of one reads every weight for every token, so memory bandwidth is
// the limit of the first and single-precision weights and calling some 24 kernels a layer of the second.
#include "harness/registry.h"
#include "impls/hardware/pim/baseline_case.h"
#include "impls/hardware/pim/pim_claims.h"

namespace assay::hardware {
namespace {

constexpr const char* kDevice = "xeon-6154";
constexpr const char* kDtype = "fp32";

std::optional<harness::claims::Projection> project(const harness::claims::Setting& setting,
                                                   const std::string& quantity) {
  return project_decode_on(setting, quantity, kDtype);
}

const harness::Registration registration({
    .id = "hardware/cpu-decode",
    .title = "GPT decoding on a CPU, one token at a time",
    .paper = "baseline",
    .summary = "roofline and eager-framework model of batch-1 decoding",
    .implementations = {{.fabrics = {"cluster"},
                         .axes = baseline_axes(kDevice, kDtype),
                         .run = run_baseline,
                         .source_file = __FILE__}},
    .project = project,
    .own_device = kDevice,
});

}  // namespace
}  // namespace assay::hardware
