#pragma once
// Where NVIDIA's libraries lie that are opened when they are used: cuBLAS, cuDNN, NCCL, CUPTI.
#include <filesystem>
#include <string>
#include <vector>

namespace assay::harness::gpu {

// What a search looks at; from the environment, or planted by tests.
struct LibraryPlaces {
  std::vector<std::filesystem::path> listed;    // ASSAY_CUDA_LIBRARIES, colon-separated: these folders first
  std::vector<std::filesystem::path> toolkits;  // CUDA_HOME, CUDA_PATH, /usr/local/cuda
  // Of Python: VIRTUAL_ENV, CONDA_PREFIX, those of every python3 on PATH, ~/.local, /usr/local, /usr.
  std::vector<std::filesystem::path> environments;
};
LibraryPlaces places_here();

// File names or paths to hand to dlopen, in order, for a library of any of these names ("libcublasLt.so.13"): listed
// folders, what the loader finds by itself, toolkits (lib64, extras/CUPTI/lib64), then the wheels of Python
// environments (lib/python*/site-packages/nvidia/*/lib).
std::vector<std::string> library_candidates(const std::vector<std::string>& names, const LibraryPlaces& places);

struct OpenedLibrary {
  void* handle = nullptr;
  std::string path;    // that was opened
  std::string reason;  // why nothing was: one line
};
// The first that opens. It stays open: these libraries do not take being closed.
OpenedLibrary open_library(const std::vector<std::string>& names, const LibraryPlaces& places = places_here());

}  // namespace assay::harness::gpu
