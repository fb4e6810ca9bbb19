// Maps the papers' configurations to values of the operator models. The kernels' own files hold titles and
// implementations; these registrations join them by id.
#include "harness/registry.h"
#include "impls/substrate/models/attention_projection.h"

namespace assay::attention {
namespace {

using harness::Registration;
using harness::claims::Projection;
using harness::claims::Setting;
using substrate::ActivationLayout;
using substrate::AttentionSchedule;

std::optional<Projection> flash2(const Setting& setting, const std::string& quantity) {
  return substrate::project_attention(setting, quantity, AttentionSchedule::flash2);
}

std::optional<Projection> flash1(const Setting& setting, const std::string& quantity) {
  return substrate::project_attention(setting, quantity, AttentionSchedule::flash1);
}

std::optional<Projection> naive(const Setting& setting, const std::string& quantity) {
  if (quantity == "max_sequence") {
    return substrate::project_longest_sequence(setting, quantity, ActivationLayout::materialised);
  }
  return substrate::project_attention(setting, quantity, AttentionSchedule::materialised);
}

std::optional<Projection> mem_efficient(const Setting& setting, const std::string& quantity) {
  if (quantity == "max_sequence") {
    return substrate::project_longest_sequence(setting, quantity, ActivationLayout::mem_efficient);
  }
  return substrate::project_attention(setting, quantity, AttentionSchedule::mem_efficient);
}

const Registration flash2_projection{{.id = "attention/flash-attention-2", .project = flash2}};
const Registration flash1_projection{{.id = "attention/flash-attention-1", .project = flash1}};
const Registration naive_projection{{.id = "attention/naive-attention", .project = naive}};
const Registration mem_efficient_projection{{.id = "attention/mem-efficient-attention", .project = mem_efficient}};

}  // namespace
}  // namespace assay::attention
