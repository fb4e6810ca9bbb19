// Events a second of the cluster fabric: messages of 1 MB round a ring of ranks on one switch, from 64 to 16,384 ranks,
// and the same where two neighbouring ranks share a NIC, so that links are shared. An event is a resumed continuation
// or the end of a message. Processor time, which other load on the machine disturbs less; the best of three.
//   bench_cluster_events [--plot FILE.svg]     FILE: the cost of an event over the ranks (docs/fabrics-events.svg)
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/rank.h"

namespace {

using namespace assay::substrate;

struct Measured {
  double seconds = 0;
  std::uint64_t events = 0;
};

Measured ring(const assay::datasets::Cluster& cluster, int ranks, int hops) {
  ClusterFabric fabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = 2e12,
                        .ranks = ranks});
  const auto program = [hops](Rank& rank) -> Task<> {
    Buffer held = rank.allocate("held", Memory::communication, 1'000'000);
    for (int hop = 0; hop < hops; ++hop) held = co_await rank.shift(held, +1);
  };
  Measured best;
  for (int repeat = 0; repeat < 3; ++repeat) {
    const std::clock_t start = std::clock();
    const RunReport report = fabric.run(program);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    if (repeat == 0 || seconds < best.seconds) best = {seconds, report.events};
  }
  return best;
}

// What an event costs at so many ranks, in ns.
struct Cost {
  int ranks;
  double ns;
};

struct Line {
  std::string name, colour, dash;
  std::vector<Cost> costs;
};

// Both axes logarithmic; the dotted line is three times the cheapest cost at 64 ranks.
std::string plot(const std::vector<Line>& lines) {
  constexpr double kLeft = 60, kTop = 40, kWidth = 560, kHeight = 300, kMostNs = 1000, kLeastNs = 30;
  const auto x = [](double ranks) { return kLeft + kWidth * (std::log2(ranks) - 5.5) / (14.5 - 5.5); };
  const auto y = [](double ns) { return kTop + kHeight * std::log(kMostNs / ns) / std::log(kMostNs / kLeastNs); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"400\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{}\" y=\"22\" font-size=\"14\">Cost of an event of the cluster fabric, ns of one core</text>\n",
      kLeft);
  for (const double ns : {30.0, 100.0, 300.0, 1000.0})
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>"
        "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
        kLeft, kLeft + kWidth, y(ns), kLeft - 8, y(ns) + 4, ns);
  double least = kMostNs;
  for (const Line& line : lines) {
    std::string points;
    for (const Cost& cost : line.costs) {
      points += fmt::format("{:.1f},{:.1f} ", x(cost.ranks), y(cost.ns));
      svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x(cost.ranks), y(cost.ns),
                         line.colour);
    }
    svg += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" "
        "stroke-dasharray=\"{}\"/>\n",
        points, line.colour, line.dash);
    least = std::min(least, line.costs.front().ns);
  }
  for (const Cost& cost : lines.front().costs)
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(cost.ranks),
                       kTop + kHeight + 18, cost.ranks);
  svg += fmt::format(
      "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#555\" stroke-dasharray=\"2 4\"/>"
      "<text x=\"{3}\" y=\"{4:.1f}\" fill=\"#555\">three times the cost at 64 ranks</text>\n",
      kLeft, kLeft + kWidth, y(3 * least), kLeft + 6, y(3 * least) - 6);
  double key = kTop + 16;
  for (const Line& line : lines) {
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\" stroke=\"{3}\" stroke-width=\"2\" "
        "stroke-dasharray=\"{4}\"/><text x=\"{5}\" y=\"{6}\">{7}</text>\n",
        kLeft + 12, kLeft + 42, key, line.colour, line.dash, kLeft + 50, key + 4, line.name);
    key += 18;
  }
  return svg + fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">ranks</text>\n</svg>\n", kLeft + kWidth / 2,
                           kTop + kHeight + 40);
}

}  // namespace

int main(int count, char** words) {
  const bool plots = count == 3 && std::string(words[1]) == "--plot";
  if (count != 1 && !plots) {
    fmt::print(stderr, "usage: bench_cluster_events [--plot FILE.svg]\n");
    return 2;
  }
  std::vector<Line> lines{{"one switch", "#0072b2", "", {}}, {"nodes of 4 with 2 NICs", "#d55e00", "7 4", {}}};
  fmt::print("{:>6} {:>14} {:>10} {:>9} {:>12} {:>13} {:>10}\n", "ranks", "links", "events", "cpu s", "events/s",
             "messages/s", "ns/event");
  for (const int ranks : {64, 256, 1024, 4096, 12288, 16384}) {
    const int hops = std::max(16, 2'000'000 / ranks);
    for (const bool shared : {false, true}) {
      assay::datasets::Cluster cluster;
      cluster.devices_per_node = shared ? 4 : ranks;
      cluster.nodes = ranks;
      cluster.nics_per_node = 2;
      cluster.intra = {.bandwidth = 3e11, .latency = 1e-6};
      cluster.inter = {.bandwidth = 2.5e10, .latency = 2e-6};
      const Measured found = ring(cluster, ranks, hops);
      const auto events = static_cast<double>(found.events);
      fmt::print("{:>6} {:>14} {:>10} {:>9.3f} {:>12.3g} {:>13.3g} {:>10.1f}\n", ranks,
                 shared ? "nodes, shared" : "one switch", found.events, found.seconds, events / found.seconds,
                 static_cast<double>(ranks) * hops / found.seconds, found.seconds / events * 1e9);
      lines[shared ? 1 : 0].costs.push_back({ranks, found.seconds / events * 1e9});
    }
  }
  if (plots && !(std::ofstream(words[2]) << plot(lines))) {
    fmt::print(stderr, "bench_cluster_events: {} cannot be written\n", words[2]);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
