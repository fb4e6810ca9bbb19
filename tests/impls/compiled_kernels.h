#pragma once
// What nvcc and ptxas made of kernels, from the reports that the build leaves (tests/CMakeLists.txt): NAME.sm_ARCH.ptx
// and, beside it, what ptxas -v said, NAME.sm_ARCH.txt. On a machine without them tests say so.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace assay {

struct CompiledKernel {
  std::string file, arch;
  std::string name;    // mangled, until a test makes it readable
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
  std::string what() const { return arch + " " + name; }
};

inline int number_after(const std::string& text, const std::string& word, int otherwise) {
  const auto at = text.find(word);
  return at == std::string::npos ? otherwise : std::stoi(text.substr(at + word.size()));
}

inline std::vector<CompiledKernel> compiled_kernels(const std::filesystem::path& folder) {
  const auto text_of = [](const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  std::vector<CompiledKernel> out;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".ptx") continue;
    const std::string ptx = text_of(file.path());
    const std::string report = text_of(std::filesystem::path(file.path()).replace_extension(".txt"));
    const std::string stem = file.path().stem();
    for (auto at = ptx.find(".entry "); at != std::string::npos; at = ptx.find(".entry ", at + 1)) {
      CompiledKernel kernel;
      kernel.file = stem.substr(0, stem.find(".sm_"));
      kernel.arch = stem.substr(stem.find("sm_"));
      kernel.name = ptx.substr(at + 7, ptx.find('(', at) - at - 7);
      kernel.report = report;
      kernel.ptx = ptx.substr(at, ptx.find(".entry ", at + 1) - at);
      const std::string head = kernel.ptx.substr(0, kernel.ptx.find('{'));
      kernel.threads = number_after(head, ".maxntid ", 0);
      kernel.blocks = number_after(head, ".minnctapersm ", 1);
      if (const auto compiled = report.find("'" + kernel.name + "'"); compiled != std::string::npos) {
        const std::string rest = report.substr(compiled, 2000);
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

// Those of ASSAY_KERNEL_REPORTS, with what every kernel is held to.
class CompiledKernelsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ASSAY_KERNEL_REPORTS))
      GTEST_SKIP() << "no compiler reports on this machine: " << ASSAY_KERNEL_REPORTS;
    all_ = compiled_kernels(ASSAY_KERNEL_REPORTS);
    ASSERT_FALSE(all_.empty());
  }

  void expect_nothing_spilled() const {
    for (const CompiledKernel& kernel : all_) {
      EXPECT_EQ(kernel.stack, 0) << kernel.what();
      EXPECT_EQ(kernel.spill_stores, 0) << kernel.what();
      EXPECT_EQ(kernel.spill_loads, 0) << kernel.what();
      EXPECT_EQ(kernel.count(".local"), 0U) << kernel.what();
    }
  }
  // A multiprocessor has 64 Ki registers, given out by 8 a thread. Kernels of one thread need no bounds.
  void expect_registers_within_launch_bounds(const std::string& of_one_thread) const {
    for (const CompiledKernel& kernel : all_) {
      if (!of_one_thread.empty() && kernel.is(of_one_thread)) continue;
      EXPECT_GT(kernel.threads, 0) << "no launch bounds: " << kernel.what();
      EXPECT_GT(kernel.registers, 0) << "not in the report: " << kernel.what();
      EXPECT_LE(kernel.registers, 255) << kernel.what();
      EXPECT_LE((kernel.registers + 7) / 8 * 8 * kernel.threads * kernel.blocks, 65536) << kernel.what();
    }
  }

  std::vector<CompiledKernel> all_;
};

}  // namespace assay
