#include "gui/model/reproduce.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

namespace assay::gui {
namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

// One argument for a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char letter : text) out += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return out + "'";
}

std::string json_text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// Members of a stored JSON object, one line each; what is no object is left out.
void add_members(Facts& facts, const std::string& json, const std::string& what) {
  const auto held = nlohmann::json::parse(json, nullptr, false);
  if (!held.is_object()) return;
  for (const auto& [name, value] : held.items())
    if (!value.is_object() && !value.is_null() && !json_text(value).empty())
      facts.emplace_back(what + axis_title(name), json_text(value));
}

void add_launches(Facts& facts, const std::vector<results_db::LaunchRecord>& launches) {
  std::set<std::string> codes, stops;
  std::map<std::string, std::string> descriptors;
  for (const auto& launch : launches) {
    if (!launch.code_hash.empty()) codes.insert(launch.code_hash);
    if (!launch.stop_reason.empty()) stops.insert(launch.stop_reason);
    const auto held = nlohmann::json::parse(launch.descriptors_json, nullptr, false);
    if (held.is_object())
      for (const auto& [name, hash] : held.items()) descriptors[name] = json_text(hash);
  }
  for (const std::string& code : codes) facts.emplace_back("code hash", code);
  for (const auto& [name, hash] : descriptors) facts.emplace_back(name, hash);
  std::string ended;
  for (const std::string& stop : stops) ended += (ended.empty() ? "" : ", ") + stop;
  if (!ended.empty()) facts.emplace_back("launches ended by", ended);
}

}  // namespace

Recipe recipe_of(Database& database, const RunData& data, const CaseResult& result) {
  const auto& run = data.run;
  Recipe recipe;
  recipe.command = run.command;
  recipe.suite_toml = run.suite_toml;
  recipe.rerun = fmt::format("assay rerun {} --run {}", quoted(result.info.record.key), run.id.substr(0, 13));
  if (!database.merged()) recipe.rerun += " --db " + quoted(database.paths().front());
  recipe.facts = {{"case", result.info.record.key},
                  {"run", run.id},
                  {"machine", fmt::format("{}, {}", run.machine.name, run.machine.cpu)},
                  {"commit", run.build.commit + (run.build.dirty ? ", files were changed" : "")},
                  {"compiler", run.build.compiler},
                  {"flags", run.build.flags},
                  {"seed", std::to_string(run.seed)}};
  if (const auto gate = database.store().gate(run.id, result.info.id)) {
    if (gate->status == results_db::Status::skipped)
      recipe.facts.emplace_back("oracle", "not compared: " + gate->reason);
    else
      recipe.facts.emplace_back(
          "oracle", fmt::format("{}: largest error {:.3g} of the tolerance, {:.3g}% of the output compared, {} of {} "
                                "mutants rejected",
                                gate->status == results_db::Status::ok ? "passed" : "failed", gate->error,
                                100 * gate->coverage, gate->mutants_caught, gate->mutants_total));
  }
  const auto launches = database.store().launches(run.id, result.info.id);
  add_launches(recipe.facts, launches);
  add_members(recipe.facts, run.environment_json, "");
  for (const auto& launch : launches)
    if (launch.status == results_db::Status::failed && recipe.stderr_tail.empty())
      recipe.stderr_tail = launch.stderr_tail;
  std::erase_if(recipe.facts, [](const auto& fact) { return fact.second.empty(); });
  return recipe;
}

std::string as_text(const Recipe& recipe, const CaseResult& result) {
  std::string text = fmt::format("{}\n\nAgain, and compared:\n    {}\nAs it was run:\n    {}\n\n",
                                 result.info.record.key, recipe.rerun, recipe.command);
  for (const auto& [what, value] : recipe.facts) text += fmt::format("{}: {}\n", what, value);
  if (!recipe.stderr_tail.empty()) text += "\nstderr:\n" + recipe.stderr_tail + "\n";
  return text + "\nSuite:\n\n" + recipe.suite_toml + "\n";
}

}  // namespace assay::gui
