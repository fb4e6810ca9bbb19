#pragma once
// A problem of decode on the host, its keys contiguous or in pages, run by the emulator.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cuda_for_tests.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {

// emulator::flash_decoding or emulator::hopper_decoding.
using EmulatedDecode = emulator::Findings (*)(const DecodeProblem&, int, ElementType, std::vector<emulator::Region>&,
                                              std::uint64_t);

struct Decoding {
  Problem p;
  EmulatedDecode run;
  Storage storage;
  DecodeProblem problem;
  std::vector<float> partial_o, partial_lse;

  Decoding(const Problem& of, int splits, EmulatedDecode decode) : p(of), run(decode), storage(of) {
    draw_inputs(p, InputLaw::normal, 21, storage.tensors());
    const Tensors& t = storage.tensors();
    problem.q = matrix(t.q);
    problem.k = matrix(t.k);
    problem.v = matrix(t.v);
    problem.o = matrix(t.o);
    problem.lse = t.lse;
    problem.mask = mask_of(p);
    problem.batch = p.batch;
    problem.heads = p.heads;
    problem.kv_heads = p.kv_heads;
    problem.scale = p.scale;
    problem.splits = splits;
    const auto rows = static_cast<std::size_t>(problem.rows()) * static_cast<std::size_t>(splits);
    partial_o.resize(rows * static_cast<std::size_t>(p.head_dim));
    partial_lse.resize(rows);
    problem.partial_o = partial_o.data();
    problem.partial_lse = partial_lse.data();
  }

  std::vector<emulator::Region> memory() { return regions(p, storage); }

  emulator::Findings find(std::vector<emulator::Region>& memory, std::uint64_t order = 0) {
    std::ranges::fill(storage.output(), std::byte{0xff});
    std::ranges::fill(storage.lse(), std::byte{0xff});
    if (problem.splits > 1) {
      memory.push_back({partial_o.data(), partial_o.size() * sizeof(float), true});
      memory.push_back({partial_lse.data(), partial_lse.size() * sizeof(float), true});
    }
    return run(problem, p.head_dim, element_type(p.dtype), memory, order);
  }

  harness::Check compare() { return Reference(p, storage.tensors(), 1).compare(storage.tensors()); }

  harness::Check check(std::vector<emulator::Region> memory, const std::string& what, std::uint64_t order = 0) {
    const emulator::Findings found = find(memory, order);
    EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
    EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
    expect_each_byte_written_once(memory, what);
    return compare();
  }

  // Sequence b with `keys` keys: what float64 makes of it.
  void expect_sequence(int b, int keys, const std::string& what) {
    Problem one = p;
    one.keys = keys;
    one = aligned(one);
    for (int h = 0; h < p.heads; ++h) {
      for (int row = 0; row < p.queries; ++row) {
        const ExactRow exact = exact_row(one, storage.tensors(), b, h, row);
        EXPECT_NEAR(storage.tensors().lse_at(p, b, h, row), exact.lse, 1e-5) << what << " " << h << " " << row;
        for (int c = 0; c < p.head_dim; ++c)
          EXPECT_NEAR(storage.tensors().o.load(b, h, row, c), exact.o[static_cast<std::size_t>(c)], 0.02) << what;
      }
    }
  }
};

// The keys of a problem in pages of a pool, in random order. What no key of a sequence lies in is NaN, and pages that
// it does not need are nowhere.
struct Pages {
  std::vector<int> table;
  substrate::AlignedBuffer<std::uint16_t> k, v;

  // `lengths`: keys of each sequence.
  Pages(Decoding& decoding, int shift, const std::vector<int>& lengths)
      : table(static_cast<std::size_t>(decoding.p.batch) *
              static_cast<std::size_t>(parts(decoding.p.keys, 1 << shift))),
        k(elements(decoding.p, shift) * table.size()),
        v(elements(decoding.p, shift) * table.size()) {
    const Problem& p = decoding.p;
    const int size = 1 << shift;
    const int pages = parts(p.keys, size);
    std::iota(table.begin(), table.end(), 0);
    substrate::Random random(5);
    for (std::size_t i = table.size(); i > 1; --i) std::swap(table[i - 1], table[random.below(i)]);
    std::ranges::fill(k.span(), 0xffff);
    std::ranges::fill(v.span(), 0xffff);
    const Tensors& from = decoding.storage.tensors();
    DecodeProblem& problem = decoding.problem;
    const auto pool = [&](std::uint16_t* data) {
      return Matrix{data, static_cast<std::int64_t>(elements(p, shift)), size * p.head_dim, p.head_dim};
    };
    problem.k = pool(k.data());
    problem.v = pool(v.data());
    problem.page_table = table.data();
    problem.pages_a_sequence = pages;
    problem.page_shift = shift;
    problem.pages = static_cast<int>(table.size());
    for (int b = 0; b < p.batch; ++b) {
      const int keys = lengths[static_cast<std::size_t>(b)];
      for (int page = 0; page < pages; ++page) {
        int& entry = table[static_cast<std::size_t>(b * pages + page)];
        for (int kv = 0; kv < p.kv_heads; ++kv) {
          for (int key = page * size; key < smaller_of(keys, (page + 1) * size); ++key) {
            std::copy_n(matrix(from.k).at(b, kv, key), p.head_dim, problem.k.at(entry, kv, key % size));
            std::copy_n(matrix(from.v).at(b, kv, key), p.head_dim, problem.v.at(entry, kv, key % size));
          }
        }
        if (page * size >= keys) entry = -1000000;
      }
    }
  }

  std::vector<emulator::Region> memory(Decoding& decoding) const {
    std::vector<emulator::Region> out = decoding.memory();
    out[1] = {k.data(), k.bytes(), false};
    out[2] = {v.data(), v.bytes(), false};
    out.push_back({table.data(), table.size() * sizeof(int), false});
    return out;
  }

 private:
  static std::size_t elements(const Problem& p, int shift) {  // of a page
    return static_cast<std::size_t>(p.kv_heads) * static_cast<std::size_t>(p.head_dim) << shift;
  }
};

}  // namespace assay::attention::cuda
