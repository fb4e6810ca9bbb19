#include "impls/substrate/fabric/scan.h"

#include <utility>

namespace assay::substrate {

Task<std::vector<Buffer>> exclusive_scan(Group group, std::vector<Buffer>& onward, bool reverse, Compose compose,
                                         Tag tag, const char* name) {
  const int place = reverse ? group.size() - 1 - group.id() : group.id();
  const int step = reverse ? -1 : 1;
  const bool first = place == 0, last = place == group.size() - 1;
  std::vector<Transfer> arriving;
  if (!first)
    for (const Buffer& block : onward)
      arriving.push_back(group.receive(group.id() - step, {.bytes = block.bytes(), .tag = tag, .name = name}));
  std::vector<Buffer> before;
  std::vector<Send> leaving;
  for (std::size_t b = 0; b < onward.size(); ++b) {
    if (!first) {
      before.push_back(co_await arriving[b]);
      if (!last)
        // Both states read, one written: three halves of what a copy moves.
        co_await group.rank().copy(onward[b].bytes() * 3 / 2,
                                   [&] { compose(static_cast<int>(b), before[b], onward[b]); });
    }
    if (!last) leaving.push_back(group.send(onward[b], group.id() + step, tag));
  }
  for (Send& each : leaving) co_await each;
  co_return before;
}

}  // namespace assay::substrate
