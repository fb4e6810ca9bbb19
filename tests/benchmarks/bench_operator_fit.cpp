// Fits the efficiencies of the A100 descriptor on measured operator times and prints them as TOML with residuals:
//   bench_operator_fit a100_linear_ops.csv [DEVICE-ID]
// Residuals are held out: every model of the profile is predicted by constants fitted on the other models.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/models/coordinate_search.h"
#include "impls/substrate/models/linear_profile.h"
#include "impls/substrate/models/operator_time.h"

namespace {

using assay::datasets::Device;
using assay::substrate::MeasuredOperator;
using Parameters = std::vector<double>;

struct Group {
  std::string name;               // operator class
  std::vector<std::string> keys;  // constants fitted on it
  Parameters start;
};

Device with(const Device& device, const Group& group, const Parameters& values) {
  Device changed = device;
  for (std::size_t i = 0; i < values.size(); ++i) changed.constants[group.keys[i]].value = values[i];
  return changed;
}

std::vector<double> relative_errors(const Device& device, const std::vector<const MeasuredOperator*>& rows) {
  std::vector<double> errors;
  errors.reserve(rows.size());
  for (const MeasuredOperator* row : rows) {
    errors.push_back(assay::substrate::operator_seconds(device, row->work) / row->seconds - 1);
  }
  return errors;
}

// Large residuals count less: where the library picks another kernel than the fastest, no constant is to blame.
double loss(const Device& device, const std::vector<const MeasuredOperator*>& rows) {
  double sum = 0;
  for (const double error : relative_errors(device, rows)) {
    const double off = std::abs(std::log1p(error));
    sum += off / (1 + off / 0.1);
  }
  return sum / static_cast<double>(rows.size());
}

Parameters fit(const Device& device, const Group& group, const std::vector<const MeasuredOperator*>& rows) {
  std::vector<double> most(group.keys.size(), std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < most.size(); ++i) {
    if (group.keys[i].starts_with("eff_") || group.keys[i] == "gemm_exposed") most[i] = 1;
  }
  return assay::substrate::coordinate_search(
      group.start, most, [&](const Parameters& values) { return loss(with(device, group, values), rows); });
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_operator_fit PROFILE.csv [DEVICE-ID]\n");
    return 2;
  }
  const auto profile = assay::substrate::read_linear_profile(argv[1]);
  Device device = assay::datasets::load_device(argc > 2 ? argv[2] : "a100-80g-sxm", assay::datasets::data_root());

  std::set<std::string> models;
  for (const MeasuredOperator& row : profile) models.insert(row.model);
  const std::vector<Group> groups{
      {"gemm",
       {"eff_gemm", "eff_memory", "launch_seconds", "gemm_exposed", "eff_operands", "gemm_tile_seconds",
        "split_seconds", "throttle", "throttle_after_seconds"},
       {0.85, 0.85, 4e-6, 0.3, 0.75, 0.7e-6, 2.4e-6, 0.12, 4e-4}},
      {"pointwise",
       {"eff_pointwise", "eff_pointwise_l2", "pointwise_seconds", "pointwise_row_seconds"},
       {0.5, 0.2, 2e-6, 0.5e-6}},
      {"norm", {"eff_norm", "eff_norm_l2", "norm_seconds", "norm_row_seconds"}, {0.45, 0.2, 2e-6, 0.7e-6}},
      {"copy", {"eff_copy", "eff_copy_l2", "copy_seconds"}, {0.9, 0.4, 2e-6}},
  };
  for (const Group& group : groups) {
    std::vector<const MeasuredOperator*> all;
    for (const MeasuredOperator& row : profile) {
      if (row.group == group.name) all.push_back(&row);
    }
    std::vector<double> held_out;
    std::vector<Parameters> folds;
    for (const std::string& model : models) {
      std::vector<const MeasuredOperator*> inside, outside;
      for (const MeasuredOperator* row : all) (row->model == model ? outside : inside).push_back(row);
      folds.push_back(fit(device, group, inside));
      for (const double error : relative_errors(with(device, group, folds.back()), outside)) {
        held_out.push_back(std::abs(error));
      }
    }
    const Parameters values = fit(device, group, all);
    device = with(device, group, values);
    std::vector<double> own;
    for (const double error : relative_errors(device, all)) own.push_back(std::abs(error));
    fmt::print("# {}: {} times; residual median {:.3f}, P90 {:.3f}; held out median {:.3f}, P90 {:.3f}\n", group.name,
               all.size(), quantile(own, 0.5), quantile(own, 0.9), quantile(held_out, 0.5), quantile(held_out, 0.9));
    for (std::size_t i = 0; i < values.size(); ++i) {
      double spread = 0;
      for (const Parameters& fold : folds) spread = std::max(spread, std::abs(fold[i] / values[i] - 1));
      fmt::print("{} = {:.4g}   # between folds {:.3f}\n", group.keys[i], values[i], spread);
    }
    if (group.name == "gemm") {
      for (const auto& [low, high] : {std::pair{1, 64}, {64, 256}, {256, 1024}, {1024, 1 << 20}}) {
        std::vector<const MeasuredOperator*> part;
        for (const MeasuredOperator* row : all) {
          if (row->work.m >= low && row->work.m < high) part.push_back(row);
        }
        std::vector<double> errors = relative_errors(device, part), sizes;
        for (const double error : errors) sizes.push_back(std::abs(error));
        fmt::print("#   m {}..{}: bias {:+.3f}, median {:.3f}, P90 {:.3f}\n", low, high, quantile(errors, 0.5),
                   quantile(sizes, 0.5), quantile(sizes, 0.9));
      }
    }
  }
  return 0;
}
