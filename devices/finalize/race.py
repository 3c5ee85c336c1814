"""Models of a bundle are tested one by one, and those that pass are timed in turn, each time in a process of its own.

Nothing that a library does there can end the caller: a process that is killed, hangs or fails costs its model the race.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import weckd_edge
from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import DeviceError
from weckd_edge.core.serialization import from_data, from_json, parse_json
from weckd_edge.devices.finalize.worker import NOTHING
from weckd_edge.devices.runtime.verify_bundle import SelfTest

_CODE = (  # ours first, as another version may be installed; behind everything else for whatever is imported next
    "import sys; sys.path.insert(0, {package!r}); import weckd_edge; sys.path.append(sys.path.pop(0)); "
    "from weckd_edge.devices.finalize.worker import main; main()"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RaceRules:
    """Threads of a query, and how long the processes of a race may take.

    Attributes:
        threads: Processor threads that one query may use.
        test_limit_s: Longest time to open a model and run the golden frames, seconds.
        time_limit_s: Longest time to time all models in turn, seconds.
    """

    threads: int = 1
    test_limit_s: float = 300.0
    time_limit_s: float = 1800.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ended:
    """How a process ended.

    Attributes:
        result: What it wrote; None where it wrote nothing.
        reason: Why it wrote nothing, in words.
        at_work: Number of the model that it was working on; None where it had not begun with one.
    """

    result: bytes | None
    reason: str = ""
    at_work: int | None = None


def check_in_process(bundle: Bundle, model: BuiltModel, rules: RaceRules) -> SelfTest:
    """Run the golden frames through a model of a bundle, in a process of its own."""
    ended = _run("test", bundle, [model], rules.threads, rules.test_limit_s)
    if ended.result is None:
        return SelfTest(backend=model.backend, precision=model.precision, passed=False, reason=ended.reason)
    return from_json(SelfTest, ended.result, where="the result of a self-test", error=DeviceError)


def time_in_process(
    bundle: Bundle, models: Sequence[BuiltModel], rules: RaceRules
) -> tuple[dict[str, float], dict[str, str]]:
    """Time models of a bundle in turn, in one process; without those that end it.

    Returns:
        Median time of one golden frame by model, nanoseconds; and by model why others have none.

    Raises:
        DeviceError: The process ends before it has begun with any model.
    """
    left, dropped = list(models), dict[str, str]()
    while left:
        ended = _run("time", bundle, left, rules.threads, rules.time_limit_s)
        if ended.result is not None:
            data = parse_json(ended.result, where="the times of a race", error=DeviceError)
            return from_data(dict[str, float], data, where="the times of a race", error=DeviceError), dropped
        if ended.at_work is None:
            raise DeviceError(f"{bundle.folder}: its models cannot be timed here ({ended.reason})", code="E_DEVICE_RACE")
        dropped[left.pop(ended.at_work).name] = f"while it was timed, {ended.reason}"
    return {}, dropped


def _run(what: str, bundle: Bundle, models: Sequence[BuiltModel], threads: int, limit_s: float) -> _Ended:
    numbers = [str(bundle.manifest.models.index(model)) for model in models]
    package = Path(weckd_edge.__file__).parent.parent
    with tempfile.TemporaryDirectory(prefix="weckd-finalize-") as folder:
        out, marker, words = (Path(folder) / name for name in ("result.json", "at", "stderr"))
        marker.write_bytes(bytes([NOTHING]))
        command = [sys.executable, "-c", _CODE.format(package=str(package)), what, str(bundle.folder.resolve())]
        command += [bundle.manifest.manifest_sha256, str(threads), str(out), str(marker), *numbers]
        reason = ""
        with words.open("wb") as err:
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=err, stderr=err, timeout=limit_s, check=False
                )
            except subprocess.TimeoutExpired:
                reason = f"its process took longer than {limit_s:g} s"
            else:
                reason = _why(done.returncode, words)
        at_work = marker.read_bytes()[0]
        result = out.read_bytes() if out.is_file() and not reason else None
    return _Ended(result=result, reason=reason, at_work=None if at_work == NOTHING else at_work)


def _why(code: int, words: Path) -> str:
    """Return why a process failed, in words; empty where it did not."""
    if code == 0:
        return ""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        memory = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"its process was killed by signal {name}{memory}"
    lines = words.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
    return f"its process failed ({lines[-1][:300]})"
