/* What an ONNX file may not hold. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_ONNX_H
#define WECKD_ONNX_H

#include "fail.h"

/* Walk the protobuf of an ONNX graph, and refuse one that takes a tensor's data from anywhere but these bytes: a runtime
 * would read them from the working directory, or from an address. Every place that a tensor may stand in is looked at. */
int weckd_onnx_check(const uint8_t *data, size_t bytes, weckd_why why);

#endif
