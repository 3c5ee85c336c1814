"""An environment for each peer: a folder of ``python -m venv`` with what the peer's file of requirements names."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from peers.catalogue import Peer

SEEN = "project.pth"
"""File by which an environment looks into the one that runs this."""


class PipError(RuntimeError):
    """An environment could not be made; the message is pip's last words."""


def place_of(peer: Peer, folder: Path) -> Path | None:
    """Return where a peer's environment lies below ``folder``; None for one that needs no more than the project's own."""
    return folder / peer.requirements_file.stem if requirements(peer) else None


def requirements(peer: Peer) -> list[str]:
    """Return the lines of a peer's file of requirements, without comments."""
    lines = (line.strip() for line in peer.requirements_file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def make(peer: Peer, folder: Path, *, share_torch: bool = False) -> Path:
    """Make a peer's environment, unless it is there, and return its Python.

    Args:
        peer: The peer.
        folder: Folder of all environments.
        share_torch: Whether every environment may look into the one that runs this, which saves 5 GB for each torch;
            libraries that the peer wants in other versions are installed all the same.

    Raises:
        PipError: pip could not install what the peer needs.
    """
    place = place_of(peer, folder)
    if place is None:
        return Path(sys.executable)
    python, done = place / "bin" / "python", place / "done"
    if done.is_file():
        return python
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)])
    if peer.uses_project or share_torch:
        inside = next((place / "lib").glob("python*")) / "site-packages"
        (inside / SEEN).write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements(peer)])
    done.touch()
    return python


def remove(peer: Peer, folder: Path) -> None:
    """Remove a peer's environment."""
    place = place_of(peer, folder)
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise PipError(f"{' '.join(command[1:4])} ended with {done.returncode}: {last_words(done.stdout)}")


def last_words(text: str, most: int = 400) -> str:
    """Return the last lines of what a process printed, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-most:] or "nothing was printed"
