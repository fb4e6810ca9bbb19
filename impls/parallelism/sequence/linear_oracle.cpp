#include "impls/parallelism/sequence/linear_oracle.h"

namespace assay::parallelism {

namespace {

// Every state is kept: d^2 numbers a token.
template <class Real>
LinearOracleOutputs recurrence(const LinearOracleInputs& in) {
  const auto d = static_cast<std::size_t>(in.head_dim);
  const auto length = static_cast<std::size_t>(in.length), heads = static_cast<std::size_t>(in.heads);
  LinearOracleOutputs out;
  out.o.assign(in.q.size(), 0);
  const bool backward = !in.d_out.empty();
  if (backward) {
    out.dq = out.dk = out.dv = out.d_log_decay = std::vector<double>(in.q.size(), 0);
  }
  const auto scale = static_cast<Real>(in.scale);
  for (std::size_t b = 0; b < static_cast<std::size_t>(in.batch); ++b)
    for (std::size_t h = 0; h < heads; ++h) {
      const auto row = [&](std::size_t t) { return ((b * length + t) * heads + h) * d; };
      const auto real = [](const std::vector<double>& from, std::size_t i) { return static_cast<Real>(from[i]); };
      std::vector<std::vector<Real>> states(length + 1, std::vector<Real>(d * d, 0));
      for (std::size_t t = 0; t < length; ++t) {
        const std::size_t at = row(t);
        for (std::size_t x = 0; x < d; ++x)
          for (std::size_t y = 0; y < d; ++y)
            states[t + 1][x * d + y] =
                real(in.decay, at + x) * states[t][x * d + y] + real(in.k, at + x) * real(in.v, at + y);
        for (std::size_t y = 0; y < d; ++y) {
          Real sum = 0;
          for (std::size_t x = 0; x < d; ++x) sum += real(in.q, at + x) * states[t + 1][x * d + y];
          out.o[at + y] = static_cast<double>(scale * sum);
        }
      }
      if (!backward) continue;
      std::vector<Real> gradient(d * d, 0);  // of the state after token t
      for (std::size_t t = length; t-- > 0;) {
        const std::size_t at = row(t);
        for (std::size_t x = 0; x < d; ++x) {
          Real of_q = 0, of_k = 0, of_a = 0;
          for (std::size_t y = 0; y < d; ++y) {
            Real& e = gradient[x * d + y];
            e += scale * real(in.q, at + x) * real(in.d_out, at + y);
            of_q += states[t + 1][x * d + y] * real(in.d_out, at + y);
            of_k += e * real(in.v, at + y);
            of_a += e * states[t][x * d + y];
            out.dv[at + y] += static_cast<double>(e * real(in.k, at + x));
            e *= real(in.decay, at + x);
          }
          out.dq[at + x] = static_cast<double>(scale * of_q);
          out.dk[at + x] = static_cast<double>(of_k);
          out.d_log_decay[at + x] = static_cast<double>(real(in.decay, at + x) * of_a);
        }
      }
    }
  return out;
}

}  // namespace

LinearOracleOutputs linear_exact(const LinearOracleInputs& in) { return recurrence<double>(in); }

LinearOracleOutputs linear_naive(const LinearOracleInputs& in, substrate::DType dtype) {
  LinearOracleOutputs out = recurrence<float>(in);
  if (dtype == substrate::DType::bf16)
    for (double& value : out.o) value = substrate::to_float(substrate::to_bf16(static_cast<float>(value)));
  return out;
}

}  // namespace assay::parallelism
