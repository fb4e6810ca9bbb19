#pragma once
// Reader of measured operator times of a transformer layer, in the layout of Vidur's public profiling data
// (one line a model, tensor-parallel degree and number of tokens; times in ms).
#include <cstdint>
#include <string>
#include <vector>

#include "impls/substrate/models/op_work.h"

namespace assay::substrate {

struct MeasuredOperator {
  std::string model;
  std::string column;  // attn_pre_proj_ms ...
  std::string group;   // operator class: gemm, pointwise, norm, copy
  OpWork work;
  double seconds = 0;
  std::int64_t tokens = 0;
};

// Throws UserError naming file, line and column for what cannot be read.
std::vector<MeasuredOperator> read_linear_profile(const std::string& file);

}  // namespace assay::substrate
