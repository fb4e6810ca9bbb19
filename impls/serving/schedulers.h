#pragma once
// The schedulers by name; each is explained where it is defined (vllm_paged.cpp, sarathi.cpp, orca.cpp).
#include "impls/serving/engine.h"

namespace assay::serving {

Plan schedule_vllm(Engine& engine);
Plan schedule_sarathi(Engine& engine);
Plan schedule_chunks_only(Engine& engine);
Plan schedule_orca(Engine& engine);

}  // namespace assay::serving
