#include "impls/attention/cuda/backward_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>

#include "impls/attention/cuda/ragged_case.h"
#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/attention/registration.h"

namespace assay::attention::cuda {
namespace {

// The backward pass of one problem: inputs with O and LSE of the forward pass, dO, the gradients, workspace.
struct Backward {
  Problem p;
  Storage storage;    // Q, K, V, O, LSE
  Storage gradients;  // dQ, dK, dV, dO in the places of Q, K, V, O
  DeviceTensors tensors;
  DeviceTensors gradient;
  BothPasses technique;
  DeviceBuffer<float> dots, sum;
  std::uint64_t seed = 0;
  std::unique_ptr<GradientReference> reference;

  Backward(Device& on, const Problem& of, const MakeBothPasses& make)
      : p(of),
        storage(of),
        gradients(of),
        tensors(on, of),
        gradient(on, of),
        technique(make(of, on)),
        dots(on, technique.row_dots),
        sum(on, technique.d_q_sum) {}

  void draw(InputLaw law, std::uint64_t from) {
    seed = from;
    reference.reset();
    draw_inputs(p, law, seed, storage.tensors());
    tensors.upload(p, storage.tensors());
    draw_tensor(gradients.tensors().o, p.batch, p.heads, p.queries, p.head_dim, InputLaw::normal, seed ^ 0x64655f6fULL);
    gradient.o.upload(gradients.output());
    technique.forward(tensors.forward(p));
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
    technique.backward(problem);
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

}  // namespace

harness::Work backward_work(const Problem& p) {
  harness::Work work;
  work.flops = 2.5 * p.flops();
  work.exps = p.exps();
  work.bytes = 2.0 * p.least_bytes() + static_cast<double>(bytes_of(p, p.heads, p.queries)) -
               4.0 * p.batch * p.heads * static_cast<double>(p.queries);
  work.working_set = work.bytes;
  work.roof = roof_of(p);
  return work;
}

namespace {

void run_backward(harness::State& state, const Problem& p, const PassesTechnique& of) {
  const InputLaw law = state.text("inputs") == "normal" ? InputLaw::normal : InputLaw::outlier;
  state.declare(backward_work(p));

  Device& device = state.device();
  need_capability(state, of.only_on);
  need_shared_memory(state, std::max(of.forward_shared_bytes, of.backward_shared_bytes));
  const auto held = std::make_shared<Backward>(device, p, of.make);
  state.inputs([held, law](std::uint64_t seed) { held->draw(law, seed); });
  state.device_output("dQ", held->gradient.q.data(), held->gradient.q.bytes());
  state.device_output("dK", held->gradient.k.data(), held->gradient.k.bytes());
  state.device_output("dV", held->gradient.v.data(), held->gradient.v.bytes());
  state.oracle([held, make = of.make, &device] {
    harness::Check check = held->compare();
    if (check.coverage < 1) {
      Backward small(device, small_problem(held->p), make);
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

}  // namespace

std::vector<harness::Axis> axes_of_both_passes() {
  const auto text = [](const char* value) { return harness::Value(std::string(value)); };
  std::vector<harness::Axis> out = device_axes();
  out.push_back({.name = "pass",
                 .defaults = {text("forward")},
                 .help = "forward: O and LSE; backward: dQ (summed by atomics, not deterministic), dK, dV",
                 .allowed = {text("forward"), text("backward")},
                 .legacy_default = text("forward")});
  out.push_back(lengths_axis());
  return out;
}

double issued_flops(const Problem& p, const PassesTechnique& technique) {
  Problem computed = p;
  if (technique.computes_masked) computed.causal = false;
  return issued_flops(computed, technique.rows, technique.keys);
}

void run_forward(harness::State& state, const Problem& p, const PassesTechnique& technique) {
  if (state.text("lengths") == "ragged") return run_ragged(state, p, technique);
  const auto make = [both = technique.make](const Problem& of, Device& device) -> DeviceTechnique {
    return {[of, forward = both(of, device).forward](const DeviceTensors& tensors) { forward(tensors.forward(of)); }};
  };
  run_on_device(state, p,
                {.issued = issued_flops(p, technique),
                 .shared_bytes = technique.forward_shared_bytes,
                 .only_on = technique.only_on},
                make);
}

void run_passes(harness::State& state, const Problem& p, const PassesTechnique& technique) {
  if (state.text("pass") == "forward") return run_forward(state, p, technique);
  if (state.text("lengths") == "ragged") return run_ragged_backward(state, p, technique);
  run_backward(state, p, technique);
}

}  // namespace assay::attention::cuda
