/* Check of an ONNX file: no tensor may lie outside it. SPDX-License-Identifier: Apache-2.0 */
#ifndef WECKD_ONNX_H
#define WECKD_ONNX_H

#include "core/errors.h"

/* Walk the protobuf of an ONNX graph, and refuse one with a tensor whose data lie anywhere but in these bytes: a runtime
 * would read them from the working directory, or from an address. Every field that may hold a tensor is walked. */
int weckd_onnx_check(const uint8_t *data, size_t bytes, weckd_error error);

#endif
