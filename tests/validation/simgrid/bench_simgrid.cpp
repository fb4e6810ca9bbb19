// Virtual times and messages a second of the cluster fabric beside SimGrid's S4U (network/model:CM02, crosstraffic:0)
// in the same run: collectives on fat trees and tori, 16 to 256 ranks. Wall time of the simulation alone, the better
// of three on either side; of one where S4U takes many seconds.
//   bench_simgrid [WORD]    only scenarios whose name holds WORD
#include <cstdlib>
#include <vector>

#include "tests/validation/simgrid/scenario.h"

int main(int count, char** words) {
  using namespace assay::validation;
  const std::string reference = ASSAY_SIMGRID_REFERENCE;
  std::vector<Scenario> scenarios;
  const auto add = [&](const char* kind, int a, int b, int c) {
    for (const char* collective : {"ring", "halving-doubling", "all-to-all", "pairwise"}) {
      if (a * b * (kind[0] == 't' ? c : 1) > 256 && (collective[0] == 'a' || collective[0] == 'p')) continue;
      for (const double latency : {0.0, 1e-6})
        scenarios.push_back(
            {.kind = kind, .a = a, .b = b, .c = c, .collective = collective, .bytes = 1 << 20, .latency = latency});
    }
  };
  add("fat-tree", 4, 4, 2);
  add("fat-tree", 8, 8, 4);
  add("fat-tree", 16, 16, 8);
  add("torus", 4, 4, 1);
  add("torus", 4, 4, 4);
  add("torus", 8, 8, 4);
  fmt::print("{:<52} {:>10} {:>11} {:>11} {:>7} {:>12} {:>12} {:>6}\n", "scenario", "messages", "assay s", "S4U s",
             "off", "assay msg/s", "S4U msg/s", "x");
  for (const Scenario& of : scenarios) {
    if (count > 1 && of.name().find(words[1]) == std::string::npos) continue;
    Outcome ours, theirs;
    for (int repeat = 0; repeat < (theirs.wall > 5 ? 1 : 3); ++repeat) {
      const Outcome a = by_assay(of), b = by_simgrid(of, reference);
      if (repeat == 0 || a.wall < ours.wall) ours = a;
      if (repeat == 0 || b.wall < theirs.wall) theirs = b;
    }
    fmt::print("{:<52} {:>10.0f} {:>11.6f} {:>11.6f} {:>+6.2f}% {:>12.3g} {:>12.3g} {:>6.1f}\n", of.name(),
               ours.messages, ours.seconds, theirs.seconds, 100 * (ours.seconds / theirs.seconds - 1), ours.rate(),
               theirs.rate(), ours.rate() / theirs.rate());
  }
  return EXIT_SUCCESS;
}
