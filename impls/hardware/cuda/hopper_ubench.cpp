// Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via Microbenchmarking (arXiv 2402.13499): what each
// level of memory, each matrix instruction, each way into shared memory, atomics and barriers take. `cycles` is counted
// by the kernel around what it measures: of one access, one instruction of one warp (or warp group), one barrier.
// `time` is of the whole launch. Every probe leaves a result that is predicted here, because a loop that the compiler
// emptied is fast too. What a device lacks is skipped by name; launch costs are hardware/gpu-roofs with probe=launch.
//
//   latency-{l1,l2,global,shared,cluster}   one thread follows a random cycle through lines of 128 bytes
//   bandwidth-{l1,l2,cluster}               16-byte reads by 1024 threads a block
//   copy-{registers,cp-async,bulk}          global to shared memory in boxes, four under way a block
//   mma-{bf16,fp16,tf32,int8,e4m3}          mma.sync m16n8, K of 256 bits; fp32 or int32 sums
//   wgmma-{bf16,fp16,tf32,int8,e4m3}        wgmma m64, both operands from shared memory
//   dpx-addmax-{s32,s16x2}[-relu]           max(x + a, b), one instruction on sm_90, several before
//   atomic-{same,own,shared}                additions to one address, to one a thread, to one of a block
//   barrier-{warp,block,cluster}
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "datasets/user_error.h"
#include "harness/gpu/device_buffer.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "impls/hardware/cuda/roof_kernels.h"
#include "impls/hardware/cuda/ubench_kernels.h"
#include "impls/hardware/cuda/ubench_operands.h"
#include "impls/substrate/random.h"

namespace assay::hardware::cuda {
namespace {

using harness::Check;
using harness::State;
using harness::gpu::Device;
using harness::gpu::DeviceBuffer;

Check exact(bool same, const std::string& wrong) {
  return {.error = same ? 0.0 : 2.0, .coverage = 1, .detail = same ? "exact" : wrong};
}

// Runs the region a few times before anything is timed and reports what its kernel counted: the median block of the
// last run, of one of `operations`.
void report_cycles(State& state, Device& device, const std::function<void(std::uint64_t)>& draw,
                   const std::function<void()>& region, const DeviceBuffer<std::uint32_t>& cycles, double operations) {
  if (state.gating()) return;
  draw(state.seed());
  for (int i = 0; i < 3; ++i) region();
  device.synchronize("counting cycles");
  std::vector<std::uint32_t> counted = cycles.download();
  std::nth_element(counted.begin(), counted.begin() + static_cast<std::ptrdiff_t>(counted.size() / 2), counted.end());
  state.report({"cycles", counted[counted.size() / 2] / operations, "cycle", results_db::Provenance::measured, {}, {}});
}

void need(State& state, Device& device, int capability, const char* what) {
  if (device.facts().capability < capability)
    state.skip(fmt::format("sm_{} has no {}", device.facts().capability, what));
}

// -- latency

struct Chain {
  DeviceBuffer<std::uint32_t> words, position, ends, cycles;
  std::vector<std::uint32_t> next;
};

void run_latency(State& state, Level level) {
  state.declare({});
  Device& device = state.device();
  if (level == Level::cluster) need(state, device, 90, "clusters");
  const bool shared = level == Level::shared || level == Level::cluster;
  const std::int64_t l2 = device.facts().l2_bytes;
  std::int64_t bytes = state.integer("working_set");
  if (bytes == 0) bytes = level == Level::l1 ? 16 << 10 : level == Level::l2 ? l2 / 4 : 8 * l2;
  const std::int64_t nodes = shared ? shared_chain_nodes : bytes / (4 * chain_stride);
  if (nodes < 2 || nodes > std::int64_t{1} << 26)
    throw UserError(fmt::format("working_set: found {}, expected 256 bytes to 8 GiB", bytes));
  constexpr int steps = 8192;
  // L1 does not keep lines from launch to launch; L2 does, and a chain of global memory must not find its own.
  const int warm = level == Level::l1 ? static_cast<int>(std::min<std::int64_t>(nodes, 65536)) : 0;
  const auto held = std::make_shared<Chain>(Chain{{device, static_cast<std::size_t>(nodes * chain_stride)},
                                                  {device, 1},
                                                  {device, 2 + chain_trail},
                                                  {device, 1},
                                                  {}});
  const auto draw = [held, nodes](std::uint64_t seed) {
    held->next = random_cycle(static_cast<std::uint32_t>(nodes), seed);
    std::vector<std::uint32_t> words(held->words.size());
    for (std::size_t i = 0; i < held->next.size(); ++i) words[i * chain_stride] = held->next[i];
    held->words.upload(words);
    held->position.upload(std::vector<std::uint32_t>{0});
  };
  const auto follow = [held, &device, level, warm](int count) {
    launch_chase(level,
                 {.chain = held->words.data(),
                  .position = held->position.data(),
                  .ends = held->ends.data(),
                  .cycles = held->cycles.data(),
                  .warm = warm,
                  .steps = count},
                 device.stream());
  };
  state.inputs(draw);
  state.device_output("ends", held->ends.data(), held->ends.bytes());
  state.oracle([held, warm] {
    const std::vector<std::uint32_t> ends = held->ends.download();
    if (ends[0] >= held->next.size()) return exact(false, "began outside of the chain");
    std::uint32_t node = ends[0];
    for (int i = 0; i < warm + steps; ++i) node = held->next[node];
    if (node != ends[1]) return exact(false, fmt::format("ended at {}, want {}", ends[1], node));
    for (std::size_t i = 2; i < ends.size(); ++i) {
      node = held->next[node];
      if (node != ends[i]) return exact(false, fmt::format("went on to {}, want {}", ends[i], node));
    }
    return exact(true, "");
  });
  state.mutant("half-the-work", [follow] { follow(steps / 2 + 1); });
  report_cycles(
      state, device, draw, [follow] { follow(steps); }, held->cycles, steps);
  state.measure([follow] { follow(steps); });
}

// -- bandwidth

struct Words {
  DeviceBuffer<std::uint32_t> words, sums, cycles;
  std::uint64_t seed = 0;
};

std::uint32_t vector_sum(std::uint64_t seed, std::int64_t vector) {
  std::uint32_t sum = 0;
  for (std::uint64_t i = 0; i < 4; ++i) sum += drawn_word(seed, static_cast<std::uint64_t>(vector) * 4 + i);
  return sum;
}

enum class Bandwidth { l1, l2, cluster };

void run_bandwidth(State& state, Bandwidth what) {
  Device& device = state.device();
  if (what == Bandwidth::cluster) need(state, device, 90, "clusters");
  const int multiprocessors = device.facts().multiprocessors;
  const int blocks = what == Bandwidth::cluster ? multiprocessors / 2 * 2 : 2 * multiprocessors;
  const std::int64_t asked = state.integer("working_set");
  const std::int64_t vectors = what == Bandwidth::l2 ? (asked > 0 ? asked : device.facts().l2_bytes / 2) / 16
                                                     : std::int64_t{blocks} * l1_vectors;
  if (vectors < 1) throw UserError(fmt::format("working_set: found {}, expected 16 bytes or more", asked));
  const int rounds = what == Bandwidth::l2 ? 8 : 4096;
  const double reads = what == Bandwidth::l2 ? static_cast<double>(vectors) * rounds
                                             : static_cast<double>(blocks) * bandwidth_threads * rounds;
  state.declare({.bytes = 16 * reads});
  const std::size_t sums =
      what == Bandwidth::l2 ? static_cast<std::size_t>(blocks) : static_cast<std::size_t>(blocks) * bandwidth_threads;
  const auto held = std::make_shared<Words>(Words{
      {device, static_cast<std::size_t>(vectors) * 4}, {device, sums}, {device, static_cast<std::size_t>(blocks)}, 0});
  const auto draw = [held, &device](std::uint64_t seed) {
    held->seed = seed;
    launch_draw_words(held->words.data(), held->words.size(), seed, device.stream());
  };
  const auto read = [held, &device, what, blocks, vectors](int times) {
    const Read problem{.words = held->words.data(),
                       .vectors = vectors,
                       .rounds = times,
                       .sums = held->sums.data(),
                       .cycles = held->cycles.data()};
    if (what == Bandwidth::l1) return launch_read_l1(problem, blocks, device.stream());
    if (what == Bandwidth::l2) return launch_read_l2(problem, blocks, device.stream());
    launch_read_cluster(problem, blocks, device.stream());
  };
  state.inputs(draw);
  state.device_output("sums", held->sums.data(), held->sums.bytes());
  state.oracle([held, what, vectors, rounds] {
    const std::vector<std::uint32_t> got = held->sums.download();
    if (what == Bandwidth::l2) {
      std::uint32_t want = 0;
      for (std::int64_t v = 0; v < vectors; ++v) want += vector_sum(held->seed, v);
      want *= static_cast<std::uint32_t>(rounds);
      const auto all = std::accumulate(got.begin(), got.end(), std::uint32_t{0});
      return exact(all == want, fmt::format("sum {}, want {}", all, want));
    }
    // Round r of thread t reads vector t + 32 r of its own region, or of the other block of its cluster.
    std::vector<std::uint32_t> of_region(l1_vectors);
    for (std::size_t block = 0; block < got.size() / bandwidth_threads; ++block) {
      const std::size_t region = what == Bandwidth::cluster ? block ^ 1U : block;
      for (std::size_t v = 0; v < l1_vectors; ++v)
        of_region[v] = vector_sum(held->seed, static_cast<std::int64_t>(region * l1_vectors + v));
      for (std::size_t t = 0; t < bandwidth_threads; ++t) {
        // Rounds come around every l1_vectors / 32.
        std::uint32_t want = 0;
        for (std::size_t r = 0; r < l1_vectors / 32; ++r) want += of_region[(t + 32 * r) % l1_vectors];
        want *= static_cast<std::uint32_t>(rounds) / (l1_vectors / 32);
        if (const std::uint32_t sum = got[block * bandwidth_threads + t]; sum != want)
          return exact(false, fmt::format("thread {} of block {}: {}, want {}", t, block, sum, want));
      }
    }
    return exact(true, "");
  });
  state.mutant("half-the-work", [read, rounds] { read(rounds / 2); });
  const double a_block = reads / blocks;
  report_cycles(
      state, device, draw, [read, rounds] { read(rounds); }, held->cycles, a_block);
  state.measure([read, rounds] { read(rounds); });
}

// -- into shared memory

void run_copy_in(State& state, CopyEngine engine) {
  const std::int64_t box = state.integer("box");
  if (box % 4096 != 0 || box > 49152)
    throw UserError(fmt::format("box: found {}, expected a multiple of 4096 up to 49152", box));
  Device& device = state.device();
  if (engine == CopyEngine::bulk) need(state, device, 90, "bulk copies");
  if (copy_stages * box > device.facts().shared_bytes_a_block)
    state.skip(fmt::format("needs {} KiB of shared memory a block", copy_stages * box / 1024));
  const std::int64_t asked = state.integer("working_set");
  const std::int64_t bytes = asked > 0 ? asked : 8 * device.facts().l2_bytes;
  const std::int64_t boxes = bytes / box;
  if (boxes < 1) throw UserError(fmt::format("working_set: found {}, expected a box or more", asked));
  state.declare({.bytes = static_cast<double>(boxes * box), .working_set = static_cast<double>(boxes * box)});
  const auto a_multiprocessor = static_cast<int>(
      std::clamp<std::int64_t>(device.facts().shared_bytes_a_multiprocessor / (copy_stages * box + 2048), 1, 8));
  const int blocks = device.facts().multiprocessors * a_multiprocessor;
  const auto held = std::make_shared<Words>(Words{{device, static_cast<std::size_t>(boxes * box / 4)},
                                                  {device, static_cast<std::size_t>(blocks) * copy_threads},
                                                  {device, static_cast<std::size_t>(blocks)},
                                                  0});
  const auto draw = [held, &device](std::uint64_t seed) {
    held->seed = seed;
    launch_draw_words(held->words.data(), held->words.size(), seed, device.stream());
  };
  const auto copy = [held, &device, engine, box, blocks](std::int64_t count) {
    launch_copy_in(engine,
                   {.words = held->words.data(),
                    .boxes = count,
                    .box_bytes = static_cast<int>(box),
                    .sums = held->sums.data(),
                    .cycles = held->cycles.data()},
                   blocks, device.stream());
  };
  state.inputs(draw);
  state.device_output("sums", held->sums.data(), held->sums.bytes());
  state.oracle([held] {
    const std::vector<std::uint32_t> got = held->sums.download();
    std::uint32_t want = 0;
    for (std::size_t i = 0; i < held->words.size(); ++i) want += drawn_word(held->seed, i);
    const auto all = std::accumulate(got.begin(), got.end(), std::uint32_t{0});
    return exact(all == want, fmt::format("sum {}, want {}", all, want));
  });
  state.mutant("last-box-skipped", [copy, boxes] { copy(boxes - 1); });
  report_cycles(
      state, device, draw, [copy, boxes] { copy(boxes); }, held->cycles, static_cast<double>(boxes) / blocks);
  state.measure([copy, boxes] { copy(boxes); });
}

// -- matrix units

struct Product {
  DeviceBuffer<std::uint32_t> a, b, d, cycles;
  std::unique_ptr<Operands> operands;
};

void run_product(State& state, MatrixType type, bool group) {
  const auto wide = static_cast<int>(state.integer("n"));
  const auto warps = static_cast<int>(state.integer("warps"));
  const int chains = group ? 1 : static_cast<int>(state.integer("chains"));
  if (group && (warps % 4 != 0 || warps > 12))
    throw UserError(fmt::format("warps: found {}, expected 4, 8 or 12 for wgmma", warps));
  if (warps > 32) throw UserError(fmt::format("warps: found {}, expected at most 32", warps));
  const int n = group ? wide : 8;
  const int m = group ? 64 : 16;
  const int rounds = rounds_of(type);
  Device& device = state.device();
  if (group) need(state, device, 90, "wgmma");
  if (type == MatrixType::e4m3) need(state, device, 89, "fp8 matrix units");
  const int blocks = device.facts().multiprocessors;
  const int units = group ? warps / 4 : warps * chains;  // instructions of a round, a block
  state.declare({.flops = 2.0 * m * n * depth_of(type) * rounds * units * blocks});
  const std::size_t sums = static_cast<std::size_t>(blocks) * static_cast<std::size_t>(units * m * n);
  const auto held = std::make_shared<Product>();
  held->operands = std::make_unique<Operands>(type, m, n, group ? 1 : chains, group);
  held->a = {device, held->operands->a().size()};
  held->b = {device, held->operands->b().size()};
  held->d = {device, sums};
  held->cycles = {device, static_cast<std::size_t>(blocks)};
  const auto draw = [held](std::uint64_t seed) {
    held->operands->draw(seed);
    held->a.upload(held->operands->a());
    held->b.upload(held->operands->b());
  };
  const auto multiply = [=, &device](int times) {
    const Matrix matrix{
        .a = held->a.data(), .b = held->b.data(), .d = held->d.data(), .cycles = held->cycles.data(), .rounds = times};
    if (group) return launch_wgmma(type, n, matrix, blocks, warps / 4, device.stream());
    launch_mma(type, chains, matrix, blocks, warps, device.stream());
  };
  state.inputs(draw);
  state.device_output("D", held->d.data(), held->d.bytes());
  state.oracle([held, rounds] { return held->operands->compare(held->d.download(), rounds); });
  state.mutant("half-the-work", [multiply, rounds] { multiply(rounds / 2); });
  // Instructions of one warp (group): chains count one by one, so with one chain this is the latency.
  report_cycles(
      state, device, draw, [multiply, rounds] { multiply(rounds); }, held->cycles, rounds * chains);
  state.measure([multiply, rounds] { multiply(rounds); });
}

// -- fused integer operations

struct Fused {
  DeviceBuffer<std::uint32_t> operands, results, cycles;
  std::vector<std::uint32_t> drawn;
};

void run_dpx(State& state, Dpx what) {
  constexpr int kRounds = 2048;
  const auto warps = static_cast<int>(state.integer("warps"));
  const auto chains = static_cast<int>(state.integer("chains"));
  if (warps > 32) throw UserError(fmt::format("warps: found {}, expected at most 32", warps));
  state.declare({});
  Device& device = state.device();
  const int blocks = device.facts().multiprocessors;
  const auto threads = static_cast<std::size_t>(blocks) * static_cast<std::size_t>(32 * warps);
  const auto held = std::make_shared<Fused>(Fused{{device, static_cast<std::size_t>(32 * (chains + 2))},
                                                  {device, threads * static_cast<std::size_t>(chains)},
                                                  {device, static_cast<std::size_t>(blocks)},
                                                  {}});
  const auto draw = [=](std::uint64_t seed) {
    held->drawn = dpx_operands(what, chains, seed);
    held->operands.upload(held->drawn);
  };
  const auto go = [=, &device](int rounds) {
    launch_dpx(what, chains,
               {.operands = held->operands.data(),
                .results = held->results.data(),
                .cycles = held->cycles.data(),
                .rounds = rounds},
               blocks, warps, device.stream());
  };
  state.inputs(draw);
  state.device_output("results", held->results.data(), held->results.bytes());
  state.oracle([=] {
    const std::vector<std::uint32_t> got = held->results.download();
    const auto count = static_cast<std::size_t>(chains);
    std::vector<std::uint32_t> want(32 * count);  // of every warp
    for (std::size_t lane = 0; lane < 32; ++lane)
      for (std::size_t c = 0; c < count; ++c)
        want[lane * count + c] = dpx_result(what, held->drawn[c * 32 + lane], held->drawn[32 * count + lane],
                                            held->drawn[32 * count + 32 + lane], kRounds);
    for (std::size_t i = 0; i < got.size(); ++i)
      if (got[i] != want[i % want.size()])
        return exact(false, fmt::format("chain {} of thread {}: {:#x}, want {:#x}", i % count, i / count, got[i],
                                        want[i % want.size()]));
    return exact(true, "");
  });
  state.mutant("half-the-work", [go] { go(kRounds / 2); });
  // Instructions of one warp: with one chain and one warp this is the latency.
  report_cycles(
      state, device, draw, [go] { go(kRounds); }, held->cycles, static_cast<double>(kRounds) * chains);
  state.measure([go] { go(kRounds); });
}

// -- atomics and barriers

struct Counters {
  DeviceBuffer<std::uint32_t> counters, cycles;
};

void run_atomic(State& state, Atomic where) {
  constexpr int kRounds = 256;
  state.declare({});
  const auto threads = static_cast<int>(state.integer("warps")) * 32;
  if (threads > 1024) throw UserError(fmt::format("warps: found {}, expected at most 32", threads / 32));
  Device& device = state.device();
  const int blocks = device.facts().multiprocessors;
  const std::size_t count = where == Atomic::same_address ? 1
                            : where == Atomic::shared_memory
                                ? static_cast<std::size_t>(blocks)
                                : static_cast<std::size_t>(blocks) * static_cast<std::size_t>(threads);
  const auto held = std::make_shared<Counters>(Counters{{device, count}, {device, static_cast<std::size_t>(blocks)}});
  // Additions start from zero each time: the fill is part of the region, and not of the cycles.
  const auto add = [=, &device](int rounds) {
    device.fill(held->counters.data(), 0, held->counters.bytes());
    launch_atomic(where, held->counters.data(), held->cycles.data(), rounds, blocks, threads, device.stream());
  };
  state.device_output("counters", held->counters.data(), held->counters.bytes());
  const std::uint32_t want = where == Atomic::same_address    ? static_cast<std::uint32_t>(kRounds * threads * blocks)
                             : where == Atomic::shared_memory ? static_cast<std::uint32_t>(kRounds * threads)
                                                              : kRounds;
  state.oracle([held, want] {
    for (const std::uint32_t got : held->counters.download())
      if (got != want) return exact(false, fmt::format("a counter has {}, want {}", got, want));
    return exact(true, "");
  });
  state.mutant("half-the-work", [add] { add(kRounds / 2); });
  report_cycles(
      state, device, [](std::uint64_t) {}, [add] { add(kRounds); }, held->cycles, kRounds);
  state.measure([add] { add(kRounds); });
}

void run_barrier(State& state, Barrier which) {
  static constexpr int kRounds = 1024;
  state.declare({});
  const auto threads = static_cast<int>(state.integer("warps")) * 32;
  if (threads > 1024) throw UserError(fmt::format("warps: found {}, expected at most 32", threads / 32));
  Device& device = state.device();
  if (which == Barrier::cluster) need(state, device, 90, "clusters");
  const int blocks = device.facts().multiprocessors / 2 * 2;
  const auto held = std::make_shared<Counters>(
      Counters{{device, static_cast<std::size_t>(blocks) * static_cast<std::size_t>(threads)},
               {device, static_cast<std::size_t>(blocks)}});
  const auto pass = [=, &device](int rounds) {
    launch_barrier(which, held->counters.data(), held->cycles.data(), rounds, blocks, threads, device.stream());
  };
  state.device_output("passed", held->counters.data(), held->counters.bytes());
  state.oracle([held] {
    for (const std::uint32_t got : held->counters.download())
      if (got != kRounds) return exact(false, fmt::format("a thread passed {}, want {}", got, kRounds));
    return exact(true, "");
  });
  state.mutant("half-the-work", [pass] { pass(kRounds / 2); });
  report_cycles(
      state, device, [](std::uint64_t) {}, [pass] { pass(kRounds); }, held->cycles, kRounds);
  state.measure([pass] { pass(kRounds); });
}

struct Probe {
  const char* name;
  std::function<void(State&)> run;
};

const std::vector<Probe>& probes() {
  const auto latency = [](Level level) { return [level](State& state) { run_latency(state, level); }; };
  const auto bandwidth = [](Bandwidth what) { return [what](State& state) { run_bandwidth(state, what); }; };
  const auto copy = [](CopyEngine engine) { return [engine](State& state) { run_copy_in(state, engine); }; };
  const auto mma = [](MatrixType type) { return [type](State& state) { run_product(state, type, false); }; };
  const auto wgmma = [](MatrixType type) { return [type](State& state) { run_product(state, type, true); }; };
  const auto dpx = [](Dpx what) { return [what](State& state) { run_dpx(state, what); }; };
  const auto atomic = [](Atomic where) { return [where](State& state) { run_atomic(state, where); }; };
  const auto barrier = [](Barrier which) { return [which](State& state) { run_barrier(state, which); }; };
  static const std::vector<Probe> all = {{"latency-l1", latency(Level::l1)},
                                         {"latency-l2", latency(Level::l2)},
                                         {"latency-global", latency(Level::global)},
                                         {"latency-shared", latency(Level::shared)},
                                         {"latency-cluster", latency(Level::cluster)},
                                         {"bandwidth-l1", bandwidth(Bandwidth::l1)},
                                         {"bandwidth-l2", bandwidth(Bandwidth::l2)},
                                         {"bandwidth-cluster", bandwidth(Bandwidth::cluster)},
                                         {"copy-registers", copy(CopyEngine::registers)},
                                         {"copy-cp-async", copy(CopyEngine::cp_async)},
                                         {"copy-bulk", copy(CopyEngine::bulk)},
                                         {"mma-bf16", mma(MatrixType::bf16)},
                                         {"mma-fp16", mma(MatrixType::fp16)},
                                         {"mma-tf32", mma(MatrixType::tf32)},
                                         {"mma-int8", mma(MatrixType::int8)},
                                         {"mma-e4m3", mma(MatrixType::e4m3)},
                                         {"wgmma-bf16", wgmma(MatrixType::bf16)},
                                         {"wgmma-fp16", wgmma(MatrixType::fp16)},
                                         {"wgmma-tf32", wgmma(MatrixType::tf32)},
                                         {"wgmma-int8", wgmma(MatrixType::int8)},
                                         {"wgmma-e4m3", wgmma(MatrixType::e4m3)},
                                         {"dpx-addmax-s32", dpx(Dpx::addmax_s32)},
                                         {"dpx-addmax-s32-relu", dpx(Dpx::addmax_s32_relu)},
                                         {"dpx-addmax-s16x2", dpx(Dpx::addmax_s16x2)},
                                         {"dpx-addmax-s16x2-relu", dpx(Dpx::addmax_s16x2_relu)},
                                         {"atomic-same", atomic(Atomic::same_address)},
                                         {"atomic-own", atomic(Atomic::own_address)},
                                         {"atomic-shared", atomic(Atomic::shared_memory)},
                                         {"barrier-warp", barrier(Barrier::warp)},
                                         {"barrier-block", barrier(Barrier::block)},
                                         {"barrier-cluster", barrier(Barrier::cluster)}};
  return all;
}

void run(State& state) {
  const std::string& wanted = state.text("probe");
  const auto found =
      std::find_if(probes().begin(), probes().end(), [&](const Probe& each) { return each.name == wanted; });
  if (found == probes().end())
    throw UserError(fmt::format("probe: found '{}', expected one that `assay list hopper-ubench` shows", wanted));
  found->run(state);
}

std::vector<harness::Value> probe_names() {
  std::vector<harness::Value> all;
  for (const Probe& each : probes()) all.emplace_back(std::string(each.name));
  return all;
}

harness::Value count(std::int64_t value) { return harness::Value(value); }

const harness::Registration registration({
    .id = "hardware/hopper-ubench",
    .title = "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via Microbenchmarking",
    .paper = "arXiv 2402.13499",
    .summary = "latency and rate of each level of memory, matrix instruction, copy, atomic and barrier",
    .implementations =
        {{.backend = "cuda",
          .axes = {{.name = "probe", .defaults = probe_names(), .help = "what is asked", .allowed = probe_names()},
                   {.name = "working_set",
                    .defaults = {count(0)},
                    .help = "bytes of latency-{l1,l2,global}, bandwidth-l2 and copies; 0: the level's own",
                    .minimum = 0,
                    .dimension = datasets::Dimension::bytes},
                   {.name = "warps",
                    .defaults = {count(8)},
                    .help = "warps a block of matrix units, dpx, atomics, barriers"},
                   {.name = "chains",
                    .defaults = {count(4)},
                    .help = "independent sums a warp of mma.sync or a thread of dpx; 1 with warps=1: latency",
                    .allowed = {count(1), count(4)}},
                   {.name = "n",
                    .defaults = {count(256)},
                    .help = "columns of wgmma",
                    .allowed = {count(64), count(128), count(256)}},
                   {.name = "box",
                    .defaults = {count(16384)},
                    .help = "bytes of a copy into shared memory, a multiple of 4096",
                    .minimum = 4096,
                    .dimension = datasets::Dimension::bytes}},
          .run = run,
          .source_file = __FILE__,
          .verified = false,
          .needs = "sm_80, sm_90; clusters, bulk copies: sm_90; wgmma: sm_90a; e4m3: sm_89, sm_90"}},
});

}  // namespace
}  // namespace assay::hardware::cuda
