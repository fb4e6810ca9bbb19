// Naive attention and FlashAttention-1 for CUDA, run by the emulator from their own source.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda_for_tests.h"

namespace assay::attention::cuda {
namespace {

template <class Run>
void agrees(const char* name, const Run& run) {
  struct Shape {
    int queries, keys;
  };
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const Shape shape : {Shape{1, 1}, {70, 140}, {150, 40}}) {
        for (const bool causal : {false, true}) {
          if ((dtype == DType::f16) != causal && head_dim != 64) continue;  // half of the slow ones
          const Problem p = aligned({.queries = shape.queries,
                                     .keys = shape.keys,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = head_dim,
                                     .dtype = dtype,
                                     .causal = causal});
          Storage storage(p);
          draw_inputs(p, InputLaw::normal, 41, storage.tensors());
          std::ranges::fill(storage.output(), std::byte{0xff});
          std::ranges::fill(storage.lse(), std::byte{0xff});
          std::vector<emulator::Region> memory = regions(p, storage);
          const emulator::Findings found = run(p, storage, memory);
          const std::string what = fmt::format("{} {} d={} N={} M={} causal={}", name, substrate::to_string(dtype),
                                               head_dim, shape.queries, shape.keys, causal);
          EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
          EXPECT_EQ(found.bank_conflicts, 0) << what;
          const harness::Check check = Reference(p, storage.tensors(), 1).compare(storage.tensors());
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
          memory.resize(5);
          expect_each_byte_written_once(memory, what);
        }
      }
    }
  }
}

TEST(CudaNaive, AgreesWithFloat64AndNeverRaces) {
  agrees("naive", [](const Problem& p, Storage& storage, std::vector<emulator::Region>& memory) {
    NaiveProblem problem{forward_problem(p, storage.tensors())};
    const auto scores = static_cast<std::size_t>(problem.rows()) * static_cast<std::size_t>(problem.pitch());
    substrate::AlignedBuffer<float> s(scores);
    substrate::AlignedBuffer<std::uint16_t> weights(scores);
    problem.scores = s.data();
    problem.weights = weights.data();
    memory.push_back({s.data(), s.bytes(), true});
    memory.push_back({weights.data(), weights.bytes(), true});
    return emulator::naive_attention(problem, p.head_dim, element_type(p.dtype), memory, 0);
  });
}

TEST(CudaFlashAttention1, AgreesWithFloat64AndNeverRaces) {
  agrees("flash-attention-1", [](const Problem& p, Storage& storage, std::vector<emulator::Region>& memory) {
    FlashAttention1Problem problem{forward_problem(p, storage.tensors())};
    const auto rows = static_cast<std::size_t>(p.batch * p.heads * p.queries);
    std::vector<float> o(rows * static_cast<std::size_t>(p.head_dim), NAN), m(rows, NAN), l(rows, NAN);
    problem.o = o.data();
    problem.m = m.data();
    problem.l = l.data();
    memory.push_back({o.data(), o.size() * sizeof(float), true});
    memory.push_back({m.data(), rows * sizeof(float), true});
    memory.push_back({l.data(), rows * sizeof(float), true});
    return emulator::flash_attention_1(problem, p.head_dim, element_type(p.dtype), memory, 0);
  });
}

// Workspace for the longest sequence of the batch, as the cases have it.
TEST(CudaNaive, RaggedSequencesAreEachTheirOwn) {
  expect_ragged_sequences_are_each_their_own(
      64, [](const ForwardProblem& forward, std::vector<emulator::Region>& memory) {
        NaiveProblem problem{forward};
        const auto scores = static_cast<std::size_t>(problem.rows()) * static_cast<std::size_t>(problem.pitch());
        substrate::AlignedBuffer<float> s(scores);
        substrate::AlignedBuffer<std::uint16_t> weights(scores);
        std::ranges::fill(s.span(), NAN);
        problem.scores = s.data();
        problem.weights = weights.data();
        memory.push_back({s.data(), s.bytes(), true});
        memory.push_back({weights.data(), weights.bytes(), true});
        return emulator::naive_attention(problem, 64, ElementType::bf16, memory, 0);
      });
}

TEST(CudaFlashAttention1, RaggedSequencesAreEachTheirOwn) {
  expect_ragged_sequences_are_each_their_own(
      64, [](const ForwardProblem& forward, std::vector<emulator::Region>& memory) {
        FlashAttention1Problem problem{forward};
        const auto rows = static_cast<std::size_t>(forward.batch * forward.heads * forward.mask.queries);
        std::vector<float> o(rows * 64, NAN), m(rows, NAN), l(rows, NAN);
        problem.o = o.data();
        problem.m = m.data();
        problem.l = l.data();
        memory.push_back({o.data(), o.size() * sizeof(float), true});
        memory.push_back({m.data(), rows * sizeof(float), true});
        memory.push_back({l.data(), rows * sizeof(float), true});
        return emulator::flash_attention_1(problem, 64, ElementType::bf16, memory, 0);
      });
}

}  // namespace
}  // namespace assay::attention::cuda
