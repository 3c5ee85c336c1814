# Installs programs that find the library, and units that name what was installed. SPDX-License-Identifier: Apache-2.0

file(RELATIVE_PATH weckd_lib_from_bin "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")

# A program finds the library beside it, wherever the tree lies; no ldconfig, no LD_LIBRARY_PATH.
function(weckd_install_program target)
  if(BUILD_SHARED_LIBS)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${weckd_lib_from_bin}")
  endif()
  install(TARGETS ${target})
endfunction()

# Units say /usr/bin; installed elsewhere they say where, the prefix of `cmake --install` included.
function(weckd_install_unit source folder name)
  get_filename_component(source "${source}" ABSOLUTE)
  install(CODE "
    get_filename_component(programs \"${CMAKE_INSTALL_BINDIR}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
    get_filename_component(units \"${WECKD_UNIT_DIR}/${folder}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
    file(READ \"${source}\" text)
    string(REPLACE /usr/bin/ \"\${programs}/\" text \"\${text}\")
    file(WRITE \"${CMAKE_CURRENT_BINARY_DIR}/units/${name}\" \"\${text}\")
    file(INSTALL \"${CMAKE_CURRENT_BINARY_DIR}/units/${name}\" DESTINATION \"\${units}\")")
endfunction()
