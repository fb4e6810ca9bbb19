// NCCL's own collectives with a planted library that adds and moves on the host.
#include "impls/parallelism/data/cuda/nccl_collectives.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "../../substrate/host_rank_devices.h"
#include "datasets/user_error.h"

namespace assay::parallelism::cuda {
namespace {

using substrate::NcclFabric;
using substrate::Rank;

class NcclCollectives : public ::testing::TestWithParam<const char*> {
 protected:
  NcclCollectives() {
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    library_ = substrate::nccl::open_library({(folder / "libfixture_nccl.so").string()});
  }
  std::shared_ptr<substrate::nccl::HostRankDevices> devices_ = std::make_shared<substrate::nccl::HostRankDevices>(4);
  substrate::nccl::Library library_;
};

TEST_P(NcclCollectives, PassTheOracleAndTheirMutantsDoNot) {
  for (const int ranks : {1, 2, 4}) {
    {
      const auto fabric = std::make_shared<NcclFabric>(devices_, library_, ranks);
      const CollectiveProblem problem{.collective = GetParam(), .algorithm = "nccl", .ranks = ranks, .elements = 240};
      const ProgramScheme scheme = nccl_collective(problem, fabric);
      const auto data = scheme.data({});
      // As the gate does: outputs poisoned, taken to the ranks, the program run, outputs back.
      const auto error_of = [&](const RankProgram& program) {
        for (harness::Output& output : data->outputs()) std::ranges::fill(output.bytes, std::byte{0xff});
        data->outputs_to_ranks();
        fabric->run([&](Rank& rank) { return program(rank, data.get()); });
        data->outputs_from_ranks();
        return data->compare(5).error;
      };
      data->draw(5);
      EXPECT_LE(error_of(scheme.program), 1) << GetParam() << " of " << ranks;
      EXPECT_EQ(scheme.mutants.size(), ranks > 1 ? 2U : 1U);
      for (const ProgramMutant& mutant : scheme.mutants)
        EXPECT_FALSE(error_of(mutant.program) <= 1) << GetParam() << " of " << ranks << ": " << mutant.name;
      EXPECT_LE(error_of(scheme.program), 1) << "after the mutants";
      data->draw(6);
      EXPECT_FALSE(data->compare(6).error <= 1) << "results of the draw before";
      EXPECT_FALSE(scheme.counts_messages) << "the library does not say what it sends";
    }
    EXPECT_EQ(devices_->allocations(), 0U);
  }
}
INSTANTIATE_TEST_SUITE_P(All, NcclCollectives,
                         ::testing::Values("all-reduce", "reduce-scatter", "all-gather", "broadcast", "all-to-all"),
                         [](const auto& held) {
                           std::string name = held.param;
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
