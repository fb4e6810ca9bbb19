#include "launches.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <vector>

#include "impls/attention/cuda/emulator/kernels.h"
#include "impls/parallelism/sequence/cuda/ring_kernels.h"
#include "impls/substrate/dtype.h"

namespace assay::parallelism::cuda {
namespace {
std::mutex mutex;  // the emulator is one machine; ranks are threads
int launches = 0;

}  // namespace

substrate::nccl::HostRankDevices*& emulated_devices() {
  static substrate::nccl::HostRankDevices* devices = nullptr;
  return devices;
}
int flash_launches() {
  const std::lock_guard lock(mutex);
  return launches;
}

void launch_start(float* acc, std::int64_t elements, float* lse, std::int64_t rows, CUstream_st*) {
  std::fill_n(acc, elements, 0.0F);
  std::fill_n(lse, rows, -std::numeric_limits<float>::infinity());
}

void launch_merge(const MergeProblem& p, CUstream_st*) {
  for (int b = 0; b < p.batch; ++b) {
    for (int i = 0; i < p.rows; ++i) {
      for (int h = 0; h < p.heads; ++h) {
        const std::int64_t part = (static_cast<std::int64_t>(b) * p.heads + h) * p.rows + i;
        const double theirs = p.part_lse[part];
        if (std::isinf(theirs)) continue;
        const std::int64_t at = (static_cast<std::int64_t>(b) * p.tokens + p.first + i) * p.heads + h;
        const double mine = p.lse[at];
        const double m = std::max(mine, theirs);
        const double merged = m + std::log(std::exp(mine - m) + std::exp(theirs - m));
        const double keep = p.rescale ? std::exp(mine - merged) : 1;
        const double take = p.rescale ? std::exp(theirs - merged) : 1;
        for (int x = 0; x < p.head_dim; ++x) {
          float& sum = p.acc[at * p.head_dim + x];
          sum = static_cast<float>(keep * sum + take * p.part_o[part * p.head_dim + x]);
        }
        p.lse[at] = static_cast<float>(merged);
      }
    }
  }
}

namespace {
std::int64_t place_of(const QueryRows& p, int b, int h, int i) {
  return (static_cast<std::int64_t>(b) * p.tokens + p.first + i) * p.heads + h;
}
}  // namespace

void launch_gather(const QueryRows& p, const float* from, float* to, CUstream_st*) {
  for (int b = 0; b < p.batch; ++b)
    for (int h = 0; h < p.heads; ++h)
      for (int i = 0; i < p.rows; ++i) *to++ = from[place_of(p, b, h, i)];
}

void launch_add_scaled(const QueryRows& p, int head_dim, const float* from, float scale, float* to, CUstream_st*) {
  for (int b = 0; b < p.batch; ++b)
    for (int h = 0; h < p.heads; ++h)
      for (int i = 0; i < p.rows; ++i)
        for (int x = 0; x < head_dim; ++x) to[place_of(p, b, h, i) * head_dim + x] += scale * *from++;
}

void launch_row_delta(const std::byte* d_out, const std::byte* o, std::int64_t rows, int head_dim, float* delta,
                      CUstream_st*) {
  const auto value = [](const std::byte* from, std::int64_t i) {
    substrate::BFloat16 narrow;
    std::memcpy(&narrow, from + 2 * i, 2);
    return substrate::to_float(narrow);
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    delta[row] = 0;
    for (std::int64_t i = row * head_dim; i < (row + 1) * head_dim; ++i) delta[row] += value(d_out, i) * value(o, i);
  }
}

void launch_store_bf16(const float* from, std::int64_t count, std::uint16_t* to, CUstream_st*) {
  for (std::int64_t i = 0; i < count; ++i) {
    const substrate::BFloat16 value = substrate::to_bf16(from[i]);
    std::memcpy(to + i, &value, 2);
  }
}

}  // namespace assay::parallelism::cuda

namespace assay::attention::cuda {

namespace {
template <class Emulated>
void run(const Emulated& emulated) {
  const std::lock_guard lock(parallelism::cuda::mutex);
  ++parallelism::cuda::launches;
  std::vector<emulator::Region> memory;
  for (const auto& [address, bytes] : parallelism::cuda::emulated_devices()->memory())
    memory.push_back({address, bytes, true});
  const emulator::Findings found = emulated(memory);
  if (found.fault_count > 0) throw std::runtime_error(found.faults.front());
}
}  // namespace

void flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element, CUstream_st*) {
  run([&](auto& memory) { return emulator::flash_attention_2_forward(problem, head_dim, element, memory, 0); });
}
void flash_attention_2_backward_part(const BackwardProblem& problem, int head_dim, CUstream_st*) {
  run([&](auto& memory) { return emulator::flash_attention_2_backward_part(problem, head_dim, memory, 0); });
}

}  // namespace assay::attention::cuda
