// Readers of the descriptor files. Every number is a table { value, source } so that a projection can name its sources;
// fitted ones stand under [fitted] with their residuals.
#include "datasets/machine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "datasets/content_hash.h"
#include "datasets/nearest_names.h"
#include "datasets/node_links.h"
#include "datasets/user_error.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;
using Constants = std::map<std::string, Constant, std::less<>>;

struct Document {
  std::string file;
  std::string text;
  toml::table table;
};

std::string place(const Document& document, const toml::node& node) {
  return fmt::format("{}:{}", document.file, node.source().begin.line);
}

std::vector<std::string> ids_in(const fs::path& folder) {
  std::vector<std::string> ids;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    if (entry.path().extension() == ".toml") ids.push_back(entry.path().stem().string());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Document read_document(std::string_view kind, std::string_view id, const fs::path& folder) {
  Document document;
  const bool path = id.ends_with(".toml");  // a file of the user's own
  document.file = path ? std::string(id) : (folder / fmt::format("{}.toml", id)).string();
  std::ifstream stream(document.file, std::ios::binary);
  if (path && !stream)
    throw UserError(fmt::format("{}: cannot be read, expected a {} descriptor", document.file, kind));
  if (!stream || (!path && id.find('/') != std::string_view::npos)) {
    const auto ids = ids_in(folder);
    const auto near = nearest_names(id, ids);
    throw UserError(fmt::format("unknown {} '{}' in {}{}", kind, id, folder.string(),
                                ids.empty()    ? std::string(": the folder is empty or missing")
                                : near.empty() ? fmt::format("; known: {}", fmt::join(ids, ", "))
                                               : fmt::format("; nearest: {}", fmt::join(near, ", "))));
  }
  std::ostringstream text;
  text << stream.rdbuf();
  document.text = text.str();
  try {
    document.table = toml::parse(document.text, document.file);
  } catch (const toml::parse_error& wrong) {
    throw UserError(fmt::format("{}:{}: not TOML: {}", document.file, wrong.source().begin.line, wrong.description()));
  }
  return document;
}

[[noreturn]] void missing(const Document& document, std::string_view key, std::string_view expected) {
  throw UserError(fmt::format("{}: {} is missing, expected {}", document.file, key, expected));
}

std::string text_at(const Document& document, std::string_view key, std::string_view expected) {
  const toml::node* node = document.table.get(key);
  if (node == nullptr) missing(document, key, expected);
  const auto value = node->value_exact<std::string>();
  if (!value) throw UserError(fmt::format("{}: {} is not text, expected {}", place(document, *node), key, expected));
  return *value;
}

double number(const Document& document, const toml::node& node, std::string_view key) {
  const auto value = node.value<double>();
  if (!node.is_number() || !value || !std::isfinite(*value) || *value < 0) {
    throw UserError(fmt::format("{}: {} is {}, expected a number of at least 0 in base units", place(document, node),
                                key, node.is_number() ? fmt::format("{}", value.value_or(0)) : "not a number"));
  }
  return *value;
}

// What an id is called in its file: its last part where it is a path.
std::string named(std::string_view id) {
  return id.ends_with(".toml") ? fs::path(id).stem().string() : std::string(id);
}

void check_head(const Document& document, std::string_view given, std::initializer_list<std::string_view> allowed) {
  const std::string id = named(given);
  for (const auto& [key, node] : document.table) {
    if (std::find(allowed.begin(), allowed.end(), key.str()) == allowed.end()) {
      throw UserError(fmt::format("{}: unknown key {}, expected one of {}", place(document, node), key.str(),
                                  fmt::join(allowed, ", ")));
    }
  }
  if (const std::string found = text_at(document, "id", "the name of the file"); found != id) {
    throw UserError(fmt::format("{}: id is '{}', expected '{}' as the file is named",
                                place(document, *document.table.get("id")), found, id));
  }
}

void read_constants(const Document& document, std::string_view section, bool fitted, Constants& into) {
  const toml::node* holder = document.table.get(section);
  if (holder == nullptr) return;
  const toml::table* table = holder->as_table();
  if (table == nullptr) {
    throw UserError(
        fmt::format("{}: {} is not a table, expected key = {{ value, source }}", place(document, *holder), section));
  }
  for (const auto& [name, node] : *table) {
    const std::string key(name.str());
    const toml::table* row = node.as_table();
    if (row == nullptr || row->get("value") == nullptr) {
      throw UserError(
          fmt::format("{}: {} has no value, expected {{ value = ..., source = \"...\" }}", place(document, node), key));
    }
    for (const auto& [part, unused] : *row) {
      if (part != "value" && part != "source" && part != "p90_error" && part != "carried_p90_error") {
        throw UserError(fmt::format("{}: {}.{} is unknown, expected value, source, p90_error or carried_p90_error",
                                    place(document, unused), key, part.str()));
      }
    }
    Constant constant;
    constant.fitted = fitted;
    constant.value = number(document, *row->get("value"), key);
    constant.source = (*row)["source"].value_or(std::string());
    if (constant.source.empty()) {
      throw UserError(
          fmt::format("{}: {} has no source, expected where the number comes from", place(document, node), key));
    }
    if (const toml::node* residual = row->get("p90_error"))
      constant.p90_error = number(document, *residual, key + ".p90_error");
    if (const toml::node* residual = row->get("carried_p90_error"))
      constant.carried_p90_error = number(document, *residual, key + ".carried_p90_error");
    if (fitted && row->get("p90_error") == nullptr) {
      throw UserError(fmt::format("{}: {} has no p90_error, expected the P90 relative residual of the fit",
                                  place(document, node), key));
    }
    into.insert_or_assign(key, std::move(constant));
  }
}

void require(const Document& document, const Constants& constants,
             std::initializer_list<std::pair<const char*, const char*>> keys) {
  for (const auto& [key, expected] : keys) {
    if (!constants.contains(key)) missing(document, key, expected);
  }
}

// [[node_links]]: join = ["device0", ...], to = "switch0", bandwidth, source.
std::vector<NodeLink> read_node_links(const Document& document) {
  std::vector<NodeLink> links;
  const toml::node* holder = document.table.get("node_links");
  if (holder == nullptr) return links;
  const toml::array* rows = holder->as_array();
  constexpr const char* kRow = "{ join = [\"device0\", ...], to = \"...\", bandwidth = ..., source = \"...\" }";
  if (rows == nullptr)
    throw UserError(fmt::format("{}: node_links is no list, expected rows of {}", place(document, *holder), kRow));
  for (const toml::node& node : *rows) {
    const toml::table* row = node.as_table();
    const toml::array* join = row == nullptr ? nullptr : (*row)["join"].as_array();
    if (join == nullptr || !join->is_homogeneous(toml::node_type::string) || join->empty() ||
        !(*row)["to"].is_string() || row->get("bandwidth") == nullptr || !(*row)["source"].is_string() ||
        row->size() != 4)
      throw UserError(fmt::format("{}: a row of node_links is not whole, expected {}", place(document, node), kRow));
    for (const toml::node& from : *join)
      links.push_back({.from = *from.value<std::string>(),
                       .to = *(*row)["to"].value<std::string>(),
                       .bandwidth = number(document, *row->get("bandwidth"), "bandwidth"),
                       .source = *(*row)["source"].value<std::string>(),
                       .line = static_cast<int>(from.source().begin.line)});
  }
  return links;
}

// Fitted constants on another chip of the same kind: what is latency inside a kernel is a number of cycles, and what
// limits a streaming kernel below the memory bandwidth is what its units issue in a cycle, at most what the best
// streaming kernel gets. Where the chip is not the one they were fitted on they have the residuals found on others.
void carry(const Device& from, Device& to) {
  const double clock = from.get("clock_hz", 0), to_clock = to.get("clock_hz", 0);
  const double units = from.get("units", 0), to_units = to.get("units", 0);
  const bool comparable = clock > 0 && to_clock > 0 && units > 0 && to_units > 0;
  const bool same_chip = comparable && clock == to_clock && units == to_units;
  const double cycles = comparable ? clock / to_clock : 1;
  const double issued = comparable ? (to_units * to_clock / to.constants.at("memory_bandwidth").value) /
                                         (units * clock / from.constants.at("memory_bandwidth").value)
                                   : 1;
  for (const auto& [key, fitted] : from.constants) {
    if (!fitted.fitted) continue;
    Constant constant = fitted;
    if (key.ends_with("_row_seconds") || key == "gemm_tile_seconds" || key == "split_seconds" ||
        key == "pointwise_seconds" || key == "norm_seconds" || key == "copy_seconds")
      constant.value *= cycles;
    if (key == "eff_pointwise" || key == "eff_norm")
      constant.value = std::min(constant.value * issued, std::max(from.get("eff_copy", 1), constant.value));
    constant.source =
        fmt::format("carried from {}{}: {}", from.id,
                    constant.value == fitted.value ? "" : ", by clock, units and bandwidth", fitted.source);
    if (!same_chip) constant.p90_error = std::max(constant.p90_error, constant.carried_p90_error);
    to.constants.insert_or_assign(key, std::move(constant));
  }
}

fs::path devices_folder(std::string_view root) { return fs::path(root) / "hardware" / "devices"; }
fs::path clusters_folder(std::string_view root) { return fs::path(root) / "hardware" / "clusters"; }
fs::path models_folder(std::string_view root) { return fs::path(root) / "models"; }

}  // namespace

double Device::at(std::string_view key) const {
  const auto found = constants.find(key);
  if (found == constants.end()) throw UserError(fmt::format("{}: {} is missing, expected a number", file, key));
  return found->second.value;
}

double Device::get(std::string_view key, double fallback) const {
  const auto found = constants.find(key);
  return found == constants.end() ? fallback : found->second.value;
}

bool Device::has(std::string_view key) const { return constants.find(key) != constants.end(); }

double Model::at(std::string_view key) const {
  const auto found = numbers.find(key);
  if (found == numbers.end()) throw UserError(fmt::format("{}: {} is missing, expected a number", file, key));
  return found->second;
}

Device load_device(std::string_view id, std::string_view root) {
  const Document document = read_document("device", id, devices_folder(root));
  check_head(document, id, {"id", "name", "calibration", "provenance", "date", "constants", "fitted"});
  Device device;
  device.id = named(id);
  device.name = text_at(document, "name", "the device's full name");
  device.file = document.file;
  device.hash = content_hash(document.text);
  read_constants(document, "constants", false, device.constants);
  require(document, device.constants,
          {{"memory_bytes", "device memory in bytes"}, {"memory_bandwidth", "memory bandwidth in B/s"}});
  if (document.table.contains("calibration")) {
    device.calibration = text_at(document, "calibration", "the id of the device whose fitted constants it carries");
    const Device carried = load_device(device.calibration, root);
    if (!carried.calibration.empty()) {
      throw UserError(fmt::format("{}: calibration is '{}', which carries '{}' itself; expected a device with own fits",
                                  place(document, *document.table.get("calibration")), device.calibration,
                                  carried.calibration));
    }
    carry(carried, device);
    device.hash = content_hash(document.text + carried.hash);
  }
  read_constants(document, "fitted", true, device.constants);
  return device;
}

Cluster load_cluster(std::string_view id, std::string_view root) {
  const Document document = read_document("cluster", id, clusters_folder(root));
  check_head(document, id, {"id", "name", "device", "topology", "node_topology", "node_links", "constants", "fitted"});
  Cluster cluster;
  cluster.id = named(id);
  cluster.device = text_at(document, "device", "a device id");
  cluster.topology = text_at(document, "topology", "nvswitch, fat-tree, torus, rail ...");
  if (document.table.contains("node_topology"))
    cluster.node_topology = text_at(document, "node_topology", "switch, mesh, ring or tree");
  cluster.node_links = read_node_links(document);
  cluster.file = document.file;
  cluster.hash = content_hash(document.text);
  read_constants(document, "constants", false, cluster.constants);
  read_constants(document, "fitted", true, cluster.constants);
  require(document, cluster.constants,
          {{"devices_per_node", "devices in one node"},
           {"nodes", "the most nodes there are"},
           {"nics_per_node", "network adapters in one node"},
           {"intra_bandwidth", "B/s per direction of one device inside a node"},
           {"intra_latency", "seconds per message inside a node"},
           {"inter_bandwidth", "B/s per direction of one network adapter"},
           {"inter_latency", "seconds per message between nodes"}});
  for (const char* key : {"devices_per_node", "nodes", "nics_per_node"}) {
    const double value = cluster.constants.find(key)->second.value;
    if (value < 1 || value != std::floor(value)) {
      throw UserError(fmt::format("{}: {} is {}, expected a whole number of at least 1", document.file, key, value));
    }
  }
  apply_constants(cluster);
  if (!cluster.node_links.empty()) {
    if (cluster.node_topology != "tree" && cluster.node_topology != "mesh")
      throw UserError(fmt::format("{}: node_topology is '{}' beside node_links, expected tree or mesh", document.file,
                                  cluster.node_topology));
    check_node_links(cluster);
  }
  return cluster;
}

void apply_constants(Cluster& cluster) {
  const auto value = [&](std::string_view key, double fallback) {
    const auto found = cluster.constants.find(key);
    return found == cluster.constants.end() ? fallback : found->second.value;
  };
  cluster.devices_per_node = static_cast<int>(value("devices_per_node", 1));
  cluster.nodes = static_cast<int>(value("nodes", 1));
  cluster.nics_per_node = static_cast<int>(value("nics_per_node", 1));
  cluster.intra = {value("intra_bandwidth", 0) * value("eff_intra", 1), value("intra_latency", 0)};
  cluster.inter = {value("inter_bandwidth", 0) * value("eff_inter", 1), value("inter_latency", 0)};
}

Device datasheet_only(const Device& device) {
  Device ideal = device;
  std::erase_if(ideal.constants, [](const auto& entry) { return entry.second.fitted; });
  return ideal;
}

Cluster datasheet_only(const Cluster& cluster) {
  Cluster ideal = cluster;
  std::erase_if(ideal.constants, [](const auto& entry) { return entry.second.fitted; });
  apply_constants(ideal);
  return ideal;
}

Model load_model(std::string_view id, std::string_view root) {
  const Document document = read_document("model", id, models_folder(root));
  check_head(document, id, {"id", "source", "reconstructed", "numbers"});
  Model model;
  model.id = named(id);
  model.source = text_at(document, "source", "where the numbers come from");
  model.file = document.file;
  model.hash = content_hash(document.text);
  const toml::node* numbers = document.table.get("numbers");
  if (numbers == nullptr || !numbers->is_table()) missing(document, "numbers", "a table of layers, hidden, heads ...");
  for (const auto& [key, node] : *numbers->as_table()) {
    model.numbers.emplace(std::string(key.str()), number(document, node, key.str()));
  }
  if (const toml::node* listed = document.table.get("reconstructed")) {
    const toml::array* keys = listed->as_array();
    if (keys == nullptr || !keys->is_homogeneous(toml::node_type::string)) {
      throw UserError(fmt::format("{}: reconstructed is not a list of keys", place(document, *listed)));
    }
    for (const auto& key : *keys) model.reconstructed.push_back(*key.value<std::string>());
  }
  return model;
}

std::vector<std::string> device_ids(std::string_view root) { return ids_in(devices_folder(root)); }
std::vector<std::string> cluster_ids(std::string_view root) { return ids_in(clusters_folder(root)); }
std::vector<std::string> model_ids(std::string_view root) { return ids_in(models_folder(root)); }

}  // namespace assay::datasets
