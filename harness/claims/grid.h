#pragma once
// A claim's configurations as settings, and our values on them. What evaluation and its variations (residuals,
// conditions) share.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/claims/claim.h"
#include "harness/claims/judge.h"
#include "harness/claims/projection.h"

namespace assay::harness::claims {

// The descriptors a claim's configurations name, read once; perturbed copies take their place in a second evaluation.
struct Machines {
  std::map<std::string, datasets::Device> devices;
  std::map<std::string, datasets::Cluster> clusters;
};

// Why a claim has no value: thrown.
struct Missing {
  std::string reason;
};

struct Point {
  double value = 0;
  Projection technique;
  std::optional<Projection> baseline;
};

// Both throw Missing for a descriptor that is not there.
Machines load_machines(const Claim& claim, const Library& library, std::string_view data_root);
std::vector<Setting> make_settings(const Claim& claim, const Library& library, const Machines& machines,
                                   std::string_view data_root);

// Our value on every setting, with the machines of the same ids in `machines`; `baseline` is null where none is needed.
// Throws Missing where a projector has no answer.
std::vector<Point> evaluate_grid(const Claim& claim, const std::vector<Setting>& settings, const Machines& machines,
                                 Projector technique, Projector baseline);
Judgement judge_grid(const Claim& claim, const std::vector<Point>& grid);

// Every fitted constant of every machine moved by its residual, one at a time, each way: visit(constant, moved).
void perturb(const Machines& machines, const std::function<void(const std::string&, const Machines&)>& visit);

}  // namespace assay::harness::claims
