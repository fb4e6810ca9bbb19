#include "harness/code_hash.h"

#include <map>

namespace assay::harness {
namespace {

std::map<std::string, std::string, std::less<>>& table() {
  static std::map<std::string, std::string, std::less<>> hashes;
  return hashes;
}

}  // namespace

CodeHash::CodeHash(const char* file, const char* hash) { table()[file] = hash; }

std::string code_hash(std::string_view source_file) {
  const std::size_t at = source_file.rfind("impls/");
  if (at == std::string_view::npos) return "";
  const auto found = table().find(source_file.substr(at));
  return found == table().end() ? "" : found->second;
}

}  // namespace assay::harness
