#include "impls/parallelism/remembered_run.h"

#include <fmt/format.h>

#include <functional>
#include <map>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "impls/substrate/cluster/cluster.h"

namespace assay::parallelism {

using substrate::OperatorTime;
using substrate::OpWork;

namespace {

struct HashOfWork {
  std::size_t operator()(const OpWork& work) const {
    const std::hash<double> real;
    const std::hash<std::int64_t> whole;
    return (static_cast<std::size_t>(work.kind) * 31 + real(work.flops)) * 31 + real(work.bytes) * 7 + whole(work.m);
  }
};

// Runs of one program on one cluster.
struct Remembered {
  std::vector<OpWork> operators;
  std::map<std::vector<double>, CriticalPath> runs;  // by what each operator takes
};

std::vector<double> times_of(const std::vector<OpWork>& operators, const TimeOfOperator& time) {
  std::vector<double> times;
  times.reserve(2 * operators.size());
  for (const OpWork& work : operators) {
    const OperatorTime one = time(work);
    times.push_back(one.seconds);
    times.push_back(one.inside_domain ? 1 : 0);
  }
  return times;
}

}  // namespace

CriticalPath run_on_cluster(const datasets::Device& device, const datasets::Cluster& cluster, int ranks,
                            const TimeOfOperator& time, const RankProgram& program) {
  CriticalPath result;
  substrate::ClusterFabric fabric({.cluster = cluster,
                                   .operator_seconds =
                                       [&](const OpWork& work) {
                                         const OperatorTime one = time(work);
                                         result.inside_domain = result.inside_domain && one.inside_domain;
                                         return one.seconds;
                                       },
                                   .memory_bandwidth = device.at("memory_bandwidth"),
                                   .ranks = ranks});
  const substrate::RunReport run = fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); });
  const auto& critical = run.ranks[static_cast<std::size_t>(run.critical_rank())];
  result.seconds = substrate::to_seconds(run.makespan());
  result.computing = substrate::to_seconds(critical.busy[0]);
  result.copying = substrate::to_seconds(critical.busy[1]);
  result.exposed = substrate::to_seconds(critical.exposed);
  return result;
}

CriticalPath run_or_remember(const std::string& name, const datasets::Device& device, const datasets::Cluster& cluster,
                             int ranks, const TimeOfOperator& time, const std::function<RankProgram()>& make) {
  static std::mutex guard;
  static std::map<std::string, Remembered> known;
  std::string key = fmt::format("{}|{}|{}|{}", name, ranks, device.at("memory_bandwidth"), cluster.id);
  // The fitted closed form of all-reduces (models/collective_time.h) is of no simulated link.
  for (const auto& [constant, number] : cluster.constants)
    if (constant.find("reduce") == std::string::npos) key += fmt::format(" {}={}", constant, number.value);
  std::vector<OpWork> operators;
  {
    const std::lock_guard lock(guard);
    operators = known[key].operators;
  }
  if (!operators.empty()) {
    const std::vector<double> times = times_of(operators, time);
    const std::lock_guard lock(guard);
    const auto& runs = known[key].runs;
    if (const auto found = runs.find(times); found != runs.end()) return found->second;
  }
  std::unordered_set<OpWork, HashOfWork> used;
  const CriticalPath result = run_on_cluster(
      device, cluster, ranks,
      [&](const OpWork& work) {
        used.insert(work);
        return time(work);
      },
      make());
  const std::lock_guard lock(guard);
  Remembered& entry = known[key];
  if (entry.operators.empty()) entry.operators.assign(used.begin(), used.end());
  entry.runs.emplace(times_of(entry.operators, time), result);
  return result;
}

}  // namespace assay::parallelism
