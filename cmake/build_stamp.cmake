# What the program can say about its own build. Two generated headers:
#   build_config.h  compiler, flags, library versions: known when configuring
#   build_commit.h  commit and dirty: looked up at every build, rewritten only when they changed, so that a build without
#                   changes stays a build without work. Without git (a release archive) the commit comes from
#                   cmake/archive_commit.txt, which `git archive` fills in.
# Run as a script (cmake -P) it writes the second.
if(CMAKE_SCRIPT_MODE_FILE)
  set(commit "")
  set(dirty "false")
  find_program(git git)
  if(git)
    execute_process(COMMAND "${git}" -C "${SOURCE}" rev-parse --show-toplevel
      OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    file(REAL_PATH "${SOURCE}" source)
    # An archive unpacked inside another repository must not take that one's commit.
    if(top STREQUAL source)
      execute_process(COMMAND "${git}" -C "${SOURCE}" rev-parse HEAD
        OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      execute_process(COMMAND "${git}" -C "${SOURCE}" status --porcelain --untracked-files=no
        OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      if(changes)
        set(dirty "true")
      endif()
    endif()
  endif()
  if(NOT commit)
    file(STRINGS "${SOURCE}/cmake/archive_commit.txt" commit LIMIT_COUNT 1)
    if(NOT commit MATCHES "^[0-9a-f]+$")
      set(commit "")
    endif()
  endif()
  file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT [[
#pragma once
namespace assay::build {
inline constexpr const char* commit = "@commit@";
inline constexpr bool dirty = @dirty@;
}  // namespace assay::build
]] @ONLY)  # leaves the file alone when its content is the same
  return()
endif()

string(TOUPPER "${CMAKE_BUILD_TYPE}" _assay_type)
string(STRIP "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${_assay_type}}" ASSAY_STAMP_FLAGS)
set(ASSAY_STAMP_ONEDNN "")
if(ASSAY_HAVE_ONEDNN)
  file(STRINGS "${ASSAY_DNNL_DIR}/oneapi/dnnl/dnnl_version.h" _assay_dnnl REGEX "#define DNNL_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _assay_dnnl "${_assay_dnnl}")
  string(REPLACE ";" "." ASSAY_STAMP_ONEDNN "${_assay_dnnl}")
endif()
set(ASSAY_STAMP_CUDA "")
if(ASSAY_HAVE_CUDA)
  execute_process(COMMAND "${ASSAY_NVCC}" --version OUTPUT_VARIABLE _assay_nvcc ERROR_QUIET)
  string(REGEX MATCH "release ([0-9.]+)" _ "${_assay_nvcc}")
  set(ASSAY_STAMP_CUDA "${CMAKE_MATCH_1}")
endif()
file(STRINGS "${ASSAY_TOMLPP_DIR}/toml++/impl/version.h" _assay_toml REGEX "#define[ \t]+TOML_LIB_(MAJOR|MINOR|PATCH)")
string(REGEX REPLACE "[^0-9;]" "" _assay_toml "${_assay_toml}")
string(REPLACE ";" "." ASSAY_STAMP_TOMLPP "${_assay_toml}")

file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/build_config.h" CONTENT [[
#pragma once
namespace assay::build {
inline constexpr const char* version = "@PROJECT_VERSION@";
inline constexpr const char* compiler = "@CMAKE_CXX_COMPILER_ID@ @CMAKE_CXX_COMPILER_VERSION@";
inline constexpr const char* type = "@CMAKE_BUILD_TYPE@";
inline constexpr const char* flags = "@ASSAY_STAMP_FLAGS@";
inline constexpr const char* target = "@CMAKE_SYSTEM_NAME@ @CMAKE_SYSTEM_PROCESSOR@";
// Versions of the libraries built against; empty: built without.
inline constexpr const char* benchmark = "@benchmark_VERSION@";
inline constexpr const char* fmt = "@fmt_VERSION@";
inline constexpr const char* highway = "@HWY_VERSION@";
inline constexpr const char* sqlite = "@SQLite3_VERSION@";
inline constexpr const char* tomlplusplus = "@ASSAY_STAMP_TOMLPP@";
inline constexpr const char* onednn = "@ASSAY_STAMP_ONEDNN@";
inline constexpr const char* cuda_toolkit = "@ASSAY_STAMP_CUDA@";
}  // namespace assay::build
]] @ONLY)

add_custom_target(assay_build_stamp
  COMMAND "${CMAKE_COMMAND}" -D "SOURCE=${CMAKE_SOURCE_DIR}" -D "OUTPUT=${CMAKE_BINARY_DIR}/generated/build_commit.h"
    -P "${CMAKE_SOURCE_DIR}/cmake/build_stamp.cmake"
  BYPRODUCTS "${CMAKE_BINARY_DIR}/generated/build_commit.h"
  COMMENT "Looking up the commit" VERBATIM)
add_dependencies(assay_harness assay_build_stamp)
target_include_directories(assay_harness PRIVATE "${CMAKE_BINARY_DIR}/generated")
