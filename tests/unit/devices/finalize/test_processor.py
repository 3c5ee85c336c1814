"""A processor's choice on recorded boards: what a race finds is told by the test, what becomes of it is the product's."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import pytest

from support.errors import raises
from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.core.errors import ConfigError, DeviceError, StoreError
from weckd_edge.core.store import Workspace, file_ref
from weckd_edge.devices.finalize import processor
from weckd_edge.devices.finalize.finalize import FinalizeOptions, finalize, roll_back
from weckd_edge.devices.machine.processor import ProcessorIdentity, read_processor
from weckd_edge.devices.runtime.device_choice import Finalized, find_choice, named_choice
from weckd_edge.devices.runtime.model_choice import choose_model, find_running
from weckd_edge.devices.runtime.verify_bundle import SelfTest

INT8, ORT, ORT32 = "openvino int8", "onnxruntime int8", "onnxruntime fp32"
BOARDS = ("raspberry-pi-4", "raspberry-pi-5", "nxp-imx8mp", "nxp-imx93", "rockchip-rk3588", "intel-n100")


@dataclass
class Board:
    """A bundle on a recorded board, and what its models do there: difference of a probability, and time of a frame."""

    root: Path
    bundle: Bundle
    machines: ModuleType
    times: dict[str, float] = field(default_factory=lambda: {INT8: 3e6, ORT: 1e6, ORT32: 2e6})
    wrong: set[str] = field(default_factory=set)
    dies: set[str] = field(default_factory=set)
    tested: list[str] = field(default_factory=list)

    def check(self, bundle: Bundle, model: object, rules: object) -> SelfTest:
        name = model.name  # type: ignore[attr-defined]  # an entry of the manifest
        self.tested.append(name)
        backend, precision = name.split()
        found = SelfTest(backend=backend, precision=precision, frames=4, max_abs=1e-5, flips=0, tolerance=1e-3, passed=True)
        return replace(found, max_abs=0.5, passed=False, reason="differs") if name in self.wrong else found

    def time(self, bundle: Bundle, models: list[object], rules: object) -> tuple[dict[str, float], dict[str, str]]:
        names = [model.name for model in models]  # type: ignore[attr-defined]  # as above
        lost = {name: "while it was timed, its process was killed" for name in names if name in self.dies}
        return {name: self.times[name] for name in names if name not in lost}, lost

    def finalize(self, **options: bool) -> Finalized:
        return finalize(open_bundle(self.bundle.folder), root=self.root, options=FinalizeOptions(**options))

    @property
    def kept(self) -> bytes:
        return (self.bundle.folder / "device/choice.json").read_bytes()

    def chosen(self) -> tuple[str, bool]:
        found = find_running(open_bundle(self.bundle.folder), root=self.root)
        return found.name, found.by_device


def write_bundle(toy: ModuleType, folder: Path, seed: int = 0) -> Bundle:
    toy.write_graph(folder / "model/model.onnx", takes="frame", seed=seed)
    entry = toy.of_graph("onnxruntime", file_ref(folder, folder / "model/model.onnx"), "fp32")
    bundle: Bundle = toy.write_bundle(folder, models=(entry,), backends=("openvino", "onnxruntime"))
    return bundle


@pytest.fixture
def board(toy: ModuleType, machines: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A Raspberry Pi 5 whose clock does not move, with a bundle that lists three models."""
    root = machines.raspberry_pi_5(tmp_path / "root")
    machines.set_governors(root, *["performance"] * 4)
    made = Board(root=root, bundle=write_bundle(toy, tmp_path / "bundle"), machines=machines)
    monkeypatch.setattr(processor, "check_in_process", made.check)
    monkeypatch.setattr(processor, "time_in_process", made.time)
    return made


def test_the_fastest_model_that_passes_is_put_in_use_and_followed(board: Board) -> None:
    assert board.chosen() == (ORT32, False)
    done = board.finalize()
    choice, identity = done.choice, done.choice.identity
    assert (choice.name, done.reused, done.warnings, choice.previous) == (ORT, False, (), None)
    assert (choice.frames, choice.flips, choice.tolerance, choice.takes) == (4, 0, 1e-3, "frame")
    assert choice.latency_ns == board.times
    assert set(choice.left_out) == {INT8, ORT32}
    assert "1.000 ms" in choice.left_out[INT8]
    assert isinstance(identity, ProcessorIdentity)
    assert choice.key == identity.key()
    assert identity.processor == read_processor(board.root)
    assert (identity.power_state, identity.threads) == ("governor performance", 1)
    assert set(identity.libraries) == {"weckd-edge", "openvino", "onnxruntime"}
    assert find_choice(open_bundle(board.bundle.folder), board.root).choice == choice
    assert board.chosen() == (ORT, True)


def test_what_was_sealed_is_still_whole_and_nothing_half_made_is_left(board: Board) -> None:
    board.finalize()
    assert open_bundle(board.bundle.folder).manifest == board.bundle.manifest
    assert not [path for path in (board.bundle.folder / "device").rglob("*") if path.suffix in (".tmp", ".old")]


def test_a_model_that_predicts_otherwise_is_left_out_however_fast_it_is(board: Board) -> None:
    board.wrong = {ORT}
    done = board.finalize()
    assert done.choice.name == ORT32
    assert ORT not in done.choice.latency_ns
    assert done.choice.left_out[ORT] == "differs"
    assert done.warnings == (f"{ORT} is left out: differs",)


def test_of_two_that_are_equally_fast_the_first_of_the_bundle_is_chosen(board: Board) -> None:
    board.times = dict.fromkeys(board.times, 1e6)
    assert board.finalize().choice.name == board.bundle.manifest.models[0].name


def test_a_second_call_tests_the_choice_and_measures_nothing(board: Board) -> None:
    first = board.finalize()
    board.tested.clear()
    board.times = {INT8: 1.0, ORT: 9.0, ORT32: 9.0}
    second = board.finalize()
    assert (second.reused, second.choice, board.tested) == (True, first.choice, [ORT])
    assert (board.finalize(again=True).choice.name, len(board.tested)) == (INT8, 4)


def test_another_power_state_is_measured_anew_and_going_back_measures_nothing(board: Board) -> None:
    first = board.finalize().choice
    board.machines.set_governors(board.root, *["schedutil"] * 4)
    board.times = {INT8: 1.0, ORT: 9.0, ORT32: 9.0}
    second = board.finalize()
    assert (second.reused, second.choice.name, second.choice.previous) == (False, INT8, first.key)
    assert any("governor is schedutil" in warning for warning in second.warnings)
    board.machines.set_governors(board.root, *["performance"] * 4)
    third = board.finalize()
    assert (third.reused, third.choice.name, third.choice.previous) == (True, ORT, second.choice.key)


def test_rolling_back_puts_the_choice_before_in_use_after_a_test(board: Board) -> None:
    first = board.finalize().choice
    with raises(DeviceError, "E_DEVICE_NO_CHOICE"):
        roll_back(open_bundle(board.bundle.folder), root=board.root)
    board.machines.set_governors(board.root, *["schedutil"] * 4)
    board.times = {INT8: 1.0, ORT: 9.0, ORT32: 9.0}
    second = board.finalize().choice
    board.wrong = {ORT}
    kept = board.kept
    with raises(DeviceError, "E_DEVICE_SELFTEST", says=ORT):
        roll_back(open_bundle(board.bundle.folder), root=board.root)
    assert board.kept == kept
    board.wrong = set()
    back = roll_back(open_bundle(board.bundle.folder), root=board.root)
    assert (back.name, back.key, back.previous) == (ORT, first.key, second.key)
    assert board.chosen() == (ORT, True)
    assert roll_back(open_bundle(board.bundle.folder), root=board.root).key == second.key


def test_a_kept_choice_that_fails_now_is_raced_again(board: Board) -> None:
    board.finalize()
    board.wrong = {ORT}
    done = board.finalize()
    assert (done.reused, done.choice.name) == (False, ORT32)


def test_where_no_model_passes_the_choice_in_use_stays(board: Board) -> None:
    board.finalize()
    kept = board.kept
    board.wrong = {INT8, ORT, ORT32}
    with raises(DeviceError, "E_DEVICE_SELFTEST", says=(INT8, ORT, ORT32)):
        board.finalize()
    assert board.kept == kept


def test_a_model_that_dies_while_it_is_timed_is_left_out_and_not_tried_again(board: Board) -> None:
    board.dies = {ORT}
    first = board.finalize()
    assert (first.choice.name, "killed" in first.choice.left_out[ORT]) == (ORT32, True)
    assert any(ORT in warning for warning in first.warnings)
    (board.bundle.folder / "device/choice.json").unlink()
    for path in (board.bundle.folder / "device/choices").iterdir():
        path.unlink()
    board.dies = set()
    board.tested.clear()
    again = board.finalize()
    assert (again.choice.name, board.tested) == (ORT32, [])
    assert "killed" in again.choice.left_out[ORT]
    assert board.finalize(again=True).choice.name == ORT


_KILLED = """
    import os, sys
    from pathlib import Path
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.finalize import processor
    from weckd_edge.devices.runtime.verify_bundle import SelfTest

    folder, root, where = sys.argv[1:]
    tested = []

    def check(bundle, model, rules):
        tested.append(model.name)
        if where == "test" and len(tested) == 2:
            os.kill(os.getpid(), 9)
        return SelfTest(backend=model.backend, precision=model.precision, frames=4, max_abs=0.0, flips=0, passed=True)

    def time(bundle, models, rules):
        if where == "time":
            os.kill(os.getpid(), 9)
        return {model.name: 1.0 for model in models}, {}

    processor.check_in_process, processor.time_in_process = check, time
    if where == "swap":
        processor.put_in_use = lambda *args: os.kill(os.getpid(), 9)
    processor.finalize_processor(open_bundle(Path(folder)), root=Path(root))
"""


@pytest.mark.parametrize(("where", "left"), [("test", 2), ("time", 0), ("swap", 0)])
def test_a_killed_race_leaves_the_choice_in_use_and_tests_nothing_twice(board: Board, where: str, left: int) -> None:
    board.finalize()
    kept = board.kept
    board.machines.set_governors(board.root, *["schedutil"] * 4)
    arguments = [sys.executable, "-c", textwrap.dedent(_KILLED), str(board.bundle.folder), str(board.root), where]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert (killed.returncode, killed.stderr) == (-9, "")
    assert board.kept == kept
    board.tested.clear()
    done = board.finalize()
    assert (done.reused, done.choice.name, len(board.tested)) == (False, ORT, left)


def test_two_at_once_are_refused(board: Board) -> None:
    with Workspace(board.bundle.folder / "device").locked(), raises(StoreError, "E_STORE_LOCKED"):
        board.finalize()


def test_a_folder_that_cannot_be_written_is_reported_and_nothing_is_tested(board: Board) -> None:
    (board.bundle.folder / "device").write_text("no folder")
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        board.finalize()
    assert board.tested == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_bundle_is_reported_and_nothing_is_tested(board: Board) -> None:
    board.bundle.folder.chmod(0o555)
    try:
        with raises(StoreError, "E_STORE_UNWRITABLE"):
            board.finalize()
    finally:
        board.bundle.folder.chmod(0o755)
    assert board.tested == []


def test_a_folder_that_was_copied_to_another_board_falls_back_to_the_bundles_order(board: Board, tmp_path: Path) -> None:
    foreign = board.finalize().choice
    board.root = board.machines.board(tmp_path / "other", "raspberry-pi-4")
    found = find_running(open_bundle(board.bundle.folder), root=board.root)
    assert (found.name, found.by_device) == (ORT32, False)
    assert found.note is not None
    assert "Raspberry Pi 5" in found.note
    assert "Raspberry Pi 4" in found.note
    done = board.finalize()
    assert (done.reused, done.choice.previous) == (False, None)
    assert any("Raspberry Pi 5" in warning for warning in done.warnings)
    assert done.choice.key != foreign.key
    assert board.chosen() == (ORT, True)


def _other_library(record: dict[str, object]) -> None:
    record["identity"]["libraries"]["onnxruntime"] = "0.1"  # type: ignore[index]  # the record is plain JSON


def _other_manifest(record: dict[str, object]) -> None:
    record["identity"]["manifest_sha256"] = "0" * 64  # type: ignore[index]  # the record is plain JSON


CHANGES: dict[str, Callable[[dict[str, object]], None]] = {
    "another version of the library": _other_library,
    "another bundle": _other_manifest,
    "a wider tolerance": lambda record: record.update(tolerance=0.4),
    "another graph": lambda record: record.update(graph_sha256="0" * 64),
    "a model that is not listed": lambda record: record.update(precision="fp16"),
    "an unknown key": lambda record: record.update(more=1),
    "another schema": lambda record: record.update(schema_version=2),
    "no input": lambda record: record.pop("takes"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_choice_that_does_not_hold_here_is_not_followed(board: Board, change: Callable[[dict[str, object]], None]) -> None:
    board.finalize()
    path = board.bundle.folder / "device/choice.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert board.chosen() == (ORT32, False)


def test_a_choice_of_files_outside_the_bundle_is_not_followed(board: Board, tmp_path: Path) -> None:
    board.finalize()
    path = board.bundle.folder / "device/choice.json"
    record = json.loads(path.read_text())
    record["files"][0]["path"] = "../bundle/model/model.onnx"
    path.write_text(json.dumps(record))
    assert board.chosen() == (ORT32, False)


def test_another_backend_than_the_chosen_one_can_still_be_asked_for(board: Board) -> None:
    board.finalize()
    bundle = open_bundle(board.bundle.folder)
    assert choose_model(bundle, "openvino", root=board.root).name == INT8
    assert choose_model(bundle, "onnxruntime", root=board.root).name == ORT
    assert choose_model(bundle, "onnxruntime", "fp32", root=board.root).name == ORT32


@pytest.mark.parametrize("name", BOARDS)
def test_every_recorded_board_has_a_choice_of_its_own(board: Board, tmp_path: Path, name: str) -> None:
    here = board.finalize().choice.identity
    board.root = board.machines.board(tmp_path / name, name)
    done = board.finalize()
    assert isinstance(done.choice.identity, ProcessorIdentity)
    assert (done.choice.key == here.key()) is False
    assert board.chosen() == (ORT, True)
    assert any("no clock governor" in warning for warning in done.warnings)


def test_options_of_the_other_kind_of_device_are_refused(board: Board, toy: ModuleType, tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="--dla"):
        board.finalize(dla=True)
    jetson = toy.write_bundle(tmp_path / "jetson", device="jetson-orin-nano-8gb")
    with raises(ConfigError, "E_CONFIG_OPTION_UNUSED", says="--threads"):
        finalize(jetson, root=board.root, options=FinalizeOptions(threads=2))
    assert named_choice(board.bundle.folder) is None


def test_the_doctor_says_which_model_of_a_bundle_predicts(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    from weckd_edge.devices.doctor import bundle_state

    monkeypatch.setattr(bundle_state, "find_running", lambda bundle: find_running(bundle, root=board.root))
    before = bundle_state.read_bundle_state(board.bundle)
    assert (str(before.running), "finalize" in str(before.hint)) == (ORT32, True)
    board.finalize()
    after = bundle_state.read_bundle_state(open_bundle(board.bundle.folder))
    assert (str(after.running), after.reason, after.hint) == (f"{ORT}, chosen on this device", None, None)


def test_the_command_says_the_choice_the_times_and_the_warnings(
    board: Board, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    board.wrong = {ORT32}
    code, out, err = run("finalize", board.bundle.folder, "--quiet", "--threads", "2")
    assert (code, "onnxruntime int8" in out, "1.000" in out) == (0, True, True)
    assert f"warning: {ORT32} is left out: differs" in err
    code, out, _ = run("finalize", board.bundle.folder, "--quiet", "--json")
    found = json.loads(out)
    assert found.keys() == {"bundle", "reused", "warnings", "choice"}
    assert (found["choice"]["identity"]["threads"], found["reused"]) == (1, False)
    code, out, _ = run("finalize", board.bundle.folder, "--rollback", "--quiet", "--json")
    assert json.loads(out)["choice"]["identity"]["threads"] == 2
    code, _, err = run("finalize", board.bundle.folder, "--rollback", "--again")
    assert (code, "--rollback builds and measures nothing" in err) == (2, True)
