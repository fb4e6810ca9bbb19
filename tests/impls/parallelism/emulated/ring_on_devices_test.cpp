// Ring attention over NCCL, whole: the program, the planted library, and the kernels in the emulator, against the same
// oracle as on the other fabrics.
#include "impls/parallelism/sequence/cuda/ring_on_devices.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/substrate/cluster/cluster.h"
#include "launches.h"

namespace assay::parallelism::cuda {
namespace {

using substrate::NcclFabric;
using substrate::Rank;
using substrate::RunReport;

struct Shape {
  const char* name;
  SequenceProblem problem;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

SequenceProblem with(std::int64_t length, int ranks, bool causal, Layout layout = Layout::contiguous, int kv_heads = 2,
                     int batch = 1) {
  return {.length = length,
          .ranks = ranks,
          .batch = batch,
          .heads = 2,
          .kv_heads = kv_heads,
          .head_dim = 64,
          .dtype = substrate::DType::bf16,
          .causal = causal,
          .layout = layout};
}

SequenceProblem backward(SequenceProblem problem, int head_dim = 64) {
  problem.backward = true;
  problem.head_dim = head_dim;
  return problem;
}

class RingOnDevices : public ::testing::TestWithParam<Shape> {
 protected:
  RingOnDevices() {
    emulated_devices() = devices_.get();
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    library_ = substrate::nccl::open_library({(folder / "libfixture_nccl.so").string()});
  }
  std::shared_ptr<substrate::nccl::HostRankDevices> devices_ = std::make_shared<substrate::nccl::HostRankDevices>(4);
  substrate::nccl::Library library_;
};

// As the gate does: outputs poisoned, taken to the ranks, the program run, outputs back.
RunReport run(NcclFabric& fabric, ProgramData& data, const RankProgram& program) {
  for (harness::Output& output : data.outputs()) std::ranges::fill(output.bytes, std::byte{0xff});
  data.outputs_to_ranks();
  RunReport report = fabric.run([&](Rank& rank) { return program(rank, &data); });
  data.outputs_from_ranks();
  return report;
}

RunReport run_virtual(const RankProgram& program, int ranks) {
  datasets::Cluster cluster;
  cluster.devices_per_node = ranks;
  cluster.intra = {.bandwidth = 1e11, .latency = 1e-6};
  substrate::ClusterFabric fabric({.cluster = cluster,
                                   .operator_seconds = [](const substrate::OpWork&) { return 1e-6; },
                                   .memory_bandwidth = 1e12,
                                   .ranks = ranks});
  return fabric.run([&](Rank& rank) { return program(rank, nullptr); });
}

TEST_P(RingOnDevices, PassesTheOracleAndItsMutantsDoNot) {
  const SequenceProblem& problem = GetParam().problem;
  const auto fabric = std::make_shared<NcclFabric>(devices_, library_, problem.ranks);
  const ProgramScheme scheme = ring_on_devices(problem, fabric);
  const auto data = scheme.data({});
  const RankProgram program = scheme.program;
  data->draw(3);
  const int before = flash_launches();
  const RunReport real = run(*fabric, *data, program);
  EXPECT_GT(flash_launches(), before);
  const harness::Check right = data->compare(3);
  EXPECT_LE(right.error, 1) << right.detail;
  EXPECT_EQ(count_difference(real, run_virtual(program, problem.ranks)), "")
      << "what the program counts is the same on a modelled cluster";

  EXPECT_EQ(scheme.mutants.size(), problem.ranks > 1 ? 3U : 1U);
  for (const ProgramMutant& mutant : scheme.mutants) {
    run(*fabric, *data, mutant.program);
    EXPECT_GT(data->compare(3).error, 1) << mutant.name;
  }
  run(*fabric, *data, program);
  EXPECT_LE(data->compare(3).error, 1) << "after the mutants";
  data->draw(4);
  EXPECT_GT(data->compare(4).error, 1) << "results of the draw before";
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RingOnDevices,
    ::testing::Values(Shape{"one rank", with(150, 1, true)}, Shape{"causal", with(260, 3, true)},
                      Shape{"full, two sequences", with(200, 2, false, Layout::contiguous, 2, 2)},
                      Shape{"zigzag, grouped heads", with(301, 2, true, Layout::zigzag, 1)},
                      Shape{"striped", with(200, 3, true, Layout::striped)},
                      Shape{"one rank, backward", backward(with(150, 1, true))},
                      Shape{"causal, backward", backward(with(260, 3, true))},
                      Shape{"full, two sequences, backward", backward(with(130, 2, false, Layout::contiguous, 2, 2))},
                      Shape{"zigzag, grouped heads, backward", backward(with(201, 2, true, Layout::zigzag, 1))},
                      Shape{"striped, backward", backward(with(200, 3, true, Layout::striped))},
                      Shape{"heads of 128, backward", backward(with(110, 2, true), 128)},
                      Shape{"heads of 256, backward", backward(with(70, 1, true), 256)}),
    [](const auto& held) { return "case" + std::to_string(held.index); });

TEST_F(RingOnDevices, LaunchesOneKernelForEachPairOfRuns) {
  const auto launches_of = [&](SequenceProblem problem) {
    const auto fabric = std::make_shared<NcclFabric>(devices_, library_, problem.ranks);
    const ProgramScheme scheme = ring_on_devices(problem, fabric);
    const auto data = scheme.data({});
    data->draw(1);
    const int before = flash_launches();
    run(*fabric, *data, scheme.program);
    return flash_launches() - before;
  };
  const int pairs = 3 * 3;  // of queries and keys over all ranks
  EXPECT_EQ(launches_of(with(60, 3, true)), 6) << "blocks above the diagonal are passed on unread";
  EXPECT_EQ(launches_of(with(60, 3, true, Layout::striped)), pairs) << "every third token is one run";
  EXPECT_EQ(launches_of(backward(with(60, 3, true, Layout::striped))), 2 * pairs);
  EXPECT_EQ(launches_of(with(60, 3, false, Layout::zigzag)), 5 * 5) << "two runs a rank, whose last has neighbours";
}

TEST_F(RingOnDevices, GivesBackWhatItAllocates) {
  {
    const SequenceProblem problem = backward(with(100, 2, true));
    const auto fabric = std::make_shared<NcclFabric>(devices_, library_, problem.ranks);
    const ProgramScheme scheme = ring_on_devices(problem, fabric);
    const auto data = scheme.data({});
    data->draw(1);
    run(*fabric, *data, scheme.program);
  }
  EXPECT_EQ(devices_->allocations(), 0U);
}

TEST(RingOnDevicesProblem, IsRefusedByNameWhereNoKernelIsMadeForIt) {
  const auto refusal = [](auto change) -> std::string {
    SequenceProblem problem = with(100, 1, true);
    change(problem);
    try {
      check_device_problem(problem);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](SequenceProblem& p) { p.head_dim = 80; }),
            "head_dim: found 80, expected 64, 128 or 256 on fabric nccl");
  EXPECT_EQ(refusal([](SequenceProblem& p) { p.dtype = substrate::DType::f32; }),
            "dtype: found 'fp32', expected bf16 on fabric nccl");
  EXPECT_EQ(refusal([](SequenceProblem&) {}), "");
}

}  // namespace
}  // namespace assay::parallelism::cuda
