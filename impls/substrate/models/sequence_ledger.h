#pragma once
// The longest sequence that fits a device's memory, by how attention and the feed-forward layer keep activations: the
// accounting of Table 1 of Ring Attention (arXiv 2310.01889), per layer and in 16 bit, with b sequences of s tokens,
// hidden size h, n heads, c tokens on one device.
#include <cstdint>

#include "datasets/machine.h"

namespace assay::substrate {

enum class ActivationLayout {
  materialised,   // scores: 2 b n s^2, at least the feed-forward's 8 b s h
  mem_efficient,  // attention in blocks, feed-forward whole: 8 b s h
  blockwise,      // both in blocks (arXiv 2305.19370): 2 b s h
  ring,           // blockwise with keys and values in flight: 6 b c h
};

struct LedgerCase {
  ActivationLayout layout = ActivationLayout::blockwise;
  double batch = 1;
  double devices = 1;  // the sequence is cut over them (ring); parameters are whole on each
  bool training =
      false;  // 16 bytes of state a parameter and the activations of every layer; else 2 bytes and one layer
};

// Bytes of parameters and optimizer state on a device.
double state_bytes(const datasets::Model& model, bool training);
// Bytes of activations on one device for a sequence of `tokens` over all devices.
double activation_bytes(const datasets::Model& model, const LedgerCase& c, double tokens);
// Tokens of the longest sequence; 0 when the state alone does not fit.
double longest_sequence(const datasets::Model& model, const datasets::Device& device, const LedgerCase& c);

}  // namespace assay::substrate
