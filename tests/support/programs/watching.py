"""Runs a program under strace, in an empty home folder, and tells what it wrote and whom it tried to reach or look up."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_OPTIONS = ("-f", "-qq", "-y", "-s", "300", "--seccomp-bpf", "-e", "signal=none", "-e")
_CALLS = "trace=network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat"
_REACHES = re.compile(r"\b(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?\b")
_ADDRESS = re.compile(r'(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
_LOOKS_UP = re.compile(r'\bopen(?:at)?\(.*"/etc/resolv\.conf"')
_MAKES = re.compile(r"\b(?:creat|mkdir|mkdirat|rename\w*|link|linkat)\(|\bopen(?:at)?\(.*\bO_(?:CREAT|WRONLY|RDWR)\b")
_PLACE = re.compile(r'(?:AT_FDCWD|\d+)<([^>]*)>, "([^"]*)"|\("([^"]*)"')


@dataclass(frozen=True)
class Watched:
    """What a program did.

    Attributes:
        output: Its stdout and stderr.
        reached: Lines of the trace in which it looks a name up, or sends to or connects with another machine.
        written: Files and folders that it made, changed or tried to, outside the folder it was given for its work.
        left: What lies in its home and cache folders in the end.
    """

    output: str
    reached: tuple[str, ...]
    written: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether it kept to itself."""
        return not (self.reached or self.written or self.left)


def missing() -> str | None:
    """Say why no program can be watched here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(
        ["strace", *_OPTIONS, _CALLS, "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    return f"strace cannot be used here: {done.stderr.strip()[:200]}" if done.returncode else None


class Watch:
    """A place in which programs are watched.

    Args:
        folder: An empty one; programs may write below ``work`` in it, and nowhere else.
    """

    def __init__(self, folder: Path) -> None:
        self.work, self.home, self.cache, self._traces = (folder / name for name in ("work", "home", "cache", "traces"))
        for place in (self.work, self.home, self.cache, self._traces):
            place.mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """Every variable that a program gets: none that tells a library to be quiet, or that this is a test."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
        own = {"HOME": self.home, "XDG_CACHE_HOME": self.cache, "TMPDIR": self.work}
        return {**kept, **{name: str(place) for name, place in own.items()}, "OMP_WAIT_POLICY": "passive"}

    def command(self, name: str, words: Sequence[object]) -> list[str]:
        """Return what runs a program under strace; its trace gets the name."""
        return ["strace", *_OPTIONS, _CALLS, "-o", f"{self._traces}/{name}", *map(str, words)]

    def wrapper(self, program: str) -> Path:
        """Write a shell script that stands for a program and runs it watched, whoever calls it."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        before, place, after = shlex.join(["env", "-i", *variables, *self.command("@", [program])]).partition(
            f"{self._traces}/@"
        )
        path = self.work / "watched"
        path.write_text(f'#!/bin/sh\nexec {before}{place[:-1]}$$ {after} "$@"\n')  # $$: every call has a trace of its own
        path.chmod(0o755)
        return path

    def run(self, *words: object, expect: int = 0) -> Watched:
        """Run a program to its end."""
        done = subprocess.run(
            self.command("0", words),
            env=self.environment,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == expect, output
        return self.tell(output)

    def tell(self, output: str = "") -> Watched:
        """Read what all programs of this place did so far."""
        lines = [line for path in sorted(self._traces.iterdir()) for line in path.read_text(errors="replace").splitlines()]
        assert lines, "nothing was watched"
        return Watched(
            output=output,
            reached=tuple(line for line in lines if _LOOKS_UP.search(line) or _reaches_out(line)),
            written=tuple(
                place for line in lines if _MAKES.search(line) for place in self._places(line) if not self._may(place)
            ),
            left=tuple(str(path) for place in (self.home, self.cache) for path in sorted(place.rglob("*"))),
        )

    def _places(self, line: str) -> list[str]:
        """Return the paths of a line; what starts nowhere starts where programs do."""
        return [os.path.normpath(Path(self.work, folder, name or alone)) for folder, name, alone in _PLACE.findall(line)]

    def _may(self, place: str) -> bool:
        """Tell whether a place is the program's own: its work, devices, and what Python keeps compiled."""
        return f"{place}/".startswith((f"{self.work}/", "/dev/", "/proc/")) or "/__pycache__" in place


def _reaches_out(line: str) -> bool:
    return bool(_REACHES.search(line)) and any(not a.startswith("127.") and a != "::1" for a in _ADDRESS.findall(line))
