"""Find where each of several processes that train together keeps its results, and where earlier ones have kept theirs.

The first process keeps the workspace that the user named. Each other one keeps a folder below the workspace of that name on
its own machine, until the training is done. A process that is killed leaves its folder, and whichever process is started in
its place finds it there: also where another machine's process is the first one then.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from weckd_edge.core.store import Workspace

FOLDER = "processes"
"""Folder of a workspace that holds those of the other processes."""

PATIENCE_S = 60.0
"""Time in which a process whose launcher was killed notices that the others are gone, and ends, seconds."""


@contextlib.contextmanager
def own_folder(workspace: Path, rank: int) -> Iterator[Path]:
    """Yield the folder of a process that is not the first; it is removed once the training has ended well.

    Args:
        workspace: Workspace of the first process, as it is named on this machine.
        rank: Number of the process among all.
    """
    folder = workspace / FOLDER / str(rank)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
    for empty in (folder.parent, workspace):
        with contextlib.suppress(OSError):
            empty.rmdir()


def workspaces_here(workspace: Workspace) -> list[Workspace]:
    """Return the workspaces on this machine that processes of the same command have kept: the given one first."""
    own = workspace.root
    root = own.parent.parent if own.parent.name == FOLDER else own
    others = [root, *sorted((root / FOLDER).glob("*"))]
    return [workspace, *(Workspace(folder) for folder in others if folder != own)]


def kept_here(folder: Path, workspace: Workspace) -> tuple[Path, ...]:
    """Return where a folder of a workspace may lie on this machine: there, and in the workspaces of other processes."""
    inside = folder.relative_to(workspace.root)
    return tuple(place.root / inside for place in workspaces_here(workspace))
