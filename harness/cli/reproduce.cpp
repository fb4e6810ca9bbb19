#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>

#include "datasets/content_hash.h"
#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "harness/claims/expectations.h"
#include "harness/claims/hinge.h"
#include "harness/claims/outcome_cache.h"
#include "harness/claims/select.h"
#include "harness/cli/claims_view.h"
#include "harness/cli/commands.h"
#include "harness/cli/hinge_view.h"
#include "results_db/store.h"

namespace assay::cli {
namespace {

using namespace harness::claims;

struct ReproduceArguments {
  std::string name;
  std::string family;
  std::string claims_file;
  std::string expect_file;
  bool store = false;
  bool hinge = false;
  bool no_cache = false;
};

// What a verdict follows from: the row, the descriptors and the program that projected it.
std::string inputs_hash(const Outcome& outcome) {
  const Claim& claim = *outcome.claim;
  return datasets::content_hash(fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", claim.id, claim.quantity,
                                            to_string(claim.form), to_string(claim.bound), claim.value, claim.low,
                                            claim.high, claim.baseline, fmt::join(claim.configurations, ","),
                                            claim.note, outcome.descriptors, outcome.ours.value_or(0), ASSAY_VERSION));
}

results_db::ClaimRecord record_of(const Claim& claim) {
  results_db::ClaimRecord record;
  record.id = claim.id;
  record.technique = claim.technique;
  record.baseline = claim.baseline;
  record.quantity = claim.quantity;
  record.form = to_string(claim.form);
  record.bound = to_string(claim.bound);
  record.unit = claim.unit;
  if (claim.bound == Bound::range) {
    record.low = claim.low;
    record.high = claim.high;
  } else {
    record.value = claim.value;
  }
  record.configurations = claim.configurations;
  record.kind = claim.kind;
  record.source = claim.source;
  record.group = claim.group;
  record.published = claim.published;
  record.paper = claim.paper;
  record.arxiv = claim.arxiv;
  record.where = claim.where;
  record.note = claim.note;
  record.flags = claim.flags;
  return record;
}

using HingeTables = std::map<std::string, harness::claims::HingeTable>;  // by claim

// Keeps verdicts that are new or follow from other inputs than the stored one, or come with a hinge table for the first
// time; history stays.
int store_verdicts(const std::string& database, const std::vector<Outcome>& outcomes, const HingeTables& hinges) {
  auto store = results_db::Store::open(database, results_db::Open::create);
  std::map<std::string, results_db::VerdictRecord> newest;
  for (auto& verdict : store.verdicts()) newest.emplace(verdict.claim, std::move(verdict));
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::vector<results_db::VerdictRecord> fresh;
  for (const Outcome& outcome : outcomes) {
    const Claim& claim = *outcome.claim;
    results_db::VerdictRecord verdict;
    verdict.claim = claim.id;
    verdict.verdict = to_string(outcome.verdict);
    verdict.reason = outcome.reason;
    verdict.ours = outcome.ours;
    verdict.ours_low = outcome.low;
    verdict.ours_high = outcome.high;
    verdict.paper = claim.bound == Bound::range ? (claim.low + claim.high) / 2 : claim.value;
    verdict.provenance = outcome.mapped ? "projected" : "claimed";
    verdict.fragile = fmt::format("{}", fmt::join(outcome.fragile, ", "));
    verdict.inputs_hash = inputs_hash(outcome);
    nlohmann::json detail = {{"carried", outcome.carried}, {"notes", outcome.notes}};
    const auto table = hinges.find(claim.id);
    if (table != hinges.end()) detail["hinge"] = hinge_json(table->second);
    verdict.detail_json = detail.dump();
    verdict.at_ns = now;
    const auto known = newest.find(claim.id);
    if (known != newest.end() && known->second.inputs_hash == verdict.inputs_hash &&
        known->second.verdict == verdict.verdict &&
        (table == hinges.end() || known->second.detail_json.find("\"hinge\"") != std::string::npos)) {
      continue;
    }
    store.put_claim(record_of(claim));
    fresh.push_back(std::move(verdict));
  }
  store.put_verdicts(fresh);
  return static_cast<int>(fresh.size());
}

// Verdicts that differ from what the file expects, one line each.
std::vector<std::string> differences(const std::vector<Expectation>& expected, const std::vector<Outcome>& outcomes,
                                     const std::string& file) {
  std::map<std::string, const Outcome*> found;
  for (const Outcome& outcome : outcomes) found.emplace(outcome.claim->id, &outcome);
  std::vector<std::string> lines;
  for (const Expectation& expectation : expected) {
    const Outcome& outcome = *found.at(expectation.claim);
    if (outcome.verdict == expectation.verdict) continue;
    lines.push_back(fmt::format("{}:{}: {} is {}, expected {}", file, expectation.line, expectation.claim,
                                to_string(outcome.verdict), to_string(expectation.verdict)));
  }
  return lines;
}

// One line on a terminal, redrawn: a claim that simulates serving or memory commands can take a minute.
class JudgingProgress {
 public:
  explicit JudgingProgress(std::size_t claims) : claims_(claims), shown_(isatty(STDERR_FILENO) == 1) {}
  void at(const Claim& claim) {
    ++current_;
    if (shown_) fmt::print(stderr, "\r\x1b[Kjudging {} of {}: {}", current_, claims_, claim.id);
  }
  void end() const {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  std::size_t claims_, current_ = 0;
  bool shown_;
};

void reproduce(const ReproduceArguments& given, Context& context) {
  Library library = load_library(datasets::suites_root());
  if (!given.claims_file.empty()) {
    Library own = load_file(given.claims_file);
    own.models = std::move(library.models);  // a user's configurations may name the models the project describes
    library = std::move(own);
  }
  const bool everything = given.name.empty() && given.family.empty() && given.claims_file.empty();
  std::vector<const Claim*> chosen = select(library, given.name, given.family);

  std::vector<Expectation> expected;
  if (!given.expect_file.empty()) {
    expected = read_expectations(given.expect_file);
    for (const Expectation& expectation : expected) {
      const Claim& claim =
          find_claim(library, expectation.claim, fmt::format("{}:{}", given.expect_file, expectation.line));
      if (std::find(chosen.begin(), chosen.end(), &claim) == chosen.end()) chosen.push_back(&claim);
    }
  }
  // Claims before targets and checks, techniques and papers together, else as the files have them.
  std::stable_sort(chosen.begin(), chosen.end(), [](const Claim* a, const Claim* b) {
    return std::tie(a->table, a->technique, a->arxiv) < std::tie(b->table, b->technique, b->arxiv);
  });
  std::vector<Outcome> outcomes;
  const OutcomeCache cache(given.no_cache ? "" : OutcomeCache::default_folder());
  JudgingProgress progress(chosen.size());
  for (const Claim* claim : chosen) {
    progress.at(*claim);
    outcomes.push_back(evaluate_cached(*claim, library, datasets::data_root(), cache));
  }
  progress.end();

  const auto changed = differences(expected, outcomes, given.expect_file);
  HingeTables hinges;
  if (given.hinge)
    for (const Outcome& outcome : outcomes)
      if (auto table = hinge(*outcome.claim, library, datasets::data_root()))
        hinges.emplace(outcome.claim->id, std::move(*table));
  const int stored = given.store ? store_verdicts(context.database, outcomes, hinges) : 0;
  context.exit_code = changed.empty() ? 0 : 1;
  if (context.json) {
    nlohmann::json document = nlohmann::json::parse(claims_json(outcomes));
    if (!given.expect_file.empty()) document["differs"] = changed;
    if (given.hinge) {
      document["hinges"] = nlohmann::json::object();
      for (const auto& [claim, table] : hinges) document["hinges"][claim] = hinge_json(table);
    }
    fmt::print("{}\n", document.dump(2));
    return;
  }
  if (everything) {
    std::vector<Outcome> mapped;
    std::copy_if(outcomes.begin(), outcomes.end(), std::back_inserter(mapped),
                 [](const Outcome& outcome) { return outcome.mapped; });
    fmt::print("{}", claims_tables(mapped, context.width, context.color));
    if (mapped.size() < outcomes.size()) {
      fmt::print("{} rows that no technique maps yet are counted below; name a technique or --family to list them\n",
                 outcomes.size() - mapped.size());
    }
  } else {
    fmt::print("{}", claims_tables(outcomes, context.width, context.color));
  }
  for (const Outcome& outcome : outcomes)
    if (const auto table = hinges.find(outcome.claim->id); table != hinges.end())
      fmt::print("{}", hinge_text(outcome, table->second, context.width, context.color));
  fmt::print("{}", claims_summary(outcomes));
  if (given.store) fmt::print("{} new verdicts stored in {}\n", stored, context.database);
  if (!given.expect_file.empty()) {
    for (const std::string& line : changed) fmt::print("{}\n", line);
    fmt::print("{} of {} expected verdicts differ\n", changed.size(), expected.size());
  }
}

}  // namespace

void add_reproduce(CLI::App& app, Context& context) {
  auto* command =
      app.add_subcommand("reproduce", "judge published claims: do the numbers follow at the paper's scale?");
  auto given = std::make_shared<ReproduceArguments>();
  command->add_option("what", given->name, "an arXiv id, or a technique (default: all claims)")
      ->type_name("PAPER|TECHNIQUE");
  command->add_option("--family", given->family, "claims of one family, e.g. attention or sequence");
  command->add_option("--claims", given->claims_file, "judge this file instead of the project's (docs/claims.md)")
      ->type_name("FILE");
  command->add_option("--expect", given->expect_file, "lines `claim-id = verdict`: exit 1 where one differs")
      ->type_name("FILE");
  command->add_flag("--hinge", given->hinge,
                    "move every condition of each claim, one at a time, and draw what the verdict hinges on");
  command->add_flag("--no-cache", given->no_cache, "judge anew; verdicts that took long are kept in $ASSAY_CACHE");
  command->add_flag("--store", given->store, "keep the verdicts in the results database");
  command->footer(
      "Examples:\n"
      "  assay reproduce flash-attention-2\n"
      "  assay reproduce 2307.08691 --json\n"
      "  assay reproduce attention/flash-attention-2#forward-max --hinge\n"
      "  assay reproduce --family sequence --expect verdicts.txt\n"
      "  assay reproduce --claims my.claims.toml");
  command->callback([given, &context] { reproduce(*given, context); });
}

}  // namespace assay::cli
