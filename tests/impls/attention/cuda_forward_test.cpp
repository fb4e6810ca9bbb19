// The forward kernel's own source, run by the emulator, gives the attention that float64 gives; it touches nothing it
// should not, races nowhere and has no bank conflict.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda_for_tests.h"

namespace assay::attention::cuda {
namespace {

struct Shape {
  int queries, keys;
};

TEST(CudaForward, AgreesWithFloat64AndNeverRaces) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const Shape shape : {Shape{1, 1}, {130, 130}, {70, 200}, {150, 40}}) {
        for (const bool causal : {false, true}) {
          if (head_dim == 256 && (dtype == DType::f16) != causal) continue;  // half of the slowest
          const Problem p = aligned({.batch = 1,
                                     .queries = shape.queries,
                                     .keys = shape.keys,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = head_dim,
                                     .dtype = dtype,
                                     .causal = causal});
          Storage storage(p);
          draw_inputs(p, InputLaw::normal, 11, storage.tensors());
          std::ranges::fill(storage.output(), std::byte{0xff});
          std::ranges::fill(storage.lse(), std::byte{0xff});
          std::vector<emulator::Region> memory = regions(p, storage);
          const emulator::Findings found = emulator::flash_attention_2_forward(
              forward_problem(p, storage.tensors()), head_dim, element_type(dtype), memory, 0);
          const std::string what = fmt::format("{} d={} N={} M={} causal={}", substrate::to_string(dtype), head_dim,
                                               shape.queries, shape.keys, causal);
          const harness::Check check = Reference(p, storage.tensors(), 1).compare(storage.tensors());
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
          EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
          EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
          expect_each_byte_written_once(memory, what);
        }
      }
    }
  }
}

}  // namespace
}  // namespace assay::attention::cuda
