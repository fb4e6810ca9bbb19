#include "harness/cli/timeline_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::Style;
using nlohmann::json;
using results_db::IntervalRecord;

constexpr std::size_t kMostGroups = 8;  // ranks that are drawn unless all are asked for
constexpr int kShareWidth = 6;          // " 99.9%"
constexpr std::size_t kNamed = 3;       // operations named of a kind of lane

struct Lane {
  std::string name, kind;  // "rank 3 / compute", "compute"
  std::vector<IntervalRecord> intervals;
  std::int64_t busy = 0;  // union
};

// The lanes of one rank, or of what else works on its own.
struct Group {
  std::string name;
  std::vector<Lane> lanes;
  std::int64_t end = 0;
  std::vector<std::string> alike;  // groups that do the same at the same times
};

struct Picture {
  std::vector<Group> groups;
  std::int64_t begin = 0, end = 0;
};

std::int64_t covered(const std::vector<IntervalRecord>& sorted) {
  std::int64_t sum = 0, reach = 0;
  for (const IntervalRecord& each : sorted) {
    const std::int64_t from = std::max(each.start_ps, reach);
    if (each.end_ps > from) sum += each.end_ps - from;
    reach = std::max(reach, each.end_ps);
  }
  return sum;
}

Picture picture_of(const std::vector<IntervalRecord>& intervals) {
  Picture picture;
  picture.begin = intervals.front().start_ps;
  std::map<std::string, std::pair<std::size_t, std::size_t>> places;
  std::map<std::string, std::size_t> groups;
  for (const IntervalRecord& each : intervals) {
    const auto [place, fresh] = places.try_emplace(each.lane);
    if (fresh) {
      const std::size_t slash = each.lane.find(" / ");
      const std::string of = each.lane.substr(0, slash);
      const auto [group, first] = groups.emplace(of, picture.groups.size());
      if (first) picture.groups.push_back({.name = of, .lanes = {}, .alike = {}});
      auto& lanes = picture.groups[group->second].lanes;
      place->second = {group->second, lanes.size()};
      lanes.push_back({.name = each.lane,
                       .kind = slash == std::string::npos ? std::string("busy") : each.lane.substr(slash + 3),
                       .intervals = {}});
    }
    Group& group = picture.groups[place->second.first];
    group.lanes[place->second.second].intervals.push_back(each);
    group.end = std::max(group.end, each.end_ps);
    picture.begin = std::min(picture.begin, each.start_ps);
    picture.end = std::max(picture.end, each.end_ps);
  }
  for (Group& group : picture.groups) {
    // Work first, then messages, then waiting, in every rank the same.
    constexpr std::array<std::string_view, 5> kOrder{"compute", "copy", "send", "receive", "wait"};
    const auto rank_of = [&](const Lane& lane) {
      return std::find(kOrder.begin(), kOrder.end(), lane.kind) - kOrder.begin();
    };
    std::stable_sort(group.lanes.begin(), group.lanes.end(),
                     [&](const Lane& a, const Lane& b) { return rank_of(a) < rank_of(b); });
    for (Lane& lane : group.lanes) {
      std::stable_sort(lane.intervals.begin(), lane.intervals.end(),
                       [](const IntervalRecord& a, const IntervalRecord& b) { return a.start_ps < b.start_ps; });
      lane.busy = covered(lane.intervals);
    }
  }
  return picture;
}

bool do_the_same(const Group& a, const Group& b) {
  return std::equal(a.lanes.begin(), a.lanes.end(), b.lanes.begin(), b.lanes.end(), [](const Lane& x, const Lane& y) {
    return x.kind == y.kind && std::equal(x.intervals.begin(), x.intervals.end(), y.intervals.begin(),
                                          y.intervals.end(), [](const IntervalRecord& i, const IntervalRecord& j) {
                                            return i.name == j.name && i.start_ps == j.start_ps && i.end_ps == j.end_ps;
                                          });
  });
}

// Each group that does what one before it does is told there and goes.
void fold(Picture& picture) {
  std::vector<Group> kept;
  for (Group& group : picture.groups) {
    const auto same =
        std::find_if(kept.begin(), kept.end(), [&](const Group& other) { return do_the_same(other, group); });
    if (same == kept.end()) {
      kept.push_back(std::move(group));
    } else {
      same->alike.push_back(group.name);
    }
  }
  picture.groups = std::move(kept);
}

// How full each of `columns` stretches of time is.
std::string bar_of(const Lane& lane, const Picture& picture, int columns) {
  const auto span = static_cast<double>(std::max<std::int64_t>(1, picture.end - picture.begin));
  std::vector<double> full(static_cast<std::size_t>(columns), 0);
  std::int64_t reach = picture.begin;
  for (const IntervalRecord& each : lane.intervals) {
    const std::int64_t from = std::max(each.start_ps, reach);
    reach = std::max(reach, each.end_ps);
    if (each.end_ps <= from) continue;
    const double a = static_cast<double>(from - picture.begin) / span * columns;
    const double b = static_cast<double>(each.end_ps - picture.begin) / span * columns;
    for (int c = static_cast<int>(a); c < columns && c < b; ++c)
      full[static_cast<std::size_t>(c)] += std::min<double>(b, c + 1) - std::max<double>(a, c);
  }
  std::string text;
  for (const double share : full)
    text += share <= 0 ? "·" : share < 0.25 ? "░" : share < 0.5 ? "▒" : share < 0.75 ? "▓" : "█";
  return text;
}

Style style_of(std::string_view kind) {
  if (kind == "wait") return Style::bad;
  if (kind == "send" || kind == "receive" || kind == "copy" || kind == "link") return Style::warn;
  return Style::good;
}

std::string title_of(const Group& group) {
  if (group.alike.empty()) return group.name;
  if (group.alike.size() == 1) return fmt::format("{} and {}", group.name, group.alike[0]);
  return fmt::format("{} and {} alike, to {}", group.name, group.alike.size(), group.alike.back());
}

// "compute: attention 61%, pointwise 2%" of the time that ranks spend in a kind of lane.
std::vector<std::string> operations_of(const Picture& picture) {
  std::map<std::string, std::map<std::string, std::int64_t>> times;
  std::vector<std::string> kinds;
  for (const Group& group : picture.groups)
    for (const Lane& lane : group.lanes) {
      if (!times.contains(lane.kind)) kinds.push_back(lane.kind);
      for (const IntervalRecord& each : lane.intervals)
        times[lane.kind][each.name] +=
            (each.end_ps - each.start_ps) * static_cast<std::int64_t>(1 + group.alike.size());
    }
  std::vector<std::string> lines;
  for (const std::string& kind : kinds) {
    std::vector<std::pair<std::string, std::int64_t>> ordered(times[kind].begin(), times[kind].end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    std::int64_t total = 0;
    for (const auto& [unused, time] : ordered) total += time;
    std::string text = kind + ":";
    for (std::size_t i = 0; i < std::min(kNamed, ordered.size()); ++i)
      text +=
          fmt::format("{} {} {:.0f}%", i == 0 ? "" : ",", ordered[i].first,
                      total == 0 ? 0.0 : 100.0 * static_cast<double>(ordered[i].second) / static_cast<double>(total));
    if (ordered.size() > kNamed) text += fmt::format(", {} more", ordered.size() - kNamed);
    lines.push_back(std::move(text));
  }
  return lines;
}

std::string seconds(std::int64_t ps) { return datasets::format_si(static_cast<double>(ps) * 1e-12, "s"); }

std::string drawn(Picture picture, const std::string& key, bool all, const Context& context) {
  const std::size_t ranks = picture.groups.size();
  if (!all) fold(picture);
  const auto last = std::max_element(picture.groups.begin(), picture.groups.end(),
                                     [](const Group& a, const Group& b) { return a.end < b.end; });
  const std::string ends_last = last->name;
  // The first ones, and what ends last: it decides the time.
  std::vector<const Group*> shown;
  for (const Group& group : picture.groups)
    if (all || shown.size() + 1 < kMostGroups || &group == &*last || (shown.size() < kMostGroups && &group > &*last))
      shown.push_back(&group);

  int label = 0;
  for (const Group* group : shown)
    for (const Lane& lane : group->lanes) label = std::max(label, harness::display_width(lane.kind));
  label += 2;
  const int columns = std::max(10, context.width - label - 1 - kShareWidth);
  std::string out = harness::styled(harness::shorten(key, context.width), Style::bold, context.color) + "\n";
  const std::string right = seconds(picture.end - picture.begin), middle = seconds((picture.end - picture.begin) / 2);
  const int half = columns / 2;
  const int to_right = columns - half - harness::display_width(middle) - harness::display_width(right);
  out += fmt::format("{:{}}0{:{}}{}{:{}}{}\n", "", label, "", half - 1, middle, "", std::max(1, to_right), right);
  const auto span = static_cast<double>(std::max<std::int64_t>(1, picture.end - picture.begin));
  for (const Group* group : shown) {
    std::string title = title_of(*group);
    if (ranks > 1 && group->name == ends_last)
      title += fmt::format(", ends last at {}", seconds(group->end - picture.begin));
    out += harness::shorten(title, context.width) + "\n";
    for (const Lane& lane : group->lanes)
      out += fmt::format("  {:{}}{} {:>5.1f}%\n", lane.kind, label - 2,
                         harness::styled(bar_of(lane, picture, columns), style_of(lane.kind), context.color),
                         100.0 * static_cast<double>(lane.busy) / span);
  }
  if (shown.size() < picture.groups.size())
    out += harness::styled(
        fmt::format("{} more that differ: --all-ranks draws each\n", picture.groups.size() - shown.size()), Style::dim,
        context.color);
  for (const std::string& line : operations_of(picture)) out += harness::wrap(line, context.width);
  return out;
}

json as_json(const Picture& picture) {
  json lanes = json::array();
  for (const Group& group : picture.groups)
    for (const Lane& lane : group.lanes) {
      json intervals = json::array();
      for (const IntervalRecord& each : lane.intervals)
        intervals.push_back({{"name", each.name},
                             {"start_ps", each.start_ps},
                             {"end_ps", each.end_ps},
                             {"peer", each.peer},
                             {"bytes", each.bytes},
                             {"link", each.link},
                             {"posted_ps", each.posted_ps},
                             {"exposed_ps", each.exposed_ps}});
      lanes.push_back({{"lane", lane.name}, {"busy_ps", lane.busy}, {"intervals", std::move(intervals)}});
    }
  return lanes;
}

}  // namespace

TimelineChoice timeline_choice(results_db::Store& store, const std::string& run, const std::string& text) {
  if (text.empty()) return {.run = run, .filter = {}};
  const std::size_t slash = text.find('/');
  try {
    store.find_run(text.substr(0, slash));
    return {.run = text.substr(0, slash),
            .filter = slash == std::string::npos ? std::string() : text.substr(slash + 1)};
  } catch (const UserError&) {
    // The ids of techniques have slashes too.
    if (slash == std::string::npos) return {.run = run, .filter = text};
    for (const auto& item : store.cases_of(store.find_run(run).id))
      if (item.record.key.find(text) != std::string::npos) return {.run = run, .filter = text};
    throw;
  }
}

std::string timeline_of(results_db::Store& store, const TimelineChoice& choice, const Context& context) {
  const results_db::RunRecord run = store.find_run(choice.run);
  std::string out;
  std::size_t others = 0;
  json document;
  for (const auto& item : store.cases_of(run.id)) {
    if (item.record.key.find(choice.filter) == std::string::npos) continue;
    for (const auto& launch : store.launches(run.id, item.id)) {
      std::vector<IntervalRecord> intervals = launch.intervals;
      for (const results_db::KernelRecord& kernel : launch.kernels) {
        const std::int64_t start = (kernel.start_ns - launch.kernels.front().start_ns) * 1000;
        intervals.push_back({"stream " + kernel.stream, kernel.name, start, start + kernel.duration_ns * 1000});
      }
      if (intervals.empty()) continue;
      if (!out.empty() || !document.is_null()) {
        ++others;
        break;
      }
      const Picture picture = picture_of(intervals);
      if (context.json) {
        document = {{"schema_version", 1},       {"run", run.id},
                    {"case", item.record.key},   {"launch", launch.ordinal},
                    {"begin_ps", picture.begin}, {"end_ps", picture.end},
                    {"lanes", as_json(picture)}};
      } else {
        out = drawn(picture, item.record.key, choice.all_ranks, context);
      }
      break;
    }
  }
  if (out.empty() && document.is_null())
    throw UserError(
        fmt::format("run {} has no timeline{}; programs over ranks have one, and kernels recorded with "
                    "`assay run --kernels`",
                    run.id.substr(0, 8), choice.filter.empty() ? "" : " of a case with '" + choice.filter + "'"),
        3);
  if (context.json) return document.dump(2) + "\n";
  if (others > 0)
    out += harness::styled(
        harness::wrap(fmt::format("{} more case{} of the run {} a timeline: --timeline RUN/CASE takes part of a key",
                                  others, others == 1 ? "" : "s", others == 1 ? "has" : "have"),
                      context.width),
        Style::dim, context.color);
  return out;
}

}  // namespace assay::cli
