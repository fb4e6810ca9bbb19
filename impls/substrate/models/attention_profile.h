#pragma once
// Reader of measured attention through block tables, in the layout of Vidur's public profiling data: one line a prefill
// (chunk of new tokens behind cached ones) or a decode (batch of sequences with the same context); times in ms.
#include <cstdint>
#include <string>
#include <vector>

#include "impls/substrate/models/paged_attention.h"

namespace assay::substrate {

struct MeasuredAttention {
  PagedHeads heads;  // of one device
  bool prefill = false;
  std::int64_t batch = 1;
  std::int64_t tokens = 0;  // new ones of a sequence
  std::int64_t keys = 0;    // cached before them
  double seconds = 0;
};

// Throws UserError naming file, line and column for what cannot be read.
std::vector<MeasuredAttention> read_attention_profile(const std::string& file);

double modelled_seconds(const PagedRates& rates, const MeasuredAttention& row);

}  // namespace assay::substrate
