"""Nothing that this package starts or is loaded into reports to anybody, looks a name up or leaves a file behind."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core import telemetry

ROOT = Path(__file__).parents[4]
WECKD = (sys.executable, "-m", "weckd_edge")


@pytest.fixture
def bundle(toy: ModuleType, watch: Any) -> Bundle:
    """A toy bundle where watched programs may work, and a picture beside it."""
    Image.fromarray(toy.frames()[0]).save(watch.work / "ear.png")
    found: Bundle = toy.write_bundle(watch.work / "bundle")
    return found


def python(code: str, *more: object) -> tuple[object, ...]:
    return (sys.executable, "-c", code, *more)


# The switch


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("", "1"), ("yes", "1"), ("1", "1"), ("0", "0")])
def test_every_variable_is_1_unless_somebody_wrote_0(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in telemetry.VARIABLES:
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
    telemetry.switch_off_telemetry()
    assert {os.environ[name] for name in telemetry.VARIABLES} == {after}


def test_a_module_that_sends_cannot_be_imported_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    telemetry.switch_off_telemetry()
    with pytest.raises(ModuleNotFoundError):
        __import__("openvino_telemetry")


def test_a_module_that_a_program_imported_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    telemetry.switch_off_telemetry()
    assert sys.modules["openvino_telemetry"] is theirs


def test_a_program_that_only_imports_the_package_is_left_as_it_is() -> None:
    code = (
        "import os, sys; before = dict(os.environ); import weckd_edge, weckd_edge.core.optional_imports, "
        "weckd_edge.devices.runtime.predict, "
        "weckd_edge.devices.bench.bench, weckd_edge.cli.main; "
        "print(os.environ == before, 'openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)  # type: ignore[arg-type]  # all are text
    assert done.stdout.split() == ["True", "False"]


# The doors


def imports(path: Path) -> Iterator[str]:
    """Yield the top-level modules that a file imports by a statement when it runs, not only for type checkers."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]
        waiting.extend(ast.iter_child_nodes(node))


ALWAYS_THERE = {"weckd_edge", "click", "numpy", "PIL", "rich", "tomli", *sys.stdlib_module_names}
HARMLESS = {"torch", "google"}
"""Imported at the top of modules outside ``train``; they report nothing."""


@pytest.mark.parametrize("folder", ["weckd_edge", "compile", "devices"])
def test_every_optional_library_comes_in_through_require(folder: str) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "firmware" not in path.parts]
    assert len(files) > 20
    found = {(str(path.relative_to(ROOT)), name) for path in files for name in imports(path)}
    assert {(path, name) for path, name in found if name not in ALWAYS_THERE | HARMLESS} == set()


def test_training_imports_its_libraries_itself_and_so_switches_telemetry_off_first() -> None:
    code = "import os; import weckd_edge.train; print(os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    variables = {name: value for name, value in os.environ.items() if name not in telemetry.VARIABLES}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout.strip() == "1"
    assert list(imports(ROOT / "train/__init__.py")) == ["weckd_edge"]


@pytest.mark.parametrize("folder", ["train", "benchmarks"])
def test_what_reports_to_its_maker_is_imported_nowhere_else(folder: str) -> None:
    # What stands in peers/programs runs in environments of its own, and is no part of this project.
    files = [path for path in (ROOT / folder).rglob("*.py") if path.parent.name != "programs"]
    assert len(files) > 10
    reporting = {"onnxruntime", "openvino", "nncf", "mlflow", *telemetry.MODULES}
    found = {(path.name, name) for path in files for name in imports(path) if name in reporting}
    assert found == ({("mlflow_backend.py", "mlflow")} if folder == "train" else set())


# What is seen of a process


def test_a_program_that_does_not_keep_to_itself_is_seen(watch: Any) -> None:
    code = """
import os, pathlib, socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 53))
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).connect_ex(("2001:db8::1", 443))
with socket.socket() as here:
    here.bind(("127.0.0.1", 0))
open("/etc/resolv.conf").close()
pathlib.Path.home().joinpath("id").write_text("1")
passing = pathlib.Path(os.environ["XDG_CACHE_HOME"], "passing")
passing.mkdir()
passing.rmdir()
"""
    seen = watch.run(*python(code))
    assert [word for word in ("192.0.2.1", "2001:db8::1", "resolv.conf") if any(word in line for line in seen.reached)] == [
        "192.0.2.1",
        "2001:db8::1",
        "resolv.conf",
    ]
    assert not any("127.0.0.1" in line for line in seen.reached)
    assert {str(watch.home / "id"), str(watch.cache / "passing")} == set(seen.written)
    assert seen.left == (str(watch.home / "id"),)
    assert not seen.is_quiet


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_predict_keeps_to_itself(backend: str, bundle: Bundle, watch: Any) -> None:
    pytest.importorskip(backend)
    seen = watch.run(*WECKD, "predict", bundle.folder, watch.work / "ear.png", "--backend", backend)
    assert "ear.png" in seen.output
    assert seen.is_quiet, seen


def test_signing_and_verifying_on_every_backend_keep_to_themselves(bundle: Bundle, watch: Any) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("model_signing")
    sign = """
import pathlib, sys
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from weckd_edge.bundle.signing import sign
key = ec.generate_private_key(ec.SECP256R1())
private, public = pathlib.Path("key.pem"), pathlib.Path("key.pub")
private.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
public.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
sign(pathlib.Path(sys.argv[1]), private)
"""
    assert watch.run(*python(sign, bundle.folder)).is_quiet
    seen = watch.run(*WECKD, "verify", bundle.folder, "--key", "key.pub", "--json")
    assert '"signature": "valid"' in seen.output
    assert seen.output.count('"passed": true') == 3
    assert seen.is_quiet, seen


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_demo_keeps_to_itself(host: str, bundle: Bundle, watch: Any) -> None:
    pytest.importorskip("openvino")
    code = """
import pathlib, sys, threading, urllib.request
from weckd_edge.devices.demo.server import DemoServer
from weckd_edge.devices.demo.session import DemoSession
bundle, image, host = sys.argv[1:]
with DemoSession(pathlib.Path(bundle), backend="openvino") as session, DemoServer(session, host=host) as server:
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    place = f"http://127.0.0.1:{server.server_address[1]}/api/predict"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    print(opener.open(place, pathlib.Path(image).read_bytes()).read().decode())
    server.shutdown()
"""
    seen = watch.run(*python(code, bundle.folder, watch.work / "ear.png", host))
    assert "probabilities" in seen.output
    assert seen.is_quiet, seen


@pytest.mark.slow
def test_calibrating_with_nncf_and_what_trains_keep_to_themselves(bundle: Bundle, toy: ModuleType, watch: Any) -> None:
    for module in ("nncf", "openvino", "timm", "lightning_fabric", "optuna"):
        pytest.importorskip(module)
    np.save(watch.work / "frames.npy", toy.frames())
    code = """
import pathlib, sys
import numpy as np
import weckd_edge.train.distill.loop.engine, weckd_edge.train.distill.loop.distributed, weckd_edge.train.distill.trainer
from weckd_edge.config import LinkConfig
from weckd_edge.compile.backends import nncf_backend
from weckd_edge.train.networks.models import create_student
from weckd_edge.train.tuning.shared_storage import open_study
with open_study("sqlite:///study.db", "a", 0):
    pass
create_student(LinkConfig(model="lcnet_050", input_size=32), 2)
frames = [frame[None] for frame in np.load("frames.npy")]
print(nncf_backend.build_int8_ir(pathlib.Path(sys.argv[1]), frames, 4, None, pathlib.Path("ir").resolve()).precision)
"""
    (watch.work / "ir").mkdir()
    seen = watch.run(*python(code, bundle.folder / "model/model.onnx"))
    assert seen.output.endswith("int8\n")
    assert seen.is_quiet, seen


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["mlflow", "tensorboard"])
def test_logging_a_run_keeps_to_itself(tool: str, watch: Any) -> None:
    """MLflow by itself asks for config.mlflow-telemetry.io and writes an id to ~/.config/mlflow (3.17.2)."""
    pytest.importorskip(tool)
    code = """
import pathlib, sys, time
from weckd_edge.config import BuildConfig, TrainConfig
from weckd_edge.train.run_logging.open_run import open_run
logs, scratch = pathlib.Path("logs").resolve(), pathlib.Path("scratch").resolve()
scratch.mkdir()
with open_run("ear", BuildConfig(train=TrainConfig(log=sys.argv[1], log_dir=str(logs))), scratch) as run:
    curves = run.link("M1", {}, scratch)
    curves.start(0)
    curves.add(1, {"loss": 0.5})
    curves.end()
time.sleep(3)  # a report is sent by a thread
print(sorted(path.name.partition(".")[0] for path in logs.iterdir()))
"""
    seen = watch.run(*python(code, tool))
    assert {"mlflow": "'mlflow'", "tensorboard": "'ear'"}[tool] in seen.output
    assert "cannot be written" not in seen.output
    assert seen.is_quiet, seen


def test_a_bench_on_another_machine_keeps_to_itself(sshd: ModuleType, bundle: Bundle, watch: Any, tmp_path: Path) -> None:
    from weckd_edge.devices.bench.settings import BenchSettings
    from weckd_edge.devices.remote.asyncssh_backend import connect
    from weckd_edge.devices.remote.base import Access
    from weckd_edge.devices.remote.bench_request import BenchRequest
    from weckd_edge.devices.remote.hosts import Host
    from weckd_edge.devices.remote.many_hosts import bench_hosts

    key = sshd.make_key(tmp_path / "id")
    server = sshd.Sshd(tmp_path / "device", [key])
    try:
        (found,) = bench_hosts(
            bundle,
            [Host(name="127.0.0.1", user=server.user, port=server.port)],
            BenchRequest(
                settings=BenchSettings(generator="builtin", queries=64, warmup=3), backend="onnxruntime", power="none"
            ),
            access=Access(
                connect=connect,
                known_hosts=(server.known_hosts(),),
                identity=key,
                python=str(watch.wrapper(sys.executable)),
            ),
            out=tmp_path / "out",
        )
    finally:
        server.close()
    assert found.record.state == "finished", found.record.reason
    assert found.measurement.cold_start_ns > 0
    seen = watch.tell()
    assert seen.is_quiet, seen
