#include "impls/attention/cuda/ragged_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "impls/attention/cuda/packed_batch.h"
#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/attention/registration.h"

namespace assay::attention::cuda {
namespace {

struct Batch {
  PackedBatch packed;
  std::vector<Storage> storages;
  PackedTensors tensors;
  BothPasses technique;
  std::uint64_t seed = 0;
  std::vector<std::unique_ptr<Reference>> references;

  Batch(Device& device, const Problem& longest, const MakeBothPasses& make)
      : packed(device, longest),
        storages(packed.storages()),
        tensors(packed.tensors(device)),
        technique(make(longest, device)) {}

  std::uint64_t seed_of(std::size_t sequence) const { return seed + 1000003 * sequence; }
  void draw(InputLaw law, std::uint64_t from) {
    seed = from;
    references.clear();
    for (std::size_t b = 0; b < storages.size(); ++b)
      draw_inputs(packed.sequences[b], law, seed_of(b), storages[b].tensors());
    packed.upload_inputs(storages, tensors);
  }
  void run() const { technique.forward(packed.forward(tensors)); }

  harness::Check compare() {
    if (references.empty())
      for (std::size_t b = 0; b < storages.size(); ++b)
        references.push_back(std::make_unique<Reference>(packed.sequences[b], storages[b].tensors(), seed));
    packed.download(&Tensors::o, tensors.o, storages);
    packed.download_lse(storages);
    return worst([&](std::size_t b) { return references[b]->compare(storages[b].tensors()); });
  }
  template <class Compare>
  harness::Check worst(const Compare& compare) const {
    harness::Check worst;
    for (std::size_t b = 0; b < storages.size(); ++b) {
      const harness::Check found = compare(b);
      worst.coverage = std::min(worst.coverage, found.coverage);
      if (found.error <= worst.error) continue;
      worst.error = found.error;
      worst.detail = fmt::format("sequence {} of {} queries: {}", b, packed.sequences[b].queries, found.detail);
    }
    return worst;
  }
  // Every sequence but the first takes its keys one row too early.
  DeviceBuffer<int> wrong_key_starts(Device& device) const {
    std::vector<int> wrong = packed.key_starts;
    for (std::size_t b = 1; b + 1 < wrong.size(); ++b) --wrong[b];
    DeviceBuffer<int> starts(device, wrong.size());
    starts.upload(wrong);
    return starts;
  }
};

// The batch with dO and its gradients; O and LSE are those of the forward pass.
struct BackwardBatch : Batch {
  std::vector<Storage> gradients;  // dQ, dK, dV, dO in the places of Q, K, V, O
  PackedTensors gradient;
  DeviceBuffer<float> dots, sum;
  std::vector<std::unique_ptr<GradientReference>> gradient_references;

  BackwardBatch(Device& device, const Problem& longest, const MakeBothPasses& make)
      : Batch(device, longest, make),
        gradients(packed.storages()),
        gradient(packed.tensors(device)),
        dots(device, technique.row_dots),
        sum(device, technique.d_q_sum) {}

  void draw(InputLaw law, std::uint64_t from) {
    Batch::draw(law, from);
    gradient_references.clear();
    for (std::size_t b = 0; b < gradients.size(); ++b) {
      const Problem& one = packed.sequences[b];
      draw_tensor(gradients[b].tensors().o, 1, one.heads, one.queries, one.head_dim, InputLaw::normal,
                  seed_of(b) ^ 0x64655f6fULL);
    }
    packed.upload(&Tensors::o, gradients, gradient.o);
    run();
    packed.download(&Tensors::o, tensors.o, storages);
    packed.download_lse(storages);
  }

  BackwardProblem problem() const {
    BackwardProblem out{.forward = packed.forward(tensors)};
    out.d_o = packed.matrix(&Tensors::o, gradient.o);
    out.d_q = packed.matrix(&Tensors::q, gradient.q);
    out.d_k = packed.matrix(&Tensors::k, gradient.k);
    out.d_v = packed.matrix(&Tensors::v, gradient.v);
    out.row_dots = dots.data();
    out.d_q_sum = sum.data();
    return out;
  }

  harness::Check compare() {
    if (gradient_references.empty())
      for (std::size_t b = 0; b < storages.size(); ++b)
        gradient_references.push_back(std::make_unique<GradientReference>(packed.sequences[b], storages[b].tensors(),
                                                                          gradients[b].tensors().o, seed));
    packed.download(&Tensors::q, gradient.q, gradients);
    packed.download(&Tensors::k, gradient.k, gradients);
    packed.download(&Tensors::v, gradient.v, gradients);
    return worst([&](std::size_t b) {
      const Tensors& g = gradients[b].tensors();
      return gradient_references[b]->compare({.d_o = g.o, .d_q = g.q, .d_k = g.k, .d_v = g.v});
    });
  }
};

InputLaw law_of(const harness::State& state) {
  return state.text("inputs") == "normal" ? InputLaw::normal : InputLaw::outlier;
}

}  // namespace

void run_ragged(harness::State& state, const Problem& longest, const PassesTechnique& technique) {
  const InputLaw law = law_of(state);
  harness::Work work;
  for (const Problem& one : ragged_sequences(longest)) {
    work.flops += one.flops();
    work.bytes += one.least_bytes();
    work.exps += one.exps();
    work.flops_issued += issued_flops(one, technique);
  }
  work.working_set = work.bytes;
  work.roof = roof_of(longest);
  state.declare(work);

  Device& device = state.device();
  need_capability(state, technique.only_on);
  need_shared_memory(state, technique.forward_shared_bytes);
  const auto held = std::make_shared<Batch>(device, longest, technique.make);
  state.inputs([held, law](std::uint64_t seed) { held->draw(law, seed); });
  state.device_output("O", held->tensors.o.data(), held->tensors.o.bytes());
  state.device_output("LSE", held->packed.lse.data(), held->packed.lse.bytes());
  state.oracle([held] { return held->compare(); });
  state.mutant("wrong-scale", [held] {
    ForwardProblem wrong = held->packed.forward(held->tensors);
    wrong.scale *= 1.02F;
    held->technique.forward(wrong);
  });
  if (longest.batch > 1) {
    state.mutant("starts-off-by-one", [held, &device] {
      const DeviceBuffer<int> starts = held->wrong_key_starts(device);
      ForwardProblem wrong = held->packed.forward(held->tensors);
      wrong.ragged.key_starts = starts.data();
      held->technique.forward(wrong);
    });
  }
  state.mutant("lower-precision", [held, &device] {
    std::vector<Storage> coarse = held->packed.storages();
    for (std::size_t b = 0; b < coarse.size(); ++b) {
      const Problem& one = held->packed.sequences[b];
      const Tensors& from = held->storages[b].tensors();
      const Tensors& to = coarse[b].tensors();
      std::copy_n(from.q.data, bytes_of(one, one.heads, one.queries), to.q.data);
      std::copy_n(from.k.data, bytes_of(one, one.kv_heads, one.keys), to.k.data);
      std::copy_n(from.v.data, bytes_of(one, one.kv_heads, one.keys), to.v.data);
      coarsen(one, to.q, one.heads, one.queries);
      coarsen(one, to.k, one.kv_heads, one.keys);
      coarsen(one, to.v, one.kv_heads, one.keys);
    }
    held->packed.upload_inputs(coarse, held->tensors);
    held->run();
    device.synchronize("running a mutant");
    held->packed.upload_inputs(held->storages, held->tensors);
  });
  state.measure([held] { held->run(); });
}

void run_ragged_backward(harness::State& state, const Problem& longest, const PassesTechnique& technique) {
  const InputLaw law = law_of(state);
  harness::Work work;
  for (const Problem& one : ragged_sequences(longest)) {
    const harness::Work part = backward_work(one);
    work.flops += part.flops;
    work.bytes += part.bytes;
    work.exps += part.exps;
  }
  work.working_set = work.bytes;
  work.roof = roof_of(longest);
  state.declare(work);

  Device& device = state.device();
  need_capability(state, technique.only_on);
  need_shared_memory(state, std::max(technique.forward_shared_bytes, technique.backward_shared_bytes));
  const auto held = std::make_shared<BackwardBatch>(device, longest, technique.make);
  state.inputs([held, law](std::uint64_t seed) { held->draw(law, seed); });
  state.device_output("dQ", held->gradient.q.data(), held->gradient.q.bytes());
  state.device_output("dK", held->gradient.k.data(), held->gradient.k.bytes());
  state.device_output("dV", held->gradient.v.data(), held->gradient.v.bytes());
  state.oracle([held] { return held->compare(); });
  state.mutant("wrong-scale", [held] {
    BackwardProblem wrong = held->problem();
    wrong.forward.scale *= 1.02F;
    held->technique.backward(wrong);
  });
  if (longest.batch > 1) {
    state.mutant("starts-off-by-one", [held, &device] {
      const DeviceBuffer<int> starts = held->wrong_key_starts(device);
      BackwardProblem wrong = held->problem();
      wrong.forward.ragged.key_starts = starts.data();
      held->technique.backward(wrong);
    });
  }
  state.mutant("lower-precision", [held, &device] {
    // dO with an 8-bit float's mantissa.
    std::vector<Storage> coarse = held->packed.storages();
    for (std::size_t b = 0; b < coarse.size(); ++b) {
      const Problem& one = held->packed.sequences[b];
      std::copy_n(held->gradients[b].output().data(), held->gradients[b].output().size(), coarse[b].output().data());
      coarsen(one, coarse[b].tensors().o, one.heads, one.queries);
    }
    held->packed.upload(&Tensors::o, coarse, held->gradient.o);
    held->technique.backward(held->problem());
    device.synchronize("running a mutant");
    held->packed.upload(&Tensors::o, held->gradients, held->gradient.o);
  });
  state.measure([held] { held->technique.backward(held->problem()); });
}

}  // namespace assay::attention::cuda
