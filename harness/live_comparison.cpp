#include "harness/live_comparison.h"

#include <algorithm>
#include <set>

#include "harness/clock.h"
#include "harness/environment.h"
#include "harness/runner.h"
#include "harness/signals.h"

namespace assay::harness {
namespace {

// The cases of one side as one suite, enough to run them again.
std::string suite_text(const std::vector<LivePair>& pairs, bool is_b) {
  Suite suite;
  for (const LivePair& pair : pairs) {
    Suite one = suite_of_record((is_b ? pair.b : pair.a).record());
    if (suite.entries.empty())
      suite = one;
    else
      suite.entries.insert(suite.entries.end(), one.entries.begin(), one.entries.end());
  }
  suite.expected_cases.reset();
  return to_toml(suite);
}

class Live {
 public:
  Live(results_db::Store& store, const std::vector<LivePair>& pairs, const LiveSide& a, const LiveSide& b,
       const LiveOptions& options, const std::function<void(const LiveProgress&)>& progress)
      : store_(store), pairs_(pairs), sides_{&a, &b}, options_(options), progress_(progress) {}

  Comparison operator()() {
    const SignalScope signals;
    begin(0);
    begin(1);
    Comparison comparison;
    try {
      gate();
      comparison = measure();
    } catch (...) {
      finish("failed");
      throw;
    }
    finish(stop_requested() ? "interrupted" : "finished");
    comparison.run_a = store_.find_run(runs_[0]);
    comparison.run_b = store_.find_run(runs_[1]);
    return comparison;
  }

 private:
  Comparison measure() {
    int launches = options_.launches + options_.launches % 2;
    // Looking again at what is unsure is a chance more to be wrong: the looks share the rate.
    std::vector<int> looks = {launches};
    while (options_.rerun_unsure && looks.back() < options_.max_launches)
      looks.push_back(std::min(2 * looks.back(), options_.max_launches + options_.max_launches % 2));
    stats::DecisionRule rule = options_.rule;
    rule.false_rate /= static_cast<double>(looks.size());

    std::set<std::size_t> open;
    for (std::size_t i = 0; i < pairs_.size(); ++i) open.insert(i);
    Comparison comparison;
    for (const int wanted : looks) {
      launch_until(wanted, open);
      comparison = judge(rule);
      open.clear();
      for (const ComparedCase& row : comparison.cases)
        if (row.decision.verdict == stats::Verdict::unsure) open.insert(pair_of(row));
      if (open.empty() || stop_requested()) break;
    }
    return comparison;
  }

  void finish(const std::string& status) {
    for (const std::string& run : runs_) store_.finish_run(run, status, unix_ns());
  }

  const Case& item(std::size_t pair, std::size_t side) const { return side == 0 ? pairs_[pair].a : pairs_[pair].b; }

  void begin(std::size_t side) {
    results_db::RunRecord run;
    run.id = runs_[side] = fresh_run_id();
    run.suite = "compare-live";
    run.suite_toml = suite_text(pairs_, side == 1);
    run.command = options_.command;
    run.machine = capture_machine();
    run.build = sides_[side]->build;
    run.started_ns = unix_ns();
    run.status = "running";
    run.expected_cases = static_cast<int>(pairs_.size());
    run.tags = {side == 0 ? "live-a" : "live-b"};
    run.environment_json = capture_environment_json();
    store_.begin_run(run);
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const Case& one = item(i, side);
      store_.put_technique(one.technique->id, one.technique->title, one.technique->paper);
      ids_[side].push_back(store_.put_case(one.record()));
    }
    broken_[side].resize(pairs_.size());
    taken_[side].resize(pairs_.size());
  }

  void append(std::size_t pair, std::size_t side, results_db::LaunchRecord record) {
    record.run = runs_[side];
    record.case_id = ids_[side][pair];
    record.ordinal = taken_[side][pair]++;
    if (record.descriptors_json.empty()) record.descriptors_json = "{}";
    if (record.environment_json.empty()) record.environment_json = "{}";
    if (record.started_ns == 0) record.started_ns = unix_ns();
    if (record.status != results_db::Status::ok) {
      broken_[side][pair] = true;
      record.samples.clear();
      record.metrics.clear();
      record.warmup = 0;
    }
    store_.append_launch(record);
  }

  void gate() {
    for (std::size_t side = 0; side < 2; ++side) {
      if (!sides_[side]->gate) continue;
      for (std::size_t i = 0; i < pairs_.size(); ++i) {
        if (item(i, side).timer == "virtual") continue;
        if (stop_requested()) return;
        const std::optional<results_db::GateRecord> checked = sides_[side]->gate(item(i, side));
        if (!checked) return;
        results_db::GateRecord record = *checked;
        record.run = runs_[side];
        record.case_id = ids_[side][i];
        store_.put_gate(record);
        if (record.status == results_db::Status::ok) continue;
        results_db::LaunchRecord failed;
        failed.status = record.status;
        failed.reason = record.reason;
        append(i, side, failed);
        if (taken_[1 - side][i] > 0) continue;
        results_db::LaunchRecord skipped;
        skipped.status = results_db::Status::skipped;
        skipped.reason = "the other side failed its check";
        append(i, 1 - side, skipped);
      }
    }
  }

  bool is_broken(std::size_t pair) const { return broken_[0][pair] || broken_[1][pair]; }

  // Whole rounds over all open pairs: each pair gets one block of four a round.
  void launch_until(int wanted, const std::set<std::size_t>& open) {
    int total = 0;
    for (const std::size_t i : open)
      total += item(i, 0).timer == "virtual" ? 2 : 2 * wanted - taken_[0][i] - taken_[1][i];
    int done = 0;
    for (bool any = true; any;) {
      any = false;
      for (const std::size_t i : open) {
        if (stop_requested()) return;
        if (is_broken(i) || taken_[0][i] >= wanted) continue;
        if (item(i, 0).timer == "virtual") {
          for (std::size_t side = 0; taken_[1][i] == 0 && side < 2 && !stop_requested(); ++side)
            launch(i, side, done, total);
          continue;
        }
        any = true;
        const std::size_t first = static_cast<std::size_t>(taken_[0][i] / 2 % 2);  // A B B A, then B A A B
        for (const std::size_t side : {first, 1 - first, 1 - first, first}) {
          if (is_broken(i) || stop_requested()) break;
          launch(i, side, done, total);
        }
      }
    }
  }

  void launch(std::size_t pair, std::size_t side, int& done, int total) {
    if (progress_) progress_({done, total, item(pair, side).record().key});
    const auto record = sides_[side]->launch(item(pair, side), taken_[side][pair]);
    if (!record) return;
    append(pair, side, *record);
    ++done;
  }

  Comparison judge(const stats::DecisionRule& rule) {
    Selector a = sides_[0]->selector;
    Selector b = sides_[1]->selector;
    a.run = runs_[0];
    b.run = runs_[1];
    a.of_run.clear();
    b.of_run.clear();
    return compare(store_, a, b, rule, options_.metric);
  }

  std::size_t pair_of(const ComparedCase& row) const {
    for (std::size_t i = 0; i < pairs_.size(); ++i)
      if (pairs_[i].a.record().key == row.key_a && pairs_[i].b.record().key == row.key_b) return i;
    return 0;
  }

  results_db::Store& store_;
  const std::vector<LivePair>& pairs_;
  const LiveSide* sides_[2];
  const LiveOptions& options_;
  const std::function<void(const LiveProgress&)>& progress_;
  std::string runs_[2];
  std::vector<std::int64_t> ids_[2];
  std::vector<bool> broken_[2];
  std::vector<int> taken_[2];
};

}  // namespace

Comparison compare_live(results_db::Store& store, const std::vector<LivePair>& pairs, const LiveSide& a,
                        const LiveSide& b, const LiveOptions& options,
                        const std::function<void(const LiveProgress&)>& progress) {
  return Live(store, pairs, a, b, options, progress)();
}

}  // namespace assay::harness
