// The formulas of the float64 gradients are the derivatives of the float64 forward pass.
#include <gtest/gtest.h>

#include <cmath>

#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/attention/problem.h"
#include "impls/substrate/random.h"

namespace assay::attention {
namespace {

// Numbers on a grid of 2^-10, so that a step of 2^-6 from any of them is exact in f32.
void draw_on_grid(const substrate::View& view, const Problem& p, int heads, int rows, std::uint64_t seed) {
  substrate::Random random(seed);
  for (int b = 0; b < p.batch; ++b)
    for (int h = 0; h < heads; ++h)
      for (int r = 0; r < rows; ++r)
        for (int c = 0; c < p.head_dim; ++c)
          view.store(b, h, r, c, static_cast<float>(std::round(random.normal() * 1024) / 1024));
}

struct Gradients {
  Problem p;
  Storage storage;  // Q, K, V
  Storage found;    // dQ, dK, dV in the places of Q, K, V; dO in that of O

  explicit Gradients(const Problem& of) : p(of), storage(of), found(of) {
    const Tensors& t = storage.tensors();
    draw_on_grid(t.q, p, p.heads, p.queries, 1);
    draw_on_grid(t.k, p, p.kv_heads, p.keys, 2);
    draw_on_grid(t.v, p, p.kv_heads, p.keys, 3);
    draw_on_grid(found.tensors().o, p, p.heads, p.queries, 4);
  }

  // Sum of dO * O.
  double loss() const {
    double sum = 0;
    for (int b = 0; b < p.batch; ++b) {
      for (int h = 0; h < p.heads; ++h) {
        for (int i = 0; i < p.queries; ++i) {
          const ExactRow row = exact_row(p, storage.tensors(), b, h, i);
          for (int c = 0; c < p.head_dim; ++c)
            sum += static_cast<double>(found.tensors().o.load(b, h, i, c)) * row.o[static_cast<std::size_t>(c)];
        }
      }
    }
    return sum;
  }

  // Differences of fourth order.
  void differentiate(const substrate::View& by, const substrate::View& to, int heads, int rows) {
    constexpr double kStep = 0x1p-6;
    for (int b = 0; b < p.batch; ++b) {
      for (int h = 0; h < heads; ++h) {
        for (int r = 0; r < rows; ++r) {
          for (int c = 0; c < p.head_dim; ++c) {
            const float here = by.load(b, h, r, c);
            const auto at = [&](int steps) {
              by.store(b, h, r, c, static_cast<float>(static_cast<double>(here) + steps * kStep));
              return loss();
            };
            const double slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);
            by.store(b, h, r, c, here);
            to.store(b, h, r, c, static_cast<float>(slope));
          }
        }
      }
    }
  }

  double error() const {
    const Tensors& g = found.tensors();
    return GradientReference(p, storage.tensors(), g.o, 1)
        .compare({.d_o = g.o, .d_q = g.q, .d_k = g.k, .d_v = g.v})
        .error;
  }
};

TEST(Gradients, AreTheDifferencesOfTheForwardPass) {
  for (const bool causal : {false, true}) {
    Gradients gradients(aligned({.batch = 2,
                                 .queries = 5,
                                 .keys = 6,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 4,
                                 .dtype = DType::f32,
                                 .causal = causal}));
    const Problem& p = gradients.p;
    const Tensors& t = gradients.storage.tensors();
    const Tensors& g = gradients.found.tensors();
    gradients.differentiate(t.q, g.q, p.heads, p.queries);
    gradients.differentiate(t.k, g.k, p.kv_heads, p.keys);
    gradients.differentiate(t.v, g.v, p.kv_heads, p.keys);
    EXPECT_LE(gradients.error(), 1) << causal;
    // Each of them counts.
    for (const substrate::View& one : {g.q, g.k, g.v}) {
      const float right = one.load(1, 1, 2, 3);
      one.store(1, 1, 2, 3, right + 1e-3F);
      EXPECT_GT(gradients.error(), 1) << causal;
      one.store(1, 1, 2, 3, right);
    }
  }
}

}  // namespace
}  // namespace assay::attention
