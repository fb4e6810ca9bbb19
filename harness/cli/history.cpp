// assay history: one case over its runs, with the changes of its level.
#include "harness/history.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/history_view.h"

namespace assay::cli {
namespace {

struct HistoryArguments {
  std::vector<std::string> words;
  std::string machine;
  std::string metric;
  std::string min_effect = "2%";
  int rows = 20;
  bool markdown = false;
};

void show_history(const HistoryArguments& given, Context& context) {
  harness::stats::ChangeRule rule;
  rule.effect_floor = datasets::parse_quantity(given.min_effect, datasets::Dimension::fraction, "--min-effect");
  if (rule.effect_floor <= 0 || rule.effect_floor >= 1)
    throw UserError(
        fmt::format("history: --min-effect: found {}, expected more than 0 and less than 100%", given.min_effect));
  auto store = results_db::Store::open(context.database, results_db::Open::read_only);
  std::string words;
  for (const std::string& word : given.words) words += (words.empty() ? "" : " ") + word;
  const results_db::CaseRow item = harness::find_case(store, words);
  const results_db::MachineRecord machine = harness::find_machine(store, given.machine);
  const harness::CaseHistory history = harness::read_history(store, item, machine, given.metric, rule);
  if (context.json)
    fmt::print("{}", history_as_json(history));
  else if (!history.runs.empty())
    fmt::print("{}", history_as_text(history, context, given.rows, given.markdown));
  if (history.runs.empty()) {
    fmt::print(stderr, "nothing measured: no run on {} has a value of {} for {} (--machine names another)\n",
               machine.name, history.metric, item.record.key);
    context.exit_code = 3;
  }
}

}  // namespace

void add_history(CLI::App& app, Context& context) {
  auto given = std::make_shared<HistoryArguments>();
  CLI::App* command = app.add_subcommand("history", "one case over its runs: levels, changes, fence");
  command->add_option("CASE", given->words, "its key, or words that only one case has: a technique, axis=value")
      ->required()
      ->type_name("WORD...");
  command->add_option("--machine", given->machine, "name or beginning of an id (default: of the newest run)");
  command->add_option("--metric", given->metric, "default: time, else step_time, else what the case has");
  command->add_option("--min-effect", given->min_effect, "changes smaller than this do not matter")
      ->capture_default_str();
  command->add_option("--rows", given->rows, "runs in the table, newest; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--markdown", given->markdown, "the table as Markdown, without the plot");
  command->footer(
      "A run's value is the median of its launch medians. A change of level is marked where a cut of the series is\n"
      "worth its penalty: step (a jump) or ramp (a climb). The fence is what the case does by itself at its present\n"
      "level; docs/tracking.md says how both are found.\n"
      "Exit code: 0 shown, 2 usage (no such case, several), 3 nothing measured there.\n"
      "Examples:\n"
      "  assay history flash-attention-2 seq=4k dtype=bf16 causal=1\n"
      "  assay history 'attention/flash-attention-2 cpu causal=1 ...' --json\n"
      "  assay history naive-attention sequence_length=1024 --machine lab --metric flops_rate");
  command->callback([given, &context] { show_history(*given, context); });
}

}  // namespace assay::cli
