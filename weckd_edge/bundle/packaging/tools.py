"""Runs the update systems' own programs, and turns their failures into one line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from weckd_edge.core.errors import ConfigError, MissingDependency

_TIMEOUT_S = 900


def run_tool(tool: str, arguments: Sequence[str | Path], *, package: str, hint: str) -> str:
    """Run a program and return its output.

    Args:
        tool: Name of the program.
        arguments: Arguments of the program; no shell sees them.
        package: Debian package of the program.
        hint: Advice where the program refuses its input.

    Raises:
        MissingDependency: The program is not installed.
        ConfigError: The program fails, or does not end within 900 s.
    """
    path = shutil.which(tool)
    if path is None:
        raise MissingDependency(
            f"'{tool}' is needed for this format and not installed; on Debian: apt install {package}",
            code="E_MISSING_PROGRAM",
        )
    command = [path, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as err:
        raise ConfigError(f"{tool}: expected it to end within {_TIMEOUT_S} s; it did not", code="E_CONFIG_TOOL") from err
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = lines[-1][:300] if lines else f"exit code {done.returncode}"
        raise ConfigError(f"{tool}: refuses what it was given ({reason}); {hint}", code="E_CONFIG_TOOL")
    return done.stdout
