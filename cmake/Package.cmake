# What `cmake --install` installs: include/perdure, one static library with all of the engine and SQLite
# in it, and the files for find_package(perdure).
#
# A static library has no inside: every function of the engine and of SQLite could collide with one of
# the program. Ours would even take the place of the program's own SQLite, with settings that are wrong for
# it (synchronous=OFF). So everything becomes one object file, in which only what include/perdure marks keeps
# its name; Boost, which marks its own, does not. --force-group-allocation resolves inline functions among our
# files first: one that is ours and the program's, too, would otherwise be dropped here, and its name with it.
# What is left of the standard library's is weak (-fno-gnu-unique), so that a program may have it as well.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_objects)
foreach(part base log store object runtime native sqlite)
  get_target_property(type perdure_${part} TYPE)
  if(NOT type STREQUAL INTERFACE_LIBRARY)
    list(APPEND package_objects $<TARGET_OBJECTS:perdure_${part}>)
  endif()
endforeach()
set(package_library ${CMAKE_CURRENT_BINARY_DIR}/libperdure.a)
set(package_object ${CMAKE_CURRENT_BINARY_DIR}/perdure-whole.o)
add_custom_command(OUTPUT ${package_library}
  COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o ${package_object} ${package_objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden --wildcard --localize-symbol=*5boost* ${package_object}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${package_library}
  COMMAND ${CMAKE_AR} rcs ${package_library} ${package_object}
  DEPENDS ${package_objects}
  COMMAND_EXPAND_LISTS VERBATIM)
add_custom_target(perdure_package ALL DEPENDS ${package_library})

if(PERDURE_SYSTEM_SQLITE)
  set(PERDURE_PACKAGE_SQLITE " sqlite3")
endif()
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/perdure)
configure_package_config_file(cmake/perdureConfig.cmake.in perdureConfig.cmake
  INSTALL_DESTINATION ${package_folder} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
# Until 1.0 the interface may change with each minor version.
write_basic_package_version_file(perdureConfigVersion.cmake COMPATIBILITY SameMinorVersion)

install(DIRECTORY include/perdure DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(FILES ${package_library} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/perdureConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/perdureConfigVersion.cmake DESTINATION ${package_folder})
