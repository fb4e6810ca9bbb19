#include "harness/claims/evaluate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "datasets/user_error.h"
#include "harness/claims/quantities.h"
#include "harness/claims/residuals.h"

namespace assay::harness::claims {
namespace {

// The descriptors a claim's configurations name, read once; perturbed copies take their place in a second evaluation.
struct Machines {
  std::map<std::string, datasets::Device> devices;
  std::map<std::string, datasets::Cluster> clusters;
};

struct Missing {
  std::string reason;
};

struct Point {
  double value = 0;
  Projection technique;
  std::optional<Projection> baseline;
};

Setting make_setting(const Claim& claim, const Configuration& configuration, const Library& library,
                     const Machines& machines, std::string_view data_root) {
  Setting setting;
  setting.technique = claim.technique;
  setting.claim = claim.key;
  setting.configuration = configuration.id;
  setting.ranks = configuration.ranks;
  setting.dtype = configuration.dtype;
  setting.workload = configuration.workload;
  setting.axes = configuration.axes;
  if (!configuration.device.empty()) setting.device = machines.devices.at(configuration.device);
  if (!configuration.cluster.empty()) setting.cluster = machines.clusters.at(configuration.cluster);
  if (!configuration.model.empty()) {
    const auto known = datasets::model_ids(data_root);
    if (std::find(known.begin(), known.end(), configuration.model) != known.end()) {
      setting.model = datasets::load_model(configuration.model, data_root);
    } else if (const datasets::Model* facts = library.model(claim, configuration.model)) {
      setting.model = *facts;
    } else {
      throw Missing{fmt::format("no description of model '{}'", configuration.model)};
    }
  }
  return setting;
}

Machines load_machines(const Claim& claim, const Library& library, std::string_view data_root) {
  Machines machines;
  const auto devices = datasets::device_ids(data_root), clusters = datasets::cluster_ids(data_root);
  for (const std::string& id : claim.configurations) {
    const Configuration& configuration = library.configuration(claim, id);
    if (const std::string& device = configuration.device; !device.empty() && !machines.devices.contains(device)) {
      if (std::find(devices.begin(), devices.end(), device) == devices.end()) {
        throw Missing{fmt::format("no descriptor of device '{}'", device)};
      }
      machines.devices.emplace(device, datasets::load_device(device, data_root));
    }
    if (const std::string& cluster = configuration.cluster; !cluster.empty() && !machines.clusters.contains(cluster)) {
      if (std::find(clusters.begin(), clusters.end(), cluster) == clusters.end()) {
        throw Missing{fmt::format("no descriptor of cluster '{}'", cluster)};
      }
      machines.clusters.emplace(cluster, datasets::load_cluster(cluster, data_root));
    }
  }
  return machines;
}

Projection project(Projector projector, const Setting& setting, const std::string& quantity) {
  try {
    if (auto projection = projector(setting, quantity)) return *std::move(projection);
  } catch (const UserError& wrong) {
    throw Missing{wrong.what()};
  }
  throw Missing{fmt::format("{}{} has no value of {} at {}", setting.technique,
                            setting.role == "baseline" ? " as baseline" : "", quantity, setting.configuration)};
}

// The settings of a grid, built once: a perturbation only exchanges device and cluster.
std::vector<Setting> make_settings(const Claim& claim, const Library& library, const Machines& machines,
                                   std::string_view data_root) {
  std::vector<Setting> settings;
  for (const std::string& id : claim.configurations) {
    settings.push_back(make_setting(claim, library.configuration(claim, id), library, machines, data_root));
  }
  return settings;
}

std::vector<Point> evaluate_grid(const Claim& claim, const std::vector<Setting>& settings, const Machines& machines,
                                 Projector technique, Projector baseline) {
  std::vector<Point> grid;
  for (Setting setting : settings) {
    if (setting.device) setting.device = machines.devices.at(setting.device->id);
    if (setting.cluster) setting.cluster = machines.clusters.at(setting.cluster->id);
    Point point;
    point.technique = project(technique, setting, claim.quantity);
    point.value = point.technique.value;
    if (baseline != nullptr) {
      setting.technique = claim.baseline;
      setting.role = "baseline";
      point.baseline = project(baseline, setting, claim.quantity);
      const double ours = point.technique.value, theirs = point.baseline->value;
      if (claim.form == Form::difference) {
        point.value = ours - theirs;
      } else {
        const Quantity* quantity = find_quantity(claim.quantity);
        point.value = quantity != nullptr && quantity->better == Better::less ? theirs / ours : ours / theirs;
      }
    }
    grid.push_back(std::move(point));
  }
  return grid;
}

Judgement judge_grid(const Claim& claim, const std::vector<Point>& grid) {
  std::vector<double> values;
  for (const Point& point : grid) values.push_back(point.value);
  return judge(claim, values);
}

// Every fitted constant of every machine moved by its residual, one at a time, each way.
void perturb(const Machines& machines, const std::function<void(const std::string&, const Machines&)>& visit) {
  for (const auto& [id, device] : machines.devices) {
    move_constants(device, [&](const std::string& key, const datasets::Device& moved_device) {
      Machines moved = machines;
      moved.devices.at(id) = moved_device;
      visit(id + "." + key, moved);
    });
  }
  for (const auto& [id, cluster] : machines.clusters) {
    move_constants(cluster, [&](const std::string& key, const datasets::Cluster& moved_cluster) {
      Machines moved = machines;
      moved.clusters.at(id) = moved_cluster;
      visit(id + "." + key, moved);
    });
  }
}

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
  const Projector baseline = compared ? find(claim.baseline) : nullptr;
  if (compared && baseline == nullptr) return not_mapped(claim, "baseline " + claim.baseline);

  try {
    const Machines machines = load_machines(claim, library, data_root);
    const std::vector<Setting> settings = make_settings(claim, library, machines, data_root);
    const std::vector<Point> grid = evaluate_grid(claim, settings, machines, technique, baseline);
    const Judgement judgement = judge_grid(claim, grid);

    Outcome outcome;
    outcome.claim = &claim;
    outcome.mapped = true;
    outcome.verdict = judgement.verdict;
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
