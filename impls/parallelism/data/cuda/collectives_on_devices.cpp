#include "impls/parallelism/data/cuda/collectives_on_devices.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "datasets/user_error.h"

namespace assay::parallelism::cuda {
namespace {

using substrate::DType;
using substrate::NcclFabric;
using substrate::Rank;
using substrate::Task;
using substrate::nccl::Type;

// CollectiveData with every rank's tensors on its device.
class DeviceData final : public CollectiveData {
 public:
  DeviceData(const CollectiveProblem& problem, std::shared_ptr<NcclFabric> fabric)
      : CollectiveData(problem, std::nullopt), problem_(problem), fabric_(std::move(fabric)) {
    for (int r = 0; r < problem.ranks; ++r)
      parts_.push_back(
          {fabric_->allocate(r, in_bytes(r)), fabric_->allocate(r, in_bytes(r)), fabric_->allocate(r, out_bytes(r))});
    const std::vector<std::byte> nothing(in_bytes(0));
    for (int r = 0; r < problem.ranks; ++r) fabric_->copy(r, zeros(r), nothing.data(), in_bytes(r));
  }

  void draw(std::uint64_t seed) override {
    CollectiveData::draw(seed);
    for (int r = 0; r < problem_.ranks; ++r) fabric_->copy(r, at(r).in.get(), input(r), in_bytes(r));
  }
  void outputs_to_ranks() override {
    for (int r = 0; r < problem_.ranks; ++r) fabric_->copy(r, at(r).out.get(), output(r), out_bytes(r));
  }
  void outputs_from_ranks() override {
    for (int r = 0; r < problem_.ranks; ++r) fabric_->copy(r, output(r), at(r).out.get(), out_bytes(r));
  }
  const std::byte* given(int rank) override { return at(rank).in.get(); }
  std::byte* result(int rank) override { return at(rank).out.get(); }
  std::byte* zeros(int rank) const { return at(rank).zeros.get(); }

 private:
  struct Part {
    std::shared_ptr<std::byte> in, zeros, out;
  };
  std::size_t in_bytes(int rank) const {
    return static_cast<std::size_t>(problem_.input_elements(rank) * size_of(problem_.dtype));
  }
  std::size_t out_bytes(int rank) const {
    return static_cast<std::size_t>(problem_.output_elements(rank) * size_of(problem_.dtype));
  }
  const Part& at(int rank) const { return parts_[static_cast<std::size_t>(rank)]; }

  CollectiveProblem problem_;
  std::shared_ptr<NcclFabric> fabric_;
  std::vector<Part> parts_;
};

// What rank r puts into its stream.
void call(NcclFabric& fabric, const CollectiveProblem& p, int r, DeviceData& data) {
  const auto& nccl = fabric.library();
  auto* const comm = fabric.world(r);
  auto* const stream = fabric.stream(r);
  const Type type = p.dtype == DType::f32 ? Type::f32 : Type::bf16;
  const std::byte* const in = p.leave_out == r ? data.zeros(r) : data.given(r);
  std::byte* const out = data.result(r);
  const auto lost = static_cast<std::size_t>(p.last_element_lost ? 1 : 0);
  const std::size_t whole = static_cast<std::size_t>(p.elements) - lost;
  const std::size_t part = static_cast<std::size_t>(p.part_elements(0)) - lost;
  const char* const doing = "enqueuing a collective";
  if (p.collective == "all-reduce")
    return nccl.check(nccl.all_reduce(in, out, whole, type, substrate::nccl::kSum, comm, stream), doing);
  if (p.collective == "reduce-scatter")
    return nccl.check(nccl.reduce_scatter(in, out, part, type, substrate::nccl::kSum, comm, stream), doing);
  if (p.collective == "all-gather") return nccl.check(nccl.all_gather(in, out, part, type, comm, stream), doing);
  if (p.collective == "broadcast") return nccl.check(nccl.broadcast(in, out, whole, type, 0, comm, stream), doing);
  // NCCL's all-to-all is this group of sends and receives.
  nccl.check(nccl.group_start(), doing);
  const auto stride = static_cast<std::size_t>(p.part_elements(0) * size_of(p.dtype));
  for (int peer = 0; peer < p.ranks; ++peer) {
    const std::size_t at = static_cast<std::size_t>(peer) * stride;
    nccl.check(nccl.send(in + at, part, type, peer, comm, stream), doing);
    nccl.check(nccl.receive(out + at, part, type, peer, comm, stream), doing);
  }
  nccl.check(nccl.group_end(), doing);
}

RankProgram program_of(const CollectiveProblem& problem, const std::shared_ptr<NcclFabric>& fabric) {
  return [problem, fabric](Rank& rank, ProgramData* data) -> Task<> {
    // The closure's copies live as long as the coroutine: the scheme that holds it outlives the run.
    co_await rank.copy(problem.elements * size_of(problem.dtype),
                       [&] { call(*fabric, problem, rank.id(), static_cast<DeviceData&>(*data)); });
  };
}

ProgramScheme scheme_of(const CollectiveProblem& problem, const std::shared_ptr<NcclFabric>& fabric,
                        const std::function<RankProgram(const CollectiveProblem&)>& program) {
  ProgramScheme scheme{.ranks = problem.ranks,
                       .work = {.bytes = 2.0 * static_cast<double>(problem.elements * size_of(problem.dtype))},
                       .program = program(problem),
                       .data = [problem, fabric](std::optional<int>) -> std::unique_ptr<ProgramData> {
                         return std::make_unique<DeviceData>(problem, fabric);
                       }};
  scheme.fabric = fabric;
  if (problem.ranks > 1) {
    CollectiveProblem silent = problem;
    // The root of a broadcast; before all others in a scan, of which the last rank is in no result.
    silent.leave_out = problem.collective == "broadcast" || problem.collective == "scan" ? 0 : problem.ranks / 2;
    scheme.mutants.push_back({"one-rank-left-out", program(silent)});
  }
  CollectiveProblem wrong = problem;
  wrong.last_element_lost = true;
  scheme.mutants.push_back({"last-element-lost", program(wrong)});
  return scheme;
}

}  // namespace

ProgramScheme own_collective(const CollectiveProblem& problem, const std::shared_ptr<NcclFabric>& fabric) {
  return scheme_of(problem, fabric, [](const CollectiveProblem& each) { return collective_program(each); });
}

void check_nccl_collective(const CollectiveProblem& problem) {
  if (problem.collective == "scan") throw UserError("collective: found scan, which NCCL does not have");
  if (problem.elements % problem.ranks != 0)
    throw UserError(fmt::format("message_bytes: found {}, expected a multiple of ranks x {} on fabric nccl",
                                problem.elements * size_of(problem.dtype), size_of(problem.dtype)));
}

ProgramScheme nccl_collective(const CollectiveProblem& problem, const std::shared_ptr<NcclFabric>& fabric) {
  fabric->world(0);  // made before any rank's program
  ProgramScheme scheme =
      scheme_of(problem, fabric, [&](const CollectiveProblem& each) { return program_of(each, fabric); });
  scheme.counts_messages = false;
  return scheme;
}

}  // namespace assay::parallelism::cuda
