# How csrc is compiled, once: for CMakeLists.txt, which Python's build calls too, and for the projects
# of the tests (tests/native/__init__.py).
include_guard()
include(${CMAKE_CURRENT_LIST_DIR}/flags.cmake)
get_filename_component(SCATCUDA_ROOT ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)

set(SCATCUDA_ISA "" CACHE STRING
  "One instruction set alone, as in avx512, or native, this processor's best; default all of them")
option(SCATCUDA_WERROR "Warnings are errors, and so are spilled registers" OFF)
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(SCATCUDA_ISAS baseline)
endif()
if(SCATCUDA_ISA STREQUAL "native" AND CMAKE_CROSSCOMPILING)
  message(FATAL_ERROR "SCATCUDA_ISA=native is for the machine that compiles, not for another one")
elseif(SCATCUDA_ISA STREQUAL "native")
  try_run(ran compiled ${CMAKE_BINARY_DIR}/native ${CMAKE_CURRENT_LIST_DIR}/native.cpp
    RUN_OUTPUT_VARIABLE best ARGS ${SCATCUDA_ISAS})
  string(STRIP "${best}" SCATCUDA_ISAS)
  if(NOT compiled OR NOT ran EQUAL 0)
    message(FATAL_ERROR "SCATCUDA_ISA=native: what asks this processor failed: ${ran}, ${best}")
  endif()
elseif(SCATCUDA_ISA AND NOT SCATCUDA_ISA IN_LIST SCATCUDA_ISAS)
  list(JOIN SCATCUDA_ISAS ", " isas)
  message(FATAL_ERROR "SCATCUDA_ISA must be native or of ${isas}; got ${SCATCUDA_ISA}")
elseif(SCATCUDA_ISA)
  set(SCATCUDA_ISAS ${SCATCUDA_ISA})
endif()

set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
# Vectors of the wider instruction sets pass between inlined functions only: no ABI to warn about.
# Messages and debug information name files from the root of the sources.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wno-psabi;-ffile-prefix-map=${SCATCUDA_ROOT}/=>")
if(SCATCUDA_WERROR)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${SCATCUDA_WARNING_FLAGS}>")
endif()

# The engine for CPUs for one instruction set and number type, of engine.cpp or what stands for it.
function(scatcuda_engine target isa real)
  add_library(${target} OBJECT ${ARGN})
  target_compile_definitions(${target} PRIVATE SCATCUDA_ISA=${isa} SCATCUDA_REAL=${real})
  target_compile_options(${target} PRIVATE ${SCATCUDA_ENGINE_FLAGS} ${SCATCUDA_${isa}})
endfunction()

# What knows of the instruction sets.
function(scatcuda_dispatched target)
  target_compile_options(${target} PRIVATE ${SCATCUDA_ENGINE_FLAGS})
  foreach(isa IN LISTS SCATCUDA_ISAS)
    target_compile_definitions(${target} PRIVATE SCATCUDA_HAS_${isa})
  endforeach()
endfunction()

# What includes PyTorch's headers, found where CMAKE_PREFIX_PATH is that of
# torch.utils.cmake_prefix_path: they lie two folders up. Not PyTorch's own package, which asks for
# CUDA and C++20.
function(scatcuda_with_torch target)
  find_path(SCATCUDA_TORCH_INCLUDE torch/csrc/stable/library.h PATH_SUFFIXES ../../include)
  find_library(SCATCUDA_TORCH_LIBRARY torch PATH_SUFFIXES ../../lib)
  if(NOT SCATCUDA_TORCH_INCLUDE OR NOT SCATCUDA_TORCH_LIBRARY)
    message(FATAL_ERROR "SCATCUDA_TORCH needs PyTorch 2.10 or newer, which was not found: add "
                        "torch.utils.cmake_prefix_path, or libtorch's folder, to CMAKE_PREFIX_PATH")
  endif()
  get_filename_component(include ${SCATCUDA_TORCH_INCLUDE} ABSOLUTE)
  target_include_directories(${target} SYSTEM PRIVATE ${include})
  target_compile_options(${target} PRIVATE -ffile-prefix-map=${include}/=)
  target_compile_definitions(${target} PRIVATE ${SCATCUDA_STABLE_ABI})
endfunction()
