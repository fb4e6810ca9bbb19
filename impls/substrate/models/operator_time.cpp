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
// What vendor libraries choose from on tensor-core devices. The 256 x 128 tile has the highest operand reuse and sets
// the scale of eff_gemm.
constexpr std::array<Tile, 12> kTiles{{{256, 128},
                                       {128, 256},
                                       {128, 128},
                                       {256, 64},
                                       {64, 256},
                                       {128, 64},
                                       {64, 128},
                                       {64, 64},
                                       {32, 128},
                                       {32, 64},
                                       {16, 128},
                                       {16, 64}}};
constexpr std::array<double, 6> kSplits{1, 2, 3, 4, 6, 8};
constexpr double kInnerStep = 32;  // the main loop advances over k in whole steps

double reuse(const Tile& tile) { return tile.rows * tile.columns / (tile.rows + tile.columns); }

// Waves of tiles over the units; split-K multiplies the tiles and pays for its partial sums. The kernel library is
// trusted to pick the fastest of the candidates.
OperatorTime gemm_time(const Device& device, const OpWork& work) {
  const double units = device.get("units", 1);
  const double matrix_rate = peak(device, work.dtype) * device.get("eff_gemm", 1);
  const double bandwidth = device.at("memory_bandwidth") * device.get("eff_memory", 1);
  const double halfway = device.get("gemm_reuse_halfway", 0);
  const double overlap = device.get("gemm_overlap", 1);
  const double m = static_cast<double>(work.m), n = static_cast<double>(work.n), k = static_cast<double>(work.k);
  const double products = static_cast<double>(work.batch);
  const double best_reuse = reuse(kTiles[0]) / (reuse(kTiles[0]) + halfway);

  OperatorTime best;
  best.seconds = std::numeric_limits<double>::infinity();
  for (const Tile& tile : kTiles) {
    const double relative = reuse(tile) / (reuse(tile) + halfway) / best_reuse;
    const double tiles = std::ceil(m / tile.rows) * std::ceil(n / tile.columns) * products;
    for (const double split : kSplits) {
      const double inner = std::ceil(k / split / kInnerStep) * kInnerStep;
      const double one = 2 * tile.rows * tile.columns * inner / (matrix_rate / units * relative);
      OperatorTime time;
      time.matmul = std::ceil(tiles * split / units) * one;
      const double partial_sums = split > 1 ? 8 * split * products * m * n : 0;  // fp32, written and read once
      time.traffic = (work.bytes + partial_sums) / bandwidth;
      const double hidden = std::min(time.matmul, time.traffic);
      time.seconds = time.matmul + time.traffic - overlap * hidden;
      if (time.seconds < best.seconds) best = time;
    }
  }
  best.launch = device.get("launch_seconds", 0);
  best.seconds += best.launch;
  return best;
}

OperatorTime streaming_time(const Device& device, const OpWork& work, std::string_view efficiency,
                            std::string_view overhead) {
  OperatorTime time;
  time.traffic = work.bytes / (device.at("memory_bandwidth") * device.get(efficiency, 1));
  time.launch = device.get(overhead, 0);
  time.seconds = time.traffic + time.launch;
  return time;
}

}  // namespace

double peak(const Device& device, OpDtype dtype) { return device.at(fmt::format("peak_{}", to_string(dtype))); }

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
      time = streaming_time(device, work, "eff_pointwise", "pointwise_seconds");
      break;
    case OpKind::norm:
      time = streaming_time(device, work, "eff_norm", "norm_seconds");
      break;
    case OpKind::copy:
      time = streaming_time(device, work, "eff_copy", "copy_seconds");
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
