"""Helpers for every test folder, as fixtures: under ``--import-mode=importlib`` test files cannot import each other."""

import ctypes
import importlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import goldens, sharing
from weckd_edge.core import telemetry

_HERE = Path(__file__).parent

# All are read when torch and timm are imported: tests run side by side, none may wait for a network, and cuBLAS is to add in
# one order.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
telemetry.switch_off_telemetry()  # tests import the libraries themselves too

if importlib.util.find_spec("hypothesis") is not None:
    from hypothesis import HealthCheck, settings

    # The same examples in every run, however busy the machine is.
    settings.register_profile("here", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("here")

# A shell lets what it starts in the background ignore Ctrl-C, and every program started from here would too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup lets them ignore the end of their terminal


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by its name
    spec.loader.exec_module(module)
    return module


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="Write the golden files anew instead of comparing.")


def _last_start(began: float, now: float) -> float:
    """Return when the last test of a check may start, in seconds since 1970.

    Args:
        began: When the check began. What comes behind the tests takes about as long as what came before them.
        now: When the tests begin.
    """
    return began + CHECK_S - (now - began)


CHECK_S = 18 * 60
"""Time that a whole check takes at most, about, seconds."""

_ENDS = _last_start(float(os.environ.get("CHECK_BEGAN", "inf")), time.time())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, on a slow machine, what no time is left for in a check that began when ``CHECK_BEGAN`` says."""
    if time.time() > _ENDS:
        pytest.skip(LEFT_OUT)


LEFT_OUT = "no time is left on this machine: see CHECK_BEGAN in tests/conftest.py"


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were left out for time, so that a check that passes does not seem to be a whole one."""
    stats = terminalreporter.stats
    out = sum(LEFT_OUT in str(report.longrepr) for report in stats.get("skipped", []))
    if out:
        whole = sum(len(stats.get(kind, [])) for kind in ("passed", "failed", "error", "skipped", "xfailed"))
        terminalreporter.write_line(f"{out} of {whole} tests were left out: no time was left for them on this machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a whole check, draw the order of the groups of tests, so that none is always left out: ``support/sharing.py``."""
    began = os.environ.get("CHECK_BEGAN")
    if began is not None:
        ranks = sharing.ranks_of((item.nodeid for item in items), began)
        items.sort(key=lambda item: ranks[sharing.group_of(item.nodeid)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out tests in groups that share a build, unless ``--dist`` asks for something else: ``support/sharing.py``."""
    return sharing.make_scheduler(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file; with ``--update-goldens``, write the file instead: see ``support/goldens.py``."""
    return goldens.update if request.config.getoption("--update-goldens") else goldens.compare


@pytest.fixture(scope="session")
def machines() -> ModuleType:
    """Folders that look like ``/`` of some machine: see ``support/machines/machines.py``."""
    return importlib.import_module("support.machines.machines")


@pytest.fixture(scope="session")
def fake_jetson() -> ModuleType:
    """A folder that looks like ``/`` of a Jetson, by board and JetPack: see ``support/machines/fake_jetson.py``."""
    return importlib.import_module("support.machines.fake_jetson")


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """A toy graph and bundles of it: see ``support/bundles/toy.py``."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return importlib.import_module("support.bundles.toy")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The library for pixels, compiled of the sources that lie here: see ``support/compiled.py``."""
    module = importlib.import_module("support.compiled")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    library: ctypes.CDLL = module.build(tmp_path_factory.mktemp("compiled"))
    return library


@pytest.fixture
def frames_by_compiled(compiled: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Frames are computed by the compiled library, whatever is installed."""
    yield from _frames_by(compiled, monkeypatch)


@pytest.fixture
def frames_by_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Frames are computed by NumPy, whatever is installed."""
    yield from _frames_by(None, monkeypatch)


def _frames_by(library: ctypes.CDLL | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = importlib.import_module("weckd_edge.devices.native.library")

    def opened() -> ctypes.CDLL:
        if library is None:
            raise module.MissingLibrary("a test took it away")
        return library

    monkeypatch.setattr(module, "open_library", opened)
    module.pixels_library.cache_clear()
    yield
    module.pixels_library.cache_clear()


@pytest.fixture(scope="session")
def crafted() -> ModuleType:
    """Image files that are none, or claim too much: see ``support/crafted_images.py``."""
    return importlib.import_module("support.crafted_images")


@pytest.fixture(scope="session")
def crafted_bundles() -> ModuleType:
    """Parts of bundles that are shown to both readers: see ``support/bundles/crafted_bundles.py``."""
    return importlib.import_module("support.bundles.crafted_bundles")


@pytest.fixture(scope="session")
def choices() -> ModuleType:
    """What a device chose to run: see ``support/bundles/choices.py``."""
    return importlib.import_module("support.bundles.choices")


@pytest.fixture(scope="session")
def outside() -> ModuleType:
    """Graphs that take data from outside their file: see ``support/graphs/outside.py``."""
    pytest.importorskip("onnx")
    return importlib.import_module("support.graphs.outside")


@pytest.fixture(scope="session")
def readers() -> ModuleType:
    """The C library's reader and Python's, side by side: see ``support/firmware/readers.py``."""
    return importlib.import_module("support.firmware.readers")


@pytest.fixture(scope="session")
def sshd() -> ModuleType:
    """Real ssh servers on loopback: see ``support/programs/sshd.py``."""
    pytest.importorskip("asyncssh")
    module = importlib.import_module("support.programs.sshd")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    return module


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A running PostgreSQL server: see ``support/programs/postgres.py``."""
    pytest.importorskip("psycopg", reason="PostgreSQL is reached by weckd-edge[postgres]")
    module = importlib.import_module("support.programs.postgres")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    with module.Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def lanes() -> Iterator[Any]:
    """Command lines beside each other, as on several machines: see ``support/programs/lanes.py``."""
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    with importlib.import_module("support.programs.lanes").Lanes() as lanes:
        yield lanes


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """Toy torch networks, frames, and their graphs: see ``support/training/networks.py``."""
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    return importlib.import_module("support.training.networks")


@pytest.fixture(scope="session")
def onnx_toys() -> ModuleType:
    """Small random ONNX classifiers in the form of each opset: see ``support/graphs/onnx_toys.py``."""
    pytest.importorskip("onnx")
    return importlib.import_module("support.graphs.onnx_toys")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for ``libcudart``, found in place of a real one: see ``support/machines/stand_ins/cuda_runtime.py``."""
    module = _load("weckd_tests_cuda_runtime", _HERE / "support/machines/stand_ins/cuda_runtime.py")
    real = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name, *args, **kw: module.load(name) or real(name, *args, **kw))
    return module


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, cuda: ModuleType) -> ModuleType:
    """A stand-in for the binding ``tensorrt`` 10.3.0, with its CUDA: see ``support/machines/stand_ins/tensorrt.py``."""
    pytest.importorskip("onnxruntime")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    module = _load("tensorrt", _HERE / "support/machines/stand_ins/tensorrt.py")
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run the command line as the installed script does; return the exit code, stdout and stderr.

    An error that nobody has foreseen is raised here, where the command line would make one line of it.
    """
    from weckd_edge.cli.main import main

    def raise_defect(err: Exception, stdout: object) -> None:
        raise err

    monkeypatch.setattr("weckd_edge.cli.main.report_defect", raise_defect)

    def run(*args: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    return run


@pytest.fixture
def ears(tmp_path: Path) -> Path:
    """Twelve dark and twelve light pictures, each unlike the others: a data set that is read in no time."""
    import numpy as np
    from PIL import Image

    root = tmp_path / "ears"
    for c, label in enumerate(("dark", "light")):
        (root / label).mkdir(parents=True)
        for i in range(12):
            cells = np.random.default_rng(100 * c + i).integers(120 * c, 120 * c + 130, (5, 5, 3), np.uint8)
            Image.fromarray(cells).resize((40, 36), Image.Resampling.BICUBIC).save(root / label / f"{i}.png")
    return root


@pytest.fixture
def watch(tmp_path: Path) -> Any:
    """Programs that are watched in an empty home folder: see ``support/programs/watching.py``."""
    module = importlib.import_module("support.programs.watching")
    reason = module.missing()
    if reason is not None:
        pytest.skip(f"no program can be watched: {reason}")
    return module.Watch(tmp_path / "watched")


@pytest.fixture(scope="session")
def firmware() -> ModuleType:
    """What builds the C library: see ``support/firmware/library.py``."""
    module = importlib.import_module("support.firmware.library")
    reason = module.missing()
    if reason is not None:
        pytest.skip(f"the C library cannot be built here: {reason}")
    return module


@pytest.fixture(scope="session")
def update_support() -> ModuleType:
    """What calls ``weckd-update``: see ``support/firmware/updates.py``."""
    return importlib.import_module("support.firmware.updates")


@pytest.fixture(scope="session")
def browser_support() -> ModuleType:
    """What drives a headless Chromium: see ``support/programs/browser.py``."""
    module = importlib.import_module("support.programs.browser")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    return module


@pytest.fixture(scope="module")
def browser(browser_support: ModuleType) -> Iterator[Any]:
    """A running Chromium: ``with browser.tab() as tab``."""
    with browser_support.running() as running:
        yield running
