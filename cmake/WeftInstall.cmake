# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: headers, both libraries, the tool, and how to find them.

include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)

install(FILES include/weft.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/weft DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(WEFT_TOOLS)
  install(TARGETS weft-tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Two export sets, because only the archive makes its user link liburing and hwloc: a
# machine without their development files can still use the shared library.
install(TARGETS weft EXPORT weft LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS weft_static EXPORT weft_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT weft NAMESPACE weft:: FILE weftTargets.cmake DESTINATION ${package_dir})
install(EXPORT weft_static NAMESPACE weft:: FILE weftStaticTargets.cmake
  DESTINATION ${package_dir})

configure_package_config_file(cmake/weftConfig.cmake.in ${PROJECT_BINARY_DIR}/weftConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# Below 1.0 a minor version may break what the one before it promised.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weftConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weftConfig.cmake ${PROJECT_BINARY_DIR}/weftConfigVersion.cmake
  DESTINATION ${package_dir})

# weft.pc finds its prefix from its own place, so an installed tree can be moved.  That works only
# below the prefix; a library directory elsewhere is written out.
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR is_libdir_absolute)
if(is_libdir_absolute)
  set(pc_prefix ${CMAKE_INSTALL_PREFIX})
  set(pc_libdir ${CMAKE_INSTALL_LIBDIR})
else()
  file(RELATIVE_PATH pc_up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" pc_up "${pc_up}")
  set(pc_prefix "\${pcfiledir}/${pc_up}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_INCLUDEDIR is_includedir_absolute)
if(is_includedir_absolute)
  set(pc_includedir ${CMAKE_INSTALL_INCLUDEDIR})
else()
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# Plain libraries, not Requires.private: a program that links the archive usually takes the two
# below it as shared libraries, and must not need what they would need to be linked statically
# (hwloc asks for libudev's development files then).  Nor does --cflags need their .pc files.
set(pc_libs_private
  ${WEFT_LIBURING_LDFLAGS} ${WEFT_HWLOC_LDFLAGS} -pthread)
list(JOIN pc_libs_private " " pc_libs_private)
configure_file(cmake/weft.pc.in ${PROJECT_BINARY_DIR}/weft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
