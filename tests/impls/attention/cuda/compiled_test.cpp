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
  std::string ptx;  // its body
  int threads = 0;  // .maxntid
  int blocks = 1;   // .minnctapersm
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
      kernel.ptx = ptx.substr(at, ptx.find("\n}", at) - at);
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
  }
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
    EXPECT_GT(kernel.count(fp16 ? "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
                                : "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"),
              0U)
        << what;
    EXPECT_EQ(kernel.count(fp16 ? ".bf16.bf16." : ".f16.f16."), 0U) << what;
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

TEST_F(CompiledKernels, EachBelongsToARegisteredTechnique) {
  const std::map<std::string, std::string> technique_of = {
      {"flash_attention_2_forward_kernel", "attention/flash-attention-2"},
      {"flash_attention_2_backward_kernel", "attention/flash-attention-2"},
      {"composed_softmax_kernel", "attention/cublas-attention"},
      {"row_dots_kernel", "attention/flash-attention-2"},
      {"round_d_q_kernel", "attention/flash-attention-2"},
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
