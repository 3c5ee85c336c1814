/* Has the compiler compare the place of every call, and the values of the enumerations, with ONNX Runtime's own header, where
 * that is installed. SPDX-License-Identifier: Apache-2.0 */
#include "backends/onnxruntime_api.h"

#include <onnxruntime_c_api.h>

#define SAME(place, type, name, parameters)                                                                                  \
    _Static_assert(offsetof(OrtApi, name) == (place) * sizeof(void *), #name " is at another place of the table");
WECKD_ORT_CALLS(SAME)

_Static_assert(offsetof(OrtApiBase, GetApi) == offsetof(weckd_ort_base, get_api), "OrtApiBase differs");
_Static_assert(offsetof(OrtApiBase, GetVersionString) == offsetof(weckd_ort_base, get_version), "OrtApiBase differs");
_Static_assert((int)ORT_FAIL == (int)WECKD_ORT_FAIL, "ORT_FAIL differs");
_Static_assert((int)ORT_LOGGING_LEVEL_ERROR == (int)WECKD_ORT_ERRORS_ONLY, "ORT_LOGGING_LEVEL_ERROR differs");
_Static_assert((int)ORT_SEQUENTIAL == (int)WECKD_ORT_SEQUENTIAL, "ORT_SEQUENTIAL differs");
_Static_assert((int)ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == (int)WECKD_ORT_FLOAT, "the code of float differs");
_Static_assert((int)ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 == (int)WECKD_ORT_UINT8, "the code of uint8 differs");
_Static_assert((int)OrtDeviceAllocator == (int)WECKD_ORT_DEVICE_ALLOCATOR, "OrtDeviceAllocator differs");
_Static_assert((int)OrtMemTypeDefault == (int)WECKD_ORT_DEFAULT_MEMORY, "OrtMemTypeDefault differs");

int main(void) { return 0; }
