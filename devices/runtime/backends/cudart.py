"""Calls of the CUDA runtime that an engine needs, through ctypes, so that a device needs neither pycuda nor torch."""

from __future__ import annotations

import ctypes
from typing import Any

from numpy.typing import NDArray

from weckd_edge.core.errors import DeviceError, MissingDependency, WeckdError

_NAMES = (
    "libcudart.so",
    "libcudart.so.13",
    "libcudart.so.12",
    "libcudart.so.11.0",
    "/usr/local/cuda/lib64/libcudart.so",
)
_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2
_CC_MAJOR, _CC_MINOR = 75, 76


class CudaRuntime:
    """A loaded ``libcudart`` whose errors are exceptions."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def _call(self, name: str, *args: Any) -> None:
        code = int(getattr(self._library, name)(*args))
        if code != 0:
            text = self._library.cudaGetErrorString
            text.restype = ctypes.c_char_p
            words = (text(code) or b"").decode(errors="replace")
            raise DeviceError(
                f"{name} failed: CUDA error {code} ({words}); is the GPU visible here? weckd-edge doctor shows it",
                code="E_DEVICE_CUDA",
            )

    def malloc(self, size_bytes: int) -> int:
        """Return the address of new device memory."""
        pointer = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(pointer), ctypes.c_size_t(size_bytes))
        return int(pointer.value or 0)

    def free(self, address: int) -> None:
        """Free device memory."""
        self._call("cudaFree", ctypes.c_void_p(address))

    def create_stream(self) -> int:
        """Return the handle of a new stream."""
        stream = ctypes.c_void_p()
        self._call("cudaStreamCreate", ctypes.byref(stream))
        return int(stream.value or 0)

    def destroy_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._call("cudaStreamDestroy", ctypes.c_void_p(stream))

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Copy a contiguous array to the device."""
        self._copy(address, array.ctypes.data, array.nbytes, _HOST_TO_DEVICE, stream)

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Copy from the device into a contiguous array."""
        self._copy(array.ctypes.data, address, array.nbytes, _DEVICE_TO_HOST, stream)

    def _copy(self, to: int, source: int, size_bytes: int, kind: int, stream: int) -> None:
        self._call(
            "cudaMemcpyAsync",
            ctypes.c_void_p(to),
            ctypes.c_void_p(source),
            ctypes.c_size_t(size_bytes),
            ctypes.c_int(kind),
            ctypes.c_void_p(stream),
        )

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def compute_capability(self, device: int = 0) -> str:
        """Return a GPU's compute capability, such as ``8.7``."""
        return f"{self._attribute(_CC_MAJOR, device)}.{self._attribute(_CC_MINOR, device)}"

    def _attribute(self, attribute: int, device: int) -> int:
        value = ctypes.c_int()
        self._call("cudaDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), ctypes.c_int(device))
        return value.value


def load_cuda_runtime() -> CudaRuntime:
    """Load the CUDA runtime of this machine.

    Raises:
        MissingDependency: The machine has no CUDA runtime.
    """
    for name in _NAMES:
        try:
            return CudaRuntime(ctypes.CDLL(name))
        except OSError:
            continue
    raise MissingDependency(
        "libcudart (the CUDA runtime) is needed to run an engine and is not here; on a Jetson: "
        "sudo apt install nvidia-jetpack",
        code="E_MISSING_LIBRARY",
    )


def has_gpu() -> bool:
    """Tell whether CUDA's runtime and a GPU are present."""
    try:
        load_cuda_runtime().compute_capability()
    except WeckdError:
        return False
    return True
