#include "harness/cli/confirm.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/cli/compare_live.h"
#include "harness/environment.h"
#include "harness/history.h"
#include "harness/runner.h"
#include "harness/suite.h"

namespace assay::cli {
namespace {

using harness::GatedCase;
using harness::GateReport;
using harness::stats::Verdict;

// Launches of this build are further launches of a run only if that run was of this build.
void refuse_other_build(const results_db::RunRecord& head) {
  const results_db::BuildRecord own = harness::capture_build();
  if (harness::capture_machine().id != head.machine.id)
    throw UserError(fmt::format("gate: --confirm launches here, but run {} was taken on {}", head.id.substr(0, 8),
                                head.machine.name));
  if (own.id != head.build.id)
    throw UserError(
        fmt::format("gate: --confirm launches this build (commit {}), but run {} was made by another ({}); "
                    "use the binary that made it",
                    own.commit.substr(0, 12), head.id.substr(0, 8), head.build.commit.substr(0, 12)));
}

std::vector<const GatedCase*> open_cases(const GateReport& report, bool all_unsure) {
  std::vector<const GatedCase*> open;
  for (const GatedCase& item : report.cases)
    if (item.compared.decision.verdict == Verdict::unsure && (item.suspect || all_unsure)) open.push_back(&item);
  return open;
}

// The suspects once more, in rounds over all of them, as a run of its own that the gate adds to the judged one.
void launch_again(results_db::Store& store, const GateReport& report, const std::vector<const GatedCase*>& open,
                  const ConfirmArguments& given, const Context& context) {
  harness::Suite suite;
  int launches = 0;
  for (const auto& row : store.cases_of(report.head.id)) {
    const auto at =
        std::find_if(open.begin(), open.end(), [&](const GatedCase* one) { return one->compared.id_b == row.id; });
    if (at == open.end()) continue;
    harness::Suite one = harness::suite_of_record(row.record);
    suite.entries.insert(suite.entries.end(), one.entries.begin(), one.entries.end());
    // As many as a verdict takes; where it had that many, as many again.
    const auto& decision = (*at)->compared.decision;
    const int least = harness::stats::DecisionRule{}.min_launches;
    launches = std::max(launches, decision.launches_b < least ? least - decision.launches_b : least);
  }
  try {
    suite.settings = harness::parse_suite(report.head.suite_toml, "run " + report.head.id).settings;
  } catch (const UserError&) {  // made by another version: measured with the defaults
    suite.settings = {};
  }
  suite.settings.launches = launches;
  suite.id = report.head.suite;
  suite.title = "suspects of run " + report.head.id;
  suite.settings.tags.clear();
  harness::RunOptions options;
  options.command = context.command_line;
  options.tags = {harness::confirm_tag(report.head)};
  options.gate = false;  // checked when the run was made
  options.ignore_load = given.ignore_load;
  fmt::print(stderr, "launching {} suspect{} again, {} times each\n", open.size(), open.size() == 1 ? "" : "s",
             launches);
  const harness::RunSummary summary = harness::run_suite(store, suite, options);
  for (const std::string& warning : summary.warnings) fmt::print(stderr, "note: {}\n", warning);
  if (summary.interrupted) throw UserError("gate: interrupted while launching suspects again", 130);
}

// Base and present build in turns: what happens to the machine happens to both, and nothing has to be allowed for.
void launch_in_turns(GateReport& report, const std::vector<const GatedCase*>& open, const harness::GateOptions& options,
                     const std::string& base_binary, const Context& context) {
  for (const GatedCase* one : open) {
    harness::Selector selector;
    selector.text = report.head.id + ":case=" + one->compared.key_b;
    selector.run = report.head.id;
    selector.names_run = true;
    selector.where = {{"case", one->compared.key_b}};
    LiveArguments live;
    live.live = true;
    live.program_a = base_binary;
    live.launches = options.rule.min_launches;
    fmt::print(stderr, "launching {} of both builds in turns\n", one->compared.key_b);
    harness::Comparison found = run_live(selector, selector, live, options.rule, options.metric, false, context);
    if (found.cases.size() != 1)
      throw UserError(fmt::format("gate: --base-binary: {}: {}", one->compared.key_b,
                                  found.not_compared.empty() ? "no value" : found.not_compared.front().second),
                      3);
    for (GatedCase& item : report.cases) {
      if (item.compared.id_b != one->compared.id_b) continue;
      item.compared.decision = found.cases.front().decision;
      item.compared.value_a = found.cases.front().value_a;
      item.compared.value_b = found.cases.front().value_b;
      item.compared.note = fmt::format("judged by launches in turns, runs {} and {}", found.run_a.id.substr(0, 8),
                                       found.run_b.id.substr(0, 8));
      item.base_runs = 1;
      item.confirm_runs = 0;
      item.suspect = item.compared.decision.verdict == Verdict::slower;
      if (!item.suspect) item.since.reset();
    }
  }
}

}  // namespace

GateReport gate_and_confirm(results_db::Store& store, const harness::GateOptions& options,
                            const ConfirmArguments& given, const Context& context) {
  GateReport report = harness::gate(store, options);
  const auto open = open_cases(report, given.all_unsure);
  if (open.empty()) return report;
  refuse_other_build(report.head);
  if (given.base_binary.empty()) {
    launch_again(store, report, open, given, context);
    return harness::gate(store, options);
  }
  store.close();
  launch_in_turns(report, open, options, given.base_binary, context);
  store = results_db::Store::open(context.database, results_db::Open::read_write);
  return report;
}

}  // namespace assay::cli
