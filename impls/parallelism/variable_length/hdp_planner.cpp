#include "impls/parallelism/variable_length/hdp_planner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "impls/parallelism/variable_length/packing.h"

namespace assay::parallelism {

namespace {

std::int64_t length_of(const std::vector<std::int64_t>& lengths, int sequence) {
  return lengths[static_cast<std::size_t>(sequence)];
}

// Rounded divisions must not take one rank more for the last digit.
int rounded_up(double value) { return std::max(1, static_cast<int>(std::ceil(value - 1e-9))); }

void start(HdpPlan& plan, const BatchProblem& problem, const HdpUnit& unit, std::vector<int> ranks) {
  for (const int rank : ranks) plan.seconds[static_cast<std::size_t>(rank)] += unit.seconds;
  plan.items.push_back(make_item(problem, std::move(ranks), unit.sequences, Exchange::ring, unit.offload));
}

HdpPlan none_of(const BatchProblem& problem) {
  return {.items = {}, .seconds = std::vector<double>(static_cast<std::size_t>(problem.ranks), 0)};
}

}  // namespace

double HdpCosts::seconds(std::int64_t length) const {
  return pair_seconds * static_cast<double>(causal_pairs(length)) + token_seconds * static_cast<double>(length);
}

int hdp_degree(std::int64_t length, double offload, const HdpCosts& costs) {
  const double l = costs.layers;
  const double kept = l > 2 ? (2 + (1 - offload) * (l - 2)) / l : 1;
  return rounded_up(kept * static_cast<double>(length) / static_cast<double>(costs.capacity));
}

HdpChoice choose_hdp(std::int64_t length, int ranks, const HdpCosts& costs) {
  const double l = costs.layers;
  const double forward = costs.seconds(length) / l / 3;  // a third of both passes
  const double bytes = costs.act_bytes * static_cast<double>(length);
  const double most = bytes > 0 ? std::min(1.0, forward * costs.host_bandwidth / bytes) : 0;
  HdpChoice choice{.degree = std::min(ranks, hdp_degree(length, most, costs)), .offload = 0};
  if (l > 2) {
    const double kept =
        (choice.degree * l * static_cast<double>(costs.capacity) / static_cast<double>(length) - 2) / (l - 2);
    choice.offload = std::clamp(1 - kept, 0.0, most);
  }
  return choice;
}

std::vector<HdpUnit> hdp_units(const std::vector<std::int64_t>& lengths, int ranks, const HdpCosts& costs) {
  std::vector<HdpUnit> units;
  std::vector<int> short_ones;
  for (int sequence = 0; sequence < static_cast<int>(lengths.size()); ++sequence) {
    const std::int64_t length = length_of(lengths, sequence);
    if (length < costs.capacity) {
      short_ones.push_back(sequence);
      continue;
    }
    const HdpChoice choice = choose_hdp(length, ranks, costs);
    units.push_back({{sequence}, choice.degree, choice.offload, costs.seconds(length) / choice.degree});
  }
  for (std::vector<int>& row : best_fit_rows(lengths, std::move(short_ones), costs.capacity)) {
    HdpUnit unit{.sequences = std::move(row)};
    for (const int sequence : unit.sequences) unit.seconds += costs.seconds(length_of(lengths, sequence));
    units.push_back(std::move(unit));
  }
  return units;
}

HdpPlan plan_hdp_naive(const BatchProblem& problem, const HdpCosts& costs) {
  HdpPlan plan = none_of(problem);
  std::vector<HdpUnit> units = hdp_units(problem.lengths, problem.ranks, costs);
  std::ranges::stable_sort(units, {}, [](const HdpUnit& unit) { return *std::ranges::min_element(unit.sequences); });
  // A slot takes, in their order, what still fits its ranks.
  while (!units.empty()) {
    std::vector<HdpUnit> later;
    int next = 0;
    for (HdpUnit& unit : units) {
      if (next + unit.degree > problem.ranks) {
        later.push_back(std::move(unit));
        continue;
      }
      std::vector<int> ranks(static_cast<std::size_t>(unit.degree));
      std::iota(ranks.begin(), ranks.end(), next);
      next += unit.degree;
      start(plan, problem, unit, std::move(ranks));
    }
    units = std::move(later);
  }
  return plan;
}

HdpPlan plan_hdp_balanced(const BatchProblem& problem, const HdpCosts& costs, HdpBalance balance, int buckets,
                          double tolerance) {
  HdpPlan plan = none_of(problem);
  std::vector<HdpUnit> units = hdp_units(problem.lengths, problem.ranks, costs);
  std::ranges::stable_sort(units, std::greater{}, &HdpUnit::seconds);
  double all = 0;
  for (const HdpUnit& unit : units) all += unit.seconds * unit.degree;
  // Buckets of about equal work, as queues of indices.
  std::vector<std::vector<std::size_t>> bucket(static_cast<std::size_t>(buckets));
  double work = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const auto b = std::min<std::size_t>(bucket.size() - 1, static_cast<std::size_t>(work / all * buckets));
    bucket[b].push_back(u);
    work += units[u].seconds * units[u].degree;
  }
  std::vector<std::size_t> order;
  for (std::size_t turn = 0; order.size() < units.size(); ++turn)
    for (const std::vector<std::size_t>& each : bucket) {
      if (balance == HdpBalance::data && turn == 0) order.insert(order.end(), each.begin(), each.end());
      if (balance == HdpBalance::pipeline && turn < each.size()) order.push_back(each[turn]);
    }
  const double delta = tolerance * all / problem.ranks;
  std::vector<int> by_load(static_cast<std::size_t>(problem.ranks));
  std::vector<int> waiting;  // who lags, least work first
  for (const std::size_t u : order) {
    const HdpUnit& unit = units[u];
    if (static_cast<int>(waiting.size()) < unit.degree) {
      std::iota(by_load.begin(), by_load.end(), 0);
      std::ranges::stable_sort(by_load, {}, [&](int rank) { return plan.seconds[static_cast<std::size_t>(rank)]; });
      const double most = plan.seconds[static_cast<std::size_t>(by_load.back())];
      waiting.clear();
      for (const int rank : by_load)
        if (most - plan.seconds[static_cast<std::size_t>(rank)] > delta) waiting.push_back(rank);
      if (static_cast<int>(waiting.size()) < unit.degree) waiting = by_load;  // none lags, or too few
    }
    std::vector<int> ranks(waiting.begin(), waiting.begin() + unit.degree);
    waiting.erase(waiting.begin(), waiting.begin() + unit.degree);
    start(plan, problem, unit, std::move(ranks));
  }
  return plan;
}

HdpPlan plan_static_mesh(const BatchProblem& problem, std::int64_t longest, const HdpCosts& costs) {
  HdpPlan plan = none_of(problem);
  const std::int64_t needed = (longest + costs.capacity - 1) / costs.capacity;
  const int degree = std::min<int>(static_cast<int>(std::bit_floor(static_cast<unsigned>(problem.ranks))),
                                   static_cast<int>(std::bit_ceil(static_cast<std::uint64_t>(needed))));
  const int groups = std::max(1, problem.ranks / degree);
  int next = 0;
  for (std::vector<int>& row :
       best_fit_rows(problem.lengths, longest_first(problem.lengths), costs.capacity * degree)) {
    HdpUnit unit{.sequences = std::move(row), .degree = degree};
    for (const int sequence : unit.sequences)
      unit.seconds += costs.seconds(length_of(problem.lengths, sequence)) / degree;
    std::vector<int> ranks(static_cast<std::size_t>(degree));
    std::iota(ranks.begin(), ranks.end(), next * degree);
    next = (next + 1) % groups;
    start(plan, problem, unit, std::move(ranks));
  }
  return plan;
}

}  // namespace assay::parallelism
