#pragma once
// Which colour and marker a technique has: a function of its id alone, so that it is the same in every view, in every
// database and on every machine.
#include <string_view>

namespace assay::gui {

inline constexpr int palette_slots = 8;
inline constexpr int marker_shapes = 4;

// FNV-1a (64 bit) of a salt and the id, its halves folded, modulo the slots. Two techniques may share a slot: the
// marker, from other bits of the same hash, and the name beside every line tell them apart.
int palette_slot(std::string_view technique);
int marker_shape(std::string_view technique);

}  // namespace assay::gui
