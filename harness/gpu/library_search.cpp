#include "harness/gpu/library_search.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace assay::harness::gpu {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> folders_in(const fs::path& parent) {
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(parent, none))
    if (entry.is_directory(none)) found.push_back(entry.path());
  std::sort(found.rbegin(), found.rend());  // newest Python first
  return found;
}

// The Python environments of the interpreters on PATH: the folder above that of a `python3`. Such an environment is in
// use although nobody activated it, where PATH is all that names it.
std::vector<fs::path> environments_on(std::string_view path) {
  std::vector<fs::path> found;
  while (!path.empty()) {
    const std::size_t colon = path.find(':');
    const fs::path folder(path.substr(0, colon));
    path.remove_prefix(colon == std::string_view::npos ? path.size() : colon + 1);
    std::error_code none;
    if (folder.is_absolute() && fs::exists(folder / "python3", none)) found.push_back(folder.parent_path());
  }
  return found;
}

void add_existing(std::vector<std::string>& candidates, const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code none;
  for (const std::string& name : names)
    if (fs::exists(folder / name, none)) candidates.push_back((folder / name).string());
}

}  // namespace

LibraryPlaces places_here() {
  LibraryPlaces places;
  const auto from = [](const char* variable, std::vector<fs::path>& list, const char* below = "") {
    if (const char* value = std::getenv(variable); value != nullptr && *value != '\0')
      list.push_back(*below == '\0' ? fs::path(value) : fs::path(value) / below);
  };
  if (const char* listed = std::getenv("ASSAY_CUDA_LIBRARIES"); listed != nullptr) {
    std::string rest = listed;
    while (!rest.empty()) {
      const std::size_t colon = rest.find(':');
      if (colon != 0) places.listed.emplace_back(rest.substr(0, colon));
      rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
    }
  }
  from("CUDA_HOME", places.toolkits);
  from("CUDA_PATH", places.toolkits);
  places.toolkits.emplace_back("/usr/local/cuda");
  from("VIRTUAL_ENV", places.environments);
  from("CONDA_PREFIX", places.environments);
  if (const char* path = std::getenv("PATH"); path != nullptr)
    for (const fs::path& each : environments_on(path)) places.environments.push_back(each);
  from("HOME", places.environments, ".local");
  for (const char* system : {"/usr/local", "/usr"})
    if (std::ranges::find(places.environments, fs::path(system)) == places.environments.end())
      places.environments.emplace_back(system);
  return places;
}

std::vector<std::string> library_candidates(const std::vector<std::string>& names, const LibraryPlaces& places) {
  std::vector<std::string> candidates;
  for (const fs::path& folder : places.listed) add_existing(candidates, folder, names);
  candidates.insert(candidates.end(), names.begin(), names.end());
  for (const fs::path& toolkit : places.toolkits)
    for (const char* below : {"lib64", "lib", "extras/CUPTI/lib64"}) add_existing(candidates, toolkit / below, names);
  for (const fs::path& environment : places.environments) {
    std::vector<fs::path> pythons = folders_in(environment / "lib");
    std::erase_if(pythons, [](const fs::path& path) { return !path.filename().string().starts_with("python"); });
    for (const fs::path& python : pythons)
      for (const char* packages : {"site-packages", "dist-packages"})
        for (const fs::path& wheel : folders_in(python / packages / "nvidia"))
          add_existing(candidates, wheel / "lib", names);
  }
  return candidates;
}

OpenedLibrary open_library(const std::vector<std::string>& names, const LibraryPlaces& places) {
  OpenedLibrary opened;
  std::string last;
  for (const std::string& candidate : library_candidates(names, places)) {
    opened.handle = dlopen(candidate.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (opened.handle != nullptr) {
      opened.path = candidate;
      return opened;
    }
    if (const char* said = dlerror(); candidate.find('/') != std::string::npos && said != nullptr) last = said;
  }
  opened.reason = last.empty() ? fmt::format("{} is not installed (folders in ASSAY_CUDA_LIBRARIES are searched too)",
                                             fmt::join(names, " or "))
                               : last;
  return opened;
}

}  // namespace assay::harness::gpu
