// The roofs of this GPU: what its units, its memory and its launches do when nothing else is in the way. Techniques are
// held against them; each is probed in the run that shows it, on random data, because a matrix unit fed with zeros
// draws less power and clocks higher than one that works.
//
//   copy       half of `working_set` bytes into the other half by a kernel; bytes read and bytes written are counted.
//   memcpy     the same by cudaMemcpyAsync.
//   read       sum of `working_set` bytes.
//   shared     16-byte reads of shared memory without bank conflicts, 2048 threads a multiprocessor.
//   launch     the smallest kernel; `time` is one of many in a row. With timer=host it is launch and wait together.
//   gemm-bf16, gemm-fp16, gemm-tf32, gemm-fp8
//              C = B A^T of cuBLASLt with m = n = k = `size`, fp32 accumulation; the library is opened at run time.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "datasets/user_error.h"
#include "harness/gpu/cuda_check.h"
#include "harness/gpu/device_buffer.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "impls/hardware/cuda/element_value.h"
#include "impls/hardware/cuda/roof_kernels.h"
#include "impls/substrate/cuda/cublas_lt.h"
#include "impls/substrate/random.h"

namespace assay::hardware::cuda {
namespace {

using harness::Check;
using harness::State;
using harness::gpu::Device;
using harness::gpu::DeviceBuffer;
using substrate::cuda::CublasGemm;
using substrate::cuda::GemmType;

// A result that must be exactly so.
Check exact(bool same, double coverage, const std::string& wrong) {
  return {.error = same ? 0.0 : 2.0, .coverage = coverage, .detail = same ? "exact" : wrong};
}

struct Traffic {
  DeviceBuffer<std::uint32_t> from, to;
  DeviceBuffer<std::uint64_t> sums;
  std::uint64_t seed = 0;
};

std::size_t words_of(const State& state) {
  const std::int64_t bytes = state.integer("working_set");
  if (bytes < 4096 || bytes % 32 != 0)
    throw UserError(fmt::format("working_set: found {}, expected a multiple of 32 from 4096 bytes on", bytes));
  return static_cast<std::size_t>(bytes) / sizeof(std::uint32_t);
}

// 64 runs of up to 64 Ki words, the first and the last among them: what crosses the bus stays small beside large sets.
Check compare_copy(const Traffic& data, Device& device) {
  constexpr std::size_t kRuns = 64;
  const std::size_t count = data.to.size();
  const std::size_t length = std::min<std::size_t>(count, std::size_t{1} << 16U);
  const std::size_t runs = std::min(kRuns, (count + length - 1) / length);
  std::vector<std::uint32_t> got(length);
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t first = runs == 1 ? 0 : (count - length) * run / (runs - 1);
    device.copy_out(got.data(), data.to.data() + first, length * sizeof(std::uint32_t));
    for (std::size_t i = 0; i < length; ++i)
      if (got[i] != drawn_word(data.seed, first + i)) return exact(false, 1, fmt::format("word {} differs", first + i));
  }
  return exact(true, std::min(1.0, static_cast<double>(runs * length) / static_cast<double>(count)), "");
}

void run_copy(State& state, bool by_driver) {
  const std::size_t count = words_of(state) / 2;
  const auto bytes = static_cast<double>(2 * count * sizeof(std::uint32_t));
  state.declare({.bytes = bytes, .working_set = bytes});
  Device& device = state.device();
  const auto data = std::make_shared<Traffic>(Traffic{{device, count}, {device, count}, {}, 0});
  state.inputs([data, &device](std::uint64_t seed) {
    data->seed = seed;
    launch_draw_words(data->from.data(), data->from.size(), seed, device.stream());
  });
  state.device_output("copy", data->to.data(), data->to.bytes());
  state.oracle([data, &device] { return compare_copy(*data, device); });
  const auto copy = [data, &device, by_driver](std::size_t share) {
    const std::size_t words = data->to.size() / share / 4 * 4;
    if (by_driver)
      harness::gpu::check(cudaMemcpyAsync(data->to.data(), data->from.data(), words * sizeof(std::uint32_t),
                                          cudaMemcpyDeviceToDevice, device.stream()),
                          "enqueuing the copy");
    else
      launch_copy(data->from.data(), data->to.data(), words, device.facts().multiprocessors, device.stream());
  };
  state.mutant("half-the-work", [copy] { copy(2); });
  state.measure([copy] { copy(1); });
}

void run_read(State& state) {
  const std::size_t count = words_of(state);
  const auto bytes = static_cast<double>(count * sizeof(std::uint32_t));
  state.declare({.bytes = bytes, .working_set = bytes});
  Device& device = state.device();
  const int blocks = read_blocks(device.facts().multiprocessors);
  const auto data =
      std::make_shared<Traffic>(Traffic{{device, count}, {}, {device, static_cast<std::size_t>(blocks)}, 0});
  state.inputs([data, &device](std::uint64_t seed) {
    data->seed = seed;
    launch_draw_words(data->from.data(), data->from.size(), seed, device.stream());
  });
  state.device_output("sums", data->sums.data(), data->sums.bytes());
  state.oracle([data] {
    std::uint64_t want = 0;
    for (std::size_t i = 0; i < data->from.size(); ++i) want += drawn_word(data->seed, i);
    std::uint64_t got = 0;
    for (const std::uint64_t part : data->sums.download()) got += part;
    return exact(got == want, 1, fmt::format("sum {}, want {}", got, want));
  });
  const auto read = [data, &device](std::size_t share) {
    launch_read(data->from.data(), data->from.size() / share, data->sums.data(), device.facts().multiprocessors,
                device.stream());
  };
  state.mutant("half-the-work", [read] { read(2); });
  state.measure([read] { read(1); });
}

void run_shared(State& state) {
  constexpr int kRounds = 4096;
  constexpr int kVectors = shared_words / 4;
  struct Data {
    DeviceBuffer<std::uint32_t> words, sums;
    std::uint64_t seed = 0;
  };
  Device& device = state.device();
  const int multiprocessors = device.facts().multiprocessors;
  const auto threads = static_cast<std::size_t>(shared_blocks(multiprocessors)) * shared_threads;
  state.declare({.bytes = 16.0 * kRounds * static_cast<double>(threads)});
  const auto data = std::make_shared<Data>(Data{{device, shared_words}, {device, threads}, 0});
  state.inputs([data, &device](std::uint64_t seed) {
    data->seed = seed;
    launch_draw_words(data->words.data(), data->words.size(), seed, device.stream());
  });
  state.device_output("sums", data->sums.data(), data->sums.bytes());
  state.oracle([data] {
    std::vector<std::uint32_t> vector_sums(kVectors);
    for (std::size_t i = 0; i < shared_words; ++i) vector_sums[i / 4] += drawn_word(data->seed, i);
    const std::vector<std::uint32_t> got = data->sums.download();
    for (std::size_t t = 0; t < shared_threads; ++t) {
      std::uint32_t want = 0;
      for (std::size_t r = 0; r < kRounds; ++r) want += vector_sums[(t + 32 * r) % kVectors];
      for (std::size_t at = t; at < got.size(); at += shared_threads)
        if (got[at] != want) return exact(false, 1, fmt::format("thread {}: {}, want {}", at, got[at], want));
    }
    return exact(true, 1, "");
  });
  const auto read = [data, &device](int rounds) {
    launch_shared_read(data->words.data(), rounds, data->sums.data(), device.facts().multiprocessors, device.stream());
  };
  state.mutant("half-the-work", [read] { read(kRounds / 2); });
  state.measure([read] { read(kRounds); });
}

void run_launch(State& state) {
  struct Data {
    DeviceBuffer<std::uint32_t> word;
    std::uint32_t want = 0;
  };
  state.declare({});
  Device& device = state.device();
  const auto data = std::make_shared<Data>(Data{{device, 1}, 0});
  state.inputs([data](std::uint64_t seed) { data->want = drawn_word(seed, 0); });
  state.device_output("word", data->word.data(), data->word.bytes());
  state.oracle([data] {
    const std::uint32_t got = data->word.download().front();
    return exact(got == data->want, 1, fmt::format("{}, want {}", got, data->want));
  });
  state.measure([data, &device] { launch_store(data->want, data->word.data(), device.stream()); });
}

struct Matrices {
  DeviceBuffer<std::byte> a, b, c;
  std::uint64_t seed = 0;
};

// Sampled rows and columns of C, the first and last among them, as dot products in float64 of what the device holds.
Check compare_product(const Matrices& held, GemmType type, Element element, std::int64_t size, Device& device) {
  constexpr std::int64_t kSampled = 48;
  const std::size_t in = substrate::cuda::input_bytes(type);
  const std::size_t out = substrate::cuda::output_bytes(type);
  const auto k = static_cast<std::size_t>(size);
  substrate::Random random(held.seed ^ 0x5eedU);
  const auto sampled = [&] {
    std::vector<std::size_t> rows = {0, k - 1};
    while (rows.size() < static_cast<std::size_t>(std::min(kSampled, size)))
      rows.push_back(static_cast<std::size_t>(random.below(static_cast<std::uint64_t>(size))));
    return rows;
  };
  const auto rows_of = [&](const DeviceBuffer<std::byte>& from, const std::vector<std::size_t>& rows) {
    std::vector<double> values;
    std::vector<std::byte> raw(k * in);
    for (const std::size_t row : rows) {
      device.copy_out(raw.data(), from.data() + row * k * in, raw.size());
      for (std::size_t i = 0; i < k; ++i) values.push_back(element_value(element, raw.data() + i * in));
    }
    return values;
  };
  const Element result = out == 4 ? Element::fp32 : type == GemmType::fp16 ? Element::fp16 : Element::bf16;
  // One rounding to the result's type, and an accumulator of fp32 (of 14 bits in the fp8 units of sm_90) along k terms
  // of variance 1/9.
  const double rounding = result == Element::fp32 ? 1e-6 : result == Element::fp16 ? 1.0 / 1024 : 1.0 / 128;
  const double deviation = std::sqrt(static_cast<double>(size)) / 3;
  const double accumulation = (type == GemmType::fp8 ? 1e-2 : 1e-4) * deviation;
  const auto rows = sampled();
  const auto columns = sampled();
  const std::vector<double> a = rows_of(held.a, rows);
  const std::vector<double> b = rows_of(held.b, columns);
  Check check;
  check.coverage = std::min(1.0, static_cast<double>(rows.size() * columns.size()) / static_cast<double>(k * k));
  std::vector<std::byte> line(k * out);
  for (std::size_t j = 0; j < columns.size(); ++j) {
    device.copy_out(line.data(), held.c.data() + columns[j] * k * out, line.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      double want = 0;
      for (std::size_t p = 0; p < k; ++p) want += a[i * k + p] * b[j * k + p];
      const double got = element_value(result, line.data() + rows[i] * out);
      const double error = std::abs(got - want) / (rounding * std::abs(want) + accumulation);
      if (error <= check.error) continue;
      check.error = std::isnan(error) ? HUGE_VAL : error;
      check.detail = fmt::format("C[{}][{}] = {:g}, want {:g}", columns[j], rows[i], got, want);
    }
  }
  return check;
}

void run_gemm(State& state, GemmType type, Element element) {
  const std::int64_t size = state.integer("size");
  if (size < 256 || size > 65536 || size % 64 != 0)
    throw UserError(fmt::format("size: found {}, expected a multiple of 64 from 256 to 65536", size));
  const auto n = static_cast<double>(size);
  const auto in = static_cast<double>(substrate::cuda::input_bytes(type));
  const auto out = static_cast<double>(substrate::cuda::output_bytes(type));
  state.declare({.flops = 2 * n * n * n, .working_set = (2 * in + out) * n * n});
  Device& device = state.device();
  if (type == GemmType::fp8 && device.facts().capability < 89)
    state.skip(fmt::format("sm_{} has no fp8 matrix units", device.facts().capability));
  const auto count = static_cast<std::size_t>(size * size);
  const auto held = std::make_shared<Matrices>(Matrices{{device, count * substrate::cuda::input_bytes(type)},
                                                        {device, count * substrate::cuda::input_bytes(type)},
                                                        {device, count * substrate::cuda::output_bytes(type)},
                                                        0});
  std::shared_ptr<CublasGemm> whole;
  std::shared_ptr<CublasGemm> half;
  try {
    whole = std::make_shared<CublasGemm>(device, type, size, size, size);
    half = std::make_shared<CublasGemm>(device, type, size, size, size / 2, size);
  } catch (const substrate::cuda::CublasUnavailable& absent) {
    state.skip(absent.what());
  }
  state.inputs([held, element, count, &device](std::uint64_t seed) {
    held->seed = seed;
    launch_draw_elements(held->a.data(), element, count, seed, device.stream());
    launch_draw_elements(held->b.data(), element, count, ~seed, device.stream());
  });
  state.device_output("C", held->c.data(), held->c.bytes());
  state.oracle([held, type, element, size, &device] { return compare_product(*held, type, element, size, device); });
  state.mutant("half-the-depth", [held, half] { (*half)(held->a.data(), held->b.data(), held->c.data()); });
  state.measure([held, whole] { (*whole)(held->a.data(), held->b.data(), held->c.data()); });
}

void run(State& state) {
  const std::string& probe = state.text("probe");
  if (probe == "copy") return run_copy(state, false);
  if (probe == "memcpy") return run_copy(state, true);
  if (probe == "read") return run_read(state);
  if (probe == "shared") return run_shared(state);
  if (probe == "launch") return run_launch(state);
  if (probe == "gemm-bf16") return run_gemm(state, GemmType::bf16, Element::bf16);
  if (probe == "gemm-fp16") return run_gemm(state, GemmType::fp16, Element::fp16);
  if (probe == "gemm-tf32") return run_gemm(state, GemmType::tf32, Element::fp32);
  if (probe == "gemm-fp8") return run_gemm(state, GemmType::fp8, Element::e4m3);
  throw UserError(fmt::format("probe: found '{}', expected one that `assay list gpu-roofs` shows", probe));
}

std::vector<harness::Value> probes() {
  std::vector<harness::Value> all;
  for (const char* name :
       {"copy", "memcpy", "read", "shared", "launch", "gemm-bf16", "gemm-fp16", "gemm-tf32", "gemm-fp8"})
    all.emplace_back(std::string(name));
  return all;
}

const harness::Registration registration({
    .id = "hardware/gpu-roofs",
    .title = "Roofs of the GPU",
    .paper = "baseline",
    .summary = "memory, shared memory, launches, matrix products of cuBLAS on random data",
    .implementations = {{.backend = "cuda",
                         .axes = {{.name = "probe", .defaults = probes(), .help = "which roof", .allowed = probes()},
                                  {.name = "working_set",
                                   .defaults = {harness::Value(std::int64_t{1} << 30)},
                                   .help = "bytes touched by copy, memcpy and read; the others ignore it",
                                   .minimum = 4096,
                                   .dimension = datasets::Dimension::bytes},
                                  {.name = "size",
                                   .defaults = {harness::Value(std::int64_t{8192})},
                                   .help = "m = n = k of the matrix products; the others ignore it",
                                   .minimum = 256}},
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; products: cuBLAS"}},
});

}  // namespace
}  // namespace assay::hardware::cuda
