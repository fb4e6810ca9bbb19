#include "harness/stats/change_points.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "harness/stats/median.h"

namespace assay::harness::stats {
namespace {

// Cost a t^2 + b t + c of a level t in [low, high] when the last cut before now was at `cut`.
struct Piece {
  double low, high;
  double a, b, c;
  std::size_t cut;
  double at(double level) const { return (a * level + b) * level + c; }
  double best_level() const { return a > 0 ? std::clamp(-b / (2 * a), low, high) : low; }
};

// Adds the bounded loss of one point to every piece, splitting those that its bounds cross.
void add_point(std::vector<Piece>& pieces, double y, double bound, std::vector<Piece>& scratch) {
  scratch.clear();
  for (const Piece& piece : pieces) {
    double low = piece.low;
    const auto part = [&](double high, bool near) {
      if (high <= low && !(high == low && piece.low == piece.high)) return;
      Piece made = piece;
      made.low = low;
      made.high = high;
      if (near) {
        made.a += 1;
        made.b -= 2 * y;
        made.c += y * y;
      } else {
        made.c += bound * bound;
      }
      scratch.push_back(made);
      low = high;
    };
    part(std::clamp(y - bound, piece.low, piece.high), false);
    part(std::clamp(y + bound, piece.low, piece.high), true);
    part(piece.high, false);
  }
  pieces.swap(scratch);
}

// Where a level costs more than starting anew, it is replaced by a start at `now`.
void prune(std::vector<Piece>& pieces, double limit, std::size_t now, std::vector<Piece>& scratch) {
  scratch.clear();
  const auto put = [&](const Piece& piece) {
    const bool fresh = piece.cut == now;
    if (fresh && !scratch.empty() && scratch.back().cut == now)
      scratch.back().high = piece.high;
    else
      scratch.push_back(piece);
  };
  for (const Piece& piece : pieces) {
    const auto fresh = [&](double low, double high) { return Piece{low, high, 0, 0, limit, now}; };
    double from = piece.low, to = piece.high;  // where it stays
    if (piece.a > 0) {
      const double square = piece.b * piece.b - 4 * piece.a * (piece.c - limit);
      if (square < 0) {
        put(fresh(piece.low, piece.high));
        continue;
      }
      const double root = std::sqrt(square);
      from = std::clamp((-piece.b - root) / (2 * piece.a), piece.low, piece.high);
      to = std::clamp((-piece.b + root) / (2 * piece.a), piece.low, piece.high);
    } else if (piece.c > limit) {
      put(fresh(piece.low, piece.high));
      continue;
    }
    if (from >= to && piece.low < piece.high) {
      put(fresh(piece.low, piece.high));
      continue;
    }
    if (piece.low < from) put(fresh(piece.low, from));
    Piece kept = piece;
    kept.low = from;
    kept.high = to;
    put(kept);
    if (to < piece.high) put(fresh(to, piece.high));
  }
  pieces.swap(scratch);
}

// Cuts (first indices of segments, without 0) of least penalised cost. `y` in units of its noise.
std::vector<std::size_t> best_cuts(std::span<const double> y, double penalty, double bound) {
  const auto [low, high] = std::minmax_element(y.begin(), y.end());
  std::vector<Piece> pieces = {{*low, *high, 0, 0, 0, 0}};
  std::vector<Piece> scratch;
  std::vector<std::size_t> cut_before(y.size());  // the last cut of the best cutting of y[0 .. i]
  for (std::size_t i = 0; i < y.size(); ++i) {
    add_point(pieces, y[i], bound, scratch);
    double best = std::numeric_limits<double>::infinity();
    for (const Piece& piece : pieces) {
      const double cost = piece.at(piece.best_level());
      if (cost < best) {
        best = cost;
        cut_before[i] = piece.cut;
      }
    }
    prune(pieces, best + penalty, i + 1, scratch);
  }
  std::vector<std::size_t> cuts;
  for (std::size_t at = cut_before.back(); at > 0; at = cut_before[at - 1]) cuts.push_back(at);
  std::reverse(cuts.begin(), cuts.end());
  return cuts;
}

struct NoiseLevel {
  double deviation;
  double correlation;
};

// From differences of values one and two apart, which a few changes of level do not touch (Chakar et al., A robust
// approach for estimating change-points in the mean of an AR(1) process, 2017): of a process of variance s^2 and
// correlation phi they have the variances 2 s^2 (1 - phi) and 2 s^2 (1 - phi^2).
NoiseLevel noise_of(std::span<const double> y) {
  const auto spread = [&](std::size_t apart) {
    std::vector<double> differences;
    for (std::size_t i = apart; i < y.size(); ++i) differences.push_back(y[i] - y[i - apart]);
    // Differences have no drift worth subtracting, and their median is noise of its own in a short series.
    for (double& one : differences) one = std::abs(one);
    return 1.4826 * median(differences);
  };
  const double one = spread(1);
  const double two = spread(2);
  constexpr double least = 1e-6;  // computed values repeat bit for bit; any move of them is real
  if (one <= least) return {std::max(two / std::sqrt(2.0), least), 0};
  // A short series knows its correlation badly, and to believe too little of it makes levels of noise; a very short
  // one does not know it at all, because one step is in too many of its differences.
  const double n = static_cast<double>(y.size());
  constexpr double knows_correlation = 20;
  const double seen = n < knows_correlation ? 0 : two * two / (one * one) - 1;
  const double phi = std::clamp(seen + 1 / std::sqrt(n), 0.0, 0.9);
  // Few differences know their spread badly; too small a guess of the noise makes levels of it.
  const double shortness = 1 + 4 / n;
  return {shortness * one / std::sqrt(2 * (1 - phi)), phi};
}

double level_of(std::span<const double> y, std::size_t first, std::size_t end) {
  return median(y.subspan(first, end - first));
}

struct Span {
  std::size_t first, end;
};

double bounded_cost(double residual, double deviation, double bound) {
  const double z = residual / deviation;
  return std::min(z * z, bound * bound);
}

// Does one line through both neighbours explain them at least as well as the step between them? Tukey's resistant line.
bool is_gradual(std::span<const double> y, Span left, Span right, double deviation, double bound) {
  const std::size_t n = right.end - left.first;
  const auto part = y.subspan(left.first, n);
  const std::size_t third = n / 3;
  if (third < 2) return false;
  const double slope = (median(part.last(third)) - median(part.first(third))) / static_cast<double>(n - third);
  std::vector<double> without(part.begin(), part.end());
  for (std::size_t i = 0; i < n; ++i) without[i] -= slope * static_cast<double>(i);
  const double start = median(without);
  const double a = level_of(y, left.first, left.end);
  const double b = level_of(y, right.first, right.end);
  double line = 0, step = 0;
  for (std::size_t i = 0; i < n; ++i) {
    line += bounded_cost(without[i] - start, deviation, bound);
    step += bounded_cost(part[i] - (left.first + i < left.end ? a : b), deviation, bound);
  }
  return line <= step;
}

// Removes the cut for which `cost` is least, as long as that is less than `enough`.
template <typename Cost>
void drop_cuts(std::vector<std::size_t>& cuts, const Cost& cost, double enough) {
  while (!cuts.empty()) {
    std::size_t weakest = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < cuts.size(); ++i)
      if (const double one = cost(i); one < least) {
        least = one;
        weakest = i;
      }
    if (least >= enough) return;
    cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(weakest));
  }
}

class Cutting {
 public:
  Cutting(std::span<const double> y, const ChangeRule& rule, const NoiseLevel& noise)
      : y_(y), rule_(rule), noise_(noise) {
    std::vector<double> scaled(y.begin(), y.end());
    const double middle = median(scaled);
    for (double& one : scaled) one = (one - middle) / noise.deviation;  // centred: the squares keep their digits
    const double correlated = (1 + noise.correlation) / (1 - noise.correlation);
    penalty_ = rule.penalty * std::log(static_cast<double>(y.size())) * correlated;
    cuts_ = best_cuts(scaled, penalty_, rule.outlier);
    // A short level has its neighbours' value or is not known yet: its cut on the side of the smaller step goes.
    drop_cuts(
        cuts_,
        [&](std::size_t i) {
          const bool is_short = size_of(before(i)) < rule.min_segment || size_of(after(i)) < rule.min_segment;
          return is_short ? step(i) : std::numeric_limits<double>::infinity();
        },
        std::numeric_limits<double>::infinity());
  }

  Segmentation result() {
    Segmentation out;
    out.noise = std::expm1(noise_.deviation);
    out.correlation = noise_.correlation;
    const double floor = std::log1p(rule_.effect_floor);
    std::size_t first = 0;  // of the segment being built
    for (std::size_t i = 0; i < cuts_.size();) {
      std::size_t last = i;  // of the cuts that make one change with cut i
      while (last + 1 < cuts_.size() && rises(last + 1) == rises(i)) ++last;
      while (last > i && !is_ramp(i, last)) --last;
      const bool ramp = last > i || is_gradual(y_, before(i), after(i), noise_.deviation, rule_.outlier);
      if (std::abs(level(after(last)) - level(before(i))) >= floor) {
        out.segments.push_back({first, cuts_[i], 0});
        out.changes.push_back({ramp ? ChangeKind::ramp : ChangeKind::step, cuts_[i], cuts_[last], 0, 0});
        first = cuts_[i];
      }
      i = last + 1;
    }
    out.segments.push_back({first, y_.size(), 0});
    for (std::size_t i = 0; i < out.segments.size(); ++i) {
      Segment& segment = out.segments[i];
      // The climb of a ramp is no part of the level it arrives at.
      const std::size_t settled = i > 0 ? out.changes[i - 1].last : segment.first;
      segment.level = std::exp(level_of(y_, settled, segment.end));
    }
    for (std::size_t i = 0; i < out.changes.size(); ++i) {
      out.changes[i].before = out.segments[i].level;
      out.changes[i].after = out.segments[i + 1].level;
    }
    return out;
  }

 private:
  Span before(std::size_t i) const { return {i == 0 ? 0 : cuts_[i - 1], cuts_[i]}; }
  Span after(std::size_t i) const { return {cuts_[i], i + 1 < cuts_.size() ? cuts_[i + 1] : y_.size()}; }
  static int size_of(Span span) { return static_cast<int>(span.end - span.first); }
  double level(Span span) const { return level_of(y_, span.first, span.end); }
  double step(std::size_t i) const { return std::abs(level(after(i)) - level(before(i))); }
  bool rises(std::size_t i) const { return level(after(i)) > level(before(i)); }

  // Do cuts i to `last`, all in one direction, stand for a straight climb between two levels? The climb may cost as
  // much as two cuts, the ends of a climb.
  bool is_ramp(std::size_t i, std::size_t last) const {
    // A climb that is cut into k steps begins half a step before its first cut and ends half a step after its last.
    const double k = static_cast<double>(last - i);
    const double reach = static_cast<double>(cuts_[last] - cuts_[i]);
    const double begins = static_cast<double>(cuts_[i]) - reach / (2 * k);
    const double ends = static_cast<double>(cuts_[last]) + reach / (2 * k);
    const double low = level(before(i));
    const double high = level(after(last));
    double climb = 2 * penalty_;
    double steps = (k + 1) * penalty_;
    for (std::size_t cut = i; cut <= last + 1; ++cut) {
      const Span span = cut <= last ? before(cut) : after(last);
      const double own = level(span);
      for (std::size_t at = span.first; at < span.end; ++at) {
        const double part = std::clamp((static_cast<double>(at) - begins) / (ends - begins), 0.0, 1.0);
        climb += bounded_cost(y_[at] - low - part * (high - low), noise_.deviation, rule_.outlier);
        steps += bounded_cost(y_[at] - own, noise_.deviation, rule_.outlier);
      }
    }
    return climb <= steps;
  }

  std::span<const double> y_;
  const ChangeRule& rule_;
  NoiseLevel noise_;
  double penalty_ = 0;
  std::vector<std::size_t> cuts_;
};

}  // namespace

const char* to_string(ChangeKind kind) { return kind == ChangeKind::step ? "step" : "ramp"; }

Segmentation find_changes(std::span<const double> values, const ChangeRule& rule) {
  std::vector<double> logs;
  for (const double value : values) {
    if (!(value > 0) || !std::isfinite(value)) throw std::invalid_argument("find_changes: a value is not positive");
    logs.push_back(std::log(value));
  }
  Segmentation out;
  if (values.empty()) return out;
  if (values.size() < 2 * static_cast<std::size_t>(rule.min_segment)) {
    out.segments = {{0, values.size(), median(values)}};
    out.noise = std::expm1(robust_spread(logs));
    return out;
  }
  return Cutting(logs, rule, noise_of(logs)).result();
}

}  // namespace assay::harness::stats
