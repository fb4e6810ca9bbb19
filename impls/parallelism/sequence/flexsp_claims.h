#pragma once
// What FlexSP's paper claims, and what it compares with: DeepSpeed's one degree for all and Megatron-LM's tensor and
// context parallelism, on the same batches.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Batches that a projection is the mean of; the paper averages 40.
inline constexpr std::uint64_t kFlexSpBatches = 3;
// Sequences as the paper's code takes them: those below the context, padded to a multiple of 2 N.
std::vector<std::int64_t> flexsp_batch(const harness::claims::Setting& setting, std::uint64_t seed);

std::optional<harness::claims::Projection> project_flexsp(const harness::claims::Setting& setting,
                                                          const std::string& quantity);

// Whether a setting is a batch of a data set (and not a sequence of one length).
bool is_flexsp_batch(const harness::claims::Setting& setting);
std::optional<harness::claims::Projection> project_flexsp_deepspeed(const harness::claims::Setting& setting,
                                                                    const std::string& quantity);
std::optional<harness::claims::Projection> project_flexsp_megatron(const harness::claims::Setting& setting,
                                                                   const std::string& quantity);

}  // namespace assay::parallelism
