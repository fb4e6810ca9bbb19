#include <gtest/gtest.h>

#include "impls/attention/oracle.h"
#include "impls/attention/techniques.h"

namespace assay::attention {
namespace {

TEST(NaiveAttention, AgreesWithFloat64) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const bool causal : {false, true}) {
      const Problem problem = aligned(
          {.queries = 100, .keys = 130, .heads = 2, .kv_heads = 1, .head_dim = 64, .dtype = dtype, .causal = causal});
      Storage storage(problem);
      draw_inputs(problem, InputLaw::normal, 1, storage.tensors());
      for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
        naive_attention(problem, {.isa = isa})(storage.tensors());
        const auto check = Reference(problem, storage.tensors(), 1).compare(storage.tensors());
        EXPECT_LE(check.error, 1) << check.detail;
      }
    }
  }
}

}  // namespace
}  // namespace assay::attention
