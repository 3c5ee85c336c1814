"""Calls ``weckd-update`` on a store, with a disk that fails or a power cut where a test wants one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weckd_edge.bundle.packaging.package import package_bundle
from weckd_edge.bundle.reader import open_bundle

CUT = 86


@dataclass(frozen=True)
class Tool:
    """A build of weckd-update, the store and key it is called with, and the folder in memory where the camera looks."""

    built: Any
    store: Path
    key: Path

    @property
    def run(self) -> Path:
        return self.store.with_name(self.store.name + ".run")

    @property
    def program(self) -> Path:
        return Path(self.built.folder) / "update/weckd-update"

    @property
    def shim(self) -> str:
        """Return the library that cuts the power or breaks the disk."""
        return str(next((Path(self.built.folder) / "update").glob("libweckd_cut.*")))

    def call(
        self, *args: object, env: dict[str, str] | None = None, key: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [self.program, *self.options(key), *args]
        return subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **(env or {})},
        )

    def start(self, *args: object, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start it and do not wait; what it says is lost."""
        command = list(map(str, [self.program, *self.options(), *args]))
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env={**os.environ, **(env or {})})

    def options(self, key: Path | None = None) -> list[object]:
        return ["--store", self.store, "--run", self.run, "--key", key or self.key, "--backend", "echo"]

    def done(self, *args: object, **more: Any) -> str:
        result = self.call(*args, **more)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def refused(self, *args: object, **more: Any) -> str:
        result = self.call(*args, **more)
        assert result.returncode == 1, result.stdout + result.stderr
        return result.stderr

    def take(self, bundle: Path) -> None:
        """Install a bundle, start it, and call it good."""
        for step in (("install", bundle), ("boot",), ("confirm",)):
            self.done(*step)

    def status(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self.done("status").splitlines())

    def rejected_ids(self) -> list[str]:
        return [line.split()[1] for line in self.done("status").splitlines() if line.startswith("rejected ")]

    def wanted(self) -> str:
        """Return the digest of the bundle that is to run from the next start on."""
        return self.status()["current"].split()[0]

    def kept(self, bundle: Path) -> Path:
        return self.store / "bundles" / self.digest(bundle)

    def runs(self) -> str:
        """Return the digest that the bundle names which the camera finds."""
        return self.digest(self.run / "current")

    def version(self) -> int:
        """Verify the bundle that the camera finds, and return its version."""
        found: int = open_bundle(self.run / "current", key=self.key).manifest.version
        return found

    @staticmethod
    def digest(folder: Path) -> str:
        """Return the digest that a bundle names as its own."""
        found: str = json.loads((folder / "manifest.json").read_text())["manifest_sha256"]
        return found

    @staticmethod
    def tar(bundle: Path, out: Path) -> Path:
        package_bundle(bundle, out, format_name="tar")
        return out

    def elsewhere(self, store: Path) -> Tool:
        return replace(self, store=store)

    def damage(self, bundle: Path) -> None:
        """Turn a bit of a bundle's model in the store."""
        path = self.kept(bundle) / "model/model.onnx"
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.write_bytes(raw)

    def power_off(self) -> None:
        """Empty the folder in memory."""
        shutil.rmtree(self.run, ignore_errors=True)

    def copy_to(self, store: Path) -> Tool:
        """Copy the store, and what the link points at, over whatever is there; the copy of a missing store is missing."""
        copy = self.elsewhere(store)
        copy.power_off()
        shutil.rmtree(store, ignore_errors=True)
        if self.store.exists():
            shutil.copytree(self.store, store, symlinks=True)
        if (self.run / "current").is_symlink():
            copy.run.mkdir()
            (copy.run / "current").symlink_to(store / "bundles" / (self.run / "current").readlink().name)
        return copy

    def failing(self, kind: str, *, first: int = 1) -> dict[str, str]:
        """Return the environment in which changes of the store fail from the first, or a later one, on."""
        return {
            "LD_PRELOAD": self.shim,
            "WECKD_FAULT": kind,
            "WECKD_FAULT_BELOW": str(self.store),
            "WECKD_FAULT_FROM": str(first),
        }

    def changes(self, *args: object, env: dict[str, str] | None = None, count: Path) -> int:
        """Run a command and return how often it changed the disk, or tried to."""
        self.call(*args, env={"LD_PRELOAD": self.shim, **(env or {}), "WECKD_CUT_COUNT": str(count)})
        return int(count.read_text())
