#pragma once
// Linear attention with decay over one run of tokens, in float32: the kernels that every schedule of its scan shares.
//
//   S_t = diag(a_t) S_{t-1} + k_t^T v_t,   o_t = scale q_t S_t          (gated linear attention, arXiv 2312.06635)
//
// A run of tokens acts on the state before it as (G, S): before -> diag(G) before + S, with G the product of its decays
// and S its own state. That is associative, so the scan over ranks can be a ring, a gather with local prefixes, or a
// pipeline. Backward is the same scan from the end: E_t = scale q_t^T dO_t + diag(a_{t+1}) E_{t+1} is the gradient of
// S_t, and acts through the same G.
//
// Layouts: q, k, v, dO [batch][tokens][heads][d] of `dtype`; log decays and everything accumulated float32, alike; a
// state [batch][heads][d keys][d values]; G [batch][heads][d].
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

// none: a = 1 (LASP-2's basic form). head: one a per head, 1 - 2^(-5 - h mod 8) (RetNet, LASP-1). token: a from the
// input, of every token and element (GLA).
enum class Decay : std::uint8_t { none, head, token };
Decay decay_from(std::string_view name);
float head_decay(int head);

struct LinearShape {
  int batch = 1, heads = 1, head_dim = 1;
  substrate::DType dtype = substrate::DType::f32;
  Decay decay = Decay::none;
  float scale = 1;

  std::int64_t state_elements() const { return std::int64_t{batch} * heads * head_dim * head_dim; }
  std::int64_t decay_elements() const { return std::int64_t{batch} * heads * head_dim; }
};

struct LinearInputs {
  std::int64_t tokens = 0;
  const std::byte *q = nullptr, *k = nullptr, *v = nullptr;
  const float* log_decay = nullptr;  // Decay::token only
};

// S and G of the run.
void local_state(const LinearShape& shape, const LinearInputs& in, float* state, float* total);
// o of the run from a state of nothing.
void intra_output(const LinearShape& shape, const LinearInputs& in, float* o);
// o += what the state before the run adds.
void add_inter_output(const LinearShape& shape, const LinearInputs& in, const float* before, float* o);
// What the run adds to the gradient of the state before it: E of its first token, decayed to before it, with nothing
// after the run.
void local_adjoint(const LinearShape& shape, const LinearInputs& in, const std::byte* d_out, float* adjoint);
// Gradients of q, k, v and the log decays, given the state before the run and the gradient of the state after it (null:
// zero). Overwrites.
void linear_backward(const LinearShape& shape, const LinearInputs& in, const std::byte* d_out, const float* before,
                     const float* after, float* dq, float* dk, float* dv, float* d_log_decay);

// own <- diag(G) before + own, of the key rows [first, last) of every head, which are all that `before` and `own` hold.
void compose_states(const LinearShape& shape, int first, int last, const float* total, const float* before, float* own);

}  // namespace assay::parallelism
