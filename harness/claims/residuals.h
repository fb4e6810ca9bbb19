#pragma once
// The interval of a projection: every fitted constant moved by its P90 residual, one at a time, each way. Residuals of
// different constants are independent, so their effects add in squares.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "datasets/machine.h"

namespace assay::harness::claims {

// Calls visit(key, moved machine) for both sides of every fitted constant of a Device or Cluster.
template <class Machine, class Visit>
void move_constants(const Machine& machine, Visit&& visit) {
  for (const auto& [key, constant] : machine.constants) {
    if (constant.p90_error <= 0) continue;
    for (const double side : {-1.0, 1.0}) {
      Machine moved = machine;
      moved.constants.at(key).value *= std::max(0.0, 1 + side * constant.p90_error);
      if constexpr (std::is_same_v<Machine, datasets::Cluster>) datasets::apply_constants(moved);
      visit(key, std::as_const(moved));
    }
  }
}

// How far a value reaches on either side of its nominal.
class Reach {
 public:
  explicit Reach(double nominal) : nominal_(nominal) {}
  // The value with `cause` moved one way; a cause may move both ways.
  void add(const std::string& cause, double moved) {
    auto& [down, up] = sides_[cause];
    down = std::max(down, nominal_ - moved);
    up = std::max(up, moved - nominal_);
  }
  double low() const {
    double squares = 0;
    for (const auto& [cause, sides] : sides_) squares += sides.first * sides.first;
    return nominal_ - std::sqrt(squares);
  }
  double high() const {
    double squares = 0;
    for (const auto& [cause, sides] : sides_) squares += sides.second * sides.second;
    return nominal_ + std::sqrt(squares);
  }

 private:
  double nominal_;
  std::map<std::string, std::pair<double, double>> sides_;
};

}  // namespace assay::harness::claims
