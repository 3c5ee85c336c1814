# Finds OpenVINO's C headers and the name of its library. SPDX-License-Identifier: Apache-2.0
# Sets WECKD_OPENVINO to ON or OFF, OPENVINO_C_INCLUDE_DIR, WECKD_OPENVINO_NAME.
if(NOT WECKD_OPENVINO)
  return()
endif()
set(wanted "${WECKD_OPENVINO}")
set(WECKD_OPENVINO ON)

# Headers are the same for every processor: a folder that is named is taken where it is, also where all else comes from a sysroot.
if(OpenVINO_DIR)
  find_path(OPENVINO_C_INCLUDE_DIR openvino/c/openvino.h PATHS "${OpenVINO_DIR}/../include" "${OpenVINO_DIR}/../../include"
            NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)
  if(NOT OPENVINO_C_INCLUDE_DIR)
    message(FATAL_ERROR "OpenVINO_DIR=${OpenVINO_DIR}: expected the folder cmake of OpenVINO's wheel or archive, with include/openvino/c/openvino.h "
                        "beside it; found none")
  endif()
endif()
find_path(OPENVINO_C_INCLUDE_DIR openvino/c/openvino.h)
if(NOT OPENVINO_C_INCLUDE_DIR)
  set(remedy "OpenVINO's C headers (openvino/c/openvino.h) were not found. Name the folder cmake of OpenVINO's wheel or archive "
             "(-DOpenVINO_DIR=), or the headers' folder (-DOPENVINO_C_INCLUDE_DIR=), or say -DWECKD_OPENVINO=OFF")
  list(JOIN remedy "" remedy)
  if(NOT wanted STREQUAL "AUTO")
    message(FATAL_ERROR "${remedy}")
  endif()
  message(WARNING "This build runs no model with OpenVINO. ${remedy}")
  set(WECKD_OPENVINO OFF)
  return()
endif()

# OpenVINO's wheel and archive have the library under its version's name alone. The library beside the headers is this host's: what is
# built for another machine takes no name from it.
set(WECKD_OPENVINO_NAME "${WECKD_OPENVINO_SONAME}")
if(NOT WECKD_OPENVINO_NAME AND NOT CMAKE_CROSSCOMPILING)
  file(GLOB names RELATIVE / "${OPENVINO_C_INCLUDE_DIR}/../libs/libopenvino_c.so.*" "${OPENVINO_C_INCLUDE_DIR}/../lib/*/libopenvino_c.so.*")
  if(names)
    list(GET names 0 name)
    get_filename_component(WECKD_OPENVINO_NAME "${name}" NAME)
  endif()
endif()
if(NOT WECKD_OPENVINO_NAME)
  set(WECKD_OPENVINO_NAME libopenvino_c.so)
endif()
