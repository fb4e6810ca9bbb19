// The sm_90a backward kernels' own source, run by the emulator, gives the gradients that float64 gives; every
// instruction that orders its three roles is missed when it is left out.
#include "cuda_gradients_for_tests.h"
#include "cuda_sabotage_for_tests.h"
#include "impls/attention/cuda/dispatch.h"

namespace assay::attention::cuda {
namespace {

HopperBackwardWorkspace workspace(const Problem& p) {
  ForwardProblem shape;
  shape.mask.queries = p.queries;
  shape.batch = p.batch;
  shape.heads = p.heads;
  return for_kernel(p.head_dim, ElementType::bf16,
                    [&]<class Element, int kHeadDim>() { return hopper_backward_workspace<kHeadDim>(shape); });
}
Backward backward_of(const Problem& p) { return {p, workspace(p).row_dots, workspace(p).d_q_sum}; }

TEST(CudaFlashAttention3Backward, AgreesWithFloat64AndNeverRaces) {
  expect_gradients_of_float64(emulator::flash_attention_3_backward, backward_of);
}

// 2 sequences, 4 heads over 2, several query tiles and key blocks; more tiles than the ring has slots.
Problem rounds_problem(int head_dim) {
  return aligned({.batch = 2,
                  .queries = 210,
                  .keys = 330,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = head_dim,
                  .dtype = DType::bf16,
                  .causal = true});
}

TEST(CudaFlashAttention3Backward, KeysGetTheSameGradientsInAnyOrder) {
  // dQ is summed by several blocks: its last bits depend on the order, as the documents say.
  for (const int head_dim : {64, 128}) {
    Backward backward = backward_of(rounds_problem(head_dim));
    const GradientTensors g = backward.tensors();
    std::vector<std::byte> first;
    for (const std::uint64_t order : {0, 1, 2}) {
      const emulator::Findings found = backward.run(emulator::flash_attention_3_backward, order);
      EXPECT_EQ(found.fault_count, 0) << order << ": " << first_fault(found);
      const harness::Check check = backward.compare();
      EXPECT_LE(check.error, 1) << order << ": " << check.detail;
      const std::size_t bytes = 2UL * 2 * 330 * static_cast<std::size_t>(head_dim) * 2;
      std::vector<std::byte> now(g.d_k.data, g.d_k.data + bytes);
      now.insert(now.end(), g.d_v.data, g.d_v.data + bytes);
      if (first.empty()) first = now;
      EXPECT_TRUE(now == first) << order;
    }
  }
}

TEST(CudaFlashAttention3Backward, QueryTilesThatSeeNoKeyOfABlockAreNotComputed) {
  const auto products = [](bool causal) {
    Backward backward = backward_of(aligned({.queries = 256, .keys = 256, .head_dim = 128, .causal = causal}));
    return backward.run(emulator::flash_attention_3_backward).matrix_products;
  };
  // 2 blocks of 128 keys by 4 tiles of 64 queries: 4 + 4 of them, or 4 + 2; five products each.
  EXPECT_EQ(products(false), 8 * 5 * 128 * 64 * 128 / (16 * 8 * 16));
  EXPECT_EQ(products(true), 6 * 5 * 128 * 64 * 128 / (16 * 8 * 16));
}

TEST(CudaFlashAttention3Backward, RowsWithoutKeysHaveNoGradient) {
  Backward backward = backward_of(aligned({.queries = 150, .keys = 10, .head_dim = 64}));  // 140 rows see nothing
  const emulator::Findings found = backward.run(emulator::flash_attention_3_backward);
  EXPECT_EQ(found.fault_count, 0) << first_fault(found);
  for (int row = 0; row < 140; ++row)
    for (int c = 0; c < 64; ++c) ASSERT_EQ(backward.tensors().d_q.load(0, 0, row, c), 0.0F) << row;
  EXPECT_LE(backward.compare().error, 1);
}

TEST(CudaFlashAttention3Backward, RaggedSequencesAreEachTheirOwn) {
  const std::vector<int> query_starts = {0, 5, 5, 145};  // 5, 0 and 140 queries
  const std::vector<int> key_starts = {0, 70, 80, 220};  // 70, 10 and 140 keys
  constexpr int kHeads = 2;
  constexpr int kLongest = 140;
  for (const int head_dim : {64, 128}) {
    // One packed sequence of all rows holds the data; LSE and O are made for each sequence by itself.
    const Problem packed = aligned({.queries = 145, .keys = 220, .heads = kHeads, .kv_heads = 1, .head_dim = head_dim});
    Problem longest = packed;
    longest.batch = 3;
    longest.queries = kLongest;
    Backward backward(packed, workspace(longest).row_dots, workspace(longest).d_q_sum);
    const Tensors& t = backward.storage.tensors();
    const GradientTensors g = backward.tensors();
    std::vector<float> lse(3 * kHeads * kLongest, 1e30F);
    const auto sequence = [&](std::size_t b) {
      Problem one = packed;
      one.queries = query_starts[b + 1] - query_starts[b];
      one.keys = key_starts[b + 1] - key_starts[b];
      return aligned(one);
    };
    const auto own_of = [&](std::size_t b) {
      Tensors own = t;
      own.q.data = t.q.at(0, 0, query_starts[b]);
      own.o.data = t.o.at(0, 0, query_starts[b]);
      own.k.data = t.k.at(0, 0, key_starts[b]);
      own.v.data = t.v.at(0, 0, key_starts[b]);
      return own;
    };
    for (std::size_t b = 0; b < 3; ++b) {
      const Problem one = sequence(b);
      const Tensors own = own_of(b);
      for (int h = 0; h < kHeads; ++h) {
        for (int row = 0; row < one.queries; ++row) {
          const ExactRow exact = exact_row(one, own, 0, h, row);
          lse[(b * kHeads + static_cast<std::size_t>(h)) * kLongest + static_cast<std::size_t>(row)] =
              static_cast<float>(exact.lse);
          for (int c = 0; c < head_dim; ++c)
            own.o.store(0, h, row, c, static_cast<float>(exact.o[static_cast<std::size_t>(c)]));
        }
      }
    }
    const std::size_t q = backward.storage.output().size();
    const std::size_t k = 220UL * static_cast<std::size_t>(head_dim) * 2;
    BackwardProblem problem = backward.problem();
    problem.forward.lse = lse.data();
    problem.forward.batch = 3;
    for (Matrix* const one : {&problem.forward.q, &problem.forward.k, &problem.forward.v, &problem.forward.o,
                              &problem.d_o, &problem.d_q, &problem.d_k, &problem.d_v})
      one->batch = 0;
    problem.forward.mask = {kLongest, 140, true, 0};
    problem.forward.ragged = {query_starts.data(), key_starts.data(), 145, 220};
    std::vector<emulator::Region> memory = {{t.q.data, q, false},
                                            {t.k.data, k, false},
                                            {t.v.data, k, false},
                                            {t.o.data, q, false},
                                            {lse.data(), lse.size() * sizeof(float), false},
                                            {g.d_o.data, q, false},
                                            {g.d_q.data, q, true},
                                            {g.d_k.data, k, true},
                                            {g.d_v.data, k, true},
                                            {backward.dots.data(), backward.dots.size() * sizeof(Words4), true},
                                            {backward.sum.data(), backward.sum.size() * sizeof(Words4), true},
                                            {query_starts.data(), query_starts.size() * sizeof(int), false},
                                            {key_starts.data(), key_starts.size() * sizeof(int), false}};
    const emulator::Findings found =
        emulator::flash_attention_3_backward(problem, head_dim, ElementType::bf16, memory, 3);
    EXPECT_EQ(found.fault_count, 0) << first_fault(found);
    memory.resize(9);
    expect_each_byte_written_once(memory, "gradients");
    for (const std::size_t b : {0, 2}) {
      const Problem one = sequence(b);
      GradientTensors own = g;
      own.d_o.data = g.d_o.at(0, 0, query_starts[b]);
      own.d_q.data = g.d_q.at(0, 0, query_starts[b]);
      own.d_k.data = g.d_k.at(0, 0, key_starts[b]);
      own.d_v.data = g.d_v.at(0, 0, key_starts[b]);
      const harness::Check check = GradientReference(one, own_of(b), own.d_o, 1).compare(own);
      EXPECT_LE(check.error, 1) << "sequence " << b << ": " << check.detail;
    }
    // Keys that no query sees.
    for (int key = 70; key < 80; ++key)
      for (int c = 0; c < head_dim; ++c) ASSERT_EQ(g.d_k.load(0, 0, key, c), 0.0F) << key;
  }
}

std::string found_of(const emulator::Sabotage& wrong, int head_dim, std::uint64_t order) {
  Problem p = rounds_problem(head_dim);
  p.batch = 1;
  Backward backward = backward_of(p);
  return found_with(
      wrong, [&] { return backward.run(emulator::flash_attention_3_backward, order); },
      [&] { return backward.compare(); });
}

TEST(CudaFlashAttention3Backward, EachInstructionThatOrdersIsMissedWhenItIsLeftOut) {
  constexpr int kLoader = 0, kWriter = 32;
  expect_each_is_missed(
      {
          {.omit = "wait_phase", .from = kLoader, .end = kLoader + 1},  // for slots that are free
          {.omit = "wait_phase", .from = kWriter, .end = kWriter + 1},  // for parts of dQ
          {.omit = "arrive", .from = kWriter, .end = kWriter + 1},
          {.omit = "wait_for_stores"},
      },
      found_of);
}

TEST(CudaFlashAttention3Backward, WrongPhasesDescriptorsAndSizesAreFound) {
  expect_wrong_descriptions_are_found(found_of);
}

}  // namespace
}  // namespace assay::attention::cuda
