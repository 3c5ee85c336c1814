"""Messages of failures that are not a ``WeckdError``: the system, its memory or a limit has refused something."""

from __future__ import annotations

import traceback
from typing import NamedTuple

from weckd_edge.core.errors import first_line
from weckd_edge.core.files import describe_os_error

_OUT_OF_MEMORY = ("DefaultCPUAllocator", "CUDA out of memory", "bad_alloc")
"""Texts by which torch and C++ libraries tell that memory has run out, in errors of other kinds."""


_PROCESS_LOST = (
    "gloo/transport",
    "Gloo connectFullMesh",
    "NCCL error",
    "NCCL communicator",
    "DistNetworkError",
    "DistBackendError",
)
"""Texts and types by which torch tells that a process that trains along cannot be reached any more."""


class Failure(NamedTuple):
    """A failure: its code, for scripts, and one line for the person at the terminal."""

    code: str
    message: str


def explain(err: BaseException) -> Failure | None:
    """Return the message of an error that a user can act on; None where the error is a defect of this software."""
    if isinstance(err, OSError):
        return Failure("E_SYSTEM_FILE", describe_os_error(err))
    if isinstance(err, RecursionError):
        return Failure(
            "E_SYSTEM_NESTING",
            "something that was given is nested too deeply (brackets in a file, or folders in folders); flatten it, and run "
            "it again (weckd-edge -v tells where)",
        )
    if isinstance(err, ImportError):
        message = f"{first_line(err)}: the installation is not whole; install weckd-edge again"
        return Failure("E_SYSTEM_INSTALLATION", message)
    if isinstance(err, MemoryError) or any(sign in str(err) for sign in _OUT_OF_MEMORY):
        return Failure(
            "E_SYSTEM_MEMORY",
            f"out of memory ({first_line(err)}); close other programs, give smaller images, networks or batches, or raise "
            "the limit (ulimit -v)",
        )
    if any(sign in f"{type(err).__name__}: {err}" for sign in _PROCESS_LOST):
        return Failure(
            "E_STORE_PROCESS_LOST",
            f"another process that trains along has ended, or cannot be reached ({first_line(err)}); see what it "
            "printed; the same command goes on from the last epoch",
        )
    return None


def describe_defect(err: BaseException) -> Failure:
    """Return the message of a defect: what it is, where it lies, and what to do."""
    frames = traceback.extract_tb(err.__traceback__)
    own = next((frame for frame in reversed(frames) if "weckd_edge" in frame.filename), frames[-1] if frames else None)
    where = "" if own is None else f" in {'/'.join(own.filename.split('/')[-2:])}, line {own.lineno}"
    return Failure(
        "E_DEFECT",
        f"a defect of weckd-edge{where} ({type(err).__name__}: {first_line(err)}); please report it with what "
        "'weckd-edge -v' in front of the same command prints",
    )
