# SPDX-License-Identifier: MIT
#
# Finds llhttp, Node's HTTP parser, and defines the target Llhttp::llhttp.
#
# Debian and Ubuntu ship the generated C sources (package node-llhttp) but no library, so they are
# compiled here.  A machine that does have the library (libllhttp-dev) uses that instead.
#
#   LLHTTP_SOURCE_DIR   where api.c, http.c and llhttp.c are
#   LLHTTP_INCLUDE_DIR  where llhttp.h is

include(FindPackageHandleStandardArgs)

find_path(LLHTTP_SOURCE_DIR NAMES llhttp.c PATHS /usr/share /usr/local/share PATH_SUFFIXES llhttp)
find_path(LLHTTP_INCLUDE_DIR NAMES llhttp.h
  PATHS /usr/share/include /usr/local/include PATH_SUFFIXES llhttp)

if(LLHTTP_SOURCE_DIR AND LLHTTP_INCLUDE_DIR)
  set(_llhttp_required LLHTTP_SOURCE_DIR LLHTTP_INCLUDE_DIR)
else()
  find_library(LLHTTP_LIBRARY NAMES llhttp)
  set(_llhttp_required LLHTTP_LIBRARY LLHTTP_INCLUDE_DIR)
endif()

find_package_handle_standard_args(Llhttp
  REQUIRED_VARS ${_llhttp_required}
  REASON_FAILURE_MESSAGE
  "The HTTP server needs llhttp.  On Debian and Ubuntu: apt-get install node-llhttp")

if(Llhttp_FOUND AND NOT TARGET Llhttp::llhttp)
  if(LLHTTP_SOURCE_DIR)
    add_library(llhttp STATIC EXCLUDE_FROM_ALL
      ${LLHTTP_SOURCE_DIR}/api.c ${LLHTTP_SOURCE_DIR}/http.c ${LLHTTP_SOURCE_DIR}/llhttp.c)
    # Foreign, generated code: its warnings are not ours to fix, and a parser that is not
    # optimised would be what the debug build measures.  Strict mode refuses what RFC 9112
    # forbids, such as a bare line feed at the end of a header line.
    target_compile_options(llhttp PRIVATE -w -O2)
    target_compile_definitions(llhttp PRIVATE LLHTTP_STRICT_MODE=1)
    set_target_properties(llhttp PROPERTIES C_CLANG_TIDY "" POSITION_INDEPENDENT_CODE ON)
    target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
    add_library(Llhttp::llhttp ALIAS llhttp)
  else()
    add_library(Llhttp::llhttp UNKNOWN IMPORTED)
    set_target_properties(Llhttp::llhttp PROPERTIES
      IMPORTED_LOCATION ${LLHTTP_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${LLHTTP_INCLUDE_DIR})
  endif()
endif()
mark_as_advanced(LLHTTP_SOURCE_DIR LLHTTP_INCLUDE_DIR LLHTTP_LIBRARY)
