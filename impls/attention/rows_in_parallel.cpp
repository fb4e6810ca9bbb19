#include "impls/attention/rows_in_parallel.h"

#include <algorithm>

#include "impls/substrate/cpu_features.h"
#include "impls/substrate/fork_join.h"

namespace assay::attention {

void in_parallel(std::int64_t count, const std::function<void(std::int64_t)>& task) {
  const auto cpus = static_cast<std::int64_t>(substrate::allowed_cpus().size());
  substrate::ForkJoin pool(static_cast<int>(std::clamp<std::int64_t>(count, 1, std::max<std::int64_t>(cpus, 1))));
  pool.run(count, [&](std::int64_t index, int) { task(index); });
}

}  // namespace assay::attention
