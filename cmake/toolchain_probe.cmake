# Runs a small program that GCC 12.2 and its relatives miscompile: brace-initialised aggregate temporaries and by-copy
# lambda captures inside co_await expressions (double free), and deep symmetric transfer (stack overflow). Rank programs
# are made of exactly these, so a compiler that fails is refused instead of worked around.
set(_assay_probe_flags "${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_VERSION} ${CMAKE_CXX_FLAGS}")
if(NOT "${ASSAY_PROBED_COMPILER}" STREQUAL "${_assay_probe_flags}")
  try_run(_assay_probe_ran _assay_probe_compiled
    "${CMAKE_BINARY_DIR}/coroutine_probe" "${CMAKE_SOURCE_DIR}/cmake/coroutine_probe.cpp"
    CMAKE_FLAGS -DCMAKE_BUILD_TYPE=Release
    CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON
    COMPILE_OUTPUT_VARIABLE _assay_probe_log RUN_OUTPUT_VARIABLE _assay_probe_said)
  if(NOT _assay_probe_compiled)
    message(FATAL_ERROR "the coroutine probe does not compile with ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_VERSION} "
      "(use a preset: cmake --preset release takes clang-16)\n${_assay_probe_log}")
  endif()
  if(NOT "${_assay_probe_ran}" STREQUAL "0")
    message(FATAL_ERROR "${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_VERSION} miscompiles coroutines "
      "(probe: ${_assay_probe_ran} ${_assay_probe_said}); use clang-16: cmake --preset release")
  endif()
  set(ASSAY_PROBED_COMPILER "${_assay_probe_flags}" CACHE INTERNAL "compiler that passed the coroutine probe")
  message(STATUS "Coroutine probe passed: ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endif()
