#pragma once
// PIM-GPT and its baselines at the paper's configurations.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::hardware {

std::optional<harness::claims::Projection> project_pim_gpt(const harness::claims::Setting& setting,
                                                           const std::string& quantity);
// The tokens of a configuration on the setting's device with the kernels of an eager framework, which is what the paper
// compares with; the roofline stands in the note.
std::optional<harness::claims::Projection> project_decode_on(const harness::claims::Setting& setting,
                                                             const std::string& quantity, const std::string& dtype);

}  // namespace assay::hardware
