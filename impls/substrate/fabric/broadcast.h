#pragma once
// Broadcast as programs over sends and receives, in place. P members, n bytes.
//   binomial   log2 P (alpha + n beta); the root sends up to log2 P messages
//   chain      in pieces of c bytes from member to member: (P - 2 + n/c) (alpha + c beta)
#include <array>
#include <cstdint>
#include <string_view>

#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

enum class Broadcast : std::uint8_t { binomial, chain };
std::string_view to_string(Broadcast algorithm);

struct BroadcastPlan {
  Broadcast algorithm = Broadcast::binomial;
  int root = 0;
  std::int64_t piece_bytes = 512 * 1024;  // chain
};

Task<> broadcast(Group group, Buffer& tensor, BroadcastPlan plan, Tag tag);

}  // namespace assay::substrate
