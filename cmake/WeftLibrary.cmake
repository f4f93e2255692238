# SPDX-License-Identifier: MIT
# libweft.so and libweft.a, from one set of object files.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(WEFT_LIBURING REQUIRED IMPORTED_TARGET liburing>=2.3)
pkg_check_modules(WEFT_HWLOC REQUIRED IMPORTED_TARGET hwloc>=2.0)
set(weft_dependencies PkgConfig::WEFT_LIBURING PkgConfig::WEFT_HWLOC)
list(APPEND weft_dependencies Threads::Threads)

file(GLOB weft_sources CONFIGURE_DEPENDS
  arch/*.c arch/linux/*.c arch/${WEFT_ARCH}/*.c arch/${WEFT_ARCH}/*.S
  runtime/*.c io/*.c sync/*.c)

add_library(weft_objects OBJECT ${weft_sources})
set_target_properties(weft_objects PROPERTIES
  C_VISIBILITY_PRESET hidden
  POSITION_INDEPENDENT_CODE ON)
# The files on a fiber's way from spawn to exit are compiled as one unit where speed counts: half of
# their functions are a few instructions long.  (Measured: docs/adr/0005.)  Debug builds compile
# each by itself, so that each stays complete.
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  set_target_properties(weft_objects PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set_source_files_properties(
    runtime/balance.c runtime/fiber.c runtime/inject.c runtime/park.c runtime/stack.c
    runtime/timer.c runtime/wait.c runtime/worker.c arch/${WEFT_ARCH}/context.c
    PROPERTIES UNITY_GROUP scheduler)
endif()
target_include_directories(weft_objects PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(weft_objects PRIVATE
  _GNU_SOURCE
  WF_CHECK_LEVEL=${weft_check_level}
  $<$<BOOL:${WEFT_CHAOS_POINTS}>:WEFT_CHAOS_POINTS>)
# No LTO: across translation units the compiler would see through the thread-local accessor and
# keep its address over a context switch.  Frame pointers: profilers can walk a fiber's stack.
# NDEBUG stays off in every build type: the cheap assertions belong to the product.
target_compile_options(weft_objects PRIVATE
  -fno-lto
  -UNDEBUG
  "$<$<COMPILE_LANGUAGE:C>:-fno-omit-frame-pointer;${weft_stack_probes};${weft_arch_options}>")
target_link_libraries(weft_objects PRIVATE ${weft_dependencies} weft_warnings)

# Sets up one of the two libraries; what both have in common.
function(weft_configure_library target)
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PRIVATE ${weft_dependencies})
  # A library of assembly and C alike is linked by the C driver.
  set_target_properties(${target} PROPERTIES OUTPUT_NAME weft LINKER_LANGUAGE C)
endfunction()

add_library(weft SHARED $<TARGET_OBJECTS:weft_objects>)
add_library(weft::weft ALIAS weft)
weft_configure_library(weft)
set(version_script ${PROJECT_SOURCE_DIR}/cmake/weft.map)
target_link_options(weft PRIVATE -Wl,--version-script=${version_script})
# Sanitizer runtimes live in the program, so their symbols stay undefined in the library.
if(NOT WEFT_SANITIZE)
  target_link_options(weft PRIVATE -Wl,--no-undefined)
endif()
# What changes when the interface breaks: below 1.0 a minor version may do so.
set(weft_abi ${PROJECT_VERSION_MAJOR})
if(weft_abi EQUAL 0)
  string(APPEND weft_abi ".${PROJECT_VERSION_MINOR}")
endif()
set_target_properties(weft PROPERTIES
  SOVERSION ${weft_abi}
  VERSION ${PROJECT_VERSION}
  LINK_DEPENDS ${version_script})

add_library(weft_static STATIC $<TARGET_OBJECTS:weft_objects>)
add_library(weft::weft_static ALIAS weft_static)
weft_configure_library(weft_static)
