#pragma once
// Descriptors of devices, clusters and models as the projections use them. Base units: FLOP/s, B/s, bytes, seconds.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace assay::datasets {

// One number of a descriptor with where it comes from, so that a report can list its sources and a verdict can say
// which constant it hangs on.
struct Constant {
  double value = 0;
  std::string source;    // datasheet, paper, "fitted: <file>" ...
  double p90_error = 0;  // relative; 0 for datasheet facts, the P90 residual for fitted efficiencies
  bool fitted = false;
  double carried_p90_error = 0;  // of a fitted one on other chips that carry it
};

// datasets/hardware/devices/<id>.toml
struct Device {
  std::string id;
  std::string name;
  // Every number by key. Keys every device has: memory_bytes, memory_bandwidth. Compute peaks: peak_<dtype> (bf16,
  // fp16, tf32, fp32, fp8, int8; dense). Others where known: units (SMs), l2_bytes, clock_hz, launch_seconds,
  // exp_per_second, link_bandwidth (per direction), power_watts, shared_bytes_per_unit. Fitted: eff_gemm, eff_memory,
  // eff_attention ...
  std::map<std::string, Constant, std::less<>> constants;
  std::string calibration;  // "" own; else the device whose fitted efficiencies it carries: rows say `carried`
  std::string file;         // where it was read
  std::string hash;         // content hash of the file

  double at(std::string_view key) const;  // throws UserError: "<file>: <key> is missing"
  double get(std::string_view key, double fallback) const;
  bool has(std::string_view key) const;
};

// datasets/hardware/clusters/<id>.toml
struct Link {
  double bandwidth = 0;  // B/s per direction, usable by one endpoint
  double latency = 0;    // s per message
};
// One link inside a node, of `bandwidth` in each direction. Ends: device<k>, nic<k>, or the name of a switch.
struct NodeLink {
  std::string from, to;
  double bandwidth = 0;
  std::string source;
  int line = 0;  // of the descriptor
};
struct Cluster {
  std::string id;
  std::string device;  // Device id
  int devices_per_node = 1;
  int nodes = 1;  // most there are; a case uses as many as its ranks need
  // Usable: the datasheet's bandwidth times the fitted eff_intra and eff_inter, where the descriptor has them.
  Link intra;                 // device to device inside a node (NVSwitch: every device its own full-rate port)
  Link inter;                 // one NIC
  int nics_per_node = 1;      // devices share NICs by affinity: device d uses NIC d * nics / devices
  std::string topology;       // what joins nodes, or what is inside where nothing between them blocks: docs/fabrics.md
  std::string node_topology;  // inside a node where `topology` is of what is between: switch, mesh, ring, tree
  std::vector<NodeLink> node_links;                        // of a tree or a mesh
  std::map<std::string, Constant, std::less<>> constants;  // the same numbers with their sources
  std::string file;
  std::string hash;
};

// datasets/models/<id>.toml
struct Model {
  std::string id;
  std::map<std::string, double, std::less<>>
      numbers;  // layers, hidden, heads, kv_heads, head_dim, ffn, vocab, parameters ...
  std::string source;
  std::vector<std::string> reconstructed;
  std::string file;
  std::string hash;

  double at(std::string_view key) const;
};

// Reads and checks <root>/hardware/devices/<id>.toml and so on; an unknown id is a UserError with the nearest names. An
// id that ends in .toml is the path of a descriptor outside the folder, as `assay probe --output` writes one. `root` is
// normally data_root().
Device load_device(std::string_view id, std::string_view root);
Cluster load_cluster(std::string_view id, std::string_view root);
Model load_model(std::string_view id, std::string_view root);
// Sets the plain fields of a cluster from its constants again, after a constant was changed (perturbed copies).
void apply_constants(Cluster& cluster);
// The machine as its datasheet promises: fitted efficiencies 1, fitted overheads 0 (both by leaving the constants out).
Device datasheet_only(const Device& device);
Cluster datasheet_only(const Cluster& cluster);
std::vector<std::string> device_ids(std::string_view root);
std::vector<std::string> cluster_ids(std::string_view root);
std::vector<std::string> model_ids(std::string_view root);

// The datasets folder: $ASSAY_DATA, else beside the installed program, else the source tree's.
std::string data_root();
// The suites folder, found the same way ($ASSAY_SUITES).
std::string suites_root();

}  // namespace assay::datasets
