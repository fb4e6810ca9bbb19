# The rules every target follows. Own code: warnings are errors; includes start at the repository root.
add_library(assay_warnings INTERFACE)
target_compile_options(assay_warnings INTERFACE
  "$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Werror>")
# nvcc hands its generated host code and its own headers to the host compiler as ours: only what cannot come from there.
target_compile_options(assay_warnings INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings -Xcompiler=-Wall,-Wextra,-Wno-unused-function>")
target_include_directories(assay_warnings INTERFACE "${CMAKE_SOURCE_DIR}")

# Instruction-set translation units are named by suffix; each is reached only behind a run-time feature test.
function(assay_isa_flags)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "_amx\\.cpp$")
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS
        "-march=sapphirerapids;-mamx-tile;-mamx-bf16;-mprefer-vector-width=512")
    elseif(source MATCHES "_avx512bf16\\.cpp$")
      set_source_files_properties("${source}" PROPERTIES COMPILE_OPTIONS
        "-march=cooperlake;-mprefer-vector-width=512")
    endif()
  endforeach()
endfunction()

# assay_library(name [DIRS dir...] [SOURCES file...] [EXCEPT file...] LINK target...): a static library of all sources
# directly in the given folders, but for those of EXCEPT, and of the given files.
function(assay_library name)
  cmake_parse_arguments(ARG "" "" "DIRS;SOURCES;EXCEPT;LINK" ${ARGN})
  set(sources "")
  foreach(dir IN LISTS ARG_DIRS)
    file(GLOB found RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${dir}/*.cpp")
    list(APPEND sources ${found})
  endforeach()
  foreach(source IN LISTS ARG_EXCEPT)
    if(NOT source IN_LIST sources)
      message(FATAL_ERROR "${name}: ${source} is not among its sources")
    endif()
    list(REMOVE_ITEM sources "${source}")
  endforeach()
  list(APPEND sources ${ARG_SOURCES})
  assay_isa_flags(${sources})
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE assay_warnings)
  target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}")
endfunction()

# assay_techniques(family): every .cpp of a family folder as one OBJECT library (a static one would drop registrations).
# A folder named cuda holds a family's implementations for that backend, .cpp and .cu; it is left out without the toolkit.
function(assay_techniques family)
  cmake_parse_arguments(ARG "" "" "LINK;DEFINE" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${family}/*.cpp")
  if(family MATCHES "/cuda$")
    if(NOT ASSAY_HAVE_CUDA)
      return()
    endif()
    file(GLOB kernels CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${family}/*.cu")
    list(APPEND sources ${kernels})
    list(APPEND ARG_LINK assay_substrate_cuda assay_cuda)
  endif()
  if(NOT sources)
    return()
  endif()
  assay_isa_flags(${sources})
  string(REPLACE "/" "_" flat "${family}")
  add_library(assay_impl_${flat} OBJECT ${sources})
  target_link_libraries(assay_impl_${flat} PUBLIC assay_substrate assay_harness ${ARG_LINK} PRIVATE assay_warnings)
  target_include_directories(assay_impl_${flat} PUBLIC "${CMAKE_SOURCE_DIR}")
  target_compile_definitions(assay_impl_${flat} PRIVATE ${ARG_DEFINE})
  set_property(GLOBAL APPEND PROPERTY ASSAY_TECHNIQUE_LIBRARIES assay_impl_${flat})
endfunction()
