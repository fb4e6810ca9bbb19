#include "impls/substrate/models/operator_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "impls/substrate/models/attention_time.h"

namespace assay::substrate {
namespace {

using datasets::Device;

struct Tile {
  double rows, columns;
};
// What vendor libraries choose from on tensor-core devices.
constexpr std::array<Tile, 10> kTiles{
    {{256, 128}, {128, 256}, {128, 128}, {128, 64}, {64, 128}, {64, 64}, {32, 128}, {32, 64}, {16, 128}, {16, 64}}};
constexpr std::array<double, 4> kSplits{1, 2, 3, 4};
constexpr double kInnerStep = 32;  // the main loop advances over k in whole steps

// Two activities of which the longer hides all but a rest of the shorter: the longer alone at `exposed` 0, their sum at
// 1.
double overlapped(double one, double other, double exposed) {
  const double longer = std::max(one, other), shorter = std::min(one, other);
  if (exposed <= 0 || shorter <= 0) return longer;
  if (exposed >= 1) return longer + shorter;
  return longer * std::pow(1 + std::pow(shorter / longer, 1 / exposed), exposed);
}

// Waves of tiles over the units; split-K multiplies the tiles and pays for its partial sums and the kernel that adds
// them. The kernel library is trusted to pick the fastest of the candidates.
OperatorTime gemm_time(const Device& device, const OpWork& work) {
  const double units = device.get("units", 1);
  const double bytes_each = bytes_per_element(work.dtype);
  const double unit_rate = peak(device, work.dtype) * device.get("eff_gemm", 1) / units;
  const double operands = device.has("eff_operands") && device.has("l2_bandwidth")
                              ? device.at("l2_bandwidth") * device.at("eff_operands") / units
                              : std::numeric_limits<double>::infinity();
  const double multicast = device.get("multicast", 1);  // units that share one fetch of a row or column panel
  const double bandwidth = device.at("memory_bandwidth") * device.get("eff_memory", 1);
  const double exposed = device.get("gemm_exposed", 0);
  const double tile_overhead = device.get("gemm_tile_seconds", 0), split_overhead = device.get("split_seconds", 0);
  const double m = static_cast<double>(work.m), n = static_cast<double>(work.n), k = static_cast<double>(work.k);
  const double products = static_cast<double>(work.batch);

  OperatorTime best;
  best.seconds = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const double tiles = std::ceil(m / tile.rows) * std::ceil(n / tile.columns) * products;
    const double panels = std::min(tile.rows + tile.columns / multicast, tile.rows / multicast + tile.columns);
    for (const double split : kSplits) {
      const double inner = std::ceil(k / split / kInnerStep) * kInnerStep;
      // Operands arrive from L2 while the tensor cores work on those before.
      const double compute = 2 * tile.rows * tile.columns * inner / unit_rate;
      const double one = std::max(compute, panels * inner * bytes_each / operands) + tile_overhead;
      OperatorTime time;
      time.matmul = std::ceil(tiles * split / units) * one;
      const double partial_sums = split > 1 ? 8 * split * products * m * n : 0;  // fp32, written and read once
      time.traffic = (work.bytes + partial_sums) / bandwidth;
      time.launch = split > 1 ? split_overhead : 0;
      if (std::max(time.matmul, time.traffic) + time.launch >= best.seconds) continue;  // before the dear part
      time.seconds = overlapped(time.matmul, time.traffic, exposed) + time.launch;
      if (time.seconds < best.seconds) best = time;
    }
  }
  const double slower = sustained(device, best.seconds);
  best.matmul *= slower;
  best.seconds *= slower;
  const double launch = device.get("launch_seconds", 0);
  best.launch += launch;
  best.seconds += launch;
  return best;
}

// Names of a class of streaming kernels in descriptors.
struct StreamingKeys {
  std::string_view efficiency, cached, launch, row;
};
constexpr StreamingKeys kPointwise{"eff_pointwise", "eff_pointwise_l2", "pointwise_seconds", "pointwise_row_seconds"};
constexpr StreamingKeys kNorm{"eff_norm", "eff_norm_l2", "norm_seconds", "norm_row_seconds"};
constexpr StreamingKeys kCopy{"eff_copy", "eff_copy_l2", "copy_seconds", ""};

// B/s: of the L2 while the footprint stays in half of it (both halves keep what their own units use), of memory when it
// is twice that; in between by the share that misses.
double streaming_rate(const Device& device, double bytes, const StreamingKeys& keys) {
  const double memory = device.at("memory_bandwidth") * device.get(keys.efficiency, 1);
  const double cached = device.get("l2_bandwidth", 0) * device.get(keys.cached, 0);
  if (cached <= 0) return memory;
  const double half = device.get("l2_bytes", 0) / 2;
  const double misses = half > 0 ? std::clamp(bytes / half - 1, 0.0, 1.0) : 1;
  return 1 / ((1 - misses) / cached + misses / memory);
}

// A kernel that gives every row a block of threads runs in waves of rows: the threads a unit holds over those of a
// block, times the units. A wave takes its latency, which grows with the elements a thread works through one after the
// other, or its bytes; neither hides the other well, so they add in squares.
OperatorTime streaming_time(const Device& device, const OpWork& work, const StreamingKeys& keys) {
  constexpr double kThreadsOfUnit = 2048, kThreadsOfBlock = 1024;
  constexpr double kExposed = 0.5;
  const double rate = streaming_rate(device, work.bytes, keys);
  const double latency = device.get(keys.row, 0);
  OperatorTime time;
  if (work.m > 0 && work.n > 0 && latency > 0) {
    const double rows = static_cast<double>(work.m), row = static_cast<double>(work.n);
    const double block = std::min(kThreadsOfBlock, std::ceil(row / 32) * 32);
    const double slots = device.get("units", 1) * std::floor(kThreadsOfUnit / block);
    const double wave_latency = std::ceil(row / block) * latency;
    const auto wave = [&](double count) {
      return overlapped(wave_latency, count * work.bytes / rows / rate, kExposed);
    };
    const double whole = std::floor(rows / slots), rest = rows - whole * slots;
    time.traffic = whole * wave(slots) + (rest > 0 ? wave(rest) : 0);
  } else {
    time.traffic = work.bytes / rate;
  }
  time.launch = device.get(keys.launch, 0);
  time.seconds = time.traffic + time.launch;
  return time;
}

}  // namespace

double peak(const Device& device, OpDtype dtype) {
  switch (dtype) {
    case OpDtype::bf16:
      return device.at("peak_bf16");
    case OpDtype::fp16:
      return device.at("peak_fp16");
    default:
      return device.at(fmt::format("peak_{}", to_string(dtype)));
  }
}

double sustained(const Device& device, double seconds) {
  return 1 + device.get("throttle", 0) * seconds / (seconds + device.get("throttle_after_seconds", 0));
}

OperatorTime operator_time(const Device& device, const OpWork& work) {
  OperatorTime time;
  switch (work.kind) {
    case OpKind::gemm:
      time = gemm_time(device, work);
      break;
    case OpKind::attention:
    case OpKind::attention_backward:
      return attention_time(device, work);
    case OpKind::pointwise:
      time = streaming_time(device, work, kPointwise);
      break;
    case OpKind::norm:
      time = streaming_time(device, work, kNorm);
      break;
    case OpKind::copy:
      time = streaming_time(device, work, kCopy);
      break;
  }
  time.inside_domain = calibrated_for(device, work);
  return time;
}

bool calibrated_for(const Device& device, const OpWork& work) {
  if (!device.has("eff_gemm")) return false;
  if (work.kind == OpKind::copy) return true;
  if (bytes_per_element(work.dtype) != 2) return false;  // the measured operators are 16-bit
  if (work.kind == OpKind::gemm) {
    // The profile has 1 to 4096 rows, 512 to 57344 columns, 512 to 28672 inner. More rows are more waves of the same
    // tiles; a shorter inner loop than measured is another regime.
    return work.k >= 512 && std::max(work.m, work.n) >= 512;
  }
  if (work.kind == OpKind::attention || work.kind == OpKind::attention_backward) {
    // Derived, not fitted; its bars come from public re-measurements of this one schedule at head sizes 64 to 128.
    return work.schedule == AttentionSchedule::flash2 && work.head_dim >= 64 && work.head_dim <= 128;
  }
  return true;
}

}  // namespace assay::substrate
