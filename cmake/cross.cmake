# SPDX-License-Identifier: MIT
# Toolchain file for another processor, run under qemu-user: scripts/cross.sh sets both variables.
#
#   WEFT_CROSS_ARCH      aarch64 or riscv64
#   WEFT_CROSS_SYSROOT   folder with that processor's C library and what weft needs

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WEFT_CROSS_ARCH WEFT_CROSS_SYSROOT)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR ${WEFT_CROSS_ARCH})
set(CMAKE_SYSROOT ${WEFT_CROSS_SYSROOT})
set(CMAKE_LIBRARY_ARCHITECTURE ${WEFT_CROSS_ARCH}-linux-gnu)
set(weft_cross_libraries ${CMAKE_SYSROOT}/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})

set(CMAKE_C_COMPILER ${CMAKE_LIBRARY_ARCHITECTURE}-gcc)
# The compiler brings a C library of its own, which would come first and may be an older one.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-B${weft_cross_libraries} -L${weft_cross_libraries}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")

# As on x86-64, where compilers do so unasked: any code can be unwound.
set(CMAKE_C_FLAGS_INIT -fasynchronous-unwind-tables)
if(WEFT_CROSS_ARCH STREQUAL "aarch64")
  # The tests' own frames have signed return addresses, and landing marks.
  string(APPEND CMAKE_C_FLAGS_INIT " -mbranch-protection=standard")
endif()

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${weft_cross_libraries}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)

# Every extension that it knows: pointer authentication and landing marks are on.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-${WEFT_CROSS_ARCH} -L ${CMAKE_SYSROOT})
if(WEFT_CROSS_ARCH STREQUAL "aarch64")
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -cpu max)
endif()
