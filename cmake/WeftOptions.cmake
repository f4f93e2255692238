# SPDX-License-Identifier: MIT
# What a person can choose, and the compiler flags that follow from it.

option(WEFT_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(WEFT_BENCHMARKS "Build the benchmarks and the HTTP server" ${PROJECT_IS_TOP_LEVEL})
option(WEFT_EXAMPLES "Build the examples" ${PROJECT_IS_TOP_LEVEL})
option(WEFT_TOOLS "Build the command-line tool" ${PROJECT_IS_TOP_LEVEL})
option(WEFT_WERROR "Treat compiler warnings as errors" ${PROJECT_IS_TOP_LEVEL})

set(WEFT_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them; empty for none")
option(WEFT_COVERAGE "Count which lines run" OFF)
option(WEFT_FUZZ "Build the programs of scripts/fuzz.sh (clang)" OFF)
option(WEFT_CHAOS_POINTS "Let chaos mode delay each compare-and-swap" OFF)
set(WEFT_CHECK_LEVEL "" CACHE STRING
  "0: cheap assertions; 1: and costlier ones; 2: and invariants; empty: by build type")
set_property(CACHE WEFT_CHECK_LEVEL PROPERTY STRINGS "" 0 1 2)

if(NOT WEFT_CHECK_LEVEL MATCHES "^[012]?$")
  message(FATAL_ERROR "WEFT_CHECK_LEVEL is '${WEFT_CHECK_LEVEL}'; it can be 0, 1, 2 or empty.")
endif()
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "weft runs on Linux only: io_uring is its scheduler's clock and poller.")
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(WEFT_ARCH x86_64)
  set(weft_arch_options -fcf-protection)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(WEFT_ARCH aarch64)
  set(weft_arch_options -mbranch-protection=standard)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "riscv64" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(WEFT_ARCH riscv64)
  set(weft_arch_options -fasynchronous-unwind-tables) # the default on the others
else()
  message(FATAL_ERROR "weft has no context switch for ${CMAKE_SYSTEM_PROCESSOR} "
    "(${CMAKE_SIZEOF_VOID_P}-byte pointers); there are x86_64, aarch64 and riscv64.  "
    "docs/ports.md says what a port must provide.")
endif()
# Large frames touch each page that they take, so that none jumps over a guard page.  gcc takes
# guards on AArch64 for 64 KiB if it is not told.
set(weft_stack_probes -fstack-clash-protection)
if(WEFT_ARCH STREQUAL "aarch64" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND weft_stack_probes --param=stack-clash-protection-guard-size=12)
endif()

# Every target of the project, unless it says otherwise.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)

get_property(is_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(PROJECT_IS_TOP_LEVEL AND NOT is_multi_config AND NOT CMAKE_BUILD_TYPE)
  set_property(CACHE CMAKE_BUILD_TYPE PROPERTY VALUE RelWithDebInfo)
endif()

set(weft_check_level "${WEFT_CHECK_LEVEL}")
if(weft_check_level STREQUAL "")
  set(weft_check_level $<IF:$<CONFIG:Debug>,2,0>)
endif()

# Everything in this build is instrumented alike: a half-instrumented program reports nonsense.
# Assembly is left alone; the drivers accept the flags for it, but there is nothing to instrument.
if(WEFT_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${WEFT_SANITIZE};-fno-sanitize-recover=all>")
  add_link_options(-fsanitize=${WEFT_SANITIZE})
endif()
if(WEFT_COVERAGE)
  # Atomic counters: workers run the same lines at the same time.
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:--coverage;-fprofile-update=atomic>")
  add_link_options(--coverage)
endif()

# For every C target of the project.
add_library(weft_warnings INTERFACE)
target_compile_options(weft_warnings INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow;-Wundef;-Wvla>"
  "$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>"
  "$<$<BOOL:${WEFT_WERROR}>:-Werror>")
# The checks that a sanitizer inserts hide value ranges from gcc, which then warns of what cannot be
# (gcc's manual, -fsanitize=undefined).  The other presets keep these warnings.
if(WEFT_SANITIZE)
  target_compile_options(weft_warnings INTERFACE
    "$<$<C_COMPILER_ID:GNU>:-Wno-format-truncation;-Wno-maybe-uninitialized>")
endif()
