#include "impls/parallelism/sequence/linear_block.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "impls/parallelism/sequence/attention_block.h"

namespace assay::parallelism {

namespace {

constexpr std::int64_t kCheckpoint = 32;  // tokens between states kept for the backward pass

std::size_t z(std::int64_t index) { return static_cast<std::size_t>(index); }

// The rows of one head, loaded as they are needed.
class Head {
 public:
  Head(const LinearShape& shape, const LinearInputs& in, int b, int h)
      : shape_(shape), in_(in), b_(b), h_(h), a_(z(shape.head_dim), shape.decay == Decay::head ? head_decay(h) : 1) {}

  std::int64_t row(std::int64_t t) const { return ((b_ * in_.tokens + t) * shape_.heads + h_) * shape_.head_dim; }
  void load_row(const std::byte* from, std::int64_t t, std::vector<float>& to) const {
    load(shape_.dtype, from, row(t), shape_.head_dim, to.data());
  }
  const std::vector<float>& decay(std::int64_t t) {
    if (shape_.decay == Decay::token)
      for (std::size_t x = 0; x < a_.size(); ++x) a_[x] = std::exp(in_.log_decay[z(row(t)) + x]);
    return a_;
  }
  // S <- diag(a_t) S + k_t^T v_t
  void step(std::int64_t t, std::vector<float>& k, std::vector<float>& v, float* state) {
    const auto d = z(shape_.head_dim);
    load_row(in_.k, t, k);
    load_row(in_.v, t, v);
    const std::vector<float>& a = decay(t);
    for (std::size_t x = 0; x < d; ++x)
      for (std::size_t y = 0; y < d; ++y) state[x * d + y] = a[x] * state[x * d + y] + k[x] * v[y];
  }

 private:
  const LinearShape& shape_;
  const LinearInputs& in_;
  int b_, h_;
  std::vector<float> a_;
};

template <class Body>
void for_heads(const LinearShape& shape, const LinearInputs& in, Body body) {
  for (int b = 0; b < shape.batch; ++b)
    for (int h = 0; h < shape.heads; ++h) body(Head(shape, in, b, h), std::int64_t{b} * shape.heads + h);
}

}  // namespace

Decay decay_from(std::string_view name) {
  if (name == "none") return Decay::none;
  if (name == "head") return Decay::head;
  if (name == "token") return Decay::token;
  throw std::invalid_argument("decay " + std::string(name));
}

float head_decay(int head) { return 1 - std::ldexp(1.0F, -5 - head % 8); }

void local_state(const LinearShape& shape, const LinearInputs& in, float* state, float* total) {
  const auto d = z(shape.head_dim);
  std::fill_n(state, shape.state_elements(), 0.0F);
  std::fill_n(total, shape.decay_elements(), 1.0F);
  std::vector<float> k(d), v(d);
  for_heads(shape, in, [&](Head head, std::int64_t index) {
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      head.step(t, k, v, state + index * shape.head_dim * shape.head_dim);
      const std::vector<float>& a = head.decay(t);
      for (std::size_t x = 0; x < d; ++x) total[z(index) * d + x] *= a[x];
    }
  });
}

void intra_output(const LinearShape& shape, const LinearInputs& in, float* o) {
  const auto d = z(shape.head_dim);
  std::vector<float> k(d), v(d), q(d), state(d * d);
  for_heads(shape, in, [&](Head head, std::int64_t) {
    std::ranges::fill(state, 0.0F);
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      head.step(t, k, v, state.data());
      head.load_row(in.q, t, q);
      float* out = o + head.row(t);
      std::fill_n(out, d, 0.0F);
      for (std::size_t x = 0; x < d; ++x)
        for (std::size_t y = 0; y < d; ++y) out[y] += shape.scale * q[x] * state[x * d + y];
    }
  });
}

void add_inter_output(const LinearShape& shape, const LinearInputs& in, const float* before, float* o) {
  const auto d = z(shape.head_dim);
  std::vector<float> q(d), since(d);  // decay from before the run to the token
  for_heads(shape, in, [&](Head head, std::int64_t index) {
    const float* state = before + z(index) * d * d;
    std::ranges::fill(since, 1.0F);
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      const std::vector<float>& a = head.decay(t);
      head.load_row(in.q, t, q);
      float* out = o + head.row(t);
      for (std::size_t x = 0; x < d; ++x) {
        since[x] *= a[x];
        const float weight = shape.scale * q[x] * since[x];
        for (std::size_t y = 0; y < d; ++y) out[y] += weight * state[x * d + y];
      }
    }
  });
}

void local_adjoint(const LinearShape& shape, const LinearInputs& in, const std::byte* d_out, float* adjoint) {
  const auto d = z(shape.head_dim);
  std::vector<float> q(d), g(d);
  for_heads(shape, in, [&](Head head, std::int64_t index) {
    float* e = adjoint + z(index) * d * d;
    std::fill_n(e, d * d, 0.0F);
    for (std::int64_t t = in.tokens - 1; t >= 0; --t) {
      head.load_row(in.q, t, q);
      head.load_row(d_out, t, g);
      const std::vector<float>& a = head.decay(t);
      for (std::size_t x = 0; x < d; ++x)
        for (std::size_t y = 0; y < d; ++y) e[x * d + y] = a[x] * (e[x * d + y] + shape.scale * q[x] * g[y]);
    }
  });
}

void linear_backward(const LinearShape& shape, const LinearInputs& in, const std::byte* d_out, const float* before,
                     const float* after, float* dq, float* dk, float* dv, float* d_log_decay) {
  const auto d = z(shape.head_dim);
  const std::size_t square = d * d;
  const std::int64_t blocks = (in.tokens + kCheckpoint - 1) / kCheckpoint;
  std::vector<float> k(d), v(d), q(d), g(d), e(square);
  std::vector<float> kept(z(blocks) * square);            // the state before each block
  std::vector<float> states((kCheckpoint + 1) * square);  // before each token of one block, and after the last
  for_heads(shape, in, [&](Head head, std::int64_t index) {
    std::vector<float> state(square, 0.0F);
    if (before != nullptr) std::copy_n(before + z(index) * square, square, state.begin());
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      if (t % kCheckpoint == 0)
        std::ranges::copy(state, kept.begin() + static_cast<std::ptrdiff_t>(z(t / kCheckpoint) * square));
      head.step(t, k, v, state.data());
    }
    if (after != nullptr) {
      std::copy_n(after + z(index) * square, square, e.begin());
    } else {
      std::ranges::fill(e, 0.0F);
    }
    for (std::int64_t block = blocks - 1; block >= 0; --block) {
      const std::int64_t first = block * kCheckpoint, last = std::min(first + kCheckpoint, in.tokens);
      std::copy_n(kept.begin() + static_cast<std::ptrdiff_t>(z(block) * square), square, states.begin());
      for (std::int64_t t = first; t < last; ++t) {
        float* next = states.data() + z(t - first + 1) * square;
        std::copy_n(next - square, square, next);
        head.step(t, k, v, next);
      }
      for (std::int64_t t = last - 1; t >= first; --t) {
        const float* now = states.data() + z(t - first + 1) * square;
        const float* earlier = now - square;
        head.load_row(in.q, t, q);
        head.load_row(in.k, t, k);
        head.load_row(in.v, t, v);
        head.load_row(d_out, t, g);
        const std::vector<float>& a = head.decay(t);
        const std::int64_t at = head.row(t);
        std::fill_n(dv + at, d, 0.0F);
        for (std::size_t x = 0; x < d; ++x) {
          float of_q = 0, of_k = 0, of_a = 0;
          for (std::size_t y = 0; y < d; ++y) {
            float& gradient = e[x * d + y];  // of S_t
            gradient += shape.scale * q[x] * g[y];
            of_q += now[x * d + y] * g[y];
            of_k += gradient * v[y];
            of_a += gradient * earlier[x * d + y];
            dv[z(at) + y] += gradient * k[x];
            gradient *= a[x];
          }
          dq[z(at) + x] = shape.scale * of_q;
          dk[z(at) + x] = of_k;
          if (d_log_decay != nullptr) d_log_decay[z(at) + x] = a[x] * of_a;
        }
      }
    }
  });
}

void compose_states(const LinearShape& shape, int first, int last, const float* total, const float* before,
                    float* own) {
  const std::int64_t d = shape.head_dim, rows = last - first;
  for (std::int64_t index = 0; index < std::int64_t{shape.batch} * shape.heads; ++index)
    for (std::int64_t x = 0; x < rows; ++x)
      for (std::int64_t y = 0; y < d; ++y) {
        const std::int64_t at = (index * rows + x) * d + y;
        own[at] += total[index * d + first + x] * before[at];
      }
}

}  // namespace assay::parallelism
