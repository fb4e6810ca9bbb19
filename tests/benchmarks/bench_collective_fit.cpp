// Fits the constants of a cluster's collectives on measured times and prints them with residuals:
//   bench_collective_fit CLUSTER-ID PROFILE.csv ...
// Residuals are held out: every rank count is predicted by constants fitted on the others.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/models/collective_profile.h"
#include "impls/substrate/models/coordinate_search.h"

namespace {

using assay::datasets::Cluster;
using assay::substrate::CollectiveKind;
using assay::substrate::MeasuredCollective;
using Rows = std::vector<const MeasuredCollective*>;
using Parameters = std::vector<double>;

Cluster with(Cluster cluster, const std::vector<std::string>& keys, const Parameters& values) {
  for (std::size_t i = 0; i < keys.size(); ++i) cluster.constants[keys[i]].value = values[i];
  assay::datasets::apply_constants(cluster);
  return cluster;
}

double error(const Cluster& cluster, const MeasuredCollective& row) {
  return assay::substrate::collective_time(cluster, row.work).seconds / row.seconds - 1;
}

// Large residuals count less: two modes of one setting cannot both be met.
double loss(const Cluster& cluster, const Rows& rows) {
  double sum = 0;
  for (const MeasuredCollective* row : rows) {
    const double off = std::abs(std::log1p(error(cluster, *row)));
    sum += off / (1 + off / 0.1);
  }
  return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

struct Group {
  const char* name;
  CollectiveKind kind;
  std::vector<std::string> keys;
};

Parameters fit(const Cluster& cluster, const Group& group, const Rows& rows) {
  Parameters start, most;
  for (const std::string& key : group.keys) {
    start.push_back(cluster.constants.at(key).value);
    most.push_back(key.starts_with("eff_") && key != "eff_tree" ? 1 : std::numeric_limits<double>::infinity());
  }
  return assay::substrate::coordinate_search(
      start, most, [&](const Parameters& values) { return loss(with(cluster, group.keys, values), rows); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: bench_collective_fit CLUSTER-ID PROFILE.csv ...\n");
    return 2;
  }
  Cluster cluster = assay::datasets::load_cluster(argv[1], assay::datasets::data_root());
  std::vector<MeasuredCollective> profile;
  for (int i = 2; i < argc; ++i) {
    const auto more = assay::substrate::read_collective_profile(argv[i]);
    profile.insert(profile.end(), more.begin(), more.end());
  }
  const std::vector<Group> groups{
      {"all_reduce",
       CollectiveKind::all_reduce,
       {"reduce_seconds", "reduce_step_seconds", "eff_reduce", "inter_reduce_step_seconds", "eff_inter_reduce",
        "eff_shared_nic", "eff_tree", "tree_bytes_per_rank"}},
      {"send_recv", CollectiveKind::send_recv, {"intra_latency", "eff_intra", "inter_latency", "eff_inter"}},
  };
  for (const Group& group : groups) {
    Rows all;
    std::set<std::pair<int, int>> settings;
    for (const MeasuredCollective& row : profile) {
      if (row.work.kind != group.kind) continue;
      all.push_back(&row);
      settings.emplace(row.work.ranks, row.work.devices_per_node);
    }
    if (all.empty()) continue;
    std::vector<double> held_out;
    std::vector<Parameters> folds;
    for (const auto& setting : settings) {
      if (settings.size() < 3) break;  // nothing left to fit both kinds of link on
      Rows inside, outside;
      for (const MeasuredCollective* row : all) {
        (std::pair(row->work.ranks, row->work.devices_per_node) == setting ? outside : inside).push_back(row);
      }
      folds.push_back(fit(cluster, group, inside));
      const Cluster fitted = with(cluster, group.keys, folds.back());
      std::vector<double> own;
      for (const MeasuredCollective* row : outside) own.push_back(std::abs(error(fitted, *row)));
      held_out.insert(held_out.end(), own.begin(), own.end());
      fmt::print("# {} without {} ranks of {} a node: predicted with median {:.3f}, P90 {:.3f}\n", group.name,
                 setting.first, setting.second, quantile(own, 0.5), quantile(own, 0.9));
    }
    const Parameters values = fit(cluster, group, all);
    cluster = with(cluster, group.keys, values);
    std::map<std::pair<int, int>, std::vector<double>> by_setting;
    std::vector<double> own;
    for (const MeasuredCollective* row : all) {
      own.push_back(std::abs(error(cluster, *row)));
      by_setting[{row->work.ranks, row->work.devices_per_node}].push_back(own.back());
    }
    for (const auto& [setting, errors] : by_setting) {
      fmt::print("#   {} ranks of {} a node: median {:.3f}, P90 {:.3f}\n", setting.first, setting.second,
                 quantile(errors, 0.5), quantile(errors, 0.9));
    }
    fmt::print("# {}: {} times; residual median {:.3f}, P90 {:.3f}; held out median {:.3f}, P90 {:.3f}\n", group.name,
               all.size(), quantile(own, 0.5), quantile(own, 0.9), quantile(held_out, 0.5), quantile(held_out, 0.9));
    for (std::size_t i = 0; i < values.size(); ++i) {
      double spread = 0;
      for (const Parameters& fold : folds) spread = std::max(spread, std::abs(fold[i] / values[i] - 1));
      fmt::print("{} = {:.4g}   # between folds {:.3f}\n", group.keys[i], values[i], spread);
    }
  }
  return 0;
}
