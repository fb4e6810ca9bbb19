#include "impls/parallelism/sequence/batch_claims.h"

namespace assay::parallelism {

BatchProblem batch_shape(const harness::claims::Setting& setting) {
  const datasets::Model& model = *setting.model;
  return {.lengths = {},
          .ranks = setting.ranks,
          .heads = static_cast<int>(model.at("heads")),
          .kv_heads = static_cast<int>(model.at("kv_heads")),
          .head_dim = static_cast<int>(model.at("head_dim")),
          .dtype = substrate::DType::bf16,
          .backward = true};
}

}  // namespace assay::parallelism
