#include "harness/axis_words.h"

#include <array>
#include <utility>

#include "datasets/quantity.h"
#include "datasets/user_error.h"

namespace assay::harness {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kShorter = {{{"sequence_length", "seq"},
                                                                                    {"head_dim", "d"},
                                                                                    {"kv_heads", "kv"},
                                                                                    {"block_rows", "block"},
                                                                                    {"backward", "bwd"},
                                                                                    {"threads", "thr"},
                                                                                    {"batch", "B"},
                                                                                    {"working_set", "bytes"}}};

}  // namespace

std::string short_axis_name(const std::string& name) {
  for (const auto& [whole, shorter] : kShorter)
    if (name == whole) return std::string(shorter);
  return name;
}

std::string full_axis_name(std::string_view name) {
  for (const auto& [whole, shorter] : kShorter)
    if (name == shorter && name != "bytes") return std::string(whole);
  return std::string(name);
}

bool same_axis_value(const std::string& one, const std::string& other) {
  if (one == other) return true;
  try {
    return datasets::parse_quantity(one, datasets::Dimension::count, "") ==
           datasets::parse_quantity(other, datasets::Dimension::count, "");
  } catch (const UserError&) {
    return false;  // words, and they differ
  }
}

}  // namespace assay::harness
