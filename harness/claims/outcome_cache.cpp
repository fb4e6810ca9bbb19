#include "harness/claims/outcome_cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "datasets/content_hash.h"
#include "harness/claims/grid.h"

namespace assay::harness::claims {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr auto kWorthKeeping = std::chrono::milliseconds(20);
constexpr auto kUnusedProgram = std::chrono::hours(24 * 30);

std::string read_whole(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return in ? text.str() : "";
}

json number(const std::optional<double>& value) { return value ? json(*value) : json(); }
std::optional<double> number_of(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

json to_json(const Outcome& outcome) {
  json parts = json::array();
  for (const ProjectionPart& part : outcome.parts) parts.push_back({part.component, part.operator_class, part.value});
  return {{"verdict", to_string(outcome.verdict)},
          {"judged", to_string(outcome.judged)},
          {"reason", outcome.reason},
          {"mapped", outcome.mapped},
          {"ours", number(outcome.ours)},
          {"low", number(outcome.low)},
          {"high", number(outcome.high)},
          {"datasheet", number(outcome.datasheet)},
          {"fragile", outcome.fragile},
          {"carried", outcome.carried},
          {"inside_domain", outcome.inside_domain},
          {"parts", std::move(parts)},
          {"notes", outcome.notes},
          {"descriptors", outcome.descriptors}};
}

Outcome from_json(const json& kept, const Claim& claim) {
  Outcome outcome;
  outcome.claim = &claim;
  outcome.verdict = verdict_from(kept.at("verdict").get<std::string>()).value();
  outcome.judged = verdict_from(kept.at("judged").get<std::string>()).value();
  kept.at("reason").get_to(outcome.reason);
  kept.at("mapped").get_to(outcome.mapped);
  outcome.ours = number_of(kept.at("ours"));
  outcome.low = number_of(kept.at("low"));
  outcome.high = number_of(kept.at("high"));
  outcome.datasheet = number_of(kept.at("datasheet"));
  kept.at("fragile").get_to(outcome.fragile);
  kept.at("carried").get_to(outcome.carried);
  kept.at("inside_domain").get_to(outcome.inside_domain);
  for (const json& part : kept.at("parts"))
    outcome.parts.push_back({part.at(0).get<std::string>(), part.at(1).get<std::string>(), part.at(2).get<double>()});
  kept.at("notes").get_to(outcome.notes);
  kept.at("descriptors").get_to(outcome.descriptors);
  return outcome;
}

}  // namespace

OutcomeCache::OutcomeCache(const std::string& folder) {
  if (folder.empty()) return;
  const std::string program = read_whole("/proc/self/exe");
  if (program.empty()) return;
  folder_ = (fs::path(folder) / "verdicts" / datasets::content_hash(program)).string();
}

std::string OutcomeCache::default_folder() {
  const auto named = [](const char* variable) -> std::string {
    const char* text = std::getenv(variable);
    return text == nullptr ? "" : text;
  };
  if (const std::string own = named("ASSAY_CACHE"); !own.empty()) return own;
  if (const std::string shared = named("XDG_CACHE_HOME"); !shared.empty()) return shared + "/assay";
  if (const std::string home = named("HOME"); !home.empty()) return home + "/.cache/assay";
  return "";
}

std::string OutcomeCache::file_of(const std::string& key) const { return folder_ + "/" + key + ".json"; }

std::optional<Outcome> OutcomeCache::find(const std::string& key, const Claim& claim) const {
  if (folder_.empty()) return std::nullopt;
  try {
    const std::string text = read_whole(file_of(key));
    if (text.empty()) return std::nullopt;
    return from_json(json::parse(text), claim);
  } catch (const std::exception&) {  // damaged: as good as not there
    return std::nullopt;
  }
}

void OutcomeCache::keep(const std::string& key, const Outcome& outcome) const {
  if (folder_.empty()) return;
  std::error_code failed;
  if (!fs::exists(folder_, failed)) {
    // The first outcome of a new program: those of programs long unused go.
    const auto now = fs::file_time_type::clock::now();
    for (const auto& each : fs::directory_iterator(fs::path(folder_).parent_path(), failed))
      if (now - each.last_write_time(failed) > kUnusedProgram) fs::remove_all(each.path(), failed);
    fs::create_directories(folder_, failed);
  }
  const std::string file = file_of(key), fresh = fmt::format("{}.{}", file, getpid());
  {
    std::ofstream out(fresh, std::ios::binary);
    out << to_json(outcome).dump();
    if (!out.flush()) return;
  }
  fs::rename(fresh, file, failed);  // readers see the old file or the new one
}

std::optional<std::string> outcome_key(const Claim& claim, const Library& library, std::string_view data_root) {
  try {
    std::string text = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", claim.id, claim.baseline,
                                   claim.quantity, to_string(claim.form), to_string(claim.bound), claim.value,
                                   claim.low, claim.high, claim.unit, claim.kind, claim.source,
                                   fmt::join(claim.flags, ","), claim.note, fmt::join(claim.configurations, ","));
    const Machines machines = load_machines(claim, library, data_root);
    for (const auto& [id, device] : machines.devices) text += fmt::format("|{}={}", id, device.hash);
    for (const auto& [id, cluster] : machines.clusters) text += fmt::format("|{}={}", id, cluster.hash);
    for (const Setting& setting : make_settings(claim, library, machines, data_root)) {
      text += fmt::format("|{} {} {} {} {}", setting.configuration, setting.ranks, setting.dtype, setting.workload,
                          setting.axes.to_json());
      if (setting.model) text += fmt::format(" {}={}", setting.model->id, setting.model->hash);
    }
    return datasets::content_hash(text);
  } catch (const Missing&) {
    return std::nullopt;
  }
}

Outcome evaluate_cached(const Claim& claim, const Library& library, std::string_view data_root,
                        const OutcomeCache& cache, FindProjector find) {
  if (claim.kind == "untestable" || find(claim.technique) == nullptr) return evaluate(claim, library, data_root, find);
  const std::optional<std::string> key = outcome_key(claim, library, data_root);
  if (key)
    if (std::optional<Outcome> kept = cache.find(*key, claim)) return *std::move(kept);
  const auto start = std::chrono::steady_clock::now();
  Outcome outcome = evaluate(claim, library, data_root, find);
  if (key && std::chrono::steady_clock::now() - start > kWorthKeeping) cache.keep(*key, outcome);
  return outcome;
}

}  // namespace assay::harness::claims
