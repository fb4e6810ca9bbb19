#include "impls/parallelism/variable_length/flexsp_solver.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>

#include "impls/parallelism/variable_length/packing.h"
#include "impls/parallelism/variable_length/token_slices.h"

namespace assay::parallelism {

namespace {

constexpr std::size_t kMostLevels = 32;
constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kRounded = 1 - 1e-9;  // of a bound that is a sum

std::int64_t length_of(const std::vector<std::int64_t>& lengths, int sequence) {
  return lengths[static_cast<std::size_t>(sequence)];
}

int levels_of(int ranks) { return static_cast<int>(std::bit_width(static_cast<unsigned>(ranks))); }

FlexSpGroup finished(const std::vector<std::int64_t>& lengths, const FlexSpCosts& costs, int level,
                     std::vector<int> sequences) {
  FlexSpGroup group{.degree = 1 << level, .sequences = std::move(sequences), .seconds = costs.group(level)};
  for (const int sequence : group.sequences) group.seconds += costs.sequence(length_of(lengths, sequence), level);
  return group;
}

FlexSpMicroBatch finished(std::vector<FlexSpGroup> groups, const FlexSpCosts& costs) {
  std::erase_if(groups, [](const FlexSpGroup& group) { return group.sequences.empty(); });
  std::ranges::stable_sort(groups, std::greater{}, &FlexSpGroup::degree);
  FlexSpMicroBatch batch{.groups = std::move(groups), .seconds = costs.least_seconds};
  for (const FlexSpGroup& group : batch.groups) batch.seconds = std::max(batch.seconds, group.seconds);
  return batch;
}

// Calls visit(counts by level) for every multiset of degrees with the given sum.
void for_multisets(int ranks, int level, std::vector<int>& counts, const std::function<void()>& visit) {
  if (level == 0) {
    counts[0] = ranks;
    visit();
    counts[0] = 0;
    return;
  }
  const auto z = static_cast<std::size_t>(level);
  for (counts[z] = 0; counts[z] << level <= ranks; ++counts[z])
    for_multisets(ranks - (counts[z] << level), level - 1, counts, visit);
  counts[z] = 0;
}

// All of them one after the other, counts by level; they are the same for every batch.
const std::vector<int>& multisets_of(int ranks) {
  static std::mutex guard;
  static std::map<int, std::vector<int>> known;
  const std::lock_guard lock(guard);
  std::vector<int>& all = known[ranks];
  if (all.empty()) {
    std::vector<int> counts(static_cast<std::size_t>(levels_of(ranks)), 0);
    for_multisets(ranks, levels_of(ranks) - 1, counts, [&] { all.insert(all.end(), counts.begin(), counts.end()); });
  }
  return all;
}

// A kind of sequence while searching: its length (a bucket's top) and who is of it.
struct Searched {
  std::int64_t length = 0;
  int sequence = 0;
  int least = 0;
  std::array<double, kMostLevels> seconds{};  // by level
  double work_after = 0;                      // rank seconds that all later ones take at least
};

struct Placed {
  std::vector<int> level;                   // of each group
  std::vector<std::vector<int>> sequences;  // of each group
  std::vector<int> group;                   // of each sequence in the order of the search, until they are dealt
  double seconds = kNever;
};

void deal(const std::vector<Searched>& order, Placed& placed) {
  placed.sequences.assign(placed.level.size(), {});
  for (std::size_t k = 0; k < placed.group.size(); ++k)
    placed.sequences[static_cast<std::size_t>(placed.group[k])].push_back(order[k].sequence);
}

struct Group {
  double seconds;
  std::int64_t room;
  int id;
  bool operator>(const Group& other) const {
    return seconds > other.seconds || (seconds == other.seconds && id > other.id);
  }
};
// By the time at which a group is done, of each level; the first one nearly always has room too. Kept for its memory.
using Heaps = std::array<std::vector<Group>, kMostLevels>;

// Longest first, each to the group that is done first with it; `limit`: gives up beyond.
bool place(const std::vector<Searched>& order, std::span<const int> counts, const FlexSpCosts& costs, double limit,
           Placed& placed, Heaps& by_level) {
  for (std::size_t level = 0; level < counts.size(); ++level) by_level[level].clear();
  placed.level.clear();
  placed.group.clear();
  for (int level = static_cast<int>(counts.size()) - 1; level >= 0; --level)
    for (int g = 0; g < counts[static_cast<std::size_t>(level)]; ++g) {
      by_level[static_cast<std::size_t>(level)].push_back(
          {costs.group(level), costs.capacity << level, static_cast<int>(placed.level.size())});
      placed.level.push_back(level);
    }
  placed.seconds = 0;
  double ranks = 0, work = 0;  // rank seconds so far
  for (const int level : placed.level) {
    ranks += 1 << level;
    work += costs.group(level) * (1 << level);
  }
  for (const Searched& each : order) {
    Group* best = nullptr;
    std::vector<Group>* best_heap = nullptr;
    double best_seconds = kNever;
    for (std::size_t level = static_cast<std::size_t>(each.least); level < counts.size(); ++level) {
      std::vector<Group>& heap = by_level[level];
      if (heap.empty()) continue;
      const double takes = each.seconds[level];
      if (heap.front().seconds + takes >= best_seconds) continue;
      Group* first = &heap.front();
      if (first->room < each.length) {
        first = nullptr;
        for (Group& group : heap)
          if (group.room >= each.length && (first == nullptr || *first > group)) first = &group;
        if (first == nullptr || first->seconds + takes >= best_seconds) continue;
      }
      best_seconds = first->seconds + takes;
      best = first;
      best_heap = &heap;
    }
    if (best == nullptr || best_seconds >= limit) return false;
    const auto level = placed.level[static_cast<std::size_t>(best->id)];
    work += each.seconds[static_cast<std::size_t>(level)] * (1 << level);
    if (work + each.work_after >= limit * ranks) return false;
    placed.group.push_back(best->id);
    placed.seconds = std::max(placed.seconds, best_seconds);
    const Group later{best_seconds, best->room - each.length, best->id};
    if (best == &best_heap->front()) {
      std::pop_heap(best_heap->begin(), best_heap->end(), std::greater{});
      best_heap->back() = later;
      std::push_heap(best_heap->begin(), best_heap->end(), std::greater{});
    } else {
      *best = later;
      std::make_heap(best_heap->begin(), best_heap->end(), std::greater{});
    }
  }
  return true;
}

FlexSpMicroBatch from(const Placed& placed, const std::vector<std::int64_t>& lengths, const FlexSpCosts& costs) {
  if (placed.seconds == kNever) return {.groups = {}, .seconds = kNever};
  std::vector<FlexSpGroup> groups;
  for (std::size_t g = 0; g < placed.level.size(); ++g)
    groups.push_back(finished(lengths, costs, placed.level[g], placed.sequences[g]));
  return finished(std::move(groups), costs);
}

std::vector<Searched> searched(const std::vector<std::int64_t>& lengths, const std::vector<int>& which,
                               const FlexSpCosts& costs, int buckets) {
  std::vector<std::int64_t> own;
  for (const int sequence : which) own.push_back(length_of(lengths, sequence));
  const std::vector<std::int64_t> tops = buckets > 0 ? bucket_tops(own, buckets) : std::vector<std::int64_t>{};
  std::vector<Searched> all;
  for (const int sequence : which) {
    const std::int64_t length = length_of(lengths, sequence);
    const std::int64_t top = tops.empty() ? length : *std::ranges::lower_bound(tops, length);
    Searched one{.length = top, .sequence = sequence, .least = costs.least_level(top)};
    for (std::size_t level = 0; level < std::min(kMostLevels, costs.exchange_seconds.size()); ++level)
      one.seconds[level] = costs.sequence(top, static_cast<int>(level));
    all.push_back(one);
  }
  std::ranges::stable_sort(all, std::greater{}, &Searched::length);
  double after = 0;
  for (std::size_t k = all.size(); k-- > 0;) {
    all[k].work_after = after;
    double least = kNever;
    for (auto level = static_cast<std::size_t>(all[k].least);
         level < std::min(kMostLevels, costs.exchange_seconds.size()); ++level)
      least = std::min(least, all[k].seconds[level] * static_cast<double>(std::int64_t{1} << level));
    if (least < kNever) after += least;
  }
  return all;
}

}  // namespace

double FlexSpCosts::sequence(std::int64_t length, int level) const {
  const auto tokens = static_cast<double>(length);
  const double work = pair_seconds * static_cast<double>(causal_pairs(length)) + token_seconds * tokens;
  return work / (1 << level) + exchange_seconds[static_cast<std::size_t>(level)] * tokens;
}

int FlexSpCosts::least_level(std::int64_t length) const {
  int level = 0;
  while (capacity << level < length) ++level;
  return level;
}

FlexSpMicroBatch solve_micro_batch(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                   const FlexSpCosts& costs, int buckets) {
  const std::vector<Searched> order = searched(lengths, which, costs, buckets);
  int least = 0;
  for (const Searched& each : order) least = std::max(least, each.least);
  const int levels = levels_of(ranks);
  if (least >= levels) return {.groups = {}, .seconds = kNever};
  // No assignment to a multiset is faster than its ranks with all work of them, every sequence at the cheapest degree
  // there is: that depends on the degrees alone, as c(s, d) d = work + exchange_d d s.
  const auto z = static_cast<std::size_t>(levels);
  std::vector<double> work(z * z, 0);  // [least level][level], rank seconds
  for (const Searched& each : order)
    for (auto level = static_cast<std::size_t>(each.least); level < z; ++level)
      work[static_cast<std::size_t>(each.least) * z + level] += each.seconds[level] * (1 << level);
  std::vector<double> alone(z, kNever);  // the longest, which has to be somewhere
  for (int level = least; level < levels; ++level)
    alone[static_cast<std::size_t>(level)] =
        costs.group(level) + order.front().seconds[static_cast<std::size_t>(level)];
  std::vector<std::size_t> used_levels;  // where a sequence's least one is
  for (std::size_t of = 0; of < z; ++of)
    if (work[of * z + z - 1] > 0) used_levels.push_back(of);
  struct Candidate {
    double bound;
    double rank_seconds;  // at least, with what groups take whatever is in them; `place` gives up beyond
    std::size_t multiset;
    bool operator<(const Candidate& other) const {
      return bound < other.bound || (bound == other.bound && multiset < other.multiset);
    }
  };
  const std::vector<int>& multisets = multisets_of(ranks);
  std::vector<Candidate> candidates;
  candidates.reserve(multisets.size() / z);
  for (std::size_t index = 0; index * z < multisets.size(); ++index) {
    const int* counts = &multisets[index * z];
    double longest = kNever;
    for (auto level = static_cast<std::size_t>(least); level < z; ++level)
      if (counts[level] > 0) longest = std::min(longest, alone[level]);
    double all = 0;
    for (const std::size_t of : used_levels) {
      double cheapest = kNever;
      for (std::size_t level = of; level < z; ++level)
        if (counts[level] > 0) cheapest = std::min(cheapest, work[of * z + level]);
      if (cheapest < kNever) all += cheapest;
    }
    double fixed = 0;
    for (std::size_t level = 0; level < z; ++level)
      fixed += counts[level] * costs.group(static_cast<int>(level)) * (1 << level);
    if (longest < kNever) candidates.push_back({std::max(longest, all / ranks), kRounded * (fixed + all), index});
  }
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) { return a < b; });
  Placed best, tried;
  Heaps heaps;
  for (const Candidate& each : candidates) {
    if (each.bound >= best.seconds) break;
    if (each.rank_seconds >= best.seconds * ranks) continue;
    const std::span<const int> counts(&multisets[each.multiset * z], z);
    if (place(order, counts, costs, best.seconds, tried, heaps) && tried.seconds < best.seconds) std::swap(best, tried);
  }
  deal(order, best);
  return from(best, lengths, costs);
}

FlexSpMicroBatch solve_one_degree(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                  int level, const FlexSpCosts& costs) {
  std::vector<int> counts(static_cast<std::size_t>(level) + 1, 0);
  counts.back() = ranks >> level;
  Placed placed;
  const std::vector<Searched> order = searched(lengths, which, costs, 0);
  for (const Searched& each : order)
    if (each.least > level) return {.groups = {}, .seconds = kNever};
  Heaps heaps;
  if (!place(order, counts, costs, kNever, placed, heaps)) return {.groups = {}, .seconds = kNever};
  deal(order, placed);
  return from(placed, lengths, costs);
}

FlexSpMicroBatch exact_micro_batch(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                                   const FlexSpCosts& costs) {
  if (which.size() > 8 || ranks > 8) throw std::invalid_argument("too large to enumerate");
  const int levels = levels_of(ranks);
  Placed best;
  std::vector<int> counts(static_cast<std::size_t>(levels), 0);
  for_multisets(ranks, levels - 1, counts, [&] {
    Placed tried;
    for (int level = levels - 1; level >= 0; --level)
      tried.level.insert(tried.level.end(), static_cast<std::size_t>(counts[static_cast<std::size_t>(level)]), level);
    tried.sequences.assign(tried.level.size(), {});
    std::vector<double> seconds;
    std::vector<std::int64_t> room;
    for (const int level : tried.level) {
      seconds.push_back(costs.group(level));
      room.push_back(costs.capacity << level);
    }
    const std::function<void(std::size_t, double)> assign = [&](std::size_t k, double slowest) {
      if (slowest >= best.seconds) return;
      if (k == which.size()) {
        best = tried;
        best.seconds = slowest;
        return;
      }
      const std::int64_t length = length_of(lengths, which[k]);
      for (std::size_t g = 0; g < tried.level.size(); ++g) {
        if (room[g] < length) continue;
        const double takes = costs.sequence(length, tried.level[g]);
        seconds[g] += takes;
        room[g] -= length;
        tried.sequences[g].push_back(which[k]);
        assign(k + 1, std::max(slowest, seconds[g]));
        tried.sequences[g].pop_back();
        room[g] += length;
        seconds[g] -= takes;
      }
    };
    assign(0, 0);
  });
  return from(best, lengths, costs);
}

double micro_batch_bound(const std::vector<std::int64_t>& lengths, const std::vector<int>& which, int ranks,
                         const FlexSpCosts& costs) {
  double work = 0, longest = 0, least_fixed = kNever;
  for (int level = 0; level < levels_of(ranks); ++level) least_fixed = std::min(least_fixed, costs.group(level));
  for (const int sequence : which) {
    const std::int64_t length = length_of(lengths, sequence);
    double ranks_seconds = kNever, alone = kNever;
    for (int level = costs.least_level(length); level < levels_of(ranks); ++level) {
      ranks_seconds = std::min(ranks_seconds, costs.sequence(length, level) * (1 << level));
      alone = std::min(alone, costs.group(level) + costs.sequence(length, level));
    }
    work += ranks_seconds;
    longest = std::max(longest, alone);
  }
  return std::max({longest, least_fixed + work / ranks, costs.least_seconds});
}

FlexSpPlan plan_flexsp(const std::vector<std::int64_t>& lengths, int ranks, const FlexSpCosts& costs, int buckets,
                       int more) {
  const std::int64_t tokens = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  const std::int64_t room = costs.capacity * ranks;
  FlexSpPlan best{.micro_batches = {}, .seconds = kNever};
  int tried = 0;
  const auto most = static_cast<std::int64_t>(lengths.size());
  for (std::int64_t parts = std::max<std::int64_t>(1, (tokens + room - 1) / room); parts <= most && tried <= more;
       ++parts) {
    FlexSpPlan plan;
    const std::vector<std::vector<int>> cut = cut_by_tokens(lengths, static_cast<int>(parts));
    // What those not yet planned take at least, once there is a plan to be beaten.
    std::vector<double> ahead(cut.size() + 1, 0);
    for (std::size_t part = cut.size(); part-- > 0 && best.seconds < kNever;)
      ahead[part] = ahead[part + 1] + kRounded * micro_batch_bound(lengths, cut[part], ranks, costs);
    for (std::size_t part = 0; part < cut.size(); ++part) {
      const std::vector<int>& which = cut[part];
      if (plan.seconds + ahead[part] >= best.seconds) {
        plan.seconds = kNever;
        break;
      }
      plan.micro_batches.push_back(solve_micro_batch(lengths, which, ranks, costs, buckets));
      // Buckets may round past the memory that the lengths themselves fit.
      if (plan.micro_batches.back().seconds == kNever && buckets > 0)
        plan.micro_batches.back() = solve_micro_batch(lengths, which, ranks, costs, 0);
      plan.seconds += plan.micro_batches.back().seconds;
      if (plan.seconds >= best.seconds) break;
    }
    if (plan.seconds < kNever || best.seconds < kNever) ++tried;
    if (plan.seconds < best.seconds) best = std::move(plan);
  }
  FlexSpPlan one_degree = plan_batch_adaptive(lengths, ranks, costs);
  return one_degree.seconds < best.seconds ? std::move(one_degree) : std::move(best);
}

FlexSpPlan plan_one_degree(const std::vector<std::int64_t>& lengths, int ranks, int level, const FlexSpCosts& costs) {
  const std::int64_t longest = *std::ranges::max_element(lengths);
  if (costs.capacity << level < longest || 1 << level > ranks) return {.micro_batches = {}, .seconds = kNever};
  const std::vector<std::vector<int>> rows = best_fit_rows(lengths, longest_first(lengths), costs.capacity << level);
  // Rows of like time side by side: a micro-batch waits for its slowest.
  std::vector<FlexSpGroup> groups;
  for (const std::vector<int>& row : rows) groups.push_back(finished(lengths, costs, level, row));
  std::ranges::stable_sort(groups, std::greater{}, &FlexSpGroup::seconds);
  const auto side_by_side = static_cast<std::size_t>(ranks >> level);
  FlexSpPlan plan;
  for (std::size_t first = 0; first < groups.size(); first += side_by_side) {
    const auto last = std::min(groups.size(), first + side_by_side);
    plan.micro_batches.push_back(finished(
        {groups.begin() + static_cast<std::ptrdiff_t>(first), groups.begin() + static_cast<std::ptrdiff_t>(last)},
        costs));
    // Fewer rows than groups: the sequences are dealt again, so that no group is idle.
    if (last - first < side_by_side) {
      std::vector<int> left;
      for (const FlexSpGroup& group : plan.micro_batches.back().groups)
        left.insert(left.end(), group.sequences.begin(), group.sequences.end());
      FlexSpMicroBatch again = solve_one_degree(lengths, left, ranks, level, costs);
      if (again.seconds < plan.micro_batches.back().seconds) plan.micro_batches.back() = std::move(again);
    }
    plan.seconds += plan.micro_batches.back().seconds;
  }
  return plan;
}

FlexSpPlan plan_batch_adaptive(const std::vector<std::int64_t>& lengths, int ranks, const FlexSpCosts& costs) {
  FlexSpPlan best{.micro_batches = {}, .seconds = kNever};
  for (int level = 0; level < levels_of(ranks); ++level) {
    FlexSpPlan plan = plan_one_degree(lengths, ranks, level, costs);
    if (plan.seconds < best.seconds) best = std::move(plan);
  }
  return best;
}

std::vector<std::int64_t> bucket_tops(std::vector<std::int64_t> lengths, int buckets) {
  std::ranges::sort(lengths);
  const std::size_t n = lengths.size();
  if (n == 0) return {};
  std::vector<std::int64_t> prefix(n + 1, 0);
  for (std::size_t i = 0; i < n; ++i) prefix[i + 1] = prefix[i] + lengths[i];
  // error of lengths [j, k) in one bucket with the top lengths[k - 1]
  const auto error = [&](std::size_t j, std::size_t k) {
    return lengths[k - 1] * static_cast<std::int64_t>(k - j) - (prefix[k] - prefix[j]);
  };
  const auto rounds = std::min<std::size_t>(static_cast<std::size_t>(std::max(1, buckets)), n);
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> before(n + 1, kNone), now;
  before[0] = 0;
  std::vector<std::vector<std::size_t>> begin(rounds, std::vector<std::size_t>(n + 1, 0));
  for (std::size_t q = 0; q < rounds; ++q) {
    now.assign(n + 1, kNone);
    now[0] = 0;
    // Where the best cut lies rises with k (the cost is a Monge array), so the search is by halves.
    const std::function<void(std::size_t, std::size_t, std::size_t, std::size_t)> search =
        [&](std::size_t low, std::size_t high, std::size_t from, std::size_t to) {
          if (low > high) return;
          const std::size_t k = low + (high - low) / 2;
          std::size_t best = from;
          for (std::size_t j = from; j <= std::min(to, k - 1); ++j) {
            if (before[j] == kNone) continue;
            const std::int64_t sum = before[j] + error(j, k);
            if (now[k] == kNone || sum < now[k]) {
              now[k] = sum;
              best = j;
            }
          }
          begin[q][k] = best;
          if (k > low) search(low, k - 1, from, best);
          search(k + 1, high, best, to);
        };
    search(1, n, 0, n - 1);
    before = now;
  }
  std::vector<std::int64_t> tops;
  std::size_t k = n;
  for (std::size_t q = rounds; q-- > 0 && k > 0;) {
    tops.push_back(lengths[k - 1]);
    k = begin[q][k];
  }
  std::ranges::reverse(tops);
  return tops;
}

double bucket_error(const std::vector<std::int64_t>& lengths, const std::vector<std::int64_t>& tops) {
  double added = 0, tokens = 0;
  for (const std::int64_t length : lengths) {
    added += static_cast<double>(*std::ranges::lower_bound(tops, length) - length);
    tokens += static_cast<double>(length);
  }
  return added / tokens;
}

std::vector<std::vector<int>> cut_by_tokens(const std::vector<std::int64_t>& lengths, int parts) {
  const std::vector<int> order = longest_first(lengths);
  const auto cut = [&](std::int64_t room) {
    std::vector<std::vector<int>> runs;
    std::int64_t left = -1;
    for (const int sequence : order) {
      const std::int64_t length = length_of(lengths, sequence);
      if (left < length) {
        runs.emplace_back();
        left = room;
      }
      runs.back().push_back(sequence);
      left -= length;
    }
    return runs;
  };
  std::int64_t low = *std::ranges::max_element(lengths);
  std::int64_t high = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (static_cast<int>(cut(middle).size()) <= parts)
      high = middle;
    else
      low = middle + 1;
  }
  return cut(low);
}

}  // namespace assay::parallelism
