#include "gui/model/hinge.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace assay::gui {
namespace {
using nlohmann::json;

std::string word(const json& object, const char* name) {
  const auto held = object.find(name);
  return held != object.end() && held->is_string() ? held->get<std::string>() : "";
}

std::vector<std::string> words(const json& object, const char* name) {
  std::vector<std::string> out;
  if (const auto held = object.find(name); held != object.end() && held->is_array())
    for (const json& one : *held)
      if (one.is_string()) out.push_back(one.get<std::string>());
  return out;
}

}  // namespace

std::optional<HingeTable> hinge_of(const results_db::VerdictRecord& verdict) {
  const json detail = json::parse(verdict.detail_json, nullptr, false);
  if (!detail.is_object() || !detail.contains("hinge")) return std::nullopt;
  const json& stored = detail["hinge"];
  HingeTable table;
  for (const json& one : stored.value("conditions", json::array())) {
    HingeBar bar{word(one, "condition"), word(one, "kind"), word(one, "nominal"), {}, one.value("decides", false)};
    for (const json& side : one.value("sides", json::array())) {
      HingeSide held{word(side, "setting"), std::nullopt, word(side, "verdict")};
      if (const auto ours = side.find("ours"); ours != side.end() && ours->is_number()) held.ours = ours->get<double>();
      bar.sides.push_back(std::move(held));
    }
    table.bars.push_back(std::move(bar));
  }
  table.no_influence = words(stored, "no_influence");
  table.in_words = words(stored, "in_words");
  return table;
}

std::string finding(const HingeTable& table) {
  std::vector<std::string> named;
  for (const HingeBar& bar : table.bars) {
    if (!bar.decides) continue;
    std::string sides;
    for (const HingeSide& side : bar.sides)
      sides += fmt::format("{}{}: {}", sides.empty() ? "" : ", ", side.setting,
                           side.verdict.empty() ? "no value" : side.verdict);
    named.push_back(fmt::format("{} = {} ({})", bar.condition, bar.nominal, sides));
  }
  if (named.empty())
    return fmt::format("none of the {} conditions that were moved changes the verdict", table.bars.size());
  constexpr std::size_t most = 3;
  std::string text = fmt::format("{} of {} conditions change the verdict: ", named.size(), table.bars.size());
  for (std::size_t i = 0; i < std::min(most, named.size()); ++i) text += (i == 0 ? "" : "; ") + named[i];
  return text + (named.size() > most ? "; ..." : "");
}

}  // namespace assay::gui
