#pragma once
// The PIM-GPT package of the descriptor, and models small enough to run on data and without reuse.
#include "impls/hardware/pim/pim_run.h"

namespace assay::hardware {

inline datasets::Device pim_descriptor() { return datasets::load_device("pim-gpt", datasets::data_root()); }

inline void set(datasets::Device& device, const char* key, double value) {
  device.constants.insert_or_assign(key, datasets::Constant{.value = value, .source = "test"});
}

// Widths that divide nothing: heads that straddle channels, chunks of unequal width, a short last output group.
inline GptShape small_gpt() {
  return {.id = "small",
          .layers = 2,
          .hidden = 144,
          .heads = 6,
          .head_dim = 24,
          .ffn = 576,
          .vocabulary = 300,
          .max_positions = 40};
}

// A vector buffer shorter than the vectors, so that sums come in parts.
inline PimDevice small_pim() {
  datasets::Device descriptor = pim_descriptor();
  set(descriptor, "channels", 3);
  set(descriptor, "vector_buffer_bytes", 256);
  set(descriptor, "row_bytes", 512);
  return pim_device(descriptor);
}

}  // namespace assay::hardware
