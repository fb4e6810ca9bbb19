#pragma once
// Minimises a function of positive parameters by coordinate search with shrinking multiplicative steps: derivative-free
// and deterministic, so that a fit gives the same constants everywhere.
#include <cstddef>
#include <vector>

namespace assay::substrate {

// `most[i]` caps parameter i. Ends when a step of 0.8% improves none of them, or after 120 rounds.
template <class Loss>
std::vector<double> coordinate_search(std::vector<double> best, const std::vector<double>& most, Loss&& loss) {
  constexpr double kEnough = 1e-6;  // smaller gains are drift of a parameter that does not matter
  double lowest = loss(best);
  int round = 0;
  for (double step = 0.2; step > 0.008 && round < 120; ++round) {
    bool better = false;
    for (std::size_t i = 0; i < best.size(); ++i) {
      for (const double factor : {1 + step, 1 / (1 + step)}) {
        std::vector<double> tried = best;
        tried[i] *= factor;
        if (tried[i] > most[i]) tried[i] = most[i];
        const double found = loss(tried);
        if (found < lowest - kEnough) {
          lowest = found;
          best = tried;
          better = true;
        }
      }
    }
    if (!better) step /= 2;
  }
  return best;
}

}  // namespace assay::substrate
