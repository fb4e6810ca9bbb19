// assay compare: two selections of cases, stored or launched in turns now, joined and judged.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <sstream>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/compare_live.h"
#include "harness/cli/compare_view.h"
#include "harness/comparison.h"
#include "harness/gate.h"

namespace assay::cli {
namespace {

using harness::stats::DecisionRule;
using harness::stats::Verdict;

struct CompareArguments {
  std::string a, b;
  std::string min_effect = "2%";
  std::string session_noise = "5%";
  std::string metric;
  std::string unsure = "pass";
  std::string explain;  // "true": a flag; else which cases to explain in words
  CompareView view;
  LiveArguments live;
};

double fraction(const std::string& text, const char* option, double least) {
  const double value = datasets::parse_quantity(text, datasets::Dimension::fraction, option);
  if (value < least || value >= 1)
    throw UserError(fmt::format("compare: {}: found {}, expected {} and less than 100%", option, text,
                                least > 0 ? "more than 0.01%" : "0"));
  return value;
}

DecisionRule rule_of(const CompareArguments& given) {
  DecisionRule rule;
  rule.effect_floor = fraction(given.min_effect, "--min-effect", 1e-4);
  rule.session_allowance = fraction(given.session_noise, "--session-noise", 0);
  return rule;
}

constexpr int interrupted_code = 130;

int exit_code_of(const harness::Comparison& comparison, const std::string& unsure) {
  if (comparison.cases.empty()) return 3;
  if (comparison.count(Verdict::slower) > 0) return 1;
  return unsure == "fail" && comparison.count(Verdict::unsure) > 0 ? 1 : 0;
}

// Names one side of a stored comparison again.
std::string selector_of(const results_db::RunRecord& run, const harness::Selector& selector) {
  std::string text = run.id.substr(0, 8);
  for (const auto& [name, value] : selector.where) text += (text.size() == 8 ? ":" : ",") + name + "=" + value;
  return text;
}

// Cases whose key or name has all the words, told in words.
std::string in_words(results_db::Store& store, const harness::Comparison& comparison, const std::string& asked) {
  harness::GateReport report;
  report.base = comparison.run_a;
  report.head = comparison.run_b;
  report.environment = comparison.environment;
  std::string text = asked;
  std::replace(text.begin(), text.end(), ',', ' ');
  for (const harness::ComparedCase& row : comparison.cases) {
    std::istringstream words(text);
    bool fits = true;
    for (std::string word; words >> word;)
      fits = fits && (row.key_a + " " + row.key_b + " " + row.name).find(word) != std::string::npos;
    if (!fits) continue;
    harness::GatedCase item;
    item.compared = row;
    item.suspect = row.provenance == results_db::Provenance::measured;  // a clock has a say
    item.magnitude = harness::stats::magnitude_of(row.decision.ratio, row.decision.session_allowance,
                                                  harness::stats::DecisionRule{}.effect_floor);
    item.clock_a = harness::median_clock(store, comparison.run_a.id, row.id_a);
    item.clock_b = harness::median_clock(store, comparison.run_b.id, row.id_b);
    report.cases.push_back(std::move(item));
  }
  if (report.cases.empty())
    throw UserError(fmt::format("compare: --explain={}: no compared case has all of these words", asked));
  std::string out;
  for (const harness::GatedCase& item : report.cases) out += (out.empty() ? "" : "\n") + harness::explain(report, item);
  return out;
}

void print(const harness::Comparison& comparison, const CompareArguments& given, const DecisionRule& rule,
           Context& context) {
  const bool interrupted = given.live.live && comparison.run_a.status == "interrupted";
  context.exit_code = interrupted ? interrupted_code : exit_code_of(comparison, given.unsure);
  if (!given.explain.empty() && given.explain != "true" && !context.json) {
    results_db::Store store = results_db::Store::open(context.database, results_db::Open::read_only);
    fmt::print("{}", in_words(store, comparison, given.explain));
    return;
  }
  fmt::print("{}", context.json ? comparison_as_json(comparison, rule, context.exit_code)
                                : comparison_as_text(comparison, context, given.view));
  if (interrupted)
    fmt::print(stderr, "interrupted: everything measured is kept; compare it again with: assay compare {} {} --db {}\n",
               selector_of(comparison.run_a, comparison.selector_a),
               selector_of(comparison.run_b, comparison.selector_b), context.database);
}

void run_compare(CompareArguments given, Context& context) {
  for (std::string& verdict : given.view.only)
    std::transform(verdict.begin(), verdict.end(), verdict.begin(), [](unsigned char c) { return std::toupper(c); });
  const DecisionRule rule = rule_of(given);
  const harness::Selector a = harness::parse_selector(given.a);
  const harness::Selector b = harness::parse_selector(given.b);
  if (given.live.live) {
    print(run_live(a, b, given.live, rule, given.metric, given.unsure == "rerun", context), given, rule, context);
    return;
  }
  if (given.unsure == "rerun") throw UserError("compare: --unsure=rerun launches the cases again: it needs --live");
  if (!given.live.program_a.empty() || !given.live.program_b.empty())
    throw UserError("compare: --binary-a and --binary-b launch other builds: they need --live");
  results_db::Store store = results_db::Store::open(context.database, results_db::Open::read_only);
  print(harness::compare(store, a, b, rule, given.metric), given, rule, context);
}

}  // namespace

void add_compare(CLI::App& app, Context& context) {
  auto given = std::make_shared<CompareArguments>();
  CLI::App* command = app.add_subcommand("compare", "is B faster or slower than A, and is it real?");
  command->add_option("A", given->a, "what B is held against: a selector")->required()->type_name("SELECTOR");
  command->add_option("B", given->b, "what is judged: a selector")->required()->type_name("SELECTOR");
  command->add_flag("--live", given->live.live, "launch both sides in turns now (A B B A ...) and judge that");
  command->add_option("--launches", given->live.launches, "launches a side with --live")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  command->add_option("--max-launches", given->live.max_launches, "launches a side with --unsure=rerun, at most")
      ->check(CLI::Range(2, 10000))
      ->capture_default_str();
  command->add_option("--time-budget", given->live.time_budget, "sampling time of one launch with --live")
      ->capture_default_str();
  command->add_option("--binary-a", given->live.program_a, "another build of assay for side A, with --live")
      ->type_name("PROGRAM");
  command->add_option("--binary-b", given->live.program_b, "another build of assay for side B, with --live")
      ->type_name("PROGRAM");
  command->add_flag("--no-gate", given->live.no_gate, "with --live: do not check the results first");
  command->add_option("--min-effect", given->min_effect, "effects smaller than this do not matter")
      ->capture_default_str();
  command->add_option("--metric", given->metric,
                      "metric to compare (default: time, else step_time, else what both have)");
  command->add_option("--session-noise", given->session_noise, "what two sessions of one binary may differ by")
      ->capture_default_str();
  command->add_option("--unsure", given->unsure, "what UNSURE means for the exit code")
      ->check(CLI::IsMember({"pass", "fail", "rerun"}))
      ->capture_default_str();
  command->add_option("--only", given->view.only, "show only these verdicts; the others are counted")
      ->delimiter(',')
      ->check(CLI::IsMember({"faster", "slower", "same", "unsure"}, CLI::ignore_case));
  command->add_flag("--explain", given->explain,
                    "p, q, design and reason of every row; --explain=WORDS: those cases in words");
  command->add_flag("--markdown", given->view.markdown, "the table as Markdown");
  command->footer(
      "A selector is RUN, KEY=VALUE,KEY=VALUE... or RUN:KEY=VALUE,...\n"
      "  RUN    a run id or the start of one, a tag, latest, latest~1 ...; latest when left out\n"
      "  KEY    technique, family, backend, fabric, timer, cache, case or an axis (head_dim=128, sequence_length=4k);\n"
      "         or, choosing the run: commit (its beginning), machine (name or id), tag, suite\n"
      "Cases are joined on everything neither selector names, so a selector that names an axis compares across it.\n"
      "With --live a selector of technique=NAME without a run needs no stored run: axes it leaves out have their\n"
      "defaults. The launches are stored as two runs, tagged live-a and live-b. --unsure=rerun goes on launching what "
      "is\n"
      "UNSURE, twice as often each time, up to --max-launches.\n"
      "A verdict needs 10 launches a side; docs/methodology.md says how it is reached.\n"
      "Exit code: 0 nothing slower, 1 something SLOWER (or UNSURE with --unsure=fail), 2 usage, 3 nothing compared,\n"
      "130 interrupted.\n"
      "Examples:\n"
      "  assay compare latest~1 latest\n"
      "  assay compare latest:technique=flash-attention-1 latest:technique=flash-attention-2\n"
      "  assay compare dtype=fp32 dtype=bf16 --min-effect 5% --only slower\n"
      "  assay compare main my-branch --unsure=fail --json\n"
      "  assay compare before after --explain=flash-attention-2,sequence_length=4096\n"
      "  assay compare machine=lab machine=desk\n"
      "  assay compare commit=3f2a91c,technique=flash-attention-2 commit=77b01de,technique=flash-attention-2\n"
      "  assay compare --live technique=flash-attention-1 technique=flash-attention-2 --unsure=rerun\n"
      "  assay compare --live latest latest --binary-a old/bin/assay --binary-b new/bin/assay");
  command->callback([given, &context] {
    given->view.explain = given->explain == "true";
    run_compare(*given, context);
  });
}

}  // namespace assay::cli
