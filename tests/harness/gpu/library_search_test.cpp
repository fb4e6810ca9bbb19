#include "harness/gpu/library_search.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace assay::harness::gpu {
namespace {
namespace fs = std::filesystem;

class LibrarySearch : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("assay-libraries-" + std::to_string(getpid()));
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string plant(const std::string& path) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << "not a library";
    return (root_ / path).string();
  }
  fs::path root_;
};

TEST_F(LibrarySearch, LooksInListedFoldersThenTheLoaderThenToolkitsThenWheels) {
  const std::string listed = plant("mine/libnccl.so.2");
  const std::string toolkit = plant("cuda/lib64/libnccl.so.2");
  const std::string wheel = plant("venv/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2");
  const LibraryPlaces places{
      .listed = {root_ / "mine"}, .toolkits = {root_ / "cuda"}, .environments = {root_ / "venv"}};
  EXPECT_EQ(library_candidates({"libnccl.so.2"}, places),
            (std::vector<std::string>{listed, "libnccl.so.2", toolkit, wheel}));
}

TEST_F(LibrarySearch, FindsTheLibrariesOfCudaThirteenWheelsAndOfCupti) {
  const std::string merged = plant("venv/lib/python3.12/dist-packages/nvidia/cu13/lib/libcublasLt.so.13");
  const std::string cupti = plant("cuda/extras/CUPTI/lib64/libcupti.so.13");
  const LibraryPlaces places{.listed = {}, .toolkits = {root_ / "cuda"}, .environments = {root_ / "venv"}};
  EXPECT_EQ(library_candidates({"libcublasLt.so.13"}, places).back(), merged);
  EXPECT_EQ(library_candidates({"libcupti.so.13"}, places).back(), cupti);
}

// A container's Python is often one of a virtual environment that PATH alone names.
TEST_F(LibrarySearch, FindsTheWheelsOfThePythonOnPathThoughNobodyActivatedIt) {
  plant("venv/bin/python3");
  const std::string wheel = plant("venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libno-such-cudnn.so.9");
  const std::string path = std::getenv("PATH");
  setenv("PATH", ("relative/bin:" + (root_ / "venv/bin").string() + ":" + path).c_str(), 1);
  const LibraryPlaces places = places_here();
  setenv("PATH", path.c_str(), 1);
  const auto found = library_candidates({"libno-such-cudnn.so.9"}, places);
  EXPECT_NE(std::find(found.begin(), found.end(), wheel), found.end());
  for (const fs::path& each : places.environments) EXPECT_TRUE(each.is_absolute()) << each;
  EXPECT_EQ(std::count(places.environments.begin(), places.environments.end(), "/usr"), 1);
}

TEST_F(LibrarySearch, SaysWhyNothingOpens) {
  const OpenedLibrary none = open_library({"libno-such-library.so.1"}, {});
  EXPECT_EQ(none.handle, nullptr);
  EXPECT_NE(none.reason.find("libno-such-library.so.1 is not installed"), std::string::npos) << none.reason;
  const std::string broken = plant("mine/libno-such-library.so.1");
  const OpenedLibrary bad = open_library({"libno-such-library.so.1"}, {{root_ / "mine"}, {}, {}});
  EXPECT_EQ(bad.handle, nullptr);
  EXPECT_NE(bad.reason.find(broken), std::string::npos) << "a file that is there but does not open is named";
}

}  // namespace
}  // namespace assay::harness::gpu
