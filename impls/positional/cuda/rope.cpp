// RoPE on a GPU: Q and K in one launch, 16 bytes an access, angles from a table (rope_kernel.cu).
#include "impls/positional/rope.h"

#include <memory>

#include "harness/gpu/device_buffer.h"
#include "impls/positional/cuda/rope_kernel.h"

namespace assay::positional::cuda {
namespace {

using harness::gpu::Device;
using harness::gpu::DeviceBuffer;

struct Held {
  Held(const RopeProblem& of, Device& device)
      : problem(of),
        host(of),
        in(device, host.in.bytes()),
        out(device, host.out.bytes()),
        table(device, static_cast<std::size_t>(of.table_elements())) {
    table.upload(rope_table(of));
  }

  void draw(std::uint64_t seed) {
    host.draw(problem, seed);
    in.upload(std::as_const(host.in).span());
  }
  void run(const RopeProblem& as, const std::byte* from, const float* angles, std::int64_t heads, Device& device) {
    launch_rope({.in = from,
                 .out = out.data(),
                 .table = angles,
                 .tokens = as.tokens,
                 .heads = static_cast<int>(as.all_heads()),
                 .written = static_cast<int>(heads),
                 .head_dim = as.head_dim,
                 .interleaved = as.interleaved},
                as.dtype == substrate::DType::bf16, device.stream());
  }
  void run_wrong(const RopeFault& fault, Device& device) {
    const RopeProblem wrong = with_fault(problem, fault);
    DeviceBuffer<float> angles(device, table.size());
    angles.upload(rope_table(wrong, fault.shift));
    DeviceBuffer<std::byte> coarse(device, in.bytes());
    substrate::AlignedBuffer<std::byte> on_host(in.bytes());
    if (fault.coarse) {
      coarsen(problem, host.in.data(), on_host.data());
      coarse.upload(std::as_const(on_host).span());
    }
    run(wrong, fault.coarse ? coarse.data() : in.data(), angles.data(), problem.all_heads() - fault.heads_left_out,
        device);
  }
  harness::Check compare() {
    out.download(host.out.span());
    return compare_rope(problem, host);
  }

  RopeProblem problem;
  RopeTensors host;
  DeviceBuffer<std::byte> in, out;
  DeviceBuffer<float> table;
};

void run(harness::State& state) {
  const RopeProblem problem = rope_problem(state);
  state.declare(problem.work());
  Device& device = state.device();
  const auto held = std::make_shared<Held>(problem, device);
  state.inputs([held](std::uint64_t seed) { held->draw(seed); });
  state.device_output("out", held->out.data(), held->out.bytes());
  state.oracle([held] { return held->compare(); });
  for (const auto& [name, each] : rope_faults(problem))
    state.mutant(name, [held, &device, fault = each] { held->run_wrong(fault, device); });
  state.measure([held, &device] {
    held->run(held->problem, held->in.data(), held->table.data(), held->problem.all_heads(), device);
  });
}

const harness::Registration registration({
    .id = "positional/rope",
    .implementations = {{.backend = "cuda",
                         .axes = rope_axes({"bf16", "fp16"}),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90"}},
});

}  // namespace
}  // namespace assay::positional::cuda
