// The roofs of this processor: what its units and its memory do when nothing else is in the way. Techniques are held
// against them; each is probed in the run that shows it.
//
//   fp32-fma         fused multiply-adds of the widest vector unit, operands in registers. 2 FLOPs a lane.
//   bf16-matrix      bf16 products with f32 sums from registers: TDPBF16PS where there is AMX, else vdpbf16ps.
//   bf16-matrix-l1   the same unit fed from L1: the tile product of the attention kernels on 32 x 128 by 128 x 32,
//   repeated. bf16-matrix-exp  the roof of a fused attention kernel at d = 128. For every 16 scores it issues the
//   matrix work of both
//                    products, 4 d = 512 FLOPs a score (128 vdpbf16ps, or half a TDPBF16PS), from registers, and the
//                    vector work of the softmax on scores in L1: maximum, 2^(s c - m c) to 3e-7, sum, rounding to bf16,
//                    store. Both are independent and interleaved in one loop, so the processor overlaps them as far as
//                    it can. Counted are the matrix FLOPs alone, as for attention itself.
//   memory-read      sum of `working_set` bytes.
//   memory-copy      copy of half of `working_set` bytes into the other half; bytes read and bytes written are counted,
//   not the
//                    line fills that a store may cause.
//
// With threads > 1 every thread runs the compute probe, or its share of the working set.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "datasets/user_error.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "impls/substrate/cpu_features.h"
#include "impls/substrate/fork_join.h"
#include "impls/substrate/random.h"
#include "impls/substrate/simd/probes.h"
#include "impls/substrate/simd/tile_kernels.h"
#include "impls/substrate/tensor.h"

namespace assay::hardware {
namespace {

using harness::Check;
using harness::State;
using substrate::AlignedBuffer;
using substrate::DType;
using substrate::Isa;

// A probe of one thread. `run(work)` does `work` rounds; `error` is how far the results are from those of `rounds`
// rounds.
struct Probe {
  std::int64_t rounds = 0;
  double flops = 0;  // of `rounds` rounds
  double bytes = 0;
  std::span<std::byte> output;
  std::function<void(std::uint64_t seed)> draw;  // empty: the probe reads nothing, its registers hold constants
  std::function<void(std::int64_t rounds)> run;
  std::function<Check()> check;
};

// `chains` accumulators of equal width; chain i started at i * step and gained `gain`.
Check gained(const AlignedBuffer<float>& out, std::size_t chains, double step, double gain) {
  Check check;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t chain = i * chains / out.size();
    const double want = static_cast<double>(chain) * step + gain;
    if (out[i] == want) continue;
    check.error = std::max(check.error, 2.0);
    check.detail = fmt::format("accumulator {} = {}, want {}", i, out[i], want);
  }
  return check;
}

// Where the accumulators start is drawn, so that results of an earlier draw are not taken for new ones.
std::shared_ptr<float> drawn_start(Probe& probe) {
  auto first = std::make_shared<float>(0.0F);
  probe.draw = [first](std::uint64_t seed) { *first = static_cast<float>(1 + substrate::Random(seed).below(65536)); };
  return first;
}

// Sums of small whole numbers are exact in f32, so every result tells exactly how many steps ran.
Probe fma() {
  Probe probe;
  const auto out = std::make_shared<AlignedBuffer<float>>(static_cast<std::size_t>(substrate::fma_outputs()));
  probe.rounds = 200'000;
  probe.flops = 2.0 * static_cast<double>(probe.rounds) * static_cast<double>(out->size());
  probe.output = std::as_writable_bytes(out->span());
  const auto first = drawn_start(probe);
  probe.run = [out, first](std::int64_t rounds) { substrate::probe_fma(rounds, *first, out->data()); };
  probe.check = [out, first, rounds = static_cast<double>(probe.rounds)] {
    return gained(*out, 12, 1, *first + rounds);
  };
  return probe;
}

Probe matrix(Isa isa) {
  Probe probe;
  const bool tiles = isa == Isa::amx;
  const auto out = std::make_shared<AlignedBuffer<float>>(tiles ? 1024 : 256);
  probe.rounds = tiles ? 20'000 : 100'000;
  probe.flops = static_cast<double>(probe.rounds) * (tiles ? 65536.0 : 1024.0);
  probe.output = std::as_writable_bytes(out->span());
  const auto& kernels = substrate::tile_kernels(isa, DType::bf16);
  const auto first = drawn_start(probe);
  probe.run = [out, first, tiles, &kernels](std::int64_t rounds) {
    const substrate::TileTask task(kernels);
    (tiles ? substrate::amx::probe_registers : substrate::avx512bf16::probe_registers)(rounds, *first, out->data());
  };
  probe.check = [out, first, tiles, rounds = static_cast<double>(probe.rounds)] {
    return tiles ? gained(*out, 4, 0, *first + rounds * 32) : gained(*out, 16, 1, *first + rounds * 2);
  };
  return probe;
}

Probe matrix_from_l1(Isa isa) {
  constexpr int kRows = 32;
  constexpr int kDepth = 128;
  struct Operands {
    AlignedBuffer<substrate::BFloat16> a{kRows * kDepth}, b{kDepth * substrate::kTileQueries};
    AlignedBuffer<float> ones{substrate::kTileQueries}, c{kRows * substrate::kTileQueries};
  };
  Probe probe;
  const auto held = std::make_shared<Operands>();
  std::ranges::fill(held->ones.span(), 1.0F);
  probe.rounds = 1000;
  probe.flops = 2.0 * kRows * kDepth * substrate::kTileQueries * static_cast<double>(probe.rounds);
  probe.output = std::as_writable_bytes(held->c.span());
  // Whole numbers up to 3 in magnitude: sums of 1000 rounds stay below 2^24, so any order of adding gives the same.
  probe.draw = [held](std::uint64_t seed) {
    substrate::Random random(seed);
    for (auto* operand : {&held->a, &held->b}) {
      for (auto& x : operand->span()) x = substrate::to_bf16(static_cast<float>(random.below(7)) - 3.0F);
    }
  };
  const auto& kernels = substrate::tile_kernels(isa, DType::bf16);
  probe.run = [held, &kernels](std::int64_t rounds) {
    const substrate::TileTask task(kernels);
    kernels.product(held->a.data(), kDepth, held->b.data(), kRows, kDepth, held->c.data());
    for (std::int64_t round = 1; round < rounds; ++round) {
      kernels.scaled_product_add(held->a.data(), kDepth, held->b.data(), kRows, kDepth, held->ones.data(),
                                 held->c.data());
    }
  };
  probe.check = [held, rounds = probe.rounds] {
    Check check;
    for (int row = 0; row < kRows; ++row) {
      for (int q = 0; q < substrate::kTileQueries; ++q) {
        double want = 0;
        for (int k = 0; k < kDepth; ++k) {
          const std::ptrdiff_t in_a = static_cast<std::ptrdiff_t>(row) * kDepth + k;
          const std::ptrdiff_t in_b = (static_cast<std::ptrdiff_t>(k / 2) * substrate::kTileQueries + q) * 2 + k % 2;
          want += static_cast<double>(substrate::to_float(held->a.data()[in_a])) *
                  substrate::to_float(held->b.data()[in_b]);
        }
        want *= static_cast<double>(rounds);
        const double got = held->c.data()[static_cast<std::ptrdiff_t>(row) * substrate::kTileQueries + q];
        if (got == want) continue;
        check.error = 2;
        check.detail = fmt::format("C[{}][{}] = {}, want {}", row, q, got, want);
      }
    }
    return check;
  };
  return probe;
}

Probe matrix_and_exp(Isa isa) {
  constexpr int kVectors = 256;  // a tile of 128 keys x 32 queries: 16 KiB of scores
  struct Data {
    AlignedBuffer<float> s{kVectors * 16}, out, sums{16}, maxima{16};
    AlignedBuffer<substrate::BFloat16> p{kVectors * 16};
    explicit Data(std::size_t outputs) : out(outputs) {}
  };
  constexpr float kScale = 0.127517F;  // log2(e) / sqrt(128)
  constexpr float kShift = 4.0F;
  Probe probe;
  const bool tiles = isa == Isa::amx;
  const auto data = std::make_shared<Data>(tiles ? 1024 : 256);
  probe.rounds = tiles ? 400 : 50;
  probe.flops = static_cast<double>(probe.rounds) * kVectors * 8192.0;
  probe.output = std::as_writable_bytes(data->out.span());
  probe.draw = [data](std::uint64_t seed) {
    substrate::Random random(seed);
    for (float& x : data->s.span()) x = static_cast<float>(std::sqrt(128.0) * random.normal());
  };
  const auto& kernels = substrate::tile_kernels(isa, DType::bf16);
  probe.run = [data, tiles, &kernels](std::int64_t rounds) {
    const substrate::TileTask task(kernels);
    (tiles ? substrate::amx::probe_matrix_and_exp : substrate::avx512bf16::probe_matrix_and_exp)(
        rounds, data->s.data(), kVectors, kScale, kShift, data->p.data(), data->out.data(), data->sums.data(),
        data->maxima.data());
  };
  probe.check = [data, tiles, rounds = static_cast<double>(probe.rounds)] {
    Check check =
        tiles ? gained(data->out, 4, 0, rounds * kVectors * 4) : gained(data->out, 16, 1, rounds * kVectors * 16);
    const auto differ = [&](const char* what, double got, double want, double tolerance) {
      const double error = std::abs(got - want) / tolerance;
      if (error <= check.error) return;
      check.error = std::isnan(error) ? 2 : error;
      check.detail = fmt::format("{} {}, want {}", what, got, want);
    };
    for (std::size_t lane = 0; lane < 16; ++lane) {
      double sum = 0;
      double largest = -1e30;
      for (std::size_t v = 0; v < kVectors; ++v) {
        const double s = data->s[16 * v + lane];
        const double p = std::exp2(s * kScale - kShift);
        const float stored = substrate::to_float(data->p[(v / 2 * 16 + lane) * 2 + v % 2]);
        differ("P", stored, p, p / 128);
        sum += p * rounds;
        largest = std::max(largest, s);
      }
      differ("sum", data->sums[lane], sum, 1e-3 * sum);
      differ("maximum", data->maxima[lane], largest, 1e-30);
    }
    return check;
  };
  return probe;
}

Isa best_bf16(State& state) {
  if (substrate::available(Isa::amx)) return Isa::amx;
  if (const std::string lack = substrate::missing(Isa::avx512_bf16); !lack.empty()) state.skip(lack);
  return Isa::avx512_bf16;
}

Probe compute_probe(State& state, const std::string& name) {
  if (name == "fp32-fma") return fma();
  if (name == "bf16-matrix") return matrix(best_bf16(state));
  if (name == "bf16-matrix-l1") return matrix_from_l1(best_bf16(state));
  if (name == "bf16-matrix-exp") return matrix_and_exp(best_bf16(state));
  throw UserError(
      fmt::format("probe: found '{}', expected fp32-fma, bf16-matrix, bf16-matrix-l1, bf16-matrix-exp, memory-read "
                  "or memory-copy",
                  name));
}

void run_compute(State& state, const std::string& name, int threads) {
  const auto probes = std::make_shared<std::vector<Probe>>();
  for (int t = 0; t < threads; ++t) probes->push_back(compute_probe(state, name));
  state.declare({.flops = probes->front().flops * threads});
  if (probes->front().draw) {
    state.inputs([probes](std::uint64_t seed) {
      for (Probe& probe : *probes) probe.draw(seed);
    });
  }
  for (int t = 0; t < threads; ++t) {
    state.output({fmt::format("sums of thread {}", t), (*probes)[static_cast<std::size_t>(t)].output});
  }
  state.oracle([probes] {
    Check worst;
    for (Probe& probe : *probes) {
      if (Check check = probe.check(); !(check.error <= worst.error)) worst = std::move(check);
    }
    return worst;
  });
  const auto pool = std::make_shared<substrate::ForkJoin>(threads);
  const auto all = [probes, pool](std::int64_t share) {
    pool->run(static_cast<std::int64_t>(probes->size()), [&](std::int64_t t, int) {
      Probe& probe = (*probes)[static_cast<std::size_t>(t)];
      probe.run(probe.rounds / share);
    });
  };
  state.mutant("half-the-work", [all] { all(2); });
  state.measure([all] { all(1); });
}

void run_memory(State& state, const std::string& name, int threads) {
  const auto bytes = static_cast<std::size_t>(state.integer("working_set"));
  if (bytes < 4096) throw UserError(fmt::format("working_set: found {}, expected 4096 bytes or more", bytes));
  const bool copy = name == "memory-copy";
  const std::size_t count = bytes / sizeof(float) / (copy ? 2 : 1);
  struct Data {
    AlignedBuffer<float> from, to;
    std::vector<double> sums;
    double want = 0;
  };
  const auto data = std::make_shared<Data>(
      Data{AlignedBuffer<float>(count), AlignedBuffer<float>(copy ? count : 0), std::vector<double>(threads), 0});
  state.declare({.bytes = static_cast<double>(count * sizeof(float)) * (copy ? 2 : 1),
                 .working_set = static_cast<double>(bytes)});
  // Small whole numbers: the sums of a lane stay exact while working_set is below some 1 GiB a thread. Their mean moves
  // with the seed, so that the sum of another draw is another sum.
  state.inputs([data](std::uint64_t seed) {
    substrate::Random random(seed);
    data->want = 0;
    for (float& x : data->from.span()) {
      x = static_cast<float>((random.bits() >> 62) + seed % 4);
      data->want += static_cast<double>(x);
    }
  });
  state.output(copy ? harness::Output{"copy", std::as_writable_bytes(data->to.span())}
                    : harness::Output{"sums", std::as_writable_bytes(std::span(data->sums))});
  state.oracle([data, copy] {
    Check check;
    if (copy) {
      const bool same = std::memcmp(data->from.data(), data->to.data(), data->from.bytes()) == 0;
      check.error = same ? 0 : 2;
      check.detail = same ? "every byte equal" : "the copy differs";
      return check;
    }
    double sum = 0;
    for (const double part : data->sums) sum += part;
    check.error = std::abs(sum - data->want) / (1e-4 * data->want);
    check.detail = fmt::format("sum {}, want {}", sum, data->want);
    return check;
  });
  const auto pool = std::make_shared<substrate::ForkJoin>(threads);
  const auto all = [data, pool, count, threads, copy](std::size_t share) {
    pool->run(threads, [&](std::int64_t t, int) {
      const std::size_t first = count * static_cast<std::size_t>(t) / static_cast<std::size_t>(threads);
      const std::size_t end = count * static_cast<std::size_t>(t + 1) / static_cast<std::size_t>(threads);
      const std::size_t part = (end - first) / share;
      if (copy) {
        std::memcpy(data->to.data() + first, data->from.data() + first, part * sizeof(float));
      } else {
        data->sums[static_cast<std::size_t>(t)] = substrate::probe_read(data->from.data() + first, part);
      }
    });
  };
  state.mutant("half-the-work", [all] { all(2); });
  state.measure([all] { all(1); });
}

void run(State& state) {
  const std::string& name = state.text("probe");
  const std::int64_t threads = state.integer("threads");
  const auto cpus = static_cast<std::int64_t>(substrate::allowed_cpus().size());
  if (threads < 1) throw UserError(fmt::format("threads: found {}, expected 1 or more", threads));
  if (threads > cpus) state.skip(fmt::format("{} threads asked for, {} CPUs may be used here", threads, cpus));
  if (name == "memory-read" || name == "memory-copy") {
    run_memory(state, name, static_cast<int>(threads));
  } else {
    run_compute(state, name, static_cast<int>(threads));
  }
}

harness::Value word(const char* text) { return harness::Value(std::string(text)); }

const harness::Registration registration({
    .id = "hardware/cpu-roofs",
    .title = "Roofs of the processor",
    .paper = "baseline",
    .summary = "peak arithmetic, matrix and softmax interleaved, memory traffic",
    .implementations = {{.axes = {{.name = "probe",
                                   .defaults = {word("fp32-fma"), word("bf16-matrix"), word("bf16-matrix-l1"),
                                                word("bf16-matrix-exp"), word("memory-read"), word("memory-copy")},
                                   .help = "which roof",
                                   .allowed = {word("fp32-fma"), word("bf16-matrix"), word("bf16-matrix-l1"),
                                               word("bf16-matrix-exp"), word("memory-read"), word("memory-copy")}},
                                  {.name = "working_set",
                                   .defaults = {harness::Value(std::int64_t{256} << 20)},
                                   .help = "bytes touched by the memory probes; the others ignore it",
                                   .minimum = 4096},
                                  {.name = "threads",
                                   .defaults = {harness::Value(std::int64_t{1})},
                                   .help = "CPU threads, each pinned"}},
                         .run = run,
                         .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::hardware
