#include "harness/claims/evaluate.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/claims/baselines.h"
#include "harness/claims/grid.h"
#include "harness/claims/residuals.h"

namespace assay::harness::claims {
namespace {

Machines idealised(const Machines& machines) {
  Machines ideal;
  for (const auto& [id, device] : machines.devices) ideal.devices.emplace(id, datasets::datasheet_only(device));
  for (const auto& [id, cluster] : machines.clusters) ideal.clusters.emplace(id, datasets::datasheet_only(cluster));
  return ideal;
}

void add_once(std::vector<std::string>& list, const std::string& text) {
  if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end()) list.push_back(text);
}

Outcome not_mapped(const Claim& claim, const std::string& why) {
  Outcome outcome;
  outcome.claim = &claim;
  outcome.reason = why.empty() ? "not mapped" : "not mapped: " + why;
  return outcome;
}

// What stands behind the projection, told with the row.
void describe(const Machines& machines, const std::vector<Point>& grid, Outcome& outcome) {
  for (const auto& [id, device] : machines.devices) {
    outcome.descriptors += fmt::format("{}device:{}={}", outcome.descriptors.empty() ? "" : " ", id, device.hash);
    if (!device.calibration.empty()) outcome.carried.push_back(fmt::format("{} carries {}", id, device.calibration));
  }
  for (const auto& [id, cluster] : machines.clusters) {
    outcome.descriptors += fmt::format("{}cluster:{}={}", outcome.descriptors.empty() ? "" : " ", id, cluster.hash);
  }
  for (const Point& point : grid) {
    outcome.inside_domain =
        outcome.inside_domain && point.technique.inside_domain && (!point.baseline || point.baseline->inside_domain);
    add_once(outcome.notes, point.technique.note);
    if (point.baseline) add_once(outcome.notes, point.baseline->note);
  }
  outcome.parts = grid.front().technique.parts;
}

}  // namespace

Projector registered_projector(const std::string& technique) {
  const Technique* found = find_technique(technique);
  return found == nullptr ? nullptr : found->project;
}

Projector baseline_projector(const Claim& claim, FindProjector find) {
  if (const Projector own = find(claim.baseline)) return own;
  return projector_of_baselines(claim.technique);
}

Outcome evaluate(const Claim& claim, const Library& library, std::string_view data_root, FindProjector find) {
  if (claim.kind == "untestable") {
    Outcome outcome;
    outcome.claim = &claim;
    outcome.reason = claim.note;
    return outcome;
  }
  const Projector technique = find(claim.technique);
  if (technique == nullptr) return not_mapped(claim, "");
  if (claim.configurations.empty()) return not_mapped(claim, "no configuration");
  const bool compared = claim.form == Form::ratio || claim.form == Form::difference;
  const Projector baseline = compared ? baseline_projector(claim, find) : nullptr;
  if (compared && baseline == nullptr) return not_mapped(claim, "baseline " + claim.baseline);

  try {
    const Machines machines = load_machines(claim, library, data_root);
    const std::vector<Setting> settings = make_settings(claim, library, machines, data_root);
    const std::vector<Point> grid = evaluate_grid(claim, settings, machines, technique, baseline);
    const Judgement judgement = judge_grid(claim, grid);

    Outcome outcome;
    outcome.claim = &claim;
    outcome.mapped = true;
    outcome.verdict = outcome.judged = judgement.verdict;
    outcome.reason = judgement.reason;
    outcome.ours = judgement.ours;
    describe(machines, grid, outcome);

    Reach reach(judgement.ours);
    perturb(machines, [&](const std::string& constant, const Machines& moved) {
      const Judgement other = judge_grid(claim, evaluate_grid(claim, settings, moved, technique, baseline));
      if (other.verdict != judgement.verdict) add_once(outcome.fragile, constant);
      reach.add(constant, other.ours);
    });
    outcome.low = reach.low();
    outcome.high = reach.high();
    outcome.datasheet =
        judge_grid(claim, evaluate_grid(claim, settings, idealised(machines), technique, baseline)).ours;

    const bool positive = outcome.verdict == Verdict::reproduced || outcome.verdict == Verdict::exceeded;
    if (!outcome.inside_domain) {
      add_once(outcome.notes, "outside the calibrated domain");
      if (positive) {
        outcome.reason = fmt::format("{}would {}, but outside the calibrated domain",
                                     outcome.reason.empty() ? "" : outcome.reason + "; ",
                                     outcome.verdict == Verdict::exceeded ? "exceed" : "be reproduced");
        outcome.verdict = Verdict::partial;
      }
    }
    return outcome;
  } catch (const Missing& missing) {
    return not_mapped(claim, missing.reason);
  }
}

}  // namespace assay::harness::claims
