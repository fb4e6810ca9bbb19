#include "impls/parallelism/program_timeline.h"

#include <fmt/format.h>

namespace assay::parallelism {

void report_timeline(harness::State& state, const substrate::RunReport& run) {
  for (const substrate::Interval& each : run.intervals)
    state.interval({fmt::format("rank {} / {}", each.rank, to_string(each.lane)), each.name, each.start, each.end,
                    each.peer < 0 ? std::string() : fmt::format("rank {}", each.peer), each.bytes, each.link,
                    each.posted, each.exposed});
}

}  // namespace assay::parallelism
