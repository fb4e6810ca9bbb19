// FlashAttention-2 on a GPU, forward (forward_kernel.h) and backward (backward_kernel.h).
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "datasets/user_error.h"
#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/device_case.h"
#include "impls/attention/cuda/ragged_case.h"
#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/attention/registration.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {
namespace {

DeviceTechnique make_forward(const Problem& p, Device& device) {
  return {[p, &device](const DeviceTensors& tensors) {
    flash_attention_2_forward(tensors.forward(p), p.head_dim, element_type(p.dtype), device.stream());
  }};
}

std::uint32_t forward_shared_bytes(int head_dim) {
  return shared_bytes_of(head_dim, ForwardTile<64>::kSharedBytes, ForwardTile<128>::kSharedBytes,
                         ForwardTile<256>::kSharedBytes);
}

std::uint32_t backward_shared_bytes(int head_dim) {
  return shared_bytes_of(head_dim, BackwardTile<64>::kSharedBytes, BackwardTile<128>::kSharedBytes,
                         BackwardTile<256>::kSharedBytes);
}

// The backward pass of one problem: inputs with O and LSE of the forward kernel, dO, the gradients, workspace.
struct Backward {
  Problem p;
  Device& device;
  Storage storage;    // Q, K, V, O, LSE
  Storage gradients;  // dQ, dK, dV, dO in the places of Q, K, V, O
  DeviceTensors tensors;
  DeviceTensors gradient;
  DeviceBuffer<float> dots, sum;
  std::uint64_t seed = 0;
  std::unique_ptr<GradientReference> reference;

  Backward(Device& on, const Problem& of)
      : p(of),
        device(on),
        storage(of),
        gradients(of),
        tensors(on, of),
        gradient(on, of),
        dots(on, tensors.lse.size()),
        sum(on, tensors.lse.size() * static_cast<std::size_t>(of.head_dim)) {}

  void draw(InputLaw law, std::uint64_t from) {
    seed = from;
    reference.reset();
    draw_inputs(p, law, seed, storage.tensors());
    tensors.upload(p, storage.tensors());
    substrate::Random random(seed ^ 0x64655f6fULL);
    for (int b = 0; b < p.batch; ++b)
      for (int h = 0; h < p.heads; ++h)
        for (int i = 0; i < p.queries; ++i)
          for (int c = 0; c < p.head_dim; ++c)
            gradients.tensors().o.store(b, h, i, c, static_cast<float>(random.normal()));
    gradient.o.upload(gradients.output());
    make_forward(p, device).run(tensors);
    tensors.download(storage);
  }

  void run(const Problem& as) {
    BackwardProblem problem{.forward = tensors.forward(p)};
    const ForwardProblem to = gradient.forward(p);
    problem.d_o = to.o;
    problem.d_q = to.q;
    problem.d_k = to.k;
    problem.d_v = to.v;
    problem.row_dots = dots.data();
    problem.d_q_sum = sum.data();
    problem.forward.mask = {as.queries, as.keys, as.causal, as.diagonal};
    problem.forward.scale = as.scale;
    flash_attention_2_backward(problem, p.head_dim, element_type(p.dtype), device.stream());
  }

  harness::Check compare() {
    const Tensors& g = gradients.tensors();
    if (!reference) reference = std::make_unique<GradientReference>(p, storage.tensors(), g.o, seed);
    const auto fetch = [](const DeviceBuffer<std::byte>& from, const substrate::View& to) {
      from.download(std::span<std::byte>(to.data, from.bytes()));
    };
    fetch(gradient.q, g.q);
    fetch(gradient.k, g.k);
    fetch(gradient.v, g.v);
    return reference->compare({.d_o = g.o, .d_q = g.q, .d_k = g.k, .d_v = g.v});
  }
};

void run_backward(harness::State& state, const Problem& p) {
  const InputLaw law = state.text("inputs") == "normal" ? InputLaw::normal : InputLaw::outlier;
  harness::Work work;
  work.flops = 2.5 * p.flops();  // five products where forward has two
  work.exps = p.exps();
  // Q, K, V, O, dO and LSE read, dQ, dK, dV written.
  work.bytes = 2.0 * p.least_bytes() + static_cast<double>(bytes_of(p, p.heads, p.queries)) -
               4.0 * p.batch * p.heads * static_cast<double>(p.queries);
  work.working_set = work.bytes;
  work.roof = p.dtype == DType::bf16 ? "gemm-bf16" : "gemm-fp16";
  state.declare(work);

  Device& device = state.device();
  need_shared_memory(state, std::max(forward_shared_bytes(p.head_dim), backward_shared_bytes(p.head_dim)));
  const auto held = std::make_shared<Backward>(device, p);
  state.inputs([held, law](std::uint64_t seed) { held->draw(law, seed); });
  state.device_output("dQ", held->gradient.q.data(), held->gradient.q.bytes());
  state.device_output("dK", held->gradient.k.data(), held->gradient.k.bytes());
  state.device_output("dV", held->gradient.v.data(), held->gradient.v.bytes());
  state.oracle([held, &device] {
    harness::Check check = held->compare();
    if (check.coverage < 1) {
      Backward small(device, small_problem(held->p));
      small.draw(InputLaw::normal, held->seed);
      small.run(small.p);
      const harness::Check found = small.compare();
      check.detail += fmt::format("; small shape in full: error {:.3g}", found.error);
      if (!(found.error <= check.error)) check.error = found.error;
    }
    return check;
  });
  if (p.queries > 1) {
    state.mutant("last-tile-skipped", [held] {
      // The last keys get no gradient and give none to dQ.
      Problem shorter = held->p;
      shorter.keys -= std::min(shorter.keys / 2, kSampledRows);
      if (shorter.keys > 0) held->run(shorter);
    });
  }
  state.mutant("wrong-scale", [held] {
    Problem wrong = held->p;
    wrong.scale *= 1.02F;
    held->run(wrong);
  });
  state.mutant("lower-precision", [held] {
    // dO with an 8-bit float's mantissa.
    Storage coarse(held->p);
    std::copy_n(held->gradients.output().data(), held->gradients.output().size(), coarse.output().data());
    coarsen(held->p, coarse.tensors().o, held->p.heads, held->p.queries);
    held->gradient.o.upload(coarse.output());
    held->run(held->p);
    held->gradient.o.upload(held->gradients.output());
  });
  state.measure([held] { held->run(held->p); });
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  const std::string& pass = state.text("pass");
  const bool ragged = state.text("lengths") == "ragged";
  if (pass == "backward") {
    if (ragged) throw UserError("lengths: found ragged, expected even with pass=backward");
    run_backward(state, p);
    return;
  }
  if (ragged) {
    run_ragged(state, p, forward_shared_bytes(p.head_dim));
    return;
  }
  const double issued = p.head_dim == 64    ? issued_flops(p, ForwardTile<64>::kRows, ForwardTile<64>::kKeys)
                        : p.head_dim == 128 ? issued_flops(p, ForwardTile<128>::kRows, ForwardTile<128>::kKeys)
                                            : issued_flops(p, ForwardTile<256>::kRows, ForwardTile<256>::kKeys);
  run_on_device(state, p, issued, forward_shared_bytes(p.head_dim), make_forward);
}

std::vector<harness::Axis> axes_with_pass() {
  const auto text = [](const char* value) { return harness::Value(std::string(value)); };
  std::vector<harness::Axis> out = device_axes();
  out.push_back({.name = "pass",
                 .defaults = {text("forward")},
                 .help = "forward: O and LSE; backward: dQ (summed by atomics, not deterministic), dK, dV",
                 .allowed = {text("forward"), text("backward")},
                 .legacy_default = text("forward")});
  out.push_back({.name = "lengths",
                 .defaults = {text("even")},
                 .help = "of the sequences of a batch: even, or ragged: 1 to sequence_length, packed",
                 .allowed = {text("even"), text("ragged")},
                 .legacy_default = text("even")});
  return out;
}

const harness::Registration registration({
    .id = "attention/flash-attention-2",
    .implementations =
        {{.backend = "cuda", .axes = axes_with_pass(), .run = run, .source_file = __FILE__, .verified = false}},
});

}  // namespace
}  // namespace assay::attention::cuda
