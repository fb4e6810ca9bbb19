#include "gui/model/palette.h"

#include <cstdint>

namespace assay::gui {
namespace {

// Hashed before the id. Of the small numbers tried it is the first for which no two techniques of one family that the
// suite had then share a slot.
constexpr std::string_view salt = "13";

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](char letter) { hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3; };
  for (const char letter : salt) add(letter);
  for (const char letter : text) add(letter);
  return hash ^ (hash >> 32);
}

}  // namespace

int palette_slot(std::string_view technique) { return static_cast<int>(fnv1a(technique) % palette_slots); }

int marker_shape(std::string_view technique) { return static_cast<int>((fnv1a(technique) >> 8) % marker_shapes); }

}  // namespace assay::gui
