# For 64-bit Arm with Debian's cross compiler: -DCMAKE_TOOLCHAIN_FILE=.../aarch64-linux-gnu.cmake. SPDX-License-Identifier: Apache-2.0
#
# -DWECKD_ROOT=FOLDER: what the device has, or Debian's arm64 packages unpacked (dpkg-deb -x); headers and libraries are looked for there
# alone. Without it they come from this host's own arm64 packages (dpkg --add-architecture arm64).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triplet aarch64-linux-gnu)
set(CMAKE_C_COMPILER ${triplet}-gcc)
set(CMAKE_CXX_COMPILER ${triplet}-g++)
set(CMAKE_LIBRARY_ARCHITECTURE ${triplet})

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES WECKD_ROOT)
if(WECKD_ROOT)
  set(CMAKE_FIND_ROOT_PATH "${WECKD_ROOT}")
  set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
  set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
  set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
  set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
  set(ENV{PKG_CONFIG_SYSROOT_DIR} "${WECKD_ROOT}")
  # Libraries that those linked need in turn lie there, too.
  set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${WECKD_ROOT}/usr/lib/${triplet},-rpath-link,${WECKD_ROOT}/lib/${triplet}")
endif()
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_LIBDIR} "${WECKD_ROOT}/usr/lib/${triplet}/pkgconfig:${WECKD_ROOT}/usr/lib/pkgconfig:${WECKD_ROOT}/usr/share/pkgconfig")
