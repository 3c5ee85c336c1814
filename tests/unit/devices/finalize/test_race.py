"""Races in real processes, whose libraries crash, hang and lie."""

import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from weckd_edge.artifacts import BuiltModel
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref
from weckd_edge.devices.finalize import worker
from weckd_edge.devices.finalize.finalize import finalize
from weckd_edge.devices.finalize.race import RaceRules, check_in_process, time_in_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")

Put = Callable[[str], None]
"""Puts a program in the place of ONNX Runtime."""

_DIES_LATER = """
    import os, signal, sys

    sys.path.remove(os.path.dirname(__file__))
    del sys.modules["onnxruntime"]
    import onnxruntime as real

    runs = 0

    class InferenceSession(real.InferenceSession):
        def run(self, *args, **options):
            global runs
            runs += 1
            if runs > 10:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().run(*args, **options)

    real.InferenceSession = InferenceSession
"""


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Bundle:
    """A bundle that OpenVINO and ONNX Runtime run."""
    pytest.importorskip("openvino")
    made: Bundle = toy.write_bundle(tmp_path / "bundle")
    return made


@pytest.fixture
def onnxruntime_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put a program in the place of ONNX Runtime, in every process that is started from now on."""

    def put(text: str) -> None:
        site = tmp_path / "site"
        site.mkdir()
        (site / "onnxruntime.py").write_text(textwrap.dedent(text))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))

    return put


def entry(bundle: Bundle, name: str) -> BuiltModel:
    return next(model for model in bundle.manifest.models if model.name == name)


def test_models_are_tested_and_timed_in_processes_of_their_own(bundle: Bundle, machines: ModuleType, tmp_path: Path) -> None:
    before = set(sys.modules)
    done = finalize(bundle, root=machines.raspberry_pi_5(tmp_path / "root"))
    choice = done.choice
    assert not {name for name in set(sys.modules) - before if name.startswith("openvino.")}
    assert set(choice.latency_ns) == {"openvino int8", "onnxruntime int8"}
    assert choice.latency_ns[choice.name] == min(choice.latency_ns.values()) > 0
    assert (choice.frames, choice.flips, choice.max_abs < 1e-3) == (4, 0, True)


def test_the_time_of_a_model_is_the_median_frames_and_not_the_fastest(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Uneven:
        """One frame of five is fast."""

        runs = 0

        def run(self, frame: object) -> None:
            self.runs += 1
            time.sleep(0.0005 if self.runs % worker.QUERIES == 0 else 0.005)

        def close(self) -> None:
            pass

    monkeypatch.setattr(worker, "open_frame_runner", lambda *_, **__: Uneven())
    monkeypatch.setattr(worker, "ROUNDS", (8, 8))
    model = bundle.manifest.models[0]
    with mmap.mmap(-1, 1) as at:
        found = worker._time(bundle, [model], 1, at)
    assert found[model.name] > 4_000_000


def test_a_library_whose_import_crashes_costs_its_model_the_race_alone(
    bundle: Bundle,
    onnxruntime_is: Put,
    machines: ModuleType,
    tmp_path: Path,
) -> None:
    onnxruntime_is("import ctypes; ctypes.string_at(0)")
    choice = finalize(bundle, root=machines.raspberry_pi_5(tmp_path / "root")).choice
    assert (choice.name, set(choice.latency_ns)) == ("openvino int8", {"openvino int8"})
    assert "SIGSEGV" in choice.left_out["onnxruntime int8"]


def test_a_process_that_hangs_is_stopped(bundle: Bundle, onnxruntime_is: Put) -> None:
    onnxruntime_is("import time; time.sleep(3600)")
    found = check_in_process(bundle, entry(bundle, "onnxruntime int8"), RaceRules(test_limit_s=3))
    assert (found.passed, found.frames) == (False, 0)
    assert "longer than 3 s" in str(found.reason)


def test_the_last_words_of_a_process_that_ends_itself_are_reported(
    bundle: Bundle,
    onnxruntime_is: Put,
) -> None:
    onnxruntime_is("import os, sys; print('no such instruction', file=sys.stderr, flush=True); os._exit(3)")
    found = check_in_process(bundle, entry(bundle, "onnxruntime int8"), RaceRules())
    assert (found.passed, "no such instruction" in str(found.reason)) == (False, True)


def test_a_broken_library_is_no_crash(bundle: Bundle, onnxruntime_is: Put) -> None:
    onnxruntime_is("raise ImportError('libgomp.so.1: cannot open shared object file')")
    found = check_in_process(bundle, entry(bundle, "onnxruntime int8"), RaceRules())
    assert (found.passed, "libgomp.so.1" in str(found.reason)) == (None, True)


def test_a_model_that_dies_while_it_is_timed_is_dropped_and_the_others_are_timed(
    bundle: Bundle,
    onnxruntime_is: Put,
) -> None:
    onnxruntime_is(_DIES_LATER)
    found = check_in_process(bundle, entry(bundle, "onnxruntime int8"), RaceRules())
    assert found.passed
    times, dropped = time_in_process(bundle, bundle.manifest.models, RaceRules())
    assert (set(times), set(dropped)) == ({"openvino int8"}, {"onnxruntime int8"})
    assert "SIGKILL" in dropped["onnxruntime int8"]


def test_a_model_with_other_golden_predictions_does_not_pass(bundle: Bundle) -> None:
    folder = bundle.folder
    ref = entry(bundle, "openvino int8").expected
    assert ref is not None
    np.save(folder / "selftest/other.npy", 1 - np.load(folder / ref.path))
    other = file_ref(folder, folder / "selftest/other.npy")
    models = tuple(replace(m, expected=other) if m.backend == "openvino" else m for m in bundle.manifest.models)
    seal(folder, replace(bundle.manifest, models=models, manifest_sha256=""))
    changed = open_bundle(folder)
    found = check_in_process(changed, entry(changed, "openvino int8"), RaceRules())
    assert (found.passed, found.frames) == (False, 4)
    assert found.max_abs is not None
    assert found.max_abs > 0.01


def test_the_process_of_a_model_ends_with_the_one_that_started_it(
    bundle: Bundle,
    onnxruntime_is: Put,
    tmp_path: Path,
) -> None:
    onnxruntime_is(f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(3600)")
    code = """
        import sys
        from pathlib import Path
        from weckd_edge.bundle.reader import open_bundle
        from weckd_edge.devices.finalize.race import RaceRules, check_in_process
        bundle = open_bundle(Path(sys.argv[1]))
        check_in_process(bundle, next(m for m in bundle.manifest.models if m.backend == "onnxruntime"), RaceRules())
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # what a killed process leaves behind
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(bundle.folder)], env=environment)
    try:
        child = int(_wait_for(tmp_path / "pid"))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and "Z" not in _state(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists() or "Z" in _state(child)


def _wait_for(path: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
