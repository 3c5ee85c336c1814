"""An array that is computed once and kept in the store, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.core.fingerprint import Key
from weckd_edge.core.store import SCHEMA_VERSION, FileRef, Stage, Workspace, file_ref, write_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAY_FILE = "array.npy"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayFile:
    """File of a kept array.

    Attributes:
        file: The file: float32 ``[N, D]`` as ``.npy``.
        schema_version: Version of this record's fields.
    """

    file: FileRef
    schema_version: int = SCHEMA_VERSION


def array_once(workspace: Workspace, name: str, key: Key, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return an array ``[N, D]``, from the store where an earlier call with this key has computed it.

    Args:
        workspace: The store.
        name: Name of the step.
        key: Key of everything that the array depends on.
        make: Function that computes it.
    """
    stage = array_stage(workspace, name, key, lambda folder: make())
    return read_array(stage.folder, stage.artifact.file)


def array_stage(workspace: Workspace, name: str, key: Key, make: Callable[[Path], NDArray[np.float32]]) -> Stage[ArrayFile]:
    """Return the step that keeps an array, as ``array_once`` does; ``make`` may write beside it in the step's folder."""

    def write(folder: Path) -> ArrayFile:
        path = folder / ARRAY_FILE
        write_array(path, make(folder))
        return ArrayFile(file=file_ref(folder, path))

    return workspace.stage(name, ArrayFile, key, write)


def find_array(workspace: Workspace, name: str, key: Key) -> NDArray[np.float32] | None:
    """Return the array that was kept under a key ``[N, D]``; None where there is none."""
    stage = workspace.find(name, ArrayFile, key)
    return None if stage is None else read_array(stage.folder, stage.artifact.file)


def read_array(folder: Path, file: FileRef) -> NDArray[np.float32]:
    """Return the array of a ``.npy`` file that lies in a folder of the store."""
    import numpy as np

    found: NDArray[np.float32] = np.load(folder / file.path, allow_pickle=False)
    return found
