# The C library that opens a bundle, from the sources beside this layer. SPDX-License-Identifier: Apache-2.0
SUMMARY = "Opens a weckd-edge bundle, verifies it, classifies frames"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# sdk/ of a bundle, or devices/firmware of the project: copied, so that a sealed bundle stays as it is.
FILESEXTRAPATHS:prepend := "${THISDIR}/../../../..:"
SRC_URI = "\
    file://CMakeLists.txt;subdir=sdk \
    file://LICENSE;subdir=sdk \
    file://cmake;subdir=sdk \
    file://include;subdir=sdk \
    file://src;subdir=sdk \
    file://examples;subdir=sdk \
    file://update;subdir=sdk \
"
# UNPACKDIR is where newer releases unpack; before, it was WORKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/sdk"

DEPENDS = "jansson mbedtls"
inherit cmake pkgconfig systemd

# Runtimes are loaded when a bundle is opened: the image must have the one its bundles need.
PACKAGECONFIG ??= "onnxruntime update camera"
PACKAGECONFIG[onnxruntime] = "-DWECKD_ONNXRUNTIME=ON,-DWECKD_ONNXRUNTIME=OFF"
PACKAGECONFIG[openvino] = "-DWECKD_OPENVINO=ON,-DWECKD_OPENVINO=OFF,openvino-inference-engine,openvino-inference-engine"
PACKAGECONFIG[update] = "-DWECKD_UPDATE=ON,-DWECKD_UPDATE=OFF"
PACKAGECONFIG[camera] = "-DWECKD_EXAMPLES=ON,-DWECKD_EXAMPLES=OFF"

# What lies beside the headers of a build belongs to the host: name the library that the image has, where it has no libopenvino_c.so.
WECKD_OPENVINO_SONAME ??= ""
EXTRA_OECMAKE = "\
    -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_SKIP_INSTALL_RPATH=ON \
    -DWECKD_UNIT_DIR=${systemd_system_unitdir} \
    -DWECKD_OPENVINO_SONAME=${WECKD_OPENVINO_SONAME} \
"

# The unit waits for a bundle, a key and a camera of the product: enable it where they are.
SYSTEMD_SERVICE:${PN} = "${@bb.utils.contains('PACKAGECONFIG', 'camera', 'weckd-camera.service', '', d)}"
SYSTEMD_AUTO_ENABLE = "disable"

FILES:${PN} += "${systemd_system_unitdir} ${datadir}/licenses ${datadir}/mender ${datadir}/weckd_edge"
