// What nvcc and ptxas made of the kernels outside of attention: nothing spilled, registers within the launch bounds,
// and in each the instructions that it asks about or is made of. Machine code is looked at by ci/gpu-check.
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "../../compiled_kernels.h"

namespace assay::hardware::cuda {
namespace {

using Kernel = CompiledKernel;

// Without the namespace, whose name nvcc makes up.
std::string readable(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0) return mangled;
  return std::regex_replace(
      std::string(plain.get()),
      std::regex(R"((assay|hardware|substrate|cuda|[A-Za-z0-9_]*GLOBAL__N[A-Za-z0-9_]*|\(anonymous namespace\))::)"),
      "");
}

class CompiledProbes : public CompiledKernelsTest {
 protected:
  // Names as "chase_kernel<(Level)0>(Chase)".
  void SetUp() override {
    CompiledKernelsTest::SetUp();
    for (Kernel& kernel : all_) kernel.name = readable(kernel.name);
  }
  // The kernels of a file and architecture whose names have `part`; there must be some.
  std::vector<Kernel> of(const std::string& arch, const std::string& part) {
    std::vector<Kernel> out;
    for (const Kernel& kernel : all_)
      if (kernel.arch == arch && kernel.is(part)) out.push_back(kernel);
    EXPECT_FALSE(out.empty()) << part << " on " << arch;
    return out;
  }
};

TEST_F(CompiledProbes, SpillNothing) { expect_nothing_spilled(); }

TEST_F(CompiledProbes, HaveTheRegistersThatTheirLaunchBoundsAllow) {
  expect_registers_within_launch_bounds("store_word");
}

// A chase is one load after the other: eight of them in the loop, and no other kind.
TEST_F(CompiledProbes, ChasesLoadFromTheLevelTheyAskAbout) {
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    const char* const loads[] = {"ld.global.ca.u32", "ld.global.cg.u32", "ld.global.cg.u32", "ld.shared.u32"};
    for (int level = 0; level < 4; ++level) {
      for (const Kernel& kernel : of(arch, "chase_kernel<(Level)" + std::to_string(level))) {
        EXPECT_GE(kernel.count(loads[level]), 8U) << kernel.what();
        EXPECT_EQ(kernel.count("%clock"), 2U) << kernel.what();
        for (const char* other : loads)
          if (std::string(other) != loads[level]) EXPECT_EQ(kernel.count(other), 0U) << kernel.what() << " " << other;
      }
    }
  }
  for (const Kernel& kernel : of("sm_90a", "chase_kernel<(Level)4")) {
    EXPECT_GE(kernel.count("ld.shared::cluster.u32"), 8U);
    EXPECT_GT(kernel.count("mapa.shared::cluster"), 0U);
    EXPECT_EQ(kernel.count("barrier.cluster.wait"), 2U);
  }
}

TEST_F(CompiledProbes, CopiesUseTheEngineTheyAreNamedAfter) {
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    for (const Kernel& kernel : of(arch, "copy_in_kernel<(CopyEngine)1")) {
      EXPECT_GT(kernel.count("cp.async.cg.shared.global"), 0U) << kernel.what();
      EXPECT_GT(kernel.count("cp.async.wait_group 3"), 0U) << kernel.what();
    }
    for (const Kernel& kernel : of(arch, "copy_in_kernel<(CopyEngine)0"))
      EXPECT_EQ(kernel.count("cp.async"), 0U) << kernel.what();
  }
  for (const Kernel& kernel : of("sm_90a", "copy_in_kernel<(CopyEngine)2")) {
    EXPECT_GT(kernel.count("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes"), 0U);
    EXPECT_GT(kernel.count("mbarrier.try_wait.parity"), 0U);
    EXPECT_EQ(kernel.count("cp.async.cg"), 0U);
  }
}

TEST_F(CompiledProbes, MatrixProbesHoldOneKindOfInstruction) {
  struct Kind {
    int type;
    const char* instruction;
    bool on_80;
  };
  const Kind kinds[] = {{0, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", true},
                        {1, "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", true},
                        {2, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", true},
                        {3, "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", true},
                        {4, "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", false}};
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    for (const Kind& kind : kinds) {
      if (arch == "sm_80" && !kind.on_80) continue;
      for (const int chains : {1, 4}) {
        std::size_t seen = 0;
        for (const Kernel& kernel : of(arch, " mma_kernel<(MatrixType)" + std::to_string(kind.type))) {
          if (!kernel.is(", " + std::to_string(chains) + ">(")) continue;
          ++seen;
          EXPECT_GE(kernel.count(kind.instruction), 4U * static_cast<unsigned>(chains)) << kernel.what();
          EXPECT_EQ(kernel.count("mma.sync"), kernel.count(kind.instruction)) << kernel.what();
        }
        EXPECT_EQ(seen, 1U) << arch << " type " << kind.type << " chains " << chains;
      }
    }
  }
}

TEST_F(CompiledProbes, WarpGroupProbesHoldTheShapesTheyAreNamedAfter) {
  const std::pair<int, const char*> types[] = {{0, "k16.f32.bf16.bf16"},
                                               {1, "k16.f32.f16.f16"},
                                               {2, "k8.f32.tf32.tf32"},
                                               {3, "k32.s32.s8.s8"},
                                               {4, "k32.f32.e4m3.e4m3"}};
  for (const auto& [type, tail] : types) {
    for (const int n : {64, 128, 256}) {
      for (const Kernel& kernel :
           of("sm_90a", "wgmma_kernel<(MatrixType)" + std::to_string(type) + ", " + std::to_string(n) + ">")) {
        // Eight a group, and as many groups as the compiler unrolls.
        const std::size_t held = kernel.count("wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + tail);
        EXPECT_GE(held, 8U) << kernel.what();
        EXPECT_EQ(held % 8, 0U) << kernel.what();
        EXPECT_EQ(kernel.count("wgmma.mma_async"), held) << kernel.what();
        EXPECT_GT(kernel.count("wgmma.fence.sync.aligned"), 0U) << kernel.what();
        EXPECT_GT(kernel.count("wgmma.commit_group.sync.aligned"), 0U) << kernel.what();
        EXPECT_GT(kernel.count("fence.proxy.async"), 0U) << kernel.what();
      }
    }
  }
}

TEST_F(CompiledProbes, FusedIntegerOperationsStandInTheLoop) {
  const char* instructions[] = {"max.s32 ", "max.s32.relu ", "max.s16x2 ", "max.s16x2.relu "};
  for (int what = 0; what < 4; ++what)
    for (const Kernel& kernel : of("sm_90a", "dpx_kernel<(Dpx)" + std::to_string(what))) {
      EXPECT_GE(kernel.count(instructions[what]), 8U) << kernel.what();
      EXPECT_EQ(kernel.count("%clock"), 2U) << kernel.what();
    }
  EXPECT_EQ(of("sm_80", "dpx_kernel<").size(), 8U) << "several instructions there";
}

TEST_F(CompiledProbes, AtomicsAndBarriersAreNotFoldedTogether) {
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    for (const int where : {0, 1})
      for (const Kernel& kernel : of(arch, "atomic_kernel<(Atomic)" + std::to_string(where)))
        EXPECT_GT(kernel.count("atom.global.add.u32"), 0U) << kernel.what();
    for (const Kernel& kernel : of(arch, "atomic_kernel<(Atomic)2"))
      EXPECT_GT(kernel.count("atom.shared.add.u32"), 0U) << kernel.what();
    for (const Kernel& kernel : of(arch, "barrier_kernel<(Barrier)1"))
      EXPECT_GT(kernel.count("bar.sync 0"), 0U) << kernel.what();
  }
  for (const Kernel& kernel : of("sm_90a", "barrier_kernel<(Barrier)2"))
    EXPECT_GT(kernel.count("barrier.cluster.arrive"), 0U);
}

TEST_F(CompiledProbes, AdditionsOfCollectivesMoveSixteenBytesWhereTheyCan) {
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    const std::vector<Kernel> all = of(arch, "add_kernel<");
    EXPECT_EQ(all.size(), 4U) << arch << ": three sums and a rounding";
    for (const Kernel& kernel : all) {
      EXPECT_GT(kernel.count("ld.global.v4"), 0U) << kernel.what();
      EXPECT_GT(kernel.count("st.global.v4"), 0U) << kernel.what();
    }
  }
}

TEST_F(CompiledProbes, KernelsBoundByMemoryMoveSixteenBytesAtATime) {
  for (const std::string arch : {"sm_80", "sm_90a"}) {
    for (const char* name : {"rms_norm_kernel", "rope_kernel"}) {
      for (const Kernel& kernel : of(arch, name)) {
        EXPECT_GT(kernel.count("ld.global.v4") + kernel.count("ld.global.nc.v4"), 0U) << kernel.what();
        EXPECT_GT(kernel.count("st.global.v4"), 0U) << kernel.what();
        EXPECT_EQ(kernel.count("ld.global.u16") + kernel.count("ld.global.b16"), 0U) << kernel.what();
      }
    }
  }
}

}  // namespace
}  // namespace assay::hardware::cuda
