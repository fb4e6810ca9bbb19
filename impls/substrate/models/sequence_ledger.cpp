#include "impls/substrate/models/sequence_ledger.h"

#include <algorithm>
#include <cmath>

namespace assay::substrate {

double state_bytes(const datasets::Model& model, bool training) {
  // Mixed-precision Adam: 16-bit weight and gradient, fp32 master weight and two moments.
  return model.at("parameters") * (training ? 16 : 2);
}

double activation_bytes(const datasets::Model& model, const LedgerCase& c, double tokens) {
  const double local = tokens / c.devices;
  const double wide = c.batch * local * model.at("hidden");
  double layer = 0;
  switch (c.layout) {
    case ActivationLayout::materialised:
      layer = std::max(2 * c.batch * model.at("heads") * local * tokens, 8 * wide);
      break;
    case ActivationLayout::mem_efficient:
      layer = 8 * wide;
      break;
    case ActivationLayout::blockwise:
      layer = 2 * wide;
      break;
    case ActivationLayout::ring:
      layer = 6 * wide;
      break;
  }
  return layer * (c.training ? model.at("layers") : 1);
}

double longest_sequence(const datasets::Model& model, const datasets::Device& device, const LedgerCase& c) {
  const double room = device.at("memory_bytes") - state_bytes(model, c.training);
  if (room <= 0) return 0;
  double low = 0, high = 1;
  while (activation_bytes(model, c, high) <= room) high *= 2;
  while (high - low > 1) {
    const double middle = std::floor((low + high) / 2);
    (activation_bytes(model, c, middle) <= room ? low : high) = middle;
  }
  return low;
}

}  // namespace assay::substrate
