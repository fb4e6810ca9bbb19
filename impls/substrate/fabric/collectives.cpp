#include "impls/substrate/fabric/collectives.h"

#include <utility>

namespace assay::substrate {

Task<std::vector<Buffer>> all_to_all(Rank& rank, std::vector<Buffer> parts, std::vector<std::int64_t> expected, Tag tag,
                                     const char* name) {
  const int ranks = rank.size();
  const int me = rank.id();
  const auto from = [&](int k) { return static_cast<std::size_t>((me - k + ranks) % ranks); };
  std::vector<Transfer> under_way;
  under_way.reserve(static_cast<std::size_t>(ranks));
  for (int k = 1; k < ranks; ++k)
    under_way.push_back(rank.shift(parts[static_cast<std::size_t>((me + k) % ranks)], k,
                                   {.bytes = expected[from(k)], .tag = tag, .name = name}));
  std::vector<Buffer> arrived(static_cast<std::size_t>(ranks));
  arrived[static_cast<std::size_t>(me)] = std::move(parts[static_cast<std::size_t>(me)]);
  for (int k = 1; k < ranks; ++k) arrived[from(k)] = co_await under_way[static_cast<std::size_t>(k - 1)];
  co_return arrived;
}

}  // namespace assay::substrate
