#pragma once
// How a technique answers for a paper's configuration: a pure function from descriptors to a value with its parts.
// The claims engine calls it again with perturbed descriptors to find what a verdict hangs on.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datasets/machine.h"
#include "harness/params.h"

namespace assay::harness::claims {

// A [[configuration]] row of suites/claims with its descriptors loaded. `device` and `cluster` may be perturbed copies.
struct Setting {
  std::string technique;           // the technique whose value is asked for
  std::string claim;               // key of the claim it is asked for
  std::string role = "technique";  // "technique", or "baseline" of a ratio or difference
  std::string configuration;       // id
  std::optional<datasets::Model> model;
  std::optional<datasets::Device> device;
  std::optional<datasets::Cluster> cluster;
  int ranks = 1;
  std::string dtype;
  std::string workload;
  Params axes;
};

struct ProjectionPart {
  std::string component;       // "attention matmul", "softmax", "exposed comm" ...
  std::string operator_class;  // whose held-out residual bounds it: gemm, attention, pointwise, collective, link, none
  double value = 0;
};

struct Projection {
  double value = 0;  // in the claim's base unit
  std::vector<ProjectionPart> parts;
  bool inside_domain = true;  // all operators inside the calibrated domain
  std::string note;           // what was assumed, short
};

// `quantity` is one of the closed list (throughput, device_flops, step_time, max_sequence ...). Returns nothing when
// the technique has no mapping for that quantity and configuration: the claim is then `untestable: not mapped`.
using Projector = std::optional<Projection> (*)(const Setting& setting, const std::string& quantity);

}  // namespace assay::harness::claims
