#include "harness/cli/stored.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "datasets/user_error.h"
#include "results_db/store.h"

namespace assay::cli {

namespace {
constexpr std::size_t runs_looked_at = 50;  // older gates say little about today's code
}

Scores mutation_scores(const std::string& database) {
  Scores scores;
  if (!std::filesystem::exists(database)) return scores;
  try {
    auto store = results_db::Store::open(database, results_db::Open::read_only);
    std::size_t looked_at = 0;
    for (const auto& run : store.runs()) {
      if (++looked_at > runs_looked_at) break;
      Scores of_run;
      for (const auto& row : store.cases_of(run.id)) {
        if (scores.find(row.record.technique) != scores.end()) continue;
        const auto gate = store.gate(run.id, row.id);
        if (!gate || gate->mutants_total == 0) continue;
        Score& score = of_run[row.record.technique];
        score.run = run.id;
        score.caught += gate->mutants_caught;
        score.total += gate->mutants_total;
      }
      scores.merge(of_run);
    }
  } catch (const UserError& unreadable) {
    fmt::print(stderr, "assay: no mutation scores: {}\n", unreadable.what());
  }
  return scores;
}

std::vector<StoredRun> stored_runs(const std::string& database) {
  std::vector<StoredRun> runs;
  if (!std::filesystem::exists(database)) return runs;
  try {
    auto store = results_db::Store::open(database, results_db::Open::read_only);
    for (const auto& run : store.runs()) runs.push_back({run.id, run.suite});
  } catch (const UserError&) {
    runs.clear();  // nothing to complete; the command itself will say what is wrong with the file
  }
  return runs;
}

}  // namespace assay::cli
