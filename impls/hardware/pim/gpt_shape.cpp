#include "impls/hardware/pim/gpt_shape.h"

#include <fmt/format.h>

#include <cmath>

#include "datasets/user_error.h"

namespace assay::hardware {

GptShape gpt_shape(const datasets::Model& model) {
  const auto or_else = [&](const char* key, double otherwise) {
    const auto found = model.numbers.find(key);
    return found == model.numbers.end() ? otherwise : found->second;
  };
  const auto whole = [&](const char* key) {
    const double value = model.at(key);
    if (!(value >= 1) || value != std::floor(value) || value > 1e9)
      throw UserError(fmt::format("{}: {} is {:g}, expected a whole number of at least 1", model.file, key, value));
    return static_cast<int>(value);
  };
  GptShape shape;
  shape.id = model.id;
  shape.layers = whole("layers");
  shape.hidden = whole("hidden");
  shape.heads = whole("heads");
  shape.ffn = whole("ffn");
  shape.vocabulary = whole("vocab");
  shape.head_dim = (shape.hidden + shape.heads - 1) / shape.heads;
  // Positions of GPT-2 where the descriptor does not say.
  shape.max_positions = model.numbers.contains("max_positions") ? whole("max_positions") : 1024;
  const auto refuse = [&](const char* key, double found, const char* expected) {
    throw UserError(fmt::format("{}: {} is {:g}, expected {}: the mapping is for plain GPT layers", model.file, key,
                                found, expected));
  };
  if (const double kv = or_else("kv_heads", shape.heads); kv != shape.heads) refuse("kv_heads", kv, "as many as heads");
  if (const double gated = or_else("gated", 0); gated != 0) refuse("gated", gated, "0");
  if (const double experts = or_else("experts", 0); experts > 1) refuse("experts", experts, "none");
  const double dim = or_else("head_dim", static_cast<double>(shape.hidden) / shape.heads);
  if (std::abs(dim * shape.heads - shape.hidden) >= 1) refuse("head_dim", dim, "hidden / heads");
  return shape;
}

}  // namespace assay::hardware
