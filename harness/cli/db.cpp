// assay db: keeping results databases. Everything here stands on the store; nothing knows SQL.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "results_db/export.h"
#include "results_db/import.h"
#include "results_db/sample_database.h"
#include "results_db/store.h"

namespace assay::cli {
namespace {

using nlohmann::json;
using results_db::Open;
using results_db::Store;

constexpr int json_schema_version = 1;

void print_json(json document) {
  document["schema_version"] = json_schema_version;
  fmt::print("{}\n", document.dump(2, ' ', false, json::error_handler_t::replace));
}

std::string bytes_text(std::int64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string date_text(std::int64_t unix_ns) {
  const std::time_t seconds = unix_ns / 1'000'000'000;
  std::tm time{};
  gmtime_r(&seconds, &time);
  return fmt::format("{:04}-{:02}-{:02}", time.tm_year + 1900, time.tm_mon + 1, time.tm_mday);
}

void tell(const Store& store) {
  for (const std::string& note : store.notes()) fmt::print(stderr, "assay: note: {}\n", note);
}

// -- info
// ---------------------------------------------------------------------------------------------------------------------

void info(const Context& context, const std::string& path) {
  Store store = Store::open(path, Open::read_only);
  const results_db::StoreInfo i = store.info();
  if (context.json) {
    print_json({{"path", i.path},
                {"database_schema", i.schema},
                {"file_bytes", i.file_bytes},
                {"journal", i.journal},
                {"machines", i.machines},
                {"runs", i.runs},
                {"unfinished_runs", i.unfinished_runs},
                {"cases", i.cases},
                {"launches", i.launches},
                {"failed_launches", i.failed_launches},
                {"samples", i.samples},
                {"sample_bytes", i.sample_bytes},
                {"pruned_launches", i.pruned_launches},
                {"claims", i.claims},
                {"verdicts", i.verdicts},
                {"first_ns", i.first_ns},
                {"last_ns", i.last_ns},
                {"notes", store.notes()}});
    return;
  }
  tell(store);
  fmt::print("{}: schema {}, {}, journal {}\n", i.path, i.schema, bytes_text(i.file_bytes), i.journal);
  const std::string span = i.runs == 0 ? "" : fmt::format(", {} to {}", date_text(i.first_ns), date_text(i.last_ns));
  fmt::print("  runs      {} ({} unfinished) on {} machines{}\n", i.runs, i.unfinished_runs, i.machines, span);
  fmt::print("  cases     {}\n", i.cases);
  fmt::print("  launches  {} ({} failed, {} with samples pruned)\n", i.launches, i.failed_launches, i.pruned_launches);
  fmt::print("  samples   {} ({})\n", i.samples, bytes_text(i.sample_bytes));
  fmt::print("  claims    {}, verdicts {}\n", i.claims, i.verdicts);
}

// -- check
// --------------------------------------------------------------------------------------------------------------------

void check(Context& context, const std::string& path) {
  Store store = Store::open(path, Open::read_only);
  const results_db::CheckReport report = store.check();
  if (!report.clean()) context.exit_code = 2;
  if (context.json) {
    print_json({{"path", path}, {"clean", report.clean()}, {"problems", report.problems}, {"notes", report.notes}});
    return;
  }
  for (const std::string& problem : report.problems) fmt::print("problem: {}\n", problem);
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  if (report.clean()) {
    const results_db::StoreInfo i = store.info();
    fmt::print("{}: clean ({} runs, {} launches, {} samples)\n", path, i.runs, i.launches, i.samples);
  } else {
    fmt::print("{}: {} problems\n", path, report.problems.size());
  }
}

// -- merge
// --------------------------------------------------------------------------------------------------------------------

void merge(const Context& context, const std::vector<std::string>& files) {
  // A file that cannot be read leaves no empty database behind.
  if (!std::filesystem::exists(context.database))
    for (const std::string& file : files) Store::open(file, Open::read_only);
  Store store = Store::open(context.database, Open::create);
  json merged = json::array();
  if (!context.json) tell(store);
  for (const std::string& file : files) {
    const results_db::MergeReport r = store.merge(file);
    merged.push_back({{"file", file},
                      {"runs_added", r.runs_added},
                      {"runs_known", r.runs_known},
                      {"cases_added", r.cases_added},
                      {"launches_added", r.launches_added},
                      {"verdicts_added", r.verdicts_added}});
    if (!context.json)
      fmt::print("{}: {} runs added, {} known already; {} launches, {} cases, {} verdicts added\n", file, r.runs_added,
                 r.runs_known, r.launches_added, r.cases_added, r.verdicts_added);
  }
  store.close();
  if (context.json) print_json({{"database", context.database}, {"merged", merged}});
}

// -- import
// -------------------------------------------------------------------------------------------------------------------

void import_files(const Context& context, const std::vector<std::string>& files,
                  const results_db::ImportOptions& options) {
  // All files are read before anything is stored: one that is wrong leaves the database as it was, or absent.
  std::vector<results_db::ImportedFile> read;
  for (const std::string& file : files) read.push_back(results_db::read_import(file, options));
  Store store = Store::open(context.database, Open::create);
  json imported = json::array();
  if (!context.json) tell(store);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string& file = files[i];
    const results_db::ImportReport r = results_db::store_import(store, std::move(read[i]));
    imported.push_back({{"file", file},
                        {"format", r.format},
                        {"run", r.run},
                        {"known", r.known},
                        {"cases", r.cases},
                        {"launches", r.launches},
                        {"failed", r.failed},
                        {"skipped", r.skipped}});
    if (context.json) continue;
    if (r.known)
      fmt::print("{}: imported before, as run {}\n", file, r.run);
    else
      fmt::print("{}: {}, run {}: {} cases, {} launches ({} failed, {} skipped)\n", file, r.format, r.run, r.cases,
                 r.launches, r.failed, r.skipped);
  }
  store.close();
  if (context.json) print_json({{"database", context.database}, {"imported", imported}});
}

// -- export
// -------------------------------------------------------------------------------------------------------------------

struct ExportChoice {
  std::vector<std::string> runs;
  std::string format = "csv";
  std::string output;
  bool samples = false;
};

void export_runs(const Context& context, const ExportChoice& choice) {
  const std::string format = context.json ? "json" : choice.format;
  if (format != "csv" && format != "json" && format != "trace")
    throw UserError(fmt::format("--format: found '{}', expected csv, json or trace", format));
  if (choice.samples && format != "json") throw UserError("--samples: only json carries raw samples (--format json)");
  Store store = Store::open(context.database, Open::read_only);
  std::vector<results_db::RunRecord> runs;
  for (const std::string& selector : choice.runs) runs.push_back(store.find_run(selector));
  if (choice.runs.empty()) runs = store.runs();
  if (runs.empty()) throw UserError(fmt::format("{}: holds no run to export", context.database), 3);

  std::ofstream file;
  if (!choice.output.empty()) {
    file.open(choice.output, std::ios::binary);
    if (!file) throw UserError(fmt::format("{}: cannot be written", choice.output));
  }
  std::ostream& out = choice.output.empty() ? std::cout : file;
  if (format == "csv")
    results_db::export_csv(store, runs, out);
  else if (format == "json")
    results_db::export_json(store, runs, choice.samples, out);
  else
    results_db::export_trace(store, runs, out);
  out.flush();
  if (!out)
    throw UserError(fmt::format("{}: writing failed", choice.output.empty() ? "standard output" : choice.output));
}

// -- prune
// --------------------------------------------------------------------------------------------------------------------

void prune(const Context& context, double keep_days, bool dry_run) {
  if (!(keep_days >= 0))
    throw UserError(fmt::format("--keep-days: found {}, expected a number of days from 0 on", keep_days));
  Store store = Store::open(context.database, dry_run ? Open::read_only : Open::read_write);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const double now_ns = static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  const results_db::PruneReport r =
      store.prune(static_cast<std::int64_t>(std::max(0.0, now_ns - keep_days * 86'400e9)), dry_run);
  store.close();
  if (context.json) {
    print_json({{"database", context.database},
                {"dry_run", dry_run},
                {"keep_days", keep_days},
                {"launches", r.launches},
                {"samples", r.samples},
                {"sample_bytes", r.bytes},
                {"file_bytes_before", r.file_bytes_before},
                {"file_bytes_after", r.file_bytes_after}});
    return;
  }
  fmt::print("{}: raw samples of {} launches older than {} days {}: {} samples, {}\n", context.database, r.launches,
             keep_days, dry_run ? "would go" : "are gone", r.samples, bytes_text(r.bytes));
  if (!dry_run) fmt::print("  file: {} -> {}\n", bytes_text(r.file_bytes_before), bytes_text(r.file_bytes_after));
  fmt::print("  metrics, quantiles and histograms stay\n");
}

// -- tag
// ----------------------------------------------------------------------------------------------------------------------

void tag_run(const Context& context, const std::string& selector, const std::vector<std::string>& tags) {
  for (const std::string& tag : tags)
    if (tag.empty() || tag.starts_with("latest") || tag.find_first_of(" ,:=") != std::string::npos)
      throw UserError(
          fmt::format("db tag: found '{}', expected a word without spaces, commas, colons and equals signs, "
                      "and not latest",
                      tag));
  Store store = Store::open(context.database, Open::read_write);
  results_db::RunRecord run = store.find_run(selector);
  run.tags.insert(run.tags.end(), tags.begin(), tags.end());
  store.begin_run(run);  // of a run that is there: its tags are added, everything else stays
  run = store.find_run(run.id);
  store.close();
  if (context.json)
    print_json({{"run", run.id}, {"tags", run.tags}});
  else
    fmt::print("run {} on {} is tagged {}\n", run.id.substr(0, 8), run.machine.name, fmt::join(run.tags, " "));
}

// -- the parser
// ---------------------------------------------------------------------------------------------------------------

CLI::App* add(CLI::App* parent, const char* name, const char* summary, const char* examples) {
  CLI::App* command = parent->add_subcommand(name, summary);
  command->footer(std::string("Examples:\n") + examples);
  return command;
}

void add_reading(CLI::App* db, Context& context) {
  const auto path_of = [&context](const std::shared_ptr<std::string>& file) {
    return file->empty() ? context.database : *file;
  };
  auto file = std::make_shared<std::string>();
  CLI::App* command = add(db, "info", "what a database holds",
                          "  assay db info\n"
                          "  assay db info nightly.db --json\n");
  command->add_option("FILE", *file, "database (default: --db)");
  command->callback([&context, file, path_of] { info(context, path_of(file)); });

  auto checked = std::make_shared<std::string>();
  command = add(db, "check", "is a database sound? Exits 2 when it is not",
                "  assay db check\n"
                "  assay db check nightly.db --json\n");
  command->add_option("FILE", *checked, "database (default: --db)");
  command->callback([&context, checked, path_of] { check(context, path_of(checked)); });

  auto choice = std::make_shared<ExportChoice>();
  command = add(db, "export", "write runs as CSV, JSON or a Chrome trace",
                "  assay db export > all.csv\n"
                "  assay db export latest --format json --samples -o latest.json\n"
                "  assay db export latest --format trace -o trace.json   (open in ui.perfetto.dev)\n");
  command->add_option("RUN", choice->runs, "runs: an id or its beginning, a tag, latest, latest~1 (default: all)");
  command->add_option("--format", choice->format, "csv, json or trace (default: csv)");
  command->add_option("-o,--output", choice->output, "file to write (default: standard output)");
  command->add_flag("--samples", choice->samples, "with raw samples (json only)");
  command->callback([&context, choice] { export_runs(context, *choice); });
}

void add_writing(CLI::App* db, Context& context) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      add(db, "merge", "bring the runs of other databases into --db; what is there already is left alone",
          "  assay --db all.db db merge laptop.db server.db\n");
  command->add_option("FILE", *files, "databases to read")->required();
  command->callback([&context, files] { merge(context, *files); });

  auto sources = std::make_shared<std::vector<std::string>>();
  auto options = std::make_shared<results_db::ImportOptions>();
  auto format = std::make_shared<std::string>("auto");
  command = add(db, "import",
                "bring in results of Google Benchmark, NVBench or nccl-tests; the same file twice changes nothing",
                "  assay db import bench.json\n"
                "  assay db import all_reduce_perf.txt --tag fabric-a\n"
                "  assay db import out.txt --format nccl-tests --name all_gather\n");
  command->add_option("FILE", *sources, "files to read")->required();
  command->add_option("--format", *format, "auto, google-benchmark, nvbench or nccl-tests (default: auto)");
  command->add_option("--name", options->name, "collective an nccl-tests file does not name");
  command->add_option("--tag", options->tags, "tags of the new runs")->take_all();
  command->callback([&context, sources, options, format] {
    options->format = results_db::import_format_from(*format);
    import_files(context, *sources, *options);
  });

  auto run = std::make_shared<std::string>();
  auto tags = std::make_shared<std::vector<std::string>>();
  command = add(db, "tag", "mark a run, to find it again by name: the newest run with a tag is the one that is meant",
                "  assay db tag latest baseline\n");
  command->add_option("RUN", *run, "an id or its beginning, a tag, latest, latest~1")->required();
  command->add_option("TAG", *tags, "one or more words")->required();
  command->callback([&context, run, tags] { tag_run(context, *run, *tags); });

  auto keep_days = std::make_shared<double>(0);
  auto dry_run = std::make_shared<bool>(false);
  command = add(db, "prune", "drop raw samples of old launches; metrics, quantiles and histograms stay",
                "  assay db prune --keep-days 90 --dry-run\n"
                "  assay db prune --keep-days 90\n");
  command->add_option("--keep-days", *keep_days, "keep raw samples of this many days")->required();
  command->add_flag("--dry-run", *dry_run, "only say what would go");
  command->callback([&context, keep_days, dry_run] { prune(context, *keep_days, *dry_run); });

  auto target = std::make_shared<std::string>();
  command = add(db, "sample", "write a small database of made-up results, to try viewers on",
                "  assay db sample sample.db\n"
                "  assay show --db sample.db\n");
  command->add_option("FILE", *target, "file to make")->required();
  command->callback([&context, target] {
    results_db::write_sample_database(*target);
    if (context.json)
      print_json({{"path", *target}});
    else
      fmt::print("{}: made-up results, labelled so (suite, machine and tag \"sample\")\n", *target);
  });
}

}  // namespace

void add_db(CLI::App& app, Context& context) {
  CLI::App* db = add(&app, "db", "keep results databases: info, check, merge, import, export, prune, tag, sample",
                     "  assay db info\n"
                     "  assay --db all.db db merge laptop.db server.db\n"
                     "  assay db import bench.json\n"
                     "  assay db export latest --format csv -o latest.csv\n"
                     "  assay db prune --keep-days 90 --dry-run\n");
  db->require_subcommand(1);
  add_reading(db, context);
  add_writing(db, context);
}

}  // namespace assay::cli
