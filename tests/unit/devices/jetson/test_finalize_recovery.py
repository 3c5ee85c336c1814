"""Torn engines, killed processes and going back: the last good engine of a Jetson stays in use."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.machines.finalized import Jetson, one_line
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.core.errors import DeviceError, StoreError, WeckdError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, sha256_file
from weckd_edge.devices.jetson.engines import stored_engine
from weckd_edge.devices.jetson.finalize import finalize, roll_back
from weckd_edge.devices.runtime.model_choice import choose_model

TESTS = Path(__file__).parents[3]


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:-1] + b"\0", lambda data: b""])
def test_a_torn_or_changed_engine_is_built_again(jetson: Jetson, damage: Callable[[bytes], bytes]) -> None:
    first = jetson.finalize()
    engine = jetson.engine
    whole = engine.read_bytes()
    engine.write_bytes(damage(whole))
    assert jetson.choice is None
    second = jetson.finalize()
    assert (second.reused, second.choice.key, jetson.builds) == (False, first.choice.key, 2)
    assert jetson.choice == second.choice


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schema_version": 99}'])
def test_a_torn_record_is_written_again_without_a_build(jetson: Jetson, text: str) -> None:
    first = jetson.finalize()
    (jetson.bundle.folder / "device/choice.json").write_text(text)
    with raises(DeviceError, "E_DEVICE_NO_ENGINE"):
        choose_model(open_bundle(jetson.bundle.folder), "tensorrt")
    assert jetson.finalize().reused
    assert jetson.choice == first.choice


def test_a_torn_engine_does_not_cost_the_good_one_before_it(jetson: Jetson) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    jetson.engine.write_bytes(b"torn")
    rebuilt = jetson.finalize()
    assert rebuilt.choice.previous == good.key
    assert stored_engine(jetson.bundle.folder, good.key) is not None
    jetson.power_mode(1)
    assert jetson.finalize().reused


def test_a_third_engine_keeps_the_last_good_one_where_the_second_is_torn(jetson: Jetson) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    jetson.engine.write_bytes(b"torn")
    jetson.power_mode(0)
    third = jetson.finalize().choice
    assert third.previous == good.key
    assert jetson.engines() == {third.key[:16], good.key[:16]}


def test_a_record_of_another_key_in_the_place_of_an_engine_is_not_believed(jetson: Jetson) -> None:
    choice = jetson.finalize().choice
    folder = jetson.bundle.folder / "device/engines" / choice.key[:16]
    data = json.loads((folder / "engine.json").read_text())
    data["identity"]["tensorrt_version"] = "10.3.0.99"
    (folder / "engine.json").write_text(json.dumps(data))
    assert stored_engine(jetson.bundle.folder, choice.key) is None
    assert not jetson.finalize().reused


def test_a_kept_engine_that_no_longer_loads_is_built_again(jetson: Jetson) -> None:
    """The package manager may not tell the build number: the same key, and yet another TensorRT refuses the engine."""
    first = jetson.finalize()
    engine = jetson.engine
    stale = engine.read_bytes().replace(b'"10.3.0"', b'"10.2.9"')
    engine.write_bytes(stale)
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(first.choice.files[0].sha256, sha256_file(engine)))
    assert jetson.choice is not None
    second = jetson.finalize()
    assert (second.reused, second.choice.key, jetson.builds) == (False, first.choice.key, 2)
    assert jetson.engine.read_bytes() != stale


def test_a_kept_engine_that_predicts_differently_now_and_so_does_a_new_one_is_refused(jetson: Jetson) -> None:
    first = jetson.finalize()
    engine = jetson.engine
    engine.write_bytes(engine.read_bytes().replace(b'"error": 0.0', b'"error": 0.5'))
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(first.choice.files[0].sha256, sha256_file(engine)))
    kept = jetson.choice
    assert kept is not None
    jetson.trt.answer_error = 0.5
    with raises(DeviceError, "E_DEVICE_SELFTEST"):
        jetson.finalize()
    assert jetson.choice == kept


_KILLED = """
    import ctypes, importlib.util, os, sys
    from pathlib import Path

    def load(name, path):
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    tests, bundle, root, where = sys.argv[1:]
    cuda = load("weckd_tests_cuda_runtime", f"{tests}/support/machines/stand_ins/cuda_runtime.py")
    real = ctypes.CDLL
    ctypes.CDLL = lambda name, *args, **kw: cuda.load(name) or real(name, *args, **kw)
    trt = load("tensorrt", f"{tests}/support/machines/stand_ins/tensorrt.py")
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.jetson import finalize

    die = lambda *args, **kw: os._exit(137)
    if where == "build":
        trt.Builder.build_serialized_network = die
    elif where == "self-test":
        trt.IExecutionContext.execute_async_v3 = die
    elif where == "swap":
        finalize.put_in_use = die
    finalize.finalize(open_bundle(Path(bundle)), root=Path(root))
"""


@pytest.mark.parametrize("where", ["build", "self-test", "swap"])
def test_a_process_killed_in_the_middle_leaves_the_old_engine_in_use(jetson: Jetson, where: str) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)
    code = textwrap.dedent(_KILLED)
    arguments = [sys.executable, "-c", code, str(TESTS), str(jetson.bundle.folder), str(jetson.root), where]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=TESTS.parent, env=dict(os.environ))
    assert (killed.returncode, killed.stderr) == (137, "")
    assert jetson.choice == first.choice
    assert choose_model(open_bundle(jetson.bundle.folder)).model.path == str(jetson.engine)
    again = jetson.finalize()
    assert again.choice.previous == first.choice.key
    assert again.reused is (where == "swap")
    assert jetson.engines() == {first.choice.key[:16], again.choice.key[:16]}


def test_two_at_once_are_refused(jetson: Jetson) -> None:
    with Workspace(jetson.bundle.folder / "device").locked(), raises(StoreError, "E_STORE_LOCKED"):
        jetson.finalize()


def spoil(jetson: Jetson) -> None:
    """Make the engine in use one that loads and answers wrongly, with its digests in order."""
    engine = jetson.engine
    before = sha256_file(engine)
    engine.write_bytes(engine.read_bytes().replace(b'"error": 0.0', b'"error": 0.9'))
    for path in (jetson.bundle.folder / "device").rglob("*.json"):
        path.write_text(path.read_text().replace(before, sha256_file(engine)))


@pytest.mark.parametrize("failure", ["build", "self-test"])
def test_where_the_engine_in_use_fails_and_no_new_one_passes_the_last_good_one_comes_back(
    jetson: Jetson, failure: str
) -> None:
    good = jetson.finalize().choice
    jetson.power_mode(2)
    jetson.finalize()
    spoil(jetson)
    if failure == "build":
        jetson.trt.build_error = "no tactics"
    else:
        jetson.trt.answer_error = 0.9
    code = "E_MODEL_BACKEND_BUILD" if failure == "build" else "E_DEVICE_SELFTEST"
    with raises(WeckdError, code, says=("25W", "TensorRT 10.3.0.30")):
        jetson.finalize()
    choice = jetson.choice
    assert choice is not None
    assert (choice.key, choice.previous) == (good.key, None)
    assert jetson.engines() == {good.key[:16]}


def test_where_the_one_before_it_does_not_pass_either_nothing_is_changed(jetson: Jetson) -> None:
    jetson.finalize()
    spoil(jetson)
    jetson.power_mode(2)
    jetson.finalize()
    spoil(jetson)
    before = (jetson.bundle.folder / "device/choice.json").read_bytes()
    jetson.trt.answer_error = 0.9
    with one_line(DeviceError, "failed its self-test"):
        jetson.finalize()
    assert (jetson.bundle.folder / "device/choice.json").read_bytes() == before


def test_going_back_uses_the_engine_before_and_builds_nothing(jetson: Jetson) -> None:
    first = jetson.finalize().choice
    jetson.power_mode(2)
    second = jetson.finalize().choice
    choice = roll_back(open_bundle(jetson.bundle.folder), root=jetson.root)
    assert (choice.key, choice.previous, jetson.builds) == (first.key, second.key, 2)
    assert jetson.choice == choice
    assert roll_back(open_bundle(jetson.bundle.folder), root=jetson.root).key == second.key


def test_going_back_where_there_is_nothing_is_reported(jetson: Jetson) -> None:
    with one_line(DeviceError, "there is no engine before the one in use"):
        roll_back(jetson.bundle, root=jetson.root)
    jetson.finalize()
    with one_line(DeviceError, "there is no engine before the one in use"):
        roll_back(open_bundle(jetson.bundle.folder), root=jetson.root)


def test_an_interrupt_stops_the_builder_and_leaves_the_engine_in_use(jetson: Jetson) -> None:
    first = jetson.finalize()
    jetson.power_mode(2)

    class Pressed(SilentProgress):
        @contextmanager
        def task(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
            yield self

        def advance(self, steps: int = 1, **figures: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finalize(open_bundle(jetson.bundle.folder), root=jetson.root, progress=Pressed())
    assert jetson.choice == first.choice


def test_the_command_goes_back_and_refuses_contradictions(run: Callable[..., tuple[int, str, str]], jetson: Jetson) -> None:
    for arguments, told in (
        (("--rollback", "--dla"), "--rollback builds and measures nothing"),
        (("--gpu-fallback",), "--gpu-fallback is for --dla"),
    ):
        code, _, err = run("finalize", jetson.bundle.folder, *arguments)
        assert code == 2
        assert told in err
