// Where the data and suites folders are: the environment's word, the installed tree, the source tree, in this order.
#include <cstdlib>
#include <filesystem>

#include "datasets/machine.h"

namespace assay::datasets {
namespace {

namespace fs = std::filesystem;

std::string folder(const char* variable, const char* name) {
  if (const char* named = std::getenv(variable); named != nullptr && *named != '\0') return named;
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path installed = program.parent_path() / ".." / "share" / "assay" / name;
  if (!program.empty() && fs::is_directory(installed, ignored)) return installed.lexically_normal().string();
  return std::string(ASSAY_SOURCE_DIR) + "/" + name;
}

}  // namespace

std::string data_root() { return folder("ASSAY_DATA", "datasets"); }
std::string suites_root() { return folder("ASSAY_SUITES", "suites"); }

}  // namespace assay::datasets
