// Every kernel, on every instruction set this machine has, gives the attention that float64 gives.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "impls/attention/oracle.h"
#include "impls/attention/techniques.h"
#include "impls/substrate/simd/tile_kernels.h"

namespace assay::attention {
namespace {

struct Technique {
  const char* name;
  MakeKernel make;
};
constexpr Technique kTechniques[] = {{"naive_attention", naive_attention},
                                     {"mem_efficient_attention", mem_efficient_attention},
                                     {"flash_attention_1", flash_attention_1},
                                     {"flash_attention_2", flash_attention_2}};

struct Unit {
  const char* name;
  DType dtype;
  Isa isa;
  bool emulate;
};

// What GoogleTest shows of a parameter.
void PrintTo(const Technique& technique, std::ostream* out) { *out << technique.name; }
void PrintTo(const Unit& unit, std::ostream* out) { *out << unit.name; }

constexpr Unit kUnits[] = {
    {"fp32_portable", DType::f32, Isa::portable, false},
    {"fp32_avx2", DType::f32, Isa::avx2, false},
    {"fp32_avx512", DType::f32, Isa::avx512, false},
    {"bf16_portable", DType::bf16, Isa::portable, false},
    {"bf16_avx2", DType::bf16, Isa::avx2, false},
    {"bf16_avx512", DType::bf16, Isa::avx512, false},
    {"bf16_avx512bf16", DType::bf16, Isa::avx512_bf16, false},
    {"bf16_amx", DType::bf16, Isa::amx, false},
    {"bf16_amx_emulated", DType::bf16, Isa::amx, true},
};

class EveryKernel : public testing::TestWithParam<std::tuple<Technique, Unit>> {
 protected:
  void SetUp() override {
    if (!unit().emulate && !substrate::available(unit().isa)) GTEST_SKIP() << substrate::missing(unit().isa);
  }
  static MakeKernel make() { return std::get<0>(GetParam()).make; }
  static Unit unit() { return std::get<1>(GetParam()); }
  static Execution execution(int threads = 1) {
    return {.isa = unit().isa, .threads = threads, .emulate = unit().emulate};
  }
  static Problem problem(Problem shape) {
    shape.dtype = unit().dtype;
    return aligned(shape);
  }
  // Poisons the outputs, runs, and compares.
  static harness::Check check(const Problem& p, Storage& storage, int threads = 1) {
    std::ranges::fill(storage.output(), std::byte{0xff});
    std::ranges::fill(storage.lse(), std::byte{0xff});
    make()(p, execution(threads))(storage.tensors());
    return Reference(p, storage.tensors(), 1).compare(storage.tensors());
  }
};

TEST_P(EveryKernel, AgreesWithFloat64OnEvenAndUnevenShapes) {
  const std::pair<int, int> lengths[] = {{128, 128}, {1, 1}, {1, 77}, {33, 33}, {301, 301}, {70, 290}, {157, 40}};
  for (const auto& [queries, keys] : lengths) {
    for (const bool causal : {false, true}) {
      for (const int kv_heads : {2, 1}) {
        const Problem p = problem(
            {.queries = queries, .keys = keys, .heads = 2, .kv_heads = kv_heads, .head_dim = 64, .causal = causal});
        Storage storage(p);
        draw_inputs(p, InputLaw::normal, 1, storage.tensors());
        const harness::Check found = check(p, storage);
        EXPECT_LE(found.error, 1) << fmt::format("N={} M={} causal={} kv_heads={}: {}", queries, keys, causal, kv_heads,
                                                 found.detail);
        EXPECT_EQ(found.coverage, 1);
      }
    }
  }
}

TEST_P(EveryKernel, TakesHeadSizesThatFillNoVector) {
  for (const int head_dim : {1, 7, 40, 80, 128}) {
    const Problem p = problem(
        {.batch = 2, .queries = 50, .keys = 50, .heads = 1, .kv_heads = 1, .head_dim = head_dim, .causal = true});
    Storage storage(p);
    draw_inputs(p, InputLaw::normal, 2, storage.tensors());
    const harness::Check found = check(p, storage);
    EXPECT_LE(found.error, 1) << "head_dim=" << head_dim << ": " << found.detail;
  }
}

TEST_P(EveryKernel, MapsEachGroupOfQueryHeadsToItsKeyHead) {
  const Problem p = problem({.batch = 2, .queries = 40, .keys = 40, .heads = 6, .kv_heads = 2, .head_dim = 32});
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 3, storage.tensors());
  const harness::Check found = check(p, storage);
  EXPECT_LE(found.error, 1) << found.detail;
}

TEST_P(EveryKernel, AveragesTheValuesWhenAllKeysAreEqual) {
  const Problem p = problem({.queries = 45, .keys = 200, .head_dim = 64, .causal = false});
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 4, storage.tensors());
  for (int j = 0; j < p.keys; ++j) {
    for (int c = 0; c < p.head_dim; ++c) storage.tensors().k.store(0, 0, j, c, 0.5F);
  }
  const harness::Check found = check(p, storage);
  EXPECT_LE(found.error, 1) << found.detail;
}

TEST_P(EveryKernel, FollowsOneHugeLogitToItsValue) {
  const Problem p = problem({.queries = 64, .keys = 200, .head_dim = 64, .causal = false});
  Storage storage(p);
  const Tensors& t = storage.tensors();
  draw_inputs(p, InputLaw::normal, 5, t);
  for (int i = 0; i < p.queries; ++i) t.q.store(0, 0, i, 0, 64.0F);
  t.k.store(0, 0, 131, 0, 64.0F);  // a logit near 64 * 64 / 8 = 512
  const harness::Check found = check(p, storage);
  EXPECT_LE(found.error, 1) << found.detail;
  for (int i = 0; i < p.queries; ++i) EXPECT_FLOAT_EQ(t.o.load(0, 0, i, 9), t.v.load(0, 0, 131, 9));
}

TEST_P(EveryKernel, SurvivesOutliers) {
  const Problem p = problem({.queries = 150, .keys = 150, .head_dim = 64, .causal = true});
  Storage storage(p);
  draw_inputs(p, InputLaw::outlier, 6, storage.tensors());
  const harness::Check found = check(p, storage);
  EXPECT_LE(found.error, 1) << found.detail;
}

TEST_P(EveryKernel, GivesZeroAndMinusInfinityToRowsWithoutKeys) {
  // Aligned bottom-right, the first 117 of 157 queries come before every one of the 40 keys.
  const Problem p = problem({.queries = 157, .keys = 40, .head_dim = 32, .causal = true});
  Storage storage(p);
  const Tensors& t = storage.tensors();
  draw_inputs(p, InputLaw::normal, 7, t);
  EXPECT_LE(check(p, storage).error, 1);
  for (int row = 0; row < 117; ++row) {
    for (int c = 0; c < p.head_dim; ++c) ASSERT_EQ(t.o.load(0, 0, row, c), 0.0F) << row;
    ASSERT_EQ(t.lse_at(p, 0, 0, row), -std::numeric_limits<float>::infinity()) << row;
  }
  EXPECT_TRUE(std::isfinite(t.lse_at(p, 0, 0, 117)));
}

TEST_P(EveryKernel, GivesTheSameBitsForAnyNumberOfThreads) {
  const Problem p = problem({.batch = 2, .queries = 100, .keys = 130, .heads = 2, .kv_heads = 1, .head_dim = 64});
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 8, storage.tensors());
  const auto bits = [&](int threads) {
    std::ranges::fill(storage.output(), std::byte{0xff});
    std::ranges::fill(storage.lse(), std::byte{0xff});
    make()(p, execution(threads))(storage.tensors());
    std::vector<std::byte> all(storage.output().begin(), storage.output().end());
    all.insert(all.end(), storage.lse().begin(), storage.lse().end());
    return all;
  };
  const auto one = bits(1);
  EXPECT_EQ(one, bits(2));
  EXPECT_EQ(one, bits(3));
}

TEST_P(EveryKernel, RunsTwiceOnOneWorkspaceWithoutTracesOfTheFirst) {
  const Problem p = problem({.queries = 70, .keys = 70, .head_dim = 32});
  Storage storage(p);
  const Kernel kernel = make()(p, execution());
  draw_inputs(p, InputLaw::normal, 9, storage.tensors());
  kernel(storage.tensors());
  draw_inputs(p, InputLaw::normal, 10, storage.tensors());
  kernel(storage.tensors());
  EXPECT_LE(Reference(p, storage.tensors(), 10).compare(storage.tensors()).error, 1);
}

INSTANTIATE_TEST_SUITE_P(Attention, EveryKernel,
                         testing::Combine(testing::ValuesIn(kTechniques), testing::ValuesIn(kUnits)),
                         [](const auto& info) {
                           return fmt::format("{}_{}", std::get<0>(info.param).name, std::get<1>(info.param).name);
                         });

TEST(MemEfficientAttention, MergesSeveralKeyChunks) {
  // 4096 keys are one chunk; the causal case leaves whole chunks unseen by the first query chunk.
  for (const bool causal : {false, true}) {
    const Problem p = aligned({.queries = 40, .keys = 8300, .head_dim = 32, .dtype = DType::f32, .causal = causal});
    Storage storage(p);
    draw_inputs(p, InputLaw::outlier, 11, storage.tensors());
    mem_efficient_attention(p, {.isa = substrate::best_isa(p.dtype)})(storage.tensors());
    const harness::Check found = Reference(p, storage.tensors(), 11).compare(storage.tensors());
    EXPECT_LE(found.error, 1) << found.detail;
  }
  const Problem square = aligned({.queries = 4500, .keys = 4500, .head_dim = 8, .dtype = DType::f32, .causal = true});
  Storage storage(square);
  draw_inputs(square, InputLaw::normal, 12, storage.tensors());
  mem_efficient_attention(square, {.isa = substrate::best_isa(square.dtype)})(storage.tensors());
  const harness::Check found = Reference(square, storage.tensors(), 12).compare(storage.tensors());
  EXPECT_LE(found.error, 1) << found.detail;
}

}  // namespace
}  // namespace assay::attention
