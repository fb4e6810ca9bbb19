#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/list.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using datasets::Cluster;
using datasets::Constant;
using datasets::Device;
using datasets::format_si;
using harness::Table;
using nlohmann::json;
using Constants = std::map<std::string, Constant, std::less<>>;

std::string amount(const Device& device, std::string_view key, std::string_view unit) {
  return device.has(key) ? format_si(device.at(key), unit) : "";
}

void print_constants(const Constants& constants, const Context& context) {
  Table table({{"constant"}, {"value", true}, {"P90 error", true}, {"source", false, 20}});
  for (const auto& [name, constant] : constants)
    table.add_row({name, fmt::format("{:g}", constant.value),
                   constant.p90_error > 0 ? fmt::format("{:.1f}%", 100 * constant.p90_error) : "", constant.source});
  fmt::print("{}", table.render(context.width, context.color));
}

void print_detail(const Device& device, const Context& context) {
  fmt::print("{}\n  {}\n", harness::styled(device.id, harness::Style::bold, context.color), device.name);
  if (!device.calibration.empty()) fmt::print("  carries the fitted efficiencies of {}\n", device.calibration);
  print_constants(device.constants, context);
}

void print_detail(const Cluster& cluster, const Context& context) {
  fmt::print("{}\n  nodes of {} {}, topology {}\n", harness::styled(cluster.id, harness::Style::bold, context.color),
             cluster.devices_per_node, cluster.device, cluster.topology);
  print_constants(cluster.constants, context);
}

void print_tables(const std::vector<Device>& devices, const std::vector<Cluster>& clusters, const Context& context) {
  Table table({{"device"},
               {"name", false, 12},
               {"bf16", true},
               {"fp32", true},
               {"memory", true},
               {"bandwidth", true},
               {"fitted", false, 4}});
  for (const Device& device : devices)
    table.add_row({device.id, device.name, amount(device, "peak_bf16", "FLOP/s"), amount(device, "peak_fp32", "FLOP/s"),
                   amount(device, "memory_bytes", "B"), amount(device, "memory_bandwidth", "B/s"),
                   device.calibration.empty() ? "own" : "of " + device.calibration});
  fmt::print("{}\n", table.render(context.width, context.color));
  Table nodes({{"cluster"},
               {"device", false, 8},
               {"per node", true},
               {"nodes", true},
               {"in a node", true},
               {"one NIC", true},
               {"NICs", true},
               {"topology", false, 8}});
  for (const Cluster& cluster : clusters)
    nodes.add_row({cluster.id, cluster.device, fmt::format("{}", cluster.devices_per_node),
                   fmt::format("{}", cluster.nodes), format_si(cluster.intra.bandwidth, "B/s"),
                   format_si(cluster.inter.bandwidth, "B/s"), fmt::format("{}", cluster.nics_per_node),
                   cluster.topology});
  fmt::print("{}", nodes.render(context.width, context.color));
}

json to_json(const Constants& constants) {
  json object = json::object();
  for (const auto& [name, constant] : constants)
    object[name] = {{"value", constant.value},
                    {"source", constant.source},
                    {"p90_error", constant.p90_error},
                    {"fitted", constant.fitted}};
  return object;
}

json to_json(const Device& device) {
  return {{"id", device.id},
          {"name", device.name},
          {"calibration", device.calibration},
          {"hash", device.hash},
          {"constants", to_json(device.constants)}};
}

json to_json(const Cluster& cluster) {
  return {{"id", cluster.id},
          {"device", cluster.device},
          {"devices_per_node", cluster.devices_per_node},
          {"nodes", cluster.nodes},
          {"nics_per_node", cluster.nics_per_node},
          {"topology", cluster.topology},
          {"hash", cluster.hash},
          {"constants", to_json(cluster.constants)}};
}

}  // namespace

void list_devices(const ListRequest& request, const Context& context) {
  if (!request.families.empty()) throw UserError("list devices: found --family, which devices do not have");
  const std::string root = datasets::data_root();
  const auto device_ids = datasets::device_ids(root);
  const auto cluster_ids = datasets::cluster_ids(root);
  const auto has = [](const std::vector<std::string>& ids, const std::string& id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  std::vector<Device> devices;
  std::vector<Cluster> clusters;
  for (const std::string& name : request.names) {
    if (has(device_ids, name)) {
      devices.push_back(datasets::load_device(name, root));
    } else if (has(cluster_ids, name)) {
      clusters.push_back(datasets::load_cluster(name, root));
    } else {
      auto ids = device_ids;
      ids.insert(ids.end(), cluster_ids.begin(), cluster_ids.end());
      const auto near = datasets::nearest_names(name, ids);
      throw UserError(fmt::format("unknown device or cluster '{}'; {}: {}", name, near.empty() ? "known" : "nearest",
                                  fmt::join(near.empty() ? ids : near, ", ")));
    }
  }
  if (request.names.empty()) {
    for (const std::string& id : device_ids) devices.push_back(datasets::load_device(id, root));
    for (const std::string& id : cluster_ids) clusters.push_back(datasets::load_cluster(id, root));
  }
  if (context.json) {
    json out = {{"schema_version", list_schema_version}, {"devices", json::array()}, {"clusters", json::array()}};
    for (const Device& device : devices) out["devices"].push_back(to_json(device));
    for (const Cluster& cluster : clusters) out["clusters"].push_back(to_json(cluster));
    fmt::print("{}\n", out.dump(2));
    return;
  }
  if (request.names.empty()) return print_tables(devices, clusters, context);
  for (const Device& device : devices) print_detail(device, context);
  for (const Cluster& cluster : clusters) print_detail(cluster, context);
}

}  // namespace assay::cli
