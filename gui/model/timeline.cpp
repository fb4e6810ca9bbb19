#include "gui/model/timeline.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <unordered_map>

#include "results_db/messages.h"

namespace assay::gui {
namespace {

// Numbers inside names count as numbers: rank 2 stands before rank 10.
bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char letter) { return std::isdigit(static_cast<unsigned char>(letter)) != 0; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::uint64_t left = 0, right = 0;
      while (i < a.size() && digit(a[i])) left = left * 10 + static_cast<std::uint64_t>(a[i++] - '0');
      while (j < b.size() && digit(b[j])) right = right * 10 + static_cast<std::uint64_t>(b[j++] - '0');
      if (left != right) return left < right;
      continue;
    }
    if (a[i] != b[j]) return a[i] < b[j];
    ++i;
    ++j;
  }
  return a.size() - i < b.size() - j;
}

// The chain that ends last: from the last bar back, always to the bar that had ended last when this one began, of the
// same lane where several did.
void mark_critical(TimelineData& data) {
  struct End {
    std::int64_t end;
    std::size_t lane, bar;
  };
  std::vector<End> ends;
  for (std::size_t lane = 0; lane < data.lanes.size(); ++lane) {
    if (is_waiting(data.lanes[lane])) continue;
    for (std::size_t bar = 0; bar < data.lanes[lane].bars.size(); ++bar)
      if (data.lanes[lane].bars[bar].end > data.lanes[lane].bars[bar].start)
        ends.push_back({data.lanes[lane].bars[bar].end, lane, bar});
  }
  if (ends.empty()) return;
  std::sort(ends.begin(), ends.end(), [](const End& a, const End& b) {
    return a.end != b.end ? a.end < b.end : a.lane != b.lane ? a.lane > b.lane : a.bar < b.bar;
  });
  const End* at = &ends.back();
  while (at != nullptr) {
    Bar& bar = data.lanes[at->lane].bars[at->bar];
    bar.critical = true;
    data.critical_busy += bar.end - bar.start;
    const auto after = std::upper_bound(ends.begin(), ends.end(), bar.start,
                                        [](std::int64_t start, const End& held) { return start < held.end; });
    if (after == ends.begin()) return;
    const End* best = &*(after - 1);
    for (auto it = after; it != ends.begin() && (it - 1)->end == best->end; --it)
      if ((it - 1)->lane == at->lane) {
        best = &*(it - 1);
        break;
      }
    at = best;
  }
}

// The lane that receives; where the receiver kept no half of its own, its first one.
void add_arrows(TimelineData& data, const std::vector<results_db::IntervalRecord>& intervals) {
  std::map<std::string, std::size_t> lanes, first_of_group;
  for (std::size_t lane = 0; lane < data.lanes.size(); ++lane) {
    lanes[data.lanes[lane].name] = lane;
    first_of_group.try_emplace(data.lanes[lane].group, lane);
  }
  for (const results_db::Message& message : results_db::messages_in(intervals)) {
    const auto& sent = intervals[message.send];
    Arrow arrow{.from_lane = lanes.at(sent.lane), .to_lane = 0, .start = sent.start_ps, .end = sent.end_ps};
    if (message.receive != results_db::no_interval) {
      arrow.to_lane = lanes.at(intervals[message.receive].lane);
      arrow.end = intervals[message.receive].end_ps;
    } else if (const auto group = first_of_group.find(sent.peer); group != first_of_group.end()) {
      arrow.to_lane = group->second;
    } else {
      continue;  // to a rank that has no timeline
    }
    data.arrows.push_back(arrow);
  }
  std::stable_sort(data.arrows.begin(), data.arrows.end(),
                   [](const Arrow& a, const Arrow& b) { return a.start < b.start; });
  std::int64_t reach = data.arrows.empty() ? 0 : data.arrows.front().end;
  for (Arrow& arrow : data.arrows) arrow.reach = reach = std::max(reach, arrow.end);
}

}  // namespace

TimelineData make_timeline(const results_db::Timeline& stored) {
  TimelineData data;
  data.names.emplace_back();  // of no peer
  std::unordered_map<std::string, std::uint32_t> names;
  std::map<std::string, std::size_t> lanes;
  const auto name_of = [&](const std::string& text) {
    const auto [known, is_new] = names.try_emplace(text, static_cast<std::uint32_t>(data.names.size()));
    if (is_new) data.names.push_back(text);
    return known->second;
  };
  const auto add = [&](const std::string& lane, const std::string& name, std::int64_t start, std::int64_t end,
                       const std::string& peer) {
    const auto [place, new_lane] = lanes.try_emplace(lane, data.lanes.size());
    if (new_lane) data.lanes.push_back({lane, results_db::rank_of_lane(lane), results_db::engine_of_lane(lane), {}});
    data.lanes[place->second].bars.push_back({start, end, end, name_of(name), false, peer.empty() ? 0 : name_of(peer)});
    data.begin = data.bars == 0 ? start : std::min(data.begin, start);
    data.end = data.bars == 0 ? end : std::max(data.end, end);
    ++data.bars;
  };
  for (const auto& held : stored.intervals) add(held.lane, held.name, held.start_ps, held.end_ps, held.peer);
  for (const auto& kernel : stored.kernels)
    add("stream " + kernel.stream, kernel.name, kernel.start_ns * 1000, (kernel.start_ns + kernel.duration_ns) * 1000,
        {});
  std::sort(data.lanes.begin(), data.lanes.end(),
            [](const Lane& a, const Lane& b) { return natural_less(a.name, b.name); });
  for (Lane& lane : data.lanes) {
    std::stable_sort(lane.bars.begin(), lane.bars.end(), [](const Bar& a, const Bar& b) { return a.start < b.start; });
    std::int64_t reach = lane.bars.front().end;
    for (Bar& bar : lane.bars) bar.reach = reach = std::max(reach, bar.end);
  }
  mark_critical(data);
  add_arrows(data, stored.intervals);
  return data;
}

std::vector<Arrow> arrows_between(const TimelineData& data, double from, double to, std::size_t most) {
  std::vector<Arrow> found;
  auto at = std::upper_bound(data.arrows.begin(), data.arrows.end(), from,
                             [](double time, const Arrow& arrow) { return time < static_cast<double>(arrow.reach); });
  // One that goes on for long keeps those behind it in reach; they are looked at, but only so many.
  for (std::size_t seen = 0; at != data.arrows.end() && static_cast<double>(at->start) < to; ++at) {
    if (++seen > 8 * most || found.size() > most) return {};
    if (static_cast<double>(at->end) > from) found.push_back(*at);
  }
  if (found.size() > most) found.clear();
  return found;
}

std::vector<Drawn> visible(const Lane& lane, double from, double to, int columns) {
  std::vector<Drawn> out;
  if (lane.bars.empty() || columns < 1 || !(to > from)) return out;
  const double scale = columns / (to - from);
  const auto& bars = lane.bars;
  // `reach` ascends, so the first bar that is not over yet is found by halving.
  auto at = std::upper_bound(bars.begin(), bars.end(), from,
                             [](double time, const Bar& bar) { return time < static_cast<double>(bar.reach); });
  while (at != bars.end() && static_cast<double>(at->start) < to) {
    const int first = std::max(0, static_cast<int>((static_cast<double>(at->start) - from) * scale));
    const int last = std::clamp(static_cast<int>((static_cast<double>(at->end) - from) * scale), first, columns - 1);
    if (first >= columns) break;
    Drawn drawn{first, last, static_cast<std::size_t>(at - bars.begin()), 1, at->critical};
    if (last > first) {
      ++at;
    } else {
      // Everything else that begins in this column is in it too: on to the first that does not.
      const double edge = from + (first + 1) / scale;
      const auto next = std::lower_bound(
          at + 1, bars.end(), edge, [](const Bar& bar, double time) { return static_cast<double>(bar.start) < time; });
      drawn.count = static_cast<std::size_t>(next - at);
      // One of them may go on beyond the column.
      const double reach = static_cast<double>((next - 1)->reach);
      drawn.last = std::clamp(static_cast<int>((reach - from) * scale), first, columns - 1);
      for (auto it = at; it != next && !drawn.critical && it - at < 64; ++it) drawn.critical = it->critical;
      at = next;
    }
    if (!out.empty() && drawn.first <= out.back().first && drawn.last <= out.back().last) {
      out.back().count += drawn.count;
      out.back().critical |= drawn.critical;
      continue;
    }
    out.push_back(drawn);
  }
  return out;
}

std::size_t bar_at(const Lane& lane, std::int64_t at) {
  const auto& bars = lane.bars;
  const auto after = std::upper_bound(bars.begin(), bars.end(), at,
                                      [](std::int64_t time, const Bar& bar) { return time < bar.start; });
  for (auto it = after; it != bars.begin();) {
    --it;
    if (it->end > at) return static_cast<std::size_t>(it - bars.begin());
    if (it->reach <= at) break;
  }
  return bars.size();
}

LaneUse use_of(const Lane& lane, std::int64_t from, std::int64_t to) {
  LaneUse use;
  std::int64_t covered = from;
  auto at = std::upper_bound(lane.bars.begin(), lane.bars.end(), from,
                             [](std::int64_t time, const Bar& bar) { return time < bar.reach; });
  for (; at != lane.bars.end() && at->start < to; ++at) {
    const std::int64_t start = std::max(at->start, covered), end = std::min(at->end, to);
    if (at->end > from) ++use.bars;
    if (end > start) {
      use.busy += end - start;
      covered = end;
    }
  }
  return use;
}

namespace {

bool same_times(const Lane& a, const Lane& b) {
  return a.kind == b.kind &&
         std::equal(a.bars.begin(), a.bars.end(), b.bars.begin(), b.bars.end(),
                    [](const Bar& x, const Bar& y) { return x.start == y.start && x.end == y.end; });
}

}  // namespace

std::map<std::string, std::string> alike_groups(const TimelineData& data) {
  std::map<std::string, std::vector<const Lane*>> lanes;
  std::vector<std::string> order;
  for (const Lane& lane : data.lanes) {
    if (lanes[lane.group].empty()) order.push_back(lane.group);
    lanes[lane.group].push_back(&lane);
  }
  const auto hash_of = [&](const std::string& group) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const Lane* lane : lanes[group])
      for (const Bar& bar : lane->bars)
        for (const auto value : {bar.start, bar.end}) hash = (hash ^ static_cast<std::uint64_t>(value)) * 0x100000001b3;
    return hash;
  };
  std::map<std::string, std::string> leader;
  std::multimap<std::uint64_t, std::string> leaders;
  for (const std::string& group : order) {
    const std::uint64_t hash = hash_of(group);
    leader[group] = group;
    for (auto [at, end] = leaders.equal_range(hash); at != end; ++at) {
      const auto &ours = lanes[group], &theirs = lanes[at->second];
      if (!std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                      [](const Lane* a, const Lane* b) { return same_times(*a, *b); }))
        continue;
      leader[group] = at->second;
      break;
    }
    if (leader[group] == group) leaders.emplace(hash, group);
  }
  return leader;
}

TimelineData only_lanes(const TimelineData& data, const std::vector<std::string>& names) {
  TimelineData out;
  out.names = data.names;
  out.begin = data.begin;
  out.end = data.end;
  for (const Lane& lane : data.lanes)
    if (std::find(names.begin(), names.end(), lane.name) != names.end()) {
      out.bars += lane.bars.size();
      out.lanes.push_back(lane);
    }
  const auto place_of = [&](std::size_t lane) {
    return static_cast<std::size_t>(std::find_if(out.lanes.begin(), out.lanes.end(),
                                                 [&](const Lane& held) { return held.name == data.lanes[lane].name; }) -
                                    out.lanes.begin());
  };
  for (Arrow arrow : data.arrows) {
    arrow.from_lane = place_of(arrow.from_lane);
    arrow.to_lane = place_of(arrow.to_lane);
    if (std::max(arrow.from_lane, arrow.to_lane) < out.lanes.size()) out.arrows.push_back(arrow);
  }
  return out;
}

OperationUse operation_use(const TimelineData& data, const std::string& kind, std::uint32_t name) {
  std::vector<std::int64_t> times;
  for (const Lane& lane : data.lanes)
    if (lane.kind == kind)
      for (const Bar& bar : lane.bars)
        if (bar.name == name) times.push_back(bar.end - bar.start);
  OperationUse use;
  if (times.empty()) return use;
  std::sort(times.begin(), times.end());
  use.bars = times.size();
  use.shortest = times.front();
  use.longest = times.back();
  for (const std::int64_t time : times) use.all += time;
  const std::size_t middle = times.size() / 2;
  use.median = times.size() % 2 == 1
                   ? static_cast<double>(times[middle])
                   : (static_cast<double>(times[middle - 1]) + static_cast<double>(times[middle])) / 2;
  return use;
}

bool is_waiting(const Lane& lane) { return lane.kind == "wait"; }

std::int64_t exposed(const TimelineData& data, const Lane& lane, std::int64_t from, std::int64_t to) {
  // Edges of the other lanes of the group, as one union.
  std::vector<std::pair<std::int64_t, std::int64_t>> others;
  for (const Lane& other : data.lanes) {
    if (&other == &lane || other.group != lane.group || other.kind != "compute") continue;
    for (const Bar& bar : other.bars)
      if (bar.end > from && bar.start < to) others.emplace_back(bar.start, bar.end);
  }
  std::sort(others.begin(), others.end());
  std::int64_t alone = 0;
  std::size_t next = 0;
  std::int64_t covered = from;
  for (const Bar& bar : lane.bars) {
    std::int64_t start = std::max({bar.start, covered, from});
    const std::int64_t end = std::min(bar.end, to);
    if (end <= start) continue;
    covered = end;
    while (next < others.size() && others[next].second <= start) ++next;
    for (std::size_t i = next; i < others.size() && others[i].first < end && start < end; ++i) {
      if (others[i].first > start) alone += others[i].first - start;
      start = std::max(start, others[i].second);
    }
    if (end > start) alone += end - start;
  }
  return alone;
}

}  // namespace assay::gui
