#pragma once
// Hashes of implementation sources, made at build time: a row says which code it timed, and equal hashes across builds
// mark differences that no change of the technique can explain.
#include <string>
#include <string_view>

namespace assay::harness {

// A static object of the generated table (cmake/code_hashes.cmake): hash of a technique file together with the
// substrate.
struct CodeHash {
  CodeHash(const char* file, const char* hash);
};

// Of an Implementation's source_file (any path that ends in impls/...); "" where the build has none.
std::string code_hash(std::string_view source_file);

}  // namespace assay::harness
