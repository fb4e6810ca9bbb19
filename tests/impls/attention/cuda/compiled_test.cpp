// What nvcc and ptxas made of the attention kernels: no spills, no stack, registers within the launch bounds, and the
// instructions they are written for. The reports are made by the build (tests/CMakeLists.txt); on a machine that has
// the program without them the tests say so. Machine code itself is looked at by ci/gpu-check, where cuobjdump is.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "harness/registry.h"

namespace assay::attention::cuda {
namespace {
namespace fs = std::filesystem;

struct Kernel {
  std::string name;  // mangled
  std::string arch;
  std::string ptx;     // its body
  std::string report;  // all that ptxas said of its file
  int threads = 0;     // .maxntid
  int blocks = 1;      // .minnctapersm
  int registers = -1, stack = -1, spill_stores = -1, spill_loads = -1;

  bool is(const std::string& part) const { return name.find(part) != std::string::npos; }
  std::size_t count(const std::string& instruction) const {
    std::size_t found = 0;
    for (auto at = ptx.find(instruction); at != std::string::npos; at = ptx.find(instruction, at + 1)) ++found;
    return found;
  }
};

std::string text_of(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

int number_after(const std::string& text, const std::string& word, int otherwise) {
  const auto at = text.find(word);
  return at == std::string::npos ? otherwise : std::stoi(text.substr(at + word.size()));
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
      kernel.arch = stem.substr(stem.find("sm_"));
      kernel.name = ptx.substr(at + 7, ptx.find('(', at) - at - 7);
      kernel.report = report;
      kernel.ptx = ptx.substr(at, ptx.find(".entry ", at + 1) - at);
      const std::string head = kernel.ptx.substr(0, kernel.ptx.find('{'));
      kernel.threads = number_after(head, ".maxntid ", 0);
      kernel.blocks = number_after(head, ".minnctapersm ", 1);
      const auto compiled = report.find("'" + kernel.name + "'");
      if (compiled != std::string::npos) {
        const std::string rest = report.substr(compiled);
        std::smatch found;
        if (std::regex_search(
                rest, found,
                std::regex(R"((\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads)"))) {
          kernel.stack = std::stoi(found[1]);
          kernel.spill_stores = std::stoi(found[2]);
          kernel.spill_loads = std::stoi(found[3]);
        }
        if (std::regex_search(rest, found, std::regex(R"(Used (\d+) registers)")))
          kernel.registers = std::stoi(found[1]);
      }
      out.push_back(std::move(kernel));
    }
  }
  return out;
}

class CompiledKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(ASSAY_KERNEL_REPORTS))
      GTEST_SKIP() << "no compiler reports on this machine: " << ASSAY_KERNEL_REPORTS;
    all_ = kernels();
    ASSERT_FALSE(all_.empty());
    // Kernels of sm_90a are compiled for sm_80 too, as nothing; no case launches them there.
    std::erase_if(all_, [](const Kernel& kernel) { return kernel.arch == "sm_80" && kernel.is(kOfHopper); });
  }
  static constexpr const char* kOfHopper = "flash_attention_3";
  std::vector<Kernel> all_;
};

TEST_F(CompiledKernels, SpillNothingAndKeepNothingOnTheStack) {
  for (const Kernel& kernel : all_) {
    EXPECT_EQ(kernel.stack, 0) << kernel.arch << " " << kernel.name;
    EXPECT_EQ(kernel.spill_stores, 0) << kernel.arch << " " << kernel.name;
    EXPECT_EQ(kernel.spill_loads, 0) << kernel.arch << " " << kernel.name;
    EXPECT_EQ(kernel.count(".local"), 0U) << kernel.arch << " " << kernel.name;
  }
}

TEST_F(CompiledKernels, HaveTheRegistersThatTheirLaunchBoundsAllow) {
  for (const Kernel& kernel : all_) {
    EXPECT_GT(kernel.threads, 0) << "no launch bounds: " << kernel.name;
    EXPECT_GT(kernel.registers, 0) << "not in the report: " << kernel.name;
    EXPECT_LE(kernel.registers, 255) << kernel.name;
    // A multiprocessor has 64 Ki registers, given out by 8 a thread.
    EXPECT_LE((kernel.registers + 7) / 8 * 8 * kernel.threads * kernel.blocks, 65536)
        << kernel.arch << " " << kernel.name;
  }
}

TEST_F(CompiledKernels, ForwardLeavesRoomForTwoBlocksUpTo128) {
  for (const Kernel& kernel : all_) {
    if (!kernel.is("flash_attention_2_forward") || kernel.threads != 128) continue;
    EXPECT_LE((kernel.registers + 7) / 8 * 8 * kernel.threads * 2, 65536) << kernel.arch << " " << kernel.name;
  }
}

TEST_F(CompiledKernels, HoldTheInstructionsTheyAreWrittenFor) {
  for (const Kernel& kernel : all_) {
    if (kernel.is("composed_softmax") || kernel.is("merge_splits") || kernel.is("row_dots") || kernel.is("round_d_q") ||
        kernel.is("naive_softmax"))
      continue;
    const std::string what = kernel.arch + " " + kernel.name;
    const bool fp16 = kernel.is("Fp16");
    EXPECT_NE(fp16, kernel.is("Bf16")) << what;
    EXPECT_EQ(kernel.count(fp16 ? ".bf16.bf16" : ".f16.f16"), 0U) << what;
    if (kernel.is(kOfHopper)) continue;
    EXPECT_GT(kernel.count(fp16 ? "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
                                : "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"),
              0U)
        << what;
    EXPECT_GT(kernel.count("ldmatrix.sync.aligned.m8n8.x4"), 0U) << what;
    EXPECT_GT(kernel.count("cp.async.cg.shared.global"), 0U) << what;
    EXPECT_GT(kernel.count("cp.async.wait_group"), 0U) << what;
  }
  for (const Kernel& kernel : all_) {
    const std::string what = kernel.arch + " " + kernel.name;
    if (kernel.is("flash_attention_2_forward") || kernel.is("flash_decoding_kernel")) {
      EXPECT_GT(kernel.count("ex2.approx.ftz.f32"), 0U) << what;
      EXPECT_GT(kernel.count("ldmatrix.sync.aligned.m8n8.x4.trans"), 0U) << what;
    }
    if (kernel.is("flash_attention_2_backward"))
      EXPECT_GT(kernel.count("red.global.add.f32") + kernel.count("atom.global.add.f32") + kernel.count("red.add.f32") +
                    kernel.count("atom.add.f32") + kernel.count("red.relaxed"),
                0U)
          << what;
  }
}

// The head size, from the mangled name of kernel<Element, kHeadDim>.
int head_dim_of(const Kernel& kernel) { return number_after(kernel.name, "16ELi", 0); }

TEST_F(CompiledKernels, OfHopperUseItsCopiesProductsAndRegisters) {
  int found = 0;
  for (const Kernel& kernel : all_) {
    if (!kernel.is(kOfHopper)) continue;
    ++found;
    const std::string what = kernel.arch + " " + kernel.name;
    const int d = head_dim_of(kernel);
    const std::string type = kernel.is("Fp16") ? "f16.f16" : "bf16.bf16";
    const auto products = [&](const char* shape) {
      return kernel.count(std::string("wgmma.mma_async.sync.aligned.") + shape + "k16.f32." + type);
    };
    // S of the last block and of the others: d / 16 products; O of the others and of the first: one for each 16 keys
    // and each 128 columns.
    EXPECT_EQ(products(d == 256 ? "m64n80" : "m64n128"), 2U * static_cast<unsigned>(d) / 16 + (d == 128 ? 16 : 0))
        << what;
    EXPECT_EQ(products(d == 64 ? "m64n64" : "m64n128"), d == 64 ? 16U : d == 128 ? 32U : 20U) << what;
    EXPECT_EQ(kernel.count("wgmma.mma_async"), 2U * static_cast<unsigned>(d) / 16 + (d == 256 ? 20 : 16)) << what;
    EXPECT_EQ(kernel.count("wgmma.fence"), 4U) << what;
    EXPECT_EQ(kernel.count("wgmma.commit_group"), 4U) << what;
    EXPECT_GT(kernel.count("wgmma.wait_group.sync.aligned 1"), 0U) << what << ": two products in flight at once";
    EXPECT_GT(kernel.count("cp.async.bulk.tensor.5d.shared::cluster.global"), 0U) << what;
    EXPECT_EQ(kernel.count("cp.async.bulk.tensor.5d.global.shared::cta"), 1U) << what;
    EXPECT_GT(kernel.count("mbarrier.try_wait.parity"), 0U) << what;
    EXPECT_GT(kernel.count("mbarrier.arrive.expect_tx"), 0U) << what;
    EXPECT_GT(kernel.count("fence.proxy.async"), 0U) << what;
    EXPECT_GT(kernel.count("bar.arrive"), 0U) << what;
    EXPECT_GT(kernel.count("ex2.approx.ftz.f32"), 0U) << what;
    EXPECT_EQ(kernel.count("mma.sync"), 0U) << what;
    EXPECT_EQ(kernel.count("cp.async.cg"), 0U) << what;
    // Registers: 168 a thread at the launch of three warpgroups, then what setmaxnreg makes of them.
    EXPECT_EQ(kernel.threads, 384) << what;
    EXPECT_LE(kernel.registers, 65536 / 384 / 8 * 8) << what;
    ASSERT_EQ(kernel.count("setmaxnreg.dec"), 1U) << what;
    ASSERT_EQ(kernel.count("setmaxnreg.inc"), 1U) << what;
    const int loader = number_after(kernel.ptx, "setmaxnreg.dec.sync.aligned.u32 ", 0);
    const int computing = number_after(kernel.ptx, "setmaxnreg.inc.sync.aligned.u32 ", 0);
    EXPECT_LE(128 * loader + 256 * computing, 384 * (65536 / 384 / 8 * 8)) << what;
    // ptxas says so where it cannot let products overlap or share registers out, and then what is gained by it is lost.
    for (const char* word : {"wgmma", "setmaxnreg", "warning"})
      EXPECT_EQ(kernel.report.find(word), std::string::npos) << what << "\n" << kernel.report;
  }
  EXPECT_EQ(found, 6);
}

// ptxas starts a wait for products as early as its run of instructions without branches allows. With the softmax in the
// same run, the wait would come first, and the tensor cores would idle meanwhile.
TEST_F(CompiledKernels, OfHopperWaitForNoProductInOneRunWithTheSoftmax) {
  for (const Kernel& kernel : all_) {
    if (!kernel.is(kOfHopper)) continue;
    int waits = 0;
    const std::string wait = "wgmma.wait_group.sync.aligned";
    for (auto at = kernel.ptx.find(wait); at != std::string::npos; at = kernel.ptx.find(wait, at + 1)) {
      const auto run = kernel.ptx.rfind("\n$L", at);
      ASSERT_NE(run, std::string::npos);
      EXPECT_EQ(kernel.ptx.substr(run, at - run).find("ex2.approx"), std::string::npos) << kernel.name;
      ++waits;
    }
    EXPECT_EQ(waits, 5) << kernel.name;
  }
}

TEST_F(CompiledKernels, EachBelongsToARegisteredTechnique) {
  const std::map<std::string, std::string> technique_of = {
      {"flash_attention_2_forward_kernel", "attention/flash-attention-2"},
      {"flash_attention_2_backward_kernel", "attention/flash-attention-2"},
      {"composed_softmax_kernel", "attention/cublas-attention"},
      {"row_dots_kernel", "attention/flash-attention-2"},
      {"round_d_q_kernel", "attention/flash-attention-2"},
      {"flash_attention_3_forward_kernel", "attention/flash-attention-3"},
      {"flash_decoding_kernel", "attention/flash-decoding"},
      {"merge_splits_kernel", "attention/paged-attention"},
      {"naive_scores_kernel", "attention/naive-attention"},
      {"naive_softmax_kernel", "attention/naive-attention"},
      {"naive_output_kernel", "attention/naive-attention"},
      {"flash_attention_1_kernel", "attention/flash-attention-1"}};
  std::set<std::string> seen;
  for (const Kernel& kernel : all_) {
    std::string technique;
    for (const auto& [part, id] : technique_of) {
      if (!kernel.is(part)) continue;
      technique = id;
      seen.insert(part);
    }
    ASSERT_FALSE(technique.empty()) << kernel.name << " is launched by no technique";
    const harness::Technique* found = harness::find_technique(technique);
    ASSERT_NE(found, nullptr) << technique;
    const bool on_cuda =
        std::ranges::any_of(found->implementations, [](const auto& one) { return one.backend == "cuda"; });
    EXPECT_TRUE(on_cuda) << technique;
  }
  EXPECT_EQ(seen.size(), technique_of.size());
}

}  // namespace
}  // namespace assay::attention::cuda
