// What nvcc and ptxas made of the kernels outside of attention: nothing spilled, registers within the launch bounds,
// and in each the instructions that it asks about or is made of. Machine code is looked at by ci/gpu-check.
#include <cxxabi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace assay::hardware::cuda {
namespace {
namespace fs = std::filesystem;

struct Kernel {
  std::string file, arch, name;  // "chase_kernel<(Level)0>(Chase)"
  std::string ptx;               // its body
  int threads = 0;               // .maxntid
  int registers = -1, stack = -1, spills = -1;

  bool is(const std::string& part) const { return name.find(part) != std::string::npos; }
  std::size_t count(const std::string& instruction) const {
    std::size_t found = 0;
    for (auto at = ptx.find(instruction); at != std::string::npos; at = ptx.find(instruction, at + 1)) ++found;
    return found;
  }
  std::string what() const { return arch + " " + name; }
};

std::string text_of(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Without the namespace, whose name nvcc makes up.
std::string readable(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> plain(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0) return mangled;
  return std::regex_replace(
      std::string(plain.get()),
      std::regex(R"((assay|hardware|cuda|[A-Za-z0-9_]*GLOBAL__N[A-Za-z0-9_]*|\(anonymous namespace\))::)"), "");
}

std::vector<Kernel> kernels() {
  std::vector<Kernel> out;
  for (const auto& file : fs::directory_iterator(ASSAY_KERNEL_REPORTS)) {
    if (file.path().extension() != ".ptx") continue;
    const std::string ptx = text_of(file.path());
    const std::string report = text_of(fs::path(file.path()).replace_extension(".txt"));
    const std::string stem = file.path().stem();
    for (auto at = ptx.find(".entry "); at != std::string::npos; at = ptx.find(".entry ", at + 1)) {
      Kernel kernel;
      kernel.file = stem.substr(0, stem.find(".sm_"));
      kernel.arch = stem.substr(stem.find("sm_"));
      const std::string mangled = ptx.substr(at + 7, ptx.find('(', at) - at - 7);
      kernel.name = readable(mangled);
      kernel.ptx = ptx.substr(at, ptx.find("\n}", at) - at);
      std::smatch found;
      const std::string head = kernel.ptx.substr(0, kernel.ptx.find('{'));
      if (std::regex_search(head, found, std::regex(R"(\.maxntid (\d+))"))) kernel.threads = std::stoi(found[1]);
      if (const auto compiled = report.find("'" + mangled + "'"); compiled != std::string::npos) {
        const std::string rest = report.substr(compiled, 2000);
        if (std::regex_search(rest, found,
                              std::regex(R"((\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill)"))) {
          kernel.stack = std::stoi(found[1]);
          kernel.spills = std::stoi(found[2]) + std::stoi(found[3]);
        }
        if (std::regex_search(rest, found, std::regex(R"(Used (\d+) registers)")))
          kernel.registers = std::stoi(found[1]);
      }
      out.push_back(std::move(kernel));
    }
  }
  return out;
}

class CompiledProbes : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(ASSAY_KERNEL_REPORTS))
      GTEST_SKIP() << "no compiler reports on this machine: " << ASSAY_KERNEL_REPORTS;
    all_ = kernels();
    ASSERT_FALSE(all_.empty());
  }
  // The kernels of a file and architecture whose names have `part`; there must be some.
  std::vector<Kernel> of(const std::string& arch, const std::string& part) {
    std::vector<Kernel> out;
    for (const Kernel& kernel : all_)
      if (kernel.arch == arch && kernel.is(part)) out.push_back(kernel);
    EXPECT_FALSE(out.empty()) << part << " on " << arch;
    return out;
  }
  std::vector<Kernel> all_;
};

TEST_F(CompiledProbes, SpillNothing) {
  for (const Kernel& kernel : all_) {
    EXPECT_EQ(kernel.stack, 0) << kernel.what();
    EXPECT_EQ(kernel.spills, 0) << kernel.what();
  }
}

TEST_F(CompiledProbes, HaveTheRegistersThatTheirLaunchBoundsAllow) {
  for (const Kernel& kernel : all_) {
    if (kernel.is("store_word")) continue;  // one thread
    EXPECT_GT(kernel.threads, 0) << "no launch bounds: " << kernel.what();
    EXPECT_GT(kernel.registers, 0) << "not in the report: " << kernel.what();
    EXPECT_LE((kernel.registers + 7) / 8 * 8 * kernel.threads, 65536) << kernel.what();
  }
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
  const std::pair<int, const char*> types[] = {
      {0, "k16.f32.bf16.bf16"}, {1, "k16.f32.f16.f16"}, {4, "k32.f32.e4m3.e4m3"}};
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
