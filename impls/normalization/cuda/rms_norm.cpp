// RMSNorm on a GPU: a row in the registers of its threads, every byte moved once in 16-byte accesses
// (rms_norm_kernel.cu).
#include "impls/normalization/rms_norm.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/gpu/device_buffer.h"
#include "impls/normalization/cuda/rms_norm_kernel.h"
#include "impls/substrate/elements.h"

namespace assay::normalization::cuda {
namespace {

using harness::gpu::Device;
using harness::gpu::DeviceBuffer;

struct Held {
  Held(const NormProblem& of, Device& device)
      : problem(of),
        host(of),
        x(device, host.x.bytes()),
        residual(device, host.residual.bytes()),
        weight(device, host.weight.bytes()),
        sum(device, host.sum.bytes()),
        y(device, host.y.bytes()) {}

  void draw(std::uint64_t seed) {
    host.draw(problem, seed);
    x.upload(std::as_const(host.x).span());
    residual.upload(std::as_const(host.residual).span());
    weight.upload(std::as_const(host.weight).span());
  }
  void run(const NormFault& fault, Device& device) {
    launch_rms_norm({.x = x.data(),
                     .residual = fault.forgets_residual ? nullptr : residual.data(),
                     .weight = weight.data(),
                     .sum = sum.data(),
                     .y = y.data(),
                     .tokens = problem.tokens,
                     .hidden = problem.hidden,
                     .epsilon = problem.epsilon,
                     .scale = fault.scale,
                     .written = problem.hidden - fault.columns_left_out},
                    problem.dtype == substrate::DType::bf16, device.stream());
  }
  // The kernel knows no coarse arithmetic: it is given coarse inputs.
  void run_wrong(const NormFault& fault, Device& device) {
    if (!fault.coarse) return run(fault, device);
    NormTensors coarse(problem);
    for (std::int64_t i = 0; i < problem.elements(); ++i)
      substrate::store_element(problem.dtype, coarsened(substrate::load_element(problem.dtype, host.x.data(), i)),
                               coarse.x.data(), i);
    x.upload(std::as_const(coarse.x).span());
    run({}, device);
    device.synchronize("running a mutant");
    x.upload(std::as_const(host.x).span());
  }
  harness::Check compare() {
    y.download(host.y.span());
    sum.download(host.sum.span());
    return compare_norm(problem, host);
  }

  NormProblem problem;
  NormTensors host;
  DeviceBuffer<std::byte> x, residual, weight, sum, y;
};

void run(harness::State& state) {
  const NormProblem problem = norm_problem(state);
  if (problem.hidden > kLongestRow)
    throw UserError(fmt::format("hidden: found {}, expected at most {} on backend cuda", problem.hidden, kLongestRow));
  state.declare(problem.work());
  Device& device = state.device();
  const auto held = std::make_shared<Held>(problem, device);
  state.inputs([held](std::uint64_t seed) { held->draw(seed); });
  state.device_output("y", held->y.data(), held->y.bytes());
  if (problem.residual) state.device_output("sum", held->sum.data(), held->sum.bytes());
  state.oracle([held] { return held->compare(); });
  for (const auto& [name, fault] : norm_faults(problem))
    state.mutant(name, [held, &device, wrong = fault] { held->run_wrong(wrong, device); });
  state.measure([held, &device] { held->run({}, device); });
}

const harness::Registration registration({
    .id = "normalization/rms-norm",
    .implementations = {{.backend = "cuda",
                         .axes = norm_axes({"bf16", "fp16"}),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90"}},
});

}  // namespace
}  // namespace assay::normalization::cuda
