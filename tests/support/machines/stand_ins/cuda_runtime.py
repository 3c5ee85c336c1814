"""A stand-in for ``libcudart``: device memory is host memory, and every block and stream is accounted for."""

import ctypes
from typing import Any

blocks: dict[int, Any] = {}
streams: set[int] = set()
calls: list[str] = []
compute_capability = (8, 7)
failing: dict[str, int] = {}
"""Error codes by function name, for calls that are to fail."""
present = True


def load(name: str) -> Any:
    """What ``ctypes.CDLL`` gives for a name; None for another library than the CUDA runtime."""
    if "libcudart" not in name:
        return None
    if not present:
        raise OSError(f"{name}: cannot open shared object file")
    return Library()


class Library:
    """The functions that are used, with the C signatures and error codes."""

    def __init__(self) -> None:
        self.cudaGetErrorString = lambda code: b"no CUDA-capable device is detected"

    def __getattr__(self, name: str) -> Any:
        function = globals().get(f"_{name}")
        if function is None:
            raise AttributeError(f"the stand-in has no {name}")

        def call(*args: Any) -> int:
            calls.append(name)
            return failing.get(name) or function(*args) or 0

        return call


def _cudaMalloc(pointer: Any, size: ctypes.c_size_t) -> None:  # noqa: N802
    block = ctypes.create_string_buffer(size.value)
    address = ctypes.addressof(block)
    blocks[address] = block
    pointer._obj.value = address


def _cudaFree(address: ctypes.c_void_p) -> None:  # noqa: N802
    del blocks[address.value or 0]


def _cudaStreamCreate(pointer: Any) -> None:  # noqa: N802
    handle = 1 + max(streams, default=0)
    streams.add(handle)
    pointer._obj.value = handle


def _cudaStreamDestroy(stream: ctypes.c_void_p) -> None:  # noqa: N802
    streams.remove(stream.value or 0)


def _cudaStreamSynchronize(stream: ctypes.c_void_p) -> None:  # noqa: N802
    assert stream.value in streams


def _cudaMemcpyAsync(  # noqa: N802
    to: ctypes.c_void_p, source: ctypes.c_void_p, size: ctypes.c_size_t, kind: ctypes.c_int, stream: ctypes.c_void_p
) -> None:
    device = to if kind.value == 1 else source
    assert size.value <= ctypes.sizeof(blocks[device.value or 0])
    assert stream.value in streams
    ctypes.memmove(to, source, size.value)


def _cudaDeviceGetAttribute(pointer: Any, attribute: ctypes.c_int, device: ctypes.c_int) -> None:  # noqa: N802
    assert device.value == 0
    pointer._obj.value = compute_capability[{75: 0, 76: 1}[attribute.value]]
