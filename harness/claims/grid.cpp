#include "harness/claims/grid.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/claims/quantities.h"
#include "harness/claims/residuals.h"
#include "harness/registry.h"

namespace assay::harness::claims {
namespace {

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

std::string own_device(const std::string& technique) {
  const Technique* found = find_technique(technique);
  return found == nullptr ? "" : found->own_device;
}

// The setting as `technique` is asked at it, with its own device where it has one.
Setting asked_of(const std::string& technique, Setting setting, const Machines& machines) {
  setting.technique = technique;
  if (const auto own = machines.devices.find(own_device(technique)); own != machines.devices.end())
    setting.device = own->second;
  return setting;
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

}  // namespace

Machines load_machines(const Claim& claim, const Library& library, std::string_view data_root) {
  Machines machines;
  const auto devices = datasets::device_ids(data_root), clusters = datasets::cluster_ids(data_root);
  for (const std::string& own : {own_device(claim.technique), own_device(claim.baseline)}) {
    if (own.empty()) continue;
    if (std::find(devices.begin(), devices.end(), own) == devices.end())
      throw Missing{fmt::format("no descriptor of device '{}'", own)};
    machines.devices.insert_or_assign(own, datasets::load_device(own, data_root));
  }
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
    point.technique = project(technique, asked_of(claim.technique, setting, machines), claim.quantity);
    point.value = point.technique.value;
    if (baseline != nullptr) {
      setting.role = "baseline";
      point.baseline = project(baseline, asked_of(claim.baseline, setting, machines), claim.quantity);
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

}  // namespace assay::harness::claims
