#include "impls/substrate/fabric/broadcast.h"

#include <algorithm>
#include <deque>
#include <vector>

namespace assay::substrate {

namespace {

Task<> binomial(Group group, Buffer& tensor, int root, Tag tag) {
  const int size = group.size();
  const int place = (group.id() - root + size) % size;
  const auto member = [&](int other) { return (other + root) % size; };
  int bit = 1;
  while (bit < size && (place & bit) == 0) bit <<= 1;
  if (place != 0) tensor = co_await group.receive(member(place - bit), std::move(tensor), tag);
  std::vector<Send> leaving;
  for (bit >>= 1; bit > 0; bit >>= 1)
    if (place + bit < size) leaving.push_back(group.send(tensor, member(place + bit), tag));
  for (Send& each : leaving) co_await each;
}

// A member passes one piece on while the next arrives.
Task<> chain(Group group, Buffer& tensor, int root, std::int64_t piece_bytes, Tag tag) {
  const int size = group.size();
  const int place = (group.id() - root + size) % size;
  const int before = (group.id() + size - 1) % size, after = (group.id() + 1) % size;
  std::vector<Buffer> pieces;
  for (std::int64_t begin = 0; begin < tensor.bytes(); begin += piece_bytes)
    pieces.push_back(group.rank().slice(tensor, begin, std::min(piece_bytes, tensor.bytes() - begin)));
  std::deque<Transfer> arriving;
  if (place > 0)
    for (Buffer& piece : pieces) arriving.push_back(group.receive(before, std::move(piece), tag));
  std::vector<Send> leaving;
  for (Buffer& piece : pieces) {
    if (place > 0) {
      piece = co_await arriving.front();
      arriving.pop_front();
    }
    if (place + 1 < size) leaving.push_back(group.send(piece, after, tag));
  }
  for (Send& each : leaving) co_await each;
}

}  // namespace

std::string_view to_string(Broadcast algorithm) { return algorithm == Broadcast::binomial ? "binomial" : "chain"; }

Task<> broadcast(Group group, Buffer& tensor, BroadcastPlan plan, Tag tag) {
  if (group.size() == 1) co_return;
  if (plan.algorithm == Broadcast::binomial) {
    co_await binomial(group, tensor, plan.root, tag);
  } else {
    co_await chain(group, tensor, plan.root, plan.piece_bytes, tag);
  }
}

}  // namespace assay::substrate
