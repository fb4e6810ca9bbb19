#pragma once
// A decoder-only transformer as the mapping needs it: h hidden, heads of `head_dim` elements, f = ffn, v vocabulary.
#include <cstdint>
#include <string>

#include "datasets/machine.h"

namespace assay::hardware {

struct GptShape {
  std::string id;
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  // Width of a head, rounded up where hidden is no multiple of heads (GPT-3 XL as published: 2048 / 24).
  int head_dim = 0;
  int ffn = 0;
  int vocabulary = 0;
  int max_positions = 0;

  // First element of head `h` in a vector of `hidden`; heads share it as evenly as it goes.
  int head_begin(int h) const { return static_cast<int>(std::int64_t{h} * hidden / heads); }
  // Weights that every generated token multiplies: 4 h^2 + 2 h f a layer, and the tied output embedding.
  double weights() const {
    const double h = hidden;
    return layers * (4 * h * h + 2 * h * ffn) + static_cast<double>(vocabulary) * h;
  }
  // Multiply-accumulates of one step with `keys` keys to attend to.
  double step_macs(std::int64_t keys, bool with_output) const {
    const double output = with_output ? 0 : static_cast<double>(vocabulary) * hidden;
    return weights() - output + 2.0 * layers * static_cast<double>(keys) * hidden;
  }
};

// Throws UserError where the model is not a plain GPT (grouped heads, gated layers, experts) or lacks a number.
GptShape gpt_shape(const datasets::Model& model);

}  // namespace assay::hardware
