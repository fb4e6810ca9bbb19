# The CUDA language for *.cu files and the target assay_cuda for host code that calls the runtime. Included when the
# toolkit was found. Machine code for sm_80 and sm_90a and no PTX: what was compiled is what runs.
set(CMAKE_CUDA_COMPILER "${ASSAY_NVCC}")
set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # assay_cuda has it; CMake's would come a second time
if(NOT CMAKE_CUDA_COMPILER_LAUNCHER AND CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
endif()
enable_language(CUDA)
# CMake 3.25 does not know that nvcc with clang as its host compiler takes -std=c++20, and refuses what is required.
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED OFF)
string(APPEND CMAKE_CUDA_FLAGS " -lineinfo")
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  string(APPEND CMAKE_CUDA_FLAGS " -std=c++20")
endif()

add_library(assay_cuda INTERFACE)
target_include_directories(assay_cuda SYSTEM INTERFACE "${ASSAY_CUDA_INCLUDE}")
target_link_libraries(assay_cuda INTERFACE "${ASSAY_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
