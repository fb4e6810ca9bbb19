#include "gui/model/compared_pair.h"

#include <algorithm>
#include <cctype>

namespace assay::gui {

Pair pair_of(const harness::ComparedCase& row, const CaseResult* a, const CaseResult* b) {
  Pair pair{a, b, row.key_a + "\n" + row.key_b, {}, harness::stats::to_string(row.decision.verdict)};
  pair.searched = row.name + "\n" + pair.verdict;
  std::transform(pair.searched.begin(), pair.searched.end(), pair.searched.begin(),
                 [](unsigned char letter) { return std::tolower(letter); });
  for (const CaseResult* side : {a, b})
    if (side != nullptr && (side == b || b == nullptr || b->info.searched != a->info.searched))
      pair.searched += "\n" + side->info.searched;
  return pair;
}

}  // namespace assay::gui
