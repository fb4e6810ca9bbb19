// assay alerts: what the gate recorded, and what became of it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/user_error.h"
#include "harness/cli/case_words.h"
#include "harness/cli/commands.h"
#include "harness/hand_cuts.h"
#include "harness/table.h"
#include "results_db/store.h"

namespace assay::cli {
namespace {

using harness::Style;
using results_db::AlertRecord;

constexpr std::array kOutcomes{"open", "confirmed", "noise", "fixed"};

struct AlertsArguments {
  std::vector<std::string> words;
  std::string outcome;
  bool all = false;
  std::vector<std::int64_t> ids;
  std::string set_to;
  std::string note;
};

struct Listed {
  AlertRecord alert;
  std::string key;
};

// How often an alarm was worth reading: what somebody or a later launch has decided about them.
struct Tally {
  int open = 0, real = 0, noise = 0;
  void add(const std::string& outcome) { (outcome == "open" ? open : outcome == "noise" ? noise : real) += 1; }
  bool decided() const { return real + noise > 0; }
  double precision() const { return static_cast<double>(real) / (real + noise); }
};

std::vector<Listed> listed(results_db::Store& store) {
  std::map<std::int64_t, std::string> keys;
  for (const auto& row : store.cases()) keys[row.id] = row.record.key;
  std::vector<Listed> out;
  for (AlertRecord& alert : store.alerts()) {
    std::string key = keys[alert.case_id];
    out.push_back({std::move(alert), std::move(key)});
  }
  return out;
}

bool wanted(const Listed& one, const AlertsArguments& given) {
  if (!given.outcome.empty() && one.alert.outcome != given.outcome) return false;
  if (given.outcome.empty() && !given.all && (one.alert.outcome == "noise" || one.alert.outcome == "fixed"))
    return false;
  return std::all_of(given.words.begin(), given.words.end(), [&](const std::string& word) {
    return one.key.find(word) != std::string::npos || one.alert.run.starts_with(word);
  });
}

Style style_of(const std::string& outcome) {
  return outcome == "confirmed" ? Style::bad : outcome == "open" ? Style::warn : Style::dim;
}

nlohmann::json as_json(const std::vector<const Listed*>& shown, const std::map<std::string, Tally>& tallies) {
  nlohmann::json out = {{"schema_version", 1}, {"alerts", nlohmann::json::array()}, {"cases", nlohmann::json::array()}};
  for (const Listed* one : shown) {
    const AlertRecord& alert = one->alert;
    nlohmann::json item = {{"id", alert.id},        {"run", alert.run},       {"case", one->key},
                           {"kind", alert.kind},    {"metric", alert.metric}, {"outcome", alert.outcome},
                           {"note", alert.note},    {"at_ns", alert.at_ns},   {"effect", nullptr},
                           {"probability", nullptr}};
    if (alert.effect) item["effect"] = *alert.effect;
    if (alert.probability) item["probability"] = *alert.probability;
    out["alerts"].push_back(std::move(item));
  }
  for (const auto& [key, tally] : tallies)
    out["cases"].push_back({{"case", key},
                            {"open", tally.open},
                            {"real", tally.real},
                            {"noise", tally.noise},
                            {"precision", tally.decided() ? nlohmann::json(tally.precision()) : nlohmann::json()}});
  return out;
}

void list_alerts(const AlertsArguments& given, const Context& context) {
  auto store = results_db::Store::open(context.database, results_db::Open::read_only);
  const std::vector<Listed> all = listed(store);
  std::vector<const Listed*> shown;
  std::map<std::string, Tally> tallies;
  Tally total;
  for (const Listed& one : all) {
    if (one.alert.kind != harness::hand_cut_kind) {  // that is no alarm
      tallies[one.key].add(one.alert.outcome);
      total.add(one.alert.outcome);
    }
    if (wanted(one, given)) shown.push_back(&one);
  }
  // One cause moves many cases in the same run: those stand together, the newest cause first, the largest effect first.
  std::map<std::string, std::int64_t> newest;
  for (const Listed* one : shown) newest[one->alert.run] = std::max(newest[one->alert.run], one->alert.at_ns);
  std::stable_sort(shown.begin(), shown.end(), [&](const Listed* x, const Listed* y) {
    if (x->alert.run != y->alert.run)
      return std::pair(newest[x->alert.run], x->alert.run) > std::pair(newest[y->alert.run], y->alert.run);
    return x->alert.effect.value_or(0) > y->alert.effect.value_or(0);
  });
  if (context.json) {
    fmt::print("{}\n", as_json(shown, tallies).dump(2));
    return;
  }
  if (all.empty()) {
    fmt::print("no alerts in {}; `assay gate --record` stores what it finds\n", context.database);
    return;
  }
  std::vector<std::string> keys;
  for (const Listed* one : shown) keys.push_back(one->key);
  const std::vector<std::string> shared = shared_words(keys);
  if (!shared.empty()) fmt::print("{}", harness::wrap(fmt::format("all: {}", fmt::join(shared, " ")), context.width));
  harness::Table table({{.title = "id", .right = true},
                        {.title = "began in", .min_width = 8},
                        {.title = "outcome", .min_width = 9},
                        {.title = "technique", .min_width = 16},
                        {.title = "case", .min_width = 14, .cut_left = true},
                        {.title = "metric", .min_width = 4},
                        {.title = "change", .right = true},
                        {.title = "real", .right = true},
                        {.title = "note", .min_width = 12}});
  std::string run;
  for (const Listed* one : shown) {
    const AlertRecord& alert = one->alert;
    if (!run.empty() && run != alert.run) table.add_rule();
    const Tally& tally = tallies[one->key];
    table.add_row({std::to_string(alert.id),
                   alert.run == run ? "" : alert.run.substr(0, 8),
                   {alert.outcome, style_of(alert.outcome)},
                   short_technique(one->key),
                   own_words(one->key, shared),
                   alert.metric,
                   alert.effect ? fmt::format("{:+.1f}%", 100 * *alert.effect) : "-",
                   tally.decided() ? fmt::format("{} of {}", tally.real, tally.real + tally.noise) : "-",
                   alert.note});
    run = alert.run;
  }
  if (table.rows() > 0) fmt::print("{}", table.render(context.width, context.color));
  fmt::print("{} of {} alerts shown", shown.size(), all.size());
  if (static_cast<std::size_t>(shown.size()) < all.size() && !given.all) fmt::print(" (--all: also noise and fixed)");
  if (total.decided())
    fmt::print("; of {} decided, {} were real ({:.0f}%)", total.real + total.noise, total.real,
               100 * total.precision());
  fmt::print("\n");
}

void set_outcome(const AlertsArguments& given, const Context& context) {
  auto store = results_db::Store::open(context.database, results_db::Open::read_write);
  const std::vector<Listed> all = listed(store);
  const auto find = [&](std::int64_t id) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const Listed& one) { return one.alert.id == id; });
    if (at == all.end())
      throw UserError(fmt::format("alerts set: {}: no alert {}; `assay alerts --all` lists them", store.path(), id));
    return at;
  };
  for (const std::int64_t id : given.ids) find(id);  // all of them are there, or none is changed
  for (const std::int64_t id : given.ids) {
    const auto at = find(id);
    store.set_alert_outcome(id, given.set_to, given.note.empty() ? at->alert.note : given.note);
    fmt::print("{}: {} -> {}  {}\n", id, at->alert.outcome, given.set_to, at->key);
  }
}

}  // namespace

void add_alerts(CLI::App& app, Context& context) {
  auto given = std::make_shared<AlertsArguments>();
  CLI::App* command = app.add_subcommand("alerts", "what `gate --record` found, and what became of it");
  command->add_option("words", given->words, "only alerts whose case has all of these, or of this run")
      ->type_name("WORD...");
  command->add_option("--outcome", given->outcome, "only these: open, confirmed, noise, fixed")
      ->check(CLI::IsMember(kOutcomes));
  command->add_flag("--all", given->all, "also those that are settled: noise and fixed");
  command->footer(
      "Alerts that began in the same run stand together: one cause often moves many cases. `real` counts, of this\n"
      "case's alerts that were decided, those that were no noise.\n"
      "Examples:\n"
      "  assay alerts\n"
      "  assay alerts flash-attention-2 --all\n"
      "  assay alerts set 3 4 --to noise --note 'a backup ran that night'\n"
      "  assay alerts set 7 --to fixed --note 3f2a91c");
  CLI::App* set = command->add_subcommand("set", "say what became of alerts");
  set->add_option("id", given->ids, "as listed")->required()->type_name("ID...");
  set->add_option("--to", given->set_to, "open, confirmed, noise or fixed")
      ->required()
      ->check(CLI::IsMember(kOutcomes));
  set->add_option("--note", given->note, "why; replaces the note that is there");
  set->callback([given, &context] { set_outcome(*given, context); });
  command->callback([given, command, &context] {
    if (command->get_subcommands().empty()) list_alerts(*given, context);
  });
}

}  // namespace assay::cli
