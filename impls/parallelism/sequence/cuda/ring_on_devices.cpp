#include "impls/parallelism/sequence/cuda/ring_on_devices.h"

#include <fmt/format.h>

#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/cuda/device_bodies.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism::cuda {
namespace {

using substrate::NcclFabric;

// SequenceData with a copy of every rank's part on its device, where the ranks work.
class DeviceData final : public SequenceData {
 public:
  DeviceData(const SequencePlan& plan, std::shared_ptr<NcclFabric> fabric)
      : SequenceData(plan), fabric_(std::move(fabric)) {
    for (int r = 0; r < plan.problem.ranks; ++r) {
      parts_.push_back({.q = fabric_->allocate(r, size(plan.q_bytes(r))),
                        .kv = fabric_->allocate(r, size(plan.kv_bytes(r))),
                        .o = fabric_->allocate(r, size(plan.q_bytes(r))),
                        .lse = fabric_->allocate(r, size(plan.rows(r) * 4))});
      if (!plan.problem.backward) continue;
      Part& part = parts_.back();
      part.d_out = fabric_->allocate(r, size(plan.q_bytes(r)));
      part.dq = fabric_->allocate(r, size(plan.q_elements(r) * 4));
      part.d_kv = fabric_->allocate(r, size(plan.gradient_bytes(r)));
    }
  }

  void draw(std::uint64_t seed) override {
    SequenceData::draw(seed);
    for (int r = 0; r < ranks(); ++r) {
      const SequenceMemory host = SequenceData::memory(r);
      fabric_->copy(r, at(r).q.get(), host.q, size(plan().q_bytes(r)));
      fabric_->copy(r, at(r).kv.get(), host.kv, size(plan().kv_bytes(r)));
      if (at(r).d_out) fabric_->copy(r, at(r).d_out.get(), host.d_out, size(plan().q_bytes(r)));
    }
  }
  SequenceMemory memory(int rank) override {
    const Part& part = at(rank);
    return {.q = part.q.get(),
            .kv = part.kv.get(),
            .o = part.o.get(),
            .lse = part.lse.get(),
            .d_out = part.d_out.get(),
            .dq = part.dq.get(),
            .d_kv = part.d_kv.get()};
  }
  void outputs_to_ranks() override {
    for (int r = 0; r < ranks(); ++r) {
      const SequenceMemory host = SequenceData::memory(r);
      fabric_->copy(r, at(r).o.get(), host.o, size(plan().q_bytes(r)));
      fabric_->copy(r, at(r).lse.get(), host.lse, size(plan().rows(r) * 4));
      if (!at(r).dq) continue;
      fabric_->copy(r, at(r).dq.get(), host.dq, size(plan().q_elements(r) * 4));
      fabric_->copy(r, at(r).d_kv.get(), host.d_kv, size(plan().gradient_bytes(r)));
    }
  }
  void outputs_from_ranks() override {
    for (int r = 0; r < ranks(); ++r) {
      const SequenceMemory host = SequenceData::memory(r);
      fabric_->copy(r, host.o, at(r).o.get(), size(plan().q_bytes(r)));
      fabric_->copy(r, host.lse, at(r).lse.get(), size(plan().rows(r) * 4));
      if (!at(r).dq) continue;
      fabric_->copy(r, host.dq, at(r).dq.get(), size(plan().q_elements(r) * 4));
      fabric_->copy(r, host.d_kv, at(r).d_kv.get(), size(plan().gradient_bytes(r)));
    }
  }

 private:
  struct Part {
    std::shared_ptr<std::byte> q, kv, o, lse;
    std::shared_ptr<std::byte> d_out, dq, d_kv;  // backward only
  };
  static std::size_t size(std::int64_t bytes) { return static_cast<std::size_t>(bytes); }
  int ranks() const { return plan().problem.ranks; }
  const Part& at(int rank) const { return parts_[static_cast<std::size_t>(rank)]; }

  std::shared_ptr<NcclFabric> fabric_;
  std::vector<Part> parts_;
};

RingPlan on_device(RingPlan plan, bool rescale = true) {
  static const DeviceBodies bodies;
  static const DeviceBodies unscaled(false);
  plan.bodies = rescale ? &bodies : &unscaled;
  return plan;
}

}  // namespace

void check_device_problem(const SequenceProblem& problem) {
  if (problem.head_dim != 64 && problem.head_dim != 128 && problem.head_dim != 256)
    throw UserError(fmt::format("head_dim: found {}, expected 64, 128 or 256 on fabric nccl", problem.head_dim));
  if (problem.dtype != substrate::DType::bf16) throw UserError("dtype: found 'fp32', expected bf16 on fabric nccl");
}

ProgramScheme ring_on_devices(const SequenceProblem& problem, const std::shared_ptr<NcclFabric>& fabric) {
  std::vector<ProgramMutant> mutants;
  const auto changed = [&](const char* name, bool rescale, auto change) {
    RingPlan wrong = on_device(RingPlan(problem), rescale);
    change(wrong);
    mutants.push_back({name, ring_program_of(std::move(wrong))});
  };
  if (problem.ranks > 1) {
    changed("last-hop-skipped", true, [](RingPlan& wrong) { --wrong.hops; });
    changed("merge-without-rescaling", false, [](RingPlan&) {});
  }
  changed("wrong-scale", true, [](RingPlan& wrong) { wrong.block.scale *= 1.0625F; });
  return sequence_scheme(
      problem,
      {.program = [](const SequenceProblem& layer) { return ring_program_of(on_device(RingPlan(layer))); },
       .data = [fabric](const SequenceProblem& layer, std::optional<int>) -> std::unique_ptr<ProgramData> {
         return std::make_unique<DeviceData>(SequencePlan(layer), fabric);
       },
       .fabric = fabric},
      std::move(mutants));
}

}  // namespace assay::parallelism::cuda
