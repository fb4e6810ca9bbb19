#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/kernels_view.h"
#include "harness/cli/run_view.h"
#include "harness/cli/timeline_view.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

struct ShowArguments {
  std::string run = "latest";
  ViewOptions view;
  bool runs = false;
  std::string samples;
  bool kernels = false;
  bool timeline = false;
  std::string timeline_of;
  bool all_ranks = false;
};

void show_runs(results_db::Store& store, const Context& context) {
  const auto runs = store.runs();
  if (context.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& run : runs)
      list.push_back({{"id", run.id},
                      {"suite", run.suite},
                      {"status", run.status},
                      {"started_ns", run.started_ns},
                      {"tags", run.tags},
                      {"machine", run.machine.id},
                      {"commit", run.build.commit}});
    fmt::print("{}\n", nlohmann::json{{"schema_version", 1}, {"runs", std::move(list)}}.dump(2));
    return;
  }
  harness::Table table;
  for (const char* title : {"run", "suite", "status", "machine", "commit", "tags"}) table.add_column({.title = title});
  for (const auto& run : runs) {
    std::string tags;
    for (const std::string& tag : run.tags) tags += (tags.empty() ? "" : " ") + tag;
    table.add_row({{run.id.substr(0, 8)},
                   {run.suite},
                   {run.status},
                   {run.machine.name},
                   {run.build.commit.substr(0, 12)},
                   {tags}});
  }
  fmt::print("{}", table.render(context.width, context.color));
  if (runs.empty()) fmt::print("no run yet in {}: `assay run quick` makes one\n", store.path());
}

// Every sample of the cases whose key contains `filter`, one a line, in the order taken.
void show_samples(results_db::Store& store, const results_db::RunRecord& run, const std::string& filter) {
  bool any = false;
  fmt::print("case,launch,sample,warmup,seconds,at_ns\n");
  for (const auto& item : store.cases_of(run.id)) {
    if (item.record.key.find(filter) == std::string::npos) continue;
    for (const auto& launch : store.launches(run.id, item.id)) {
      for (std::size_t i = 0; i < launch.samples.size(); ++i) {
        any = true;
        fmt::print("\"{}\",{},{},{},{:.9g},{}\n", item.record.key, launch.ordinal, i,
                   i < static_cast<std::size_t>(launch.warmup) ? 1 : 0, launch.samples[i],
                   i < launch.sample_at_ns.size() ? launch.sample_at_ns[i] : 0);
      }
    }
  }
  if (!any) throw UserError(fmt::format("no samples: no case of run {} contains '{}'", run.id.substr(0, 8), filter), 3);
}

void show(const ShowArguments& given, Context& context) {
  auto store = results_db::Store::open(context.database, results_db::Open::read_only);
  if (given.runs) {
    show_runs(store, context);
    return;
  }
  if (given.timeline) {
    TimelineChoice choice = timeline_choice(store, given.run, given.timeline_of);
    if (choice.filter.empty()) choice.filter = given.view.filter;
    choice.all_ranks = given.all_ranks;
    fmt::print("{}", timeline_of(store, choice, context));
    return;
  }
  const auto run = store.find_run(given.run);
  if (!given.samples.empty()) {
    show_samples(store, run, given.samples);
    return;
  }
  if (given.kernels) {
    fmt::print("{}", kernels_of(store, run, given.view.filter, context));
    return;
  }
  if (context.json)
    fmt::print("{}\n", run_as_json(store, run, given.view));
  else
    fmt::print("{}", run_as_text(store, run, context, given.view));
}

}  // namespace

void add_show(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("show", "the results of one run");
  auto given = std::make_shared<ShowArguments>();
  command->add_option("run", given->run, "run id or the start of one, a tag, latest, latest~1")->type_name("RUN");
  command->add_flag("--runs", given->runs, "the runs of the database, newest first");
  command->add_flag("--roofs", given->view.roofs, "also the rows of the machine's roofs");
  command->add_flag("--markdown", given->view.markdown, "tables as Markdown");
  command->add_option("--filter", given->view.filter, "only cases whose key contains this");
  command->add_option("--samples", given->samples, "every sample of the matching cases, as CSV")->type_name("FILTER");
  command->add_flag("--kernels", given->kernels,
                    "what ran on the GPU, of a run made with `assay run --kernels` (--json has every one), or its "
                    "counters, of one made with --counters");
  auto* timeline = command
                       ->add_option("--timeline", given->timeline_of,
                                    "what every rank and engine does when, of the case of the run whose key contains "
                                    "CASE; without it of the first that has a timeline")
                       ->type_name("RUN/CASE")
                       ->expected(0, 1);
  command->add_flag("--all-ranks", given->all_ranks, "with --timeline: also ranks that do the same as one before")
      ->needs(timeline);
  command->footer(
      "Examples:\n"
      "  assay show\n"
      "  assay show latest~1 --filter flash-attention-2\n"
      "  assay show before --markdown\n"
      "  assay show --samples dtype=bf16 > samples.csv\n"
      "  assay show kernel-activity --kernels\n"
      "  assay show --timeline latest/ring-attention\n"
      "The check column is the gate's error in units of its tolerance and the mutants it rejected.");
  command->callback([given, timeline, &context] {
    given->timeline = timeline->count() > 0;
    show(*given, context);
  });
}

}  // namespace assay::cli
