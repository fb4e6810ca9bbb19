#include "impls/serving/iteration_reach.h"

#include <algorithm>
#include <cmath>

#include "harness/claims/residuals.h"

namespace assay::serving {
namespace {

using harness::claims::Reach;

constexpr std::int64_t kEveryOne = 64;  // sizes up to it are looked up one by one
constexpr double kNodesOfOctave = 8;    // above

std::int64_t power(int log) { return std::int64_t{1} << log; }

}  // namespace

std::vector<std::pair<std::string, Deployment>> moved_deployments(const Deployment& deployment) {
  std::vector<std::pair<std::string, Deployment>> all;
  harness::claims::move_constants(deployment.device, [&](const std::string& key, const datasets::Device& device) {
    all.emplace_back(key, deployment);
    all.back().second.device = device;
  });
  if (deployment.tensor * deployment.pipeline > 1)
    harness::claims::move_constants(deployment.cluster, [&](const std::string& key, const datasets::Cluster& cluster) {
      all.emplace_back(key, deployment);
      all.back().second.cluster = cluster;
    });
  return all;
}

IterationReach::IterationReach(const Deployment& deployment) : nominal_(deployment) {
  for (auto& [cause, moved] : moved_deployments(nominal_.deployment()))
    moved_.push_back({cause, IterationTime(std::move(moved))});
}

template <class Part>
RelativeReach IterationReach::of(Part&& part) const {
  const double nominal = part(nominal_);
  if (nominal <= 0) return {};
  Reach reach(nominal);
  for (const Moved& moved : moved_) reach.add(moved.cause, part(moved.time));
  return {.down = 1 - reach.low() / nominal, .up = reach.high() / nominal - 1};
}

template <class Part>
RelativeReach IterationReach::between(Grid& grid, std::int64_t size, Part&& part) const {
  const auto at = [&](std::int64_t node) {
    const auto [found, fresh] = grid.try_emplace(node);
    if (fresh) found->second = of([&](const IterationTime& time) { return part(time, node); });
    return found->second;
  };
  if (size <= kEveryOne) return at(size);
  const double place = std::log2(static_cast<double>(size)) * kNodesOfOctave, below = std::floor(place);
  const auto node = [](double of) { return std::llround(std::exp2(of / kNodesOfOctave)); };
  const RelativeReach low = at(node(below)), high = at(node(below + 1));
  const double share = place - below;
  return {.down = low.down + share * (high.down - low.down), .up = low.up + share * (high.up - low.up)};
}

RelativeReach IterationReach::linear(std::int64_t tokens) const {
  return between(linear_, tokens, [](const IterationTime& time, std::int64_t t) { return time.linear_seconds(t); });
}
RelativeReach IterationReach::head(std::int64_t rows) const {
  return between(head_, rows, [](const IterationTime& time, std::int64_t r) { return time.head_seconds(r); });
}
RelativeReach IterationReach::hop(std::int64_t tokens) const {
  return between(hop_, tokens, [](const IterationTime& time, std::int64_t t) { return time.hop_seconds(t); });
}

// At the nearest powers of two: the share changes little between them.
RelativeReach IterationReach::prefill(const PrefillSlice& slice) const {
  const auto nearest = [](std::int64_t size) {
    return static_cast<int>(std::lround(std::log2(static_cast<double>(std::max<std::int64_t>(size, 1)))));
  };
  const int tokens = nearest(slice.tokens), keys = std::max(nearest(slice.keys), tokens);
  const auto [found, fresh] = prefill_.try_emplace({tokens, keys});
  if (fresh)
    found->second = of([&](const IterationTime& time) { return time.prefill_seconds({power(tokens), power(keys)}); });
  return found->second;
}

RelativeReach IterationReach::decode_call() const {
  return of([](const IterationTime& time) { return time.decode_call_seconds(); });
}
RelativeReach IterationReach::decode_key() const {
  return of([](const IterationTime& time) { return time.decode_key_seconds(); });
}
RelativeReach IterationReach::host_iteration() const {
  return of([](const IterationTime& time) { return time.host_seconds().iteration; });
}
RelativeReach IterationReach::host_sequence() const {
  return of([](const IterationTime& time) { return time.host_seconds().sequence; });
}

}  // namespace assay::serving
