// What nvcc and ptxas made of the attention kernels: no spills, no stack, registers within the launch bounds, and the
// instructions they are written for. The reports are made by the build (tests/CMakeLists.txt); on a machine that has
// the program without them the tests say so. Machine code itself is looked at by ci/gpu-check, where cuobjdump is.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "../../compiled_kernels.h"
#include "harness/registry.h"

namespace assay::attention::cuda {
namespace {

using Kernel = CompiledKernel;

class CompiledKernels : public CompiledKernelsTest {
 protected:
  void SetUp() override {
    CompiledKernelsTest::SetUp();
    // Kernels of sm_90a are compiled for sm_80 too, as nothing; no case launches them there.
    std::erase_if(all_, [](const Kernel& kernel) { return kernel.arch == "sm_80" && of_hopper(kernel); });
  }
  static bool of_hopper(const Kernel& kernel) { return kernel.is("FlashAttention3") || kernel.is("HopperDecoding"); }
};

TEST_F(CompiledKernels, SpillNothingAndKeepNothingOnTheStack) { expect_nothing_spilled(); }

TEST_F(CompiledKernels, HaveTheRegistersThatTheirLaunchBoundsAllow) { expect_registers_within_launch_bounds(""); }

TEST_F(CompiledKernels, ForwardLeavesRoomForTwoBlocksUpTo128) {
  for (const Kernel& kernel : all_) {
    if (!kernel.is("flash_attention_2_forward") || kernel.threads != 128) continue;
    EXPECT_LE((kernel.registers + 7) / 8 * 8 * kernel.threads * 2, 65536) << kernel.arch << " " << kernel.name;
  }
}

TEST_F(CompiledKernels, HoldTheInstructionsTheyAreWrittenFor) {
  for (const Kernel& kernel : all_) {
    if (kernel.is("composed_softmax") || kernel.is("merge_splits") || kernel.is("row_dots") || kernel.is("round_d_q") ||
        kernel.is("naive_softmax") || kernel.is("FlashAttention3Statistics") || kernel.is("FlashAttention3Round"))
      continue;
    const std::string what = kernel.arch + " " + kernel.name;
    const bool fp16 = kernel.is("Fp16");
    EXPECT_NE(fp16, kernel.is("Bf16")) << what;
    EXPECT_EQ(kernel.count(fp16 ? ".bf16.bf16" : ".f16.f16"), 0U) << what;
    if (of_hopper(kernel)) continue;
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

// Products of a shape, of the kernel's type.
std::size_t products_of(const Kernel& kernel, const std::string& shape) {
  return kernel.count("wgmma.mma_async.sync.aligned." + shape + "k16.f32." +
                      (kernel.is("Fp16") ? "f16.f16" : "bf16.bf16"));
}

void expect_shared_out(const Kernel& kernel) {
  const std::string what = kernel.arch + " " + kernel.name;
  // Registers: 168 a thread at the launch of three warpgroups, then what setmaxnreg makes of them.
  EXPECT_EQ(kernel.threads, 384) << what;
  // Fewer at the launch, and there would be too few to take: the groups would wait for them for ever.
  EXPECT_EQ(kernel.registers, 65536 / 384 / 8 * 8) << what;
  ASSERT_EQ(kernel.count("setmaxnreg.dec"), 1U) << what;
  ASSERT_EQ(kernel.count("setmaxnreg.inc"), 1U) << what;
  const int loader = number_after(kernel.ptx, "setmaxnreg.dec.sync.aligned.u32 ", 0);
  const int computing = number_after(kernel.ptx, "setmaxnreg.inc.sync.aligned.u32 ", 0);
  EXPECT_LE(128 * loader + 256 * computing, 384 * (65536 / 384 / 8 * 8)) << what;
  // ptxas says so where it cannot let products overlap or share registers out, and then what is gained by it is lost.
  for (const char* word : {"wgmma", "setmaxnreg", "warning"})
    EXPECT_EQ(kernel.report.find(word), std::string::npos) << what << "\n" << kernel.report;
}

TEST_F(CompiledKernels, OfHopperUseItsCopiesProductsAndRegisters) {
  int found = 0;
  for (const Kernel& kernel : all_) {
    if (!kernel.is("FlashAttention3Forward")) continue;
    ++found;
    const std::string what = kernel.arch + " " + kernel.name;
    const int d = head_dim_of(kernel);
    const auto products = [&](const char* shape) { return products_of(kernel, shape); };
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
    expect_shared_out(kernel);
  }
  EXPECT_EQ(found, 6);
}

TEST_F(CompiledKernels, OfHopperBackwardHaveTheirFiveProductsAndAddUpInOnePiece) {
  int found = 0;
  for (const Kernel& kernel : all_) {
    if (!kernel.is("FlashAttention3Backward")) continue;
    ++found;
    const std::string what = kernel.arch + " " + kernel.name;
    const int d = head_dim_of(kernel);
    const auto depth = static_cast<unsigned>(d) / 16;
    const std::string type = kernel.is("Fp16") ? "f16.f16" : "bf16.bf16";
    // Of the instructions of one product, how many have which of their operands turned.
    const auto products = [&](const std::string& shape, const std::string& turned) {
      const std::regex one("wgmma\\.mma_async\\.sync\\.aligned\\." + shape + "k16\\.f32\\." + type +
                           "[^;]*, p, 1, 1, " + turned + ";");
      return static_cast<std::size_t>(
          std::distance(std::sregex_iterator(kernel.ptx.begin(), kernel.ptx.end(), one), std::sregex_iterator()));
    };
    const unsigned panels = d == 64 ? 2 : 1;
    EXPECT_EQ(products("m64n64", "0, 0"), panels * 2 * depth) << what << ": S and dP";
    EXPECT_EQ(products(d == 64 ? "m64n64" : "m64n128", "1"), panels * 2 * 4) << what << ": dV and dK";
    EXPECT_EQ(products("m64n64", "1, 1"), 8U) << what << ": dQ, 64 columns at a time";
    EXPECT_EQ(kernel.count("wgmma.mma_async"), panels * (2 * depth + 8) + 8) << what;
    EXPECT_GT(kernel.count("wgmma.wait_group.sync.aligned 1"), 0U) << what << ": two products in flight at once";
    EXPECT_EQ(kernel.count("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32"), 2U) << what;
    EXPECT_EQ(kernel.count("\tred."), 0U) << what << ": no additions by ordinary threads";
    EXPECT_EQ(kernel.count("\tatom."), 0U) << what;
    EXPECT_GT(kernel.count("cp.async.bulk.tensor.5d.shared::cluster.global"), 0U) << what;
    EXPECT_GT(kernel.count("cp.async.bulk.shared::cluster.global.mbarrier"), 0U) << what;
    EXPECT_GT(kernel.count("mbarrier.try_wait.parity"), 0U) << what;
    EXPECT_GT(kernel.count("fence.proxy.async"), 0U) << what;
    EXPECT_EQ(kernel.count("mma.sync"), 0U) << what;
    EXPECT_EQ(kernel.count("cp.async.cg"), 0U) << what;
    expect_shared_out(kernel);
  }
  EXPECT_EQ(found, 6);
}

TEST_F(CompiledKernels, OfHopperDecodeBringTheCacheByTheCopyEngineAndMultiplyByWarpgroups) {
  int found = 0;
  for (const Kernel& kernel : all_) {
    if (!kernel.is("HopperDecoding")) continue;
    ++found;
    const std::string what = kernel.arch + " " + kernel.name;
    const int d = head_dim_of(kernel);
    const auto products = [&](const char* shape) { return products_of(kernel, shape); };
    // S of 128 keys at d = 64, else of 64: d / 16 products; O: one for each 16 keys and each 128 columns.
    EXPECT_EQ(products("m64n64"), d == 64 ? 8U : static_cast<unsigned>(d) / 16) << what;
    EXPECT_EQ(products("m64n128"), d == 256 ? 8U : 4U) << what;
    EXPECT_EQ(kernel.count("wgmma.mma_async"), products("m64n64") + products("m64n128")) << what;
    EXPECT_EQ(kernel.count("wgmma.fence"), 2U) << what;
    EXPECT_EQ(kernel.count("wgmma.wait_group.sync.aligned 0"), 2U) << what;
    EXPECT_EQ(kernel.count("cp.async.bulk.tensor.5d.shared::cluster.global"), 2U) << what << ": K and V";
    EXPECT_GT(kernel.count("mbarrier.try_wait.parity"), 0U) << what;
    EXPECT_EQ(kernel.count("mbarrier.arrive.expect_tx"), 2U) << what;
    EXPECT_EQ(kernel.count("fence.proxy.async"), 2U) << what << ": Q, and V behind the last key";
    EXPECT_GT(kernel.count("ex2.approx.ftz.f32"), 0U) << what;
    EXPECT_EQ(kernel.count("mma.sync"), 0U) << what;
    EXPECT_EQ(kernel.count("cp.async.cg"), 0U) << what;
    expect_shared_out(kernel);
  }
  EXPECT_EQ(found, 6);
}

// ptxas starts a wait for products as early as its run of instructions without branches allows. With the softmax in the
// same run, the wait would come first, and the tensor cores would idle meanwhile.
TEST_F(CompiledKernels, OfHopperWaitForNoProductInOneRunWithTheSoftmax) {
  for (const Kernel& kernel : all_) {
    if (!kernel.is("FlashAttention3Forward")) continue;
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
      {"flash_attention_2_backward_part_kernel", "parallelism/sequence/ring-attention"},
      {"composed_softmax_kernel", "attention/cublas-attention"},
      {"row_dots_kernel", "attention/flash-attention-2"},
      {"round_d_q_kernel", "attention/flash-attention-2"},
      {"FlashAttention3Forward", "attention/flash-attention-3"},
      {"FlashAttention3Statistics", "attention/flash-attention-3"},
      {"FlashAttention3Backward", "attention/flash-attention-3"},
      {"FlashAttention3Round", "attention/flash-attention-3"},
      {"flash_decoding_kernel", "attention/flash-decoding"},
      {"HopperDecoding", "attention/flash-decoding"},
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
