#include "harness/gate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/history.h"
#include "harness/stats/detectable.h"

namespace assay::harness {
namespace {

using results_db::LaunchSummary;
using results_db::RunRecord;
using stats::Verdict;

bool has_tag(const RunRecord& run, const std::string& tag) {
  return std::find(run.tags.begin(), run.tags.end(), tag) != run.tags.end();
}

std::string short_id(const std::string& run) { return run.substr(0, 8); }

std::size_t index_of(const CaseHistory& history, const std::string& run) {
  const auto at =
      std::find_if(history.runs.begin(), history.runs.end(), [&](const PastRun& one) { return one.point.run == run; });
  return static_cast<std::size_t>(at - history.runs.begin());
}

const stats::Segment* segment_of(const CaseHistory& history, std::size_t index) {
  for (const stats::Segment& segment : history.levels.segments)
    if (index >= segment.first && index < segment.end) return &segment;
  return nullptr;
}

class Gating {
 public:
  Gating(results_db::Store& store, const GateOptions& options) : store_(store), options_(options) {}

  GateReport operator()() {
    GateReport report;
    report.head = find_run(store_, parse_selector(options_.head));
    report.base = find_base(store_, options_.base, report.head);
    if (report.base.id == report.head.id)
      throw UserError(fmt::format("gate: '{}' and '{}' are both run {}; nothing to compare with itself", options_.base,
                                  options_.head, short_id(report.head.id)));
    head_ = &report.head;
    base_ = &report.base;
    for (const RunRecord& run : store_.runs())
      if (run.machine.id == report.head.machine.id && has_tag(run, confirm_tag(report.head)))
        confirmations_.push_back(run);

    Selector a = parse_selector(report.base.id);
    Selector b = parse_selector(report.head.id);
    Comparison compared =
        compare(store_, a, b, options_.rule, options_.metric,
                [this](const ComparedCase& row, stats::Contest& contest) { add_the_past(row, contest); });
    report.environment = std::move(compared.environment);
    const auto together = static_cast<int>(compared.cases.size());
    for (ComparedCase& row : compared.cases) report.cases.push_back(judged(std::move(row), together));
    find_missing(compared, report);
    report.added = std::move(compared.only_b);
    std::stable_sort(report.cases.begin(), report.cases.end(), [](const GatedCase& x, const GatedCase& y) {
      const auto rank = [](const GatedCase& one) {
        if (one.compared.decision.verdict == Verdict::slower) return 0;
        if (one.suspect) return 1;
        if (one.compared.decision.verdict == Verdict::unsure) return 2;
        return one.compared.decision.verdict == Verdict::faster ? 3 : 4;
      };
      if (rank(x) != rank(y)) return rank(x) < rank(y);
      return rank(x) < 2 &&
             std::abs(std::log(x.compared.decision.ratio)) > std::abs(std::log(y.compared.decision.ratio));
    });
    return report;
  }

 private:
  struct Past {
    CaseHistory history;
    stats::Fence fence;
    stats::Contest contest;
    int base_runs = 1, confirm_runs = 0;
  };

  const std::vector<LaunchSummary>& summaries(const std::string& run) {
    auto at = summaries_.find(run);
    if (at == summaries_.end()) at = summaries_.emplace(run, store_.summaries(run)).first;
    return at->second;
  }

  // Launches of one case in another run.
  int add_launches(const std::string& run, std::int64_t case_id, const std::string& metric,
                   std::vector<stats::Launch>& out) {
    int added = 0;
    for (const LaunchSummary& launch : summaries(run)) {
      if (launch.case_id != case_id || launch.status != results_db::Status::ok) continue;
      for (const results_db::Metric& one : launch.metrics)
        if (one.name == metric) {
          out.push_back({one.value, launch.started_ns});
          ++added;
        }
    }
    return added;
  }

  void add_the_past(const ComparedCase& row, stats::Contest& contest) {
    Past past;
    past.history =
        read_history(store_, {row.id_a, {}}, base_->machine, row.metric, {.effect_floor = options_.rule.effect_floor});
    const CaseHistory& history = past.history;
    const std::size_t base = index_of(history, base_->id);
    if (base < history.runs.size()) {
      const stats::Segment* segment = segment_of(history, base);
      const std::size_t settled = settled_of(history, *segment);
      // All runs at the base's level show how sessions differ, but what is judged is no witness.
      std::vector<std::vector<double>> level;
      for (std::size_t i = std::min(settled, base); i < segment->end; ++i)
        if (const PastRun& run = history.runs[i]; run.point.run != head_->id &&
                                                  run.point.started_ns <= head_->started_ns &&
                                                  (i <= base || !run.fence.known() || run.fence.holds(run.value)))
          level.push_back(run.point.medians);
      past.fence = stats::fence_of(level);
      if (past.fence.known()) contest.session_allowance = past.fence.allowance();
      // A night of few launches stands together with the nights before it at its level.
      for (std::size_t i = base; i > settled && static_cast<int>(contest.a.size()) < options_.rule.min_launches;)
        past.base_runs += add_launches(history.runs[--i].point.run, row.id_a, row.metric, contest.a) > 0 ? 1 : 0;
    }
    for (const RunRecord& again : confirmations_)
      past.confirm_runs += add_launches(again.id, row.id_b, row.metric, contest.b) > 0 ? 1 : 0;
    past.contest = contest;
    past_.emplace(row.id_b, std::move(past));
  }

  static std::size_t settled_of(const CaseHistory& history, const stats::Segment& segment) {
    for (const stats::Change& change : history.levels.changes)
      if (change.first == segment.first) return change.last;
    return segment.first;
  }

  GatedCase judged(ComparedCase row, int together) {
    GatedCase item;
    const stats::Decision& decision = row.decision;
    const auto found = past_.find(row.id_b);
    const Past none;
    const Past& past = found == past_.end() ? none : found->second;
    item.fence = past.fence;
    item.base_runs = past.base_runs;
    item.confirm_runs = past.confirm_runs;
    item.detectable = decision.design == stats::Design::exact
                          ? options_.rule.effect_floor
                          : stats::detectable_effect(past.contest, together, options_.rule)
                                .value_or(std::numeric_limits<double>::infinity());
    const double allowance = past.fence.known() ? past.fence.allowance() : decision.session_allowance;
    item.magnitude = stats::magnitude_of(decision.ratio, allowance, options_.rule.effect_floor);
    const auto* direction = &past.history.direction;
    const bool lower = found == past_.end() || *direction == stats::Direction::lower_is_better;
    const bool worse = (decision.ratio > 1) == lower;
    const double size = std::abs(std::log(decision.ratio));
    item.suspect = decision.verdict == Verdict::slower ||
                   (decision.verdict == Verdict::unsure && worse && size >= std::log1p(options_.rule.effect_floor) &&
                    size >= std::log1p(allowance));
    if (item.suspect) {
      item.since = first_bad(past, lower);
      item.clock_a = median_clock(store_, base_->id, row.id_a);
      item.clock_b = median_clock(store_, head_->id, row.id_b);
    }
    item.compared = std::move(row);
    return item;
  }

  FirstBad first_bad(const Past& past, bool lower) const {
    const auto& runs = past.history.runs;
    const std::size_t base = index_of(past.history, base_->id);
    const std::size_t head = index_of(past.history, head_->id);
    const auto told = [&](std::size_t at, const char* found) {
      const results_db::HistoryPoint& point = runs[at].point;
      return FirstBad{point.run, point.started_ns, point.commit, at > 0 ? runs[at - 1].point.run : "", found};
    };
    if (head >= runs.size() || base >= head)
      return {head_->id, head_->started_ns, head_->build.commit, base_->id, "only this run"};
    for (const stats::Change& change : past.history.levels.changes)
      if (change.first > base && change.first <= head && (change.ratio() > 1) == lower)
        return told(change.first, "change of level");
    const double level = past.fence.known() ? past.fence.centre : runs[base].value;
    const double allowed =
        past.fence.known() ? std::max(past.fence.allowance(), options_.rule.effect_floor) : options_.rule.effect_floor;
    const auto is_bad = [&](std::size_t i) {
      const double ratio = runs[i].value / level;
      return lower ? ratio > 1 + allowed : ratio < 1 / (1 + allowed);
    };
    std::size_t first = head;
    while (first > base + 1 && is_bad(first - 1)) --first;
    return told(first, first == head ? "only this run" : "outside its fence");
  }

  // What the base measured has to be measured again, or the gate does not know.
  void find_missing(const Comparison& compared, GateReport& report) {
    const auto measured = [&](const std::string& run) {
      std::set<std::int64_t> ids;
      for (const LaunchSummary& launch : summaries(run))
        if (launch.status == results_db::Status::ok) ids.insert(launch.case_id);
      return ids;
    };
    const std::set<std::int64_t> at_base = measured(report.base.id);
    const std::set<std::int64_t> at_head = measured(report.head.id);
    for (const auto& row : store_.cases_of(report.base.id)) {
      if (!at_base.contains(row.id) || at_head.contains(row.id)) continue;
      std::string why = "not in this run";
      for (const LaunchSummary& launch : summaries(report.head.id))
        if (launch.case_id == row.id) why = fmt::format("{}: {}", results_db::to_string(launch.status), launch.reason);
      report.missing.emplace_back(row.record.key, why);
    }
    for (const auto& [name, why] : compared.not_compared)
      if (std::none_of(report.missing.begin(), report.missing.end(),
                       [&](const auto& one) { return one.first == name; }) &&
          why.starts_with("B "))
        report.missing.emplace_back(name, why.substr(2));
    const auto stored = static_cast<int>(store_.cases_of(report.head.id).size());
    const auto named = std::count_if(report.missing.begin(), report.missing.end(),
                                     [](const auto& one) { return one.second == "not in this run"; });
    if (stored + named < report.head.expected_cases)
      report.missing.emplace_back(fmt::format("{} of {} cases of suite {}", report.head.expected_cases - stored,
                                              report.head.expected_cases, report.head.suite),
                                  "never launched: the run is " + report.head.status);
  }

  results_db::Store& store_;
  const GateOptions& options_;
  const RunRecord* head_ = nullptr;
  const RunRecord* base_ = nullptr;
  std::vector<RunRecord> confirmations_;
  std::map<std::int64_t, Past> past_;  // by case at the head
  std::map<std::string, std::vector<LaunchSummary>> summaries_;
};

std::string percent(double ratio) { return fmt::format("{:+.1f}%", 100 * (ratio - 1)); }

}  // namespace

int GateReport::count(Verdict verdict) const {
  return static_cast<int>(std::count_if(
      cases.begin(), cases.end(), [&](const GatedCase& item) { return item.compared.decision.verdict == verdict; }));
}

int GateReport::suspects() const {
  return static_cast<int>(std::count_if(cases.begin(), cases.end(), [&](const GatedCase& item) {
    return item.suspect && item.compared.decision.verdict == Verdict::unsure;
  }));
}

int GateReport::blind() const {
  return static_cast<int>(std::count_if(cases.begin(), cases.end(), [](const GatedCase& item) {
    return item.detectable && *item.detectable > blind_above;
  }));
}

int GateReport::exit_code(UnsurePolicy unsure) const {
  if (count(Verdict::slower) > 0) return 1;
  if (cases.empty() || !missing.empty()) return 3;
  return unsure == UnsurePolicy::fail && count(Verdict::unsure) > 0 ? 1 : 0;
}

std::string confirm_tag(const RunRecord& head) { return "confirm-" + short_id(head.id); }

RunRecord find_base(results_db::Store& store, const std::string& ref, const RunRecord& head) {
  const Selector selector = parse_selector(ref);
  if (!selector.where.empty())
    throw UserError(fmt::format("gate: --base {}: found {}=, expected a run, a tag, commit=ID, tag=NAME or suite=ID",
                                ref, selector.where.front().first));
  std::vector<RunRecord> here;  // tracked runs of the machine before the head, newest first
  for (RunRecord& run : store.runs())
    if (run.machine.id == head.machine.id && run.id != head.id && is_tracked(run) && run.started_ns <= head.started_ns)
      here.push_back(std::move(run));
  // Counting back means: among this machine's runs of this suite.
  if (selector.of_run.empty() && ref.starts_with("latest")) {
    std::vector<RunRecord> of_suite;
    for (const RunRecord& run : here)
      if (run.suite == head.suite) of_suite.push_back(run);
    const std::size_t back = ref == "latest"              ? 0
                             : ref.starts_with("latest~") ? std::strtoul(ref.c_str() + 7, nullptr, 10)
                                                          : 0;
    if (back == 0)
      throw UserError(fmt::format("gate: --base {}: expected an earlier run: latest~1 is the one before", ref));
    if (back > of_suite.size())
      throw UserError(fmt::format("gate: --base {}: {} has {} earlier runs of suite {} on {}; nothing to compare with",
                                  ref, store.path(), of_suite.size(), head.suite, head.machine.name),
                      3);
    return of_suite[back - 1];
  }
  for (const RunRecord& run : here)
    if (has_tag(run, ref)) return run;
  const RunRecord named = find_run(store, selector);
  if (named.machine.id == head.machine.id) return named;
  for (const RunRecord& run : here)
    if (!selector.of_run.empty() && std::all_of(selector.of_run.begin(), selector.of_run.end(), [&](const auto& term) {
          return (term.first == "commit" && run.build.commit.starts_with(term.second)) ||
                 (term.first == "tag" && has_tag(run, term.second)) ||
                 (term.first == "suite" && run.suite == term.second);
        }))
      return run;
  throw UserError(
      fmt::format("gate: --base {}: run {} was taken on {}, the run to judge on {}; a baseline belongs to one "
                  "machine (assay compare takes runs of two)",
                  ref, short_id(named.id), named.machine.name, head.machine.name),
      3);
}

GateReport gate(results_db::Store& store, const GateOptions& options) { return Gating(store, options)(); }

std::optional<double> median_clock(results_db::Store& store, const std::string& run, std::int64_t case_id) {
  std::vector<double> clocks;
  for (const auto& launch : store.launches(run, case_id))
    for (const float hz : launch.sample_clock_hz)
      if (hz > 0) clocks.push_back(hz);
  if (clocks.empty()) return std::nullopt;
  return stats::median(clocks);
}

std::string headline(const GateReport& report) {
  std::string missing;
  if (!report.missing.empty())
    missing = fmt::format("{} expected {} missing", report.missing.size(),
                          report.missing.size() == 1 ? "case is" : "cases are");
  if (report.cases.empty())
    return "nothing compared: " +
           (missing.empty() ? std::string("no case of the base has a value in this run") : missing);
  std::string line;
  const int slower = report.count(Verdict::slower);
  if (slower > 0) {
    const GatedCase& worst = report.cases.front();
    line = fmt::format("{} SLOWER, worst {} {}", slower, worst.compared.key_b, percent(worst.compared.decision.ratio));
  } else {
    line = "no confirmed regression";
  }
  line += fmt::format(" among {} compared", report.cases.size());
  if (report.suspects() > 0) line += fmt::format("; {} suspected, not confirmed", report.suspects());
  if (report.blind() > 0) line += fmt::format("; {} could not have shown {:.0f}%", report.blind(), 100 * blind_above);
  if (!missing.empty()) line += "; " + missing;
  return line;
}

std::string explain(const GateReport& report, const GatedCase& item) {
  const ComparedCase& row = item.compared;
  const stats::Decision& decision = row.decision;
  std::string out =
      fmt::format("{}\n  {}: {} from {} to {} ({}, {}", row.key_b, to_string(decision.verdict), percent(decision.ratio),
                  datasets::format_si(row.value_a, row.unit), datasets::format_si(row.value_b, row.unit), row.metric,
                  results_db::to_string(row.provenance));
  out +=
      decision.design == stats::Design::exact
          ? ", exact)\n"
          : fmt::format("), 95% interval {} to {}\n", percent(decision.interval.low), percent(decision.interval.high));
  if (decision.design != stats::Design::exact) {
    out += fmt::format("  launches: {} of {} base run{}, {} now{}\n", decision.launches_a, item.base_runs,
                       item.base_runs == 1 ? "" : "s", decision.launches_b,
                       item.confirm_runs > 0
                           ? fmt::format(" ({} confirming run{})", item.confirm_runs, item.confirm_runs == 1 ? "" : "s")
                           : "");
    if (decision.design == stats::Design::separate)
      out +=
          item.fence.known()
              ? fmt::format(
                    "  sessions of this case differ by up to {:.2g}% (from {} launches of {} runs): so much is "
                    "allowed\n",
                    100 * item.fence.allowance(), item.fence.launches, item.fence.runs)
              : fmt::format(
                    "  taken at separate times: {:.2g}% is allowed, as its own past does not say how sessions differ\n",
                    100 * decision.session_allowance);
    if (!std::isnan(decision.p))
      out += fmt::format("  rule: p {:.2g}, q {:.2g} over {} cases; size {} in multiples of noise or floor\n",
                         decision.p, decision.q, report.cases.size(), to_string(item.magnitude));
  }
  if (decision.design != stats::Design::exact)
    out += item.detectable
               ? fmt::format("  a slow-down of {:.1f}% or more would have been SLOWER here\n", 100 * *item.detectable)
               : std::string("  no slow-down up to 100% could have been SLOWER here\n");
  if (!decision.reason.empty()) out += "  undecided: " + decision.reason + "\n";
  if (!row.note.empty()) out += "  note: " + row.note + "\n";
  if (row.same_code)
    out += "  the code of this case is the same on both sides: look at the machine, not at the commit\n";
  if (item.since)
    out +=
        fmt::format("  first bad run: {}{} ({}{})\n", short_id(item.since->run),
                    item.since->commit.empty() ? "" : ", commit " + item.since->commit.substr(0, 12), item.since->found,
                    item.since->last_good.empty() ? "" : ", last good " + short_id(item.since->last_good));
  if (item.clock_a && item.clock_b)
    out += fmt::format("  clock: {} at the base, {} now ({}); time times clock changed by {}\n",
                       datasets::format_si(*item.clock_a, "Hz"), datasets::format_si(*item.clock_b, "Hz"),
                       percent(*item.clock_b / *item.clock_a), percent(decision.ratio * *item.clock_b / *item.clock_a));
  else if (item.suspect)
    out += "  clock: not readable here, so a slower clock cannot be told from slower code\n";
  if (report.environment.empty()) {
    out += "  environment: the same machine, build and settings\n";
  } else {
    std::vector<std::string> parts;
    for (const auto& one : report.environment)
      parts.push_back(fmt::format("{} {} -> {}", one.what, one.a.empty() ? "-" : one.a, one.b.empty() ? "-" : one.b));
    constexpr std::size_t most = 6;
    const std::size_t more = parts.size() > most ? parts.size() - most : 0;
    parts.resize(parts.size() - more);
    out += fmt::format("  environment differs: {}{}\n", fmt::join(parts, "; "),
                       more > 0 ? fmt::format("; and {} more", more) : "");
  }
  return out;
}

int record_alerts(results_db::Store& store, const GateReport& report) {
  const std::vector<results_db::AlertRecord> known = store.alerts();
  int added = 0;
  for (const GatedCase& item : report.cases) {
    if (!item.suspect) continue;
    const ComparedCase& row = item.compared;
    const bool confirmed = row.decision.verdict == Verdict::slower;
    const std::string run = item.since ? item.since->run : report.head.id;
    const auto before = std::find_if(known.begin(), known.end(), [&](const results_db::AlertRecord& one) {
      return one.run == run && one.case_id == row.id_b && one.metric == row.metric && one.kind == "regression";
    });
    if (before != known.end()) {
      if (confirmed && before->outcome == "open") store.set_alert_outcome(before->id, "confirmed", before->note);
      continue;
    }
    results_db::AlertRecord alert;
    alert.run = run;
    alert.case_id = row.id_b;
    alert.kind = "regression";
    alert.metric = row.metric;
    alert.effect = row.decision.ratio - 1;
    if (!std::isnan(row.decision.q)) alert.probability = row.decision.q;
    alert.outcome = confirmed ? "confirmed" : "open";
    alert.note = fmt::format("{} {} against run {}, seen in run {}", to_string(row.decision.verdict),
                             percent(row.decision.ratio), short_id(report.base.id), short_id(report.head.id));
    alert.at_ns = report.head.started_ns;
    store.put_alert(alert);
    ++added;
  }
  return added;
}

}  // namespace assay::harness
