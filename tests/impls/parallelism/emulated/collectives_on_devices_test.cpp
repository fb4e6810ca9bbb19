// Collectives of ranks with devices, with a planted NCCL and devices on host memory: the library's own, and our
// programs with their additions where the data are.
#include "impls/parallelism/data/cuda/collectives_on_devices.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../../substrate/host_rank_devices.h"
#include "datasets/user_error.h"

namespace assay::parallelism::cuda {
namespace {

using substrate::NcclFabric;
using substrate::Rank;

class OnDevices {
 protected:
  OnDevices() {
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    library_ = substrate::nccl::open_library({(folder / "libfixture_nccl.so").string()});
  }
  // The right program passes, every mutant does not, and nothing of it stays allocated.
  void gate(const CollectiveProblem& problem,
            ProgramScheme (*make)(const CollectiveProblem&, const std::shared_ptr<NcclFabric>&)) {
    const std::string what = problem.collective + " " + problem.algorithm + " of " + std::to_string(problem.ranks);
    {
      const auto fabric = std::make_shared<NcclFabric>(devices_, library_, problem.ranks);
      const ProgramScheme scheme = make(problem, fabric);
      const auto data = scheme.data({});
      // As the gate does: outputs poisoned, taken to the ranks, the program run, outputs back.
      const auto error_of = [&](const RankProgram& program) {
        for (harness::Output& output : data->outputs()) std::ranges::fill(output.bytes, std::byte{0xff});
        data->outputs_to_ranks();
        report_ = fabric->run([&](Rank& rank) { return program(rank, data.get()); });
        data->outputs_from_ranks();
        return data->compare(5).error;
      };
      data->draw(5);
      EXPECT_LE(error_of(scheme.program), 1) << what;
      if (scheme.counts_messages)
        EXPECT_EQ(count_difference(report_, count_program(scheme.program, problem.ranks)), "") << what;
      EXPECT_EQ(scheme.mutants.size(), problem.ranks > 1 ? 2U : 1U);
      for (const ProgramMutant& mutant : scheme.mutants)
        EXPECT_FALSE(error_of(mutant.program) <= 1) << what << ": " << mutant.name;
      EXPECT_LE(error_of(scheme.program), 1) << what << ": after the mutants";
      data->draw(6);
      EXPECT_FALSE(data->compare(6).error <= 1) << what << ": results of the draw before";
    }
    EXPECT_EQ(devices_->allocations(), 0U) << what;
  }
  std::shared_ptr<substrate::nccl::HostRankDevices> devices_ = std::make_shared<substrate::nccl::HostRankDevices>(4);
  substrate::nccl::Library library_;
  substrate::RunReport report_;
};

class NcclCollectives : public OnDevices, public ::testing::TestWithParam<const char*> {};

TEST_P(NcclCollectives, PassTheOracleAndTheirMutantsDoNot) {
  for (const int ranks : {1, 2, 4})
    gate({.collective = GetParam(), .algorithm = "nccl", .ranks = ranks, .elements = 240}, nccl_collective);
}
INSTANTIATE_TEST_SUITE_P(All, NcclCollectives,
                         ::testing::Values("all-reduce", "reduce-scatter", "all-gather", "broadcast", "all-to-all"),
                         [](const auto& held) {
                           std::string name = held.param;
                           std::erase(name, '-');
                           return name;
                         });

struct Own {
  const char* collective;
  const char* algorithm;
};

class OwnCollectives : public OnDevices, public ::testing::TestWithParam<Own> {};

TEST_P(OwnCollectives, PassTheOracleOnDevicesAndTheirMutantsDoNot) {
  for (const substrate::DType dtype : {substrate::DType::f32, substrate::DType::bf16}) {
    for (const int ranks : {1, 2, 3, 4}) {
      if (ranks == 1 && std::string(GetParam().collective) == "scan") continue;
      datasets::Cluster machine;
      machine.devices_per_node = ranks;
      const int before = devices_->additions;
      gate(resolve_collective({.collective = GetParam().collective,
                               .algorithm = GetParam().algorithm,
                               .ranks = ranks,
                               .elements = 241,
                               .dtype = dtype,
                               .piece_bytes = 128},
                              machine),
           own_collective);
      const bool adds =
          std::string(GetParam().collective) == "all-reduce" || std::string(GetParam().collective) == "reduce-scatter";
      if (adds && ranks > 1) EXPECT_GT(devices_->additions, before) << "sums are made on the devices";
    }
  }
}
INSTANTIATE_TEST_SUITE_P(All, OwnCollectives,
                         ::testing::Values(Own{"all-reduce", "ring"}, Own{"all-reduce", "halving-doubling"},
                                           Own{"all-reduce", "double-tree"}, Own{"all-reduce", "hierarchical"},
                                           Own{"all-reduce", "star"}, Own{"reduce-scatter", "ring"},
                                           Own{"reduce-scatter", "direct"}, Own{"all-gather", "ring"},
                                           Own{"all-gather", "direct"}, Own{"broadcast", "binomial"},
                                           Own{"broadcast", "chain"}, Own{"all-to-all", "direct"},
                                           Own{"all-to-all", "pairwise"}, Own{"all-to-all", "by-nodes"},
                                           Own{"scan", "serial"}, Own{"scan", "pipelined"}),
                         [](const auto& held) {
                           std::string name = std::string(held.param.collective) + "_" + held.param.algorithm;
                           std::erase(name, '-');
                           return name;
                         });

TEST(NcclCollectivesProblem, IsRefusedByNameWhereNcclHasNoCallForIt) {
  EXPECT_THROW(check_nccl_collective({.collective = "scan", .ranks = 2, .elements = 8}), UserError);
  EXPECT_THROW(check_nccl_collective({.collective = "all-gather", .ranks = 3, .elements = 8}), UserError);
  EXPECT_NO_THROW(check_nccl_collective({.collective = "all-gather", .ranks = 2, .elements = 8}));
}

}  // namespace
}  // namespace assay::parallelism::cuda
