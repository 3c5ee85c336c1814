"""The two readers side by side: the same bundle is shown to both, and their verdicts are compared."""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.error_codes import library_status
from weckd_edge.core.errors import BundleError
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.input_guard import open_guard


def fault_of(err: BundleError) -> str:
    """Return what an error of the Python reader is called in ``FAULTS``."""
    return library_status(err.code).removeprefix("WECKD_ERR_").lower()


FAULTS = {
    0: None,
    -2: "io",
    -3: "format",
    -4: "newer",
    -5: "digest",
    -6: "listing",
    -7: "link",
    -8: "unsigned",
    -9: "signature",
    -11: "rollback",
    -13: "limit",
}
"""What the C library's statuses are called in Python."""


class Raw(str):
    """A token that is written into JSON as it stands."""

    __slots__ = ()


class Readers:
    """Both readers of one bundle's folder.

    Args:
        program: The test program that asks the C library.
        folder: The bundle.
        key: Public key for ``signed``; None where none is asked for.
        library: Runtime for ``load``.
    """

    def __init__(self, program: Path, folder: Path, key: Path | None = None, library: Path | None = None) -> None:
        self.folder, self.key = folder, key
        self._process = subprocess.Popen(
            [str(program), str(key or "-"), str(library or "-")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask_c(self, command: str) -> tuple[int, str]:
        """Return the C library's status and message."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command} {self.folder}\n")
        self._process.stdin.flush()
        status, _, message = self._process.stdout.readline().rstrip("\n").partition(" ")
        return int(status), message

    def verdicts(self, *, signed: bool = False) -> tuple[str | None, str | None]:
        """Return what C and what Python say is wrong; None: nothing is."""
        status, _ = self.ask_c("signed" if signed else "check")
        try:
            open_guard(open_bundle(self.folder, key=self.key if signed else None))
            fault = None
        except BundleError as err:
            fault = fault_of(err)
        return FAULTS[status], fault

    def takes_golden(self) -> tuple[int, str | None]:
        """Return the status of C's self-test, and what Python says is wrong with the golden arrays."""
        status, _ = self.ask_c("selftest")
        try:
            bundle = open_bundle(self.folder)
            frames = load_golden_frames(bundle)
            for model in bundle.manifest.models:
                if model.kind == "model":
                    load_expected(bundle, model, len(frames))
        except BundleError as err:
            return status, fault_of(err)
        return status, None

    def close(self) -> None:
        """End the test program."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def both(program: Path, folder: Path, **more: Any) -> Iterator[Readers]:
    """Give both readers of a folder."""
    readers = Readers(program, folder, **more)
    try:
        yield readers
    finally:
        readers.close()


def to_text(data: Any) -> str:
    """Write JSON, with ``Raw`` tokens as they stand."""

    def mark(value: Any) -> Any:
        if isinstance(value, Raw):
            return f"\x01{value}\x01"
        if isinstance(value, dict):
            return {key: mark(inner) for key, inner in value.items()}
        return [mark(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(mark(data), indent=1, sort_keys=True, ensure_ascii=False)
    return re.sub('"\\\\u0001(.*?)\\\\u0001"', lambda found: json.loads(f'"{found[1]}"'), text) + "\n"


def sealed(data: dict[str, Any]) -> bytes:
    """Write a manifest with its own digest put right, where it has a place for one."""
    return seal_text(to_text({**data, "manifest_sha256": "0" * 64} if "manifest_sha256" in data else data).encode())


def seal_text(text: bytes) -> bytes:
    """Put the digest of a manifest's bytes right: every place that looks like one is taken for it."""
    digest = hashlib.sha256(text).hexdigest().encode()
    return text.replace(b'"manifest_sha256": "' + b"0" * 64, b'"manifest_sha256": "' + digest)
