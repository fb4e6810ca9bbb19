#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/machine.h"
#include "datasets/nearest_names.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/list.h"
#include "harness/gpu/device.h"
#include "harness/nvidia_driver.h"
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

// The GPUs of this machine, as the driver lists them, and whether cuda cases can run on the first.
struct Here {
  harness::NvidiaDriver driver;
  std::optional<harness::gpu::DeviceFacts> usable;
  std::string reason;  // why none is usable
};

Here look_here() {
  Here here{harness::query_nvidia_driver(), {}, ""};
  try {
    here.usable = harness::gpu::find_device();
  } catch (const harness::gpu::NoDevice& absent) {
    here.reason = absent.what();
  }
  return here;
}

std::string optional_si(const std::optional<double>& value, std::string_view unit) {
  return value ? format_si(*value, unit) : "";
}

void print_here(const Here& here, const Context& context) {
  if (!here.usable) fmt::print("this machine: {}\n", here.reason);
  if (here.driver.gpus.empty() && here.usable)
    fmt::print("this machine: {}, sm_{}, {} multiprocessors; its clocks are not known: {}\n", here.usable->name,
               here.usable->capability, here.usable->multiprocessors, here.driver.reason);
  if (!here.driver.gpus.empty()) {
    Table table({{"here", false, 12},
                 {"memory", true},
                 {"SM clock", true},
                 {"at most", true},
                 {"memory clock", true},
                 {"power", true},
                 {"limit", true},
                 {"held down by", false, 8}});
    for (const harness::Gpu& gpu : here.driver.gpus)
      table.add_row({gpu.name, format_si(static_cast<double>(gpu.memory_bytes), "B"),
                     optional_si(gpu.state.sm_hz, "Hz"), optional_si(gpu.max_sm_hz, "Hz"),
                     optional_si(gpu.state.memory_hz, "Hz"), optional_si(gpu.state.watts, "W"),
                     optional_si(gpu.limit_watts, "W"),
                     fmt::format("{}", fmt::join(harness::throttle_reasons(gpu.state.throttle.value_or(0)), ", "))});
    fmt::print("{}driver {}\n", table.render(context.width, context.color), here.driver.version);
  }
  fmt::print("\n");
}

json to_json(const Here& here) {
  json gpus = json::array();
  for (const harness::Gpu& gpu : here.driver.gpus) {
    json one = {{"name", gpu.name}, {"uuid", gpu.uuid}, {"memory_bytes", gpu.memory_bytes}};
    const auto put = [&](const char* key, const std::optional<double>& value) {
      if (value) one[key] = *value;
    };
    put("sm_hz", gpu.state.sm_hz);
    put("max_sm_hz", gpu.max_sm_hz);
    put("memory_hz", gpu.state.memory_hz);
    put("watts", gpu.state.watts);
    put("limit_watts", gpu.limit_watts);
    put("celsius", gpu.state.celsius);
    if (gpu.state.throttle) one["throttle_reasons"] = harness::throttle_reasons(*gpu.state.throttle);
    gpus.push_back(std::move(one));
  }
  json out = {{"driver", here.driver.version}, {"gpus", std::move(gpus)}, {"reason", here.reason}, {"cuda", nullptr}};
  if (here.usable) {
    const harness::gpu::DeviceFacts& facts = *here.usable;
    out["cuda"] = {{"name", facts.name},
                   {"uuid", facts.uuid},
                   {"capability", facts.capability},
                   {"multiprocessors", facts.multiprocessors},
                   {"memory_bytes", facts.memory_bytes},
                   {"l2_bytes", facts.l2_bytes},
                   {"shared_bytes_a_block", facts.shared_bytes_a_block},
                   {"runtime_version", facts.runtime_version},
                   {"driver_version", facts.driver_version}};
  }
  return out;
}

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
    if (request.names.empty()) out["here"] = to_json(look_here());
    fmt::print("{}\n", out.dump(2));
    return;
  }
  if (request.names.empty()) print_here(look_here(), context);
  if (request.names.empty()) return print_tables(devices, clusters, context);
  for (const Device& device : devices) print_detail(device, context);
  for (const Cluster& cluster : clusters) print_detail(cluster, context);
}

}  // namespace assay::cli
