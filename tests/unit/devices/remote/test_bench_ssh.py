"""``bench --ssh`` against real ssh servers on loopback: what goes well, and every way in which it does not."""

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.compiled import compile_library
from support.errors import raises
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError, DeviceError, StoreError
from weckd_edge.core.serialization import from_json
from weckd_edge.devices.bench.folder import read_bench
from weckd_edge.devices.bench.power.table import METERS
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.bench.verdict import verdict_of
from weckd_edge.devices.native import sources
from weckd_edge.devices.remote import agent, base, device, host_session
from weckd_edge.devices.remote.base import Access, Finished, LostError, RefusedError
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.host_session import HostPlan, run_limit_s
from weckd_edge.devices.remote.hosts import Host, parse_hosts
from weckd_edge.devices.remote.many_hosts import HostLimits, bench_hosts
from weckd_edge.devices.remote.payload import code_files, make_payload
from weckd_edge.devices.remote.records import HostRecord, HostResult
from weckd_edge.devices.runtime.backends.table import BACKENDS

LONG = BenchRequest(
    settings=BenchSettings(rules="mobile", generator="builtin", warmup=3), backend="onnxruntime", power="none"
)
SHORT = replace(LONG, settings=replace(LONG.settings, rules="quick", queries=70))


@pytest.fixture(scope="module")
def key(sshd: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found: Path = sshd.make_key(tmp_path_factory.mktemp("key") / "id")
    return found


@pytest.fixture(scope="module")
def bundle(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    found: Bundle = toy.write_bundle(tmp_path_factory.mktemp("toy") / "bundle")
    return found


@pytest.fixture
def serve(sshd: ModuleType, key: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Start servers that end with the test, and hold that nothing of a bench is left on them."""
    with contextlib.ExitStack() as stack:

        def start(name: str = "device", **options: Any) -> Any:
            server = sshd.Sshd(tmp_path / name, [key], **options)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def remote(key: Path, bundle: Bundle, tmp_path: Path) -> Callable[..., tuple[HostResult, ...]]:
    """Bench on servers by the library."""
    from weckd_edge.devices.remote.asyncssh_backend import connect

    def remote(
        *servers: Any,
        request: BenchRequest = SHORT,
        known_hosts: tuple[Path, ...] | None = None,
        identity: Path = key,
        python: str = sys.executable,
        **limits: Any,
    ) -> tuple[HostResult, ...]:
        known = tuple(server.known_hosts() for server in servers) if known_hosts is None else known_hosts
        hosts = [Host(name=a, user=s.user, port=s.port) for s in servers for a in s.addresses]
        return bench_hosts(
            bundle if request.bundle is None else None,
            hosts,
            request,
            access=Access(connect=connect, known_hosts=known, identity=identity, python=python, keepalive_s=1.0),
            limits=HostLimits(**{"timeout_s": 20.0, **limits}),
            out=tmp_path / "out",
        )

    return remote


def wrapper(path: Path, text: str) -> str:
    """Write a shell script that stands for the device's Python."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def when_times_are_written(server: Any, then: Callable[[], None]) -> threading.Thread:
    """Do something once a bench there has written its first times."""

    def wait() -> None:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if any(p.stat().st_size for p in server.devices_temporary.glob("*/out/end_to_end.ns.partial")):
                    then()
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def gone(server: Any, within_s: float = 5.0) -> bool:
    """Tell whether neither a process nor a folder of a bench is left; ending takes a moment."""
    end = time.monotonic() + within_s
    while server.processes() or server.left_behind():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def failure(results: tuple[HostResult, ...]) -> str:
    (result,) = results
    assert (result.record.state, result.measurement) == ("failed", None)
    return str(result.record.reason)


# What goes well


def test_a_bundle_is_measured_on_another_machine_and_nothing_is_left_there(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    (found,) = remote(server)
    assert (found.record.state, found.record.reason) == ("finished", None)
    assert found.record.python == ".".join(map(str, sys.version_info[:3]))
    assert found.record.host_key.startswith("SHA256:")
    assert abs(found.record.clock_offset_ns) <= found.record.clock_uncertainty_ns + 50_000_000
    assert len(found.measurement.end_to_end.samples_ns) == 70
    folder = tmp_path / "out" / f"{server.user}@127.0.0.1_{server.port}"
    assert found.folder == folder
    assert read_bench(folder) == found.measurement
    kept = from_json(HostRecord, (folder / "remote.json").read_bytes(), where="remote.json", error=StoreError)
    assert kept == found.record
    assert gone(server)


def test_the_device_needs_nothing_but_python_numpy_and_a_backend(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    import numpy
    import onnxruntime

    venv.EnvBuilder(symlinks=True, with_pip=False).create(tmp_path / "env")
    python = str(tmp_path / "env/bin/python")
    (libraries,) = (tmp_path / "env").glob("lib/python*/site-packages")
    for module in (numpy, onnxruntime):
        place = Path(module.__file__).parent
        for path in (place, place.with_name(f"{place.name}.libs")):
            if path.exists():
                (libraries / path.name).symlink_to(path)
    probe = "import importlib.util as u; print([m for m in ('click', 'rich', 'PIL', 'weckd_edge') if u.find_spec(m)])"
    assert subprocess.run([python, "-Ic", probe], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    server = serve()
    (found,) = remote(server, python=python)
    assert (found.record.state, found.record.reason) == ("finished", None)


def test_a_bundle_that_lies_on_the_device_is_not_sent(
    serve: Callable[..., Any], remote: Callable[..., Any], bundle: Bundle
) -> None:
    (found,) = remote(serve(), request=replace(SHORT, bundle=str(bundle.folder)))
    assert found.record.state == "finished"
    assert bundle.folder.is_dir()


def test_a_device_that_finalizes_first_measures_what_it_has_chosen(
    serve: Callable[..., Any], remote: Callable[..., Any], bundle: Bundle
) -> None:
    server = serve()
    (found,) = remote(server, request=replace(SHORT, backend=None, finalize=True))
    assert (found.record.state, found.record.reason) == ("finished", None)
    assert found.measurement.by_device
    assert not (bundle.folder / "device").exists()
    assert gone(server)


@pytest.mark.slow
def test_twenty_hosts_are_measured_side_by_side_and_each_is_kept(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    first = serve("a", addresses=[f"127.0.0.{n}" for n in range(2, 12)])
    second = serve("b", addresses=[f"127.0.0.{n}" for n in range(12, 22)])
    found = remote(first, second, jobs=6, timeout_s=60.0)
    assert [result.record.state for result in found] == ["finished"] * 20
    assert len({result.folder for result in found}) == 20
    assert all(len(read_bench(result.folder).end_to_end.samples_ns) == 70 for result in found)
    assert gone(first)
    assert gone(second)


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_hosts_are_visited_at_once_than_allowed(jobs: int, bundle: Bundle) -> None:
    now, most = 0, 0

    async def connect(host: Host, access: Access) -> Any:
        nonlocal now, most
        now += 1
        for _ in range(100):  # everybody else who may log in does so meanwhile
            most = max(most, now)
            await asyncio.sleep(0)
        now -= 1
        raise RefusedError(f"{host.text}: refused", code="E_DEVICE_REMOTE_REFUSED")

    hosts = parse_hosts([f"device-{n}" for n in range(8)])
    access = Access(connect=connect, known_hosts=(Path("none"),))
    found = bench_hosts(bundle, hosts, SHORT, access=access, limits=HostLimits(jobs=jobs))
    assert [result.record.host for result in found] == [host.text for host in hosts]
    assert [result.record.reason for result in found] == ["refused"] * 8
    assert most == jobs
    assert [result.folder for result in found] == [None] * 8  # nobody asked for one


def test_the_command_prints_one_row_a_host_and_one_object_a_host(
    serve: Callable[..., Any], run: Callable[..., tuple[int, str, str]], bundle: Bundle, key: Path, tmp_path: Path
) -> None:
    server = serve()
    options = ("--known-hosts", server.known_hosts(), "--identity", key, "--remote-python", sys.executable, "-q")
    bench = ("bench", bundle.folder, "--queries", "70", "--backend", "onnxruntime", "--power", "none", *options)
    code, out, err = run(*bench, "--ssh", server.host(), "--out", tmp_path / "kept")
    assert code == 0, err
    assert server.host() in out
    assert "onnxruntime int8" in out
    assert f"Page: {tmp_path / 'kept'}" in out
    code, out, _ = run(*bench, "--ssh", f"{server.host()},nobody@127.0.0.1:1", "--json")
    assert code == 1
    good, bad = json.loads(out)
    assert (good["remote"]["state"], good["bench"]["end_to_end"]["samples"], good["folder"]) == ("finished", 70, None)
    assert (bad["remote"]["state"], bad["bench"]) == ("failed", None)
    assert "cannot be reached" in bad["remote"]["reason"]


# Who may log in where


def test_an_unknown_host_key_is_refused_with_the_line_to_type(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    trusted = tmp_path / "trusted"
    reason = failure(remote(server, known_hosts=(trusted,)))
    assert "is not known" in reason
    line = reason.partition("echo '")[2].partition("' >> ")[0]
    subprocess.run(reason.partition("; then: ")[2], shell=True, check=True)
    assert trusted.read_text().strip() == line == server.known_hosts().read_text().strip()
    assert "no-such-python" in failure(remote(server, known_hosts=(trusted,), python="no-such-python"))  # so we were let in


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_changed_host_key_is_refused(
    kind: str,
    serve: Callable[..., Any],
    remote: Callable[..., Any],
    sshd: ModuleType,
    key: Path,
    tmp_path: Path,
) -> None:
    server = serve()
    known = server.known_hosts(sshd.make_key(tmp_path / "other", kind))
    reason = failure(remote(server, known_hosts=(known,)))
    assert "NOT the one that is known" in reason
    assert f"ssh-keygen -f {known} -R '[127.0.0.1]:{server.port}'" in reason


def test_a_wrong_identity_is_refused(
    serve: Callable[..., Any], remote: Callable[..., Any], sshd: ModuleType, tmp_path: Path
) -> None:
    other = sshd.make_key(tmp_path / "stranger")
    reason = failure(remote(serve(), identity=other))
    assert f"the key {other} is not accepted there" in reason
    assert "--identity" in reason


def test_a_key_that_needs_a_passphrase_is_refused(
    serve: Callable[..., Any], remote: Callable[..., Any], sshd: ModuleType, tmp_path: Path
) -> None:
    locked = sshd.make_key(tmp_path / "locked", passphrase="secret")
    reason = failure(remote(serve(), identity=locked))
    assert f"{locked}: expected a private key without a passphrase" in reason


# What a device lacks


def test_a_device_without_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any]) -> None:
    server = serve()
    assert "expected Python as 'no-such-python', found none" in failure(remote(server, python="no-such-python"))


def test_a_login_shell_that_talks_changes_nothing(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    python = wrapper(tmp_path / "python", f'echo "Welcome!"; exec {sys.executable} "$@"')
    (found,) = remote(serve(), python=python)
    assert (found.record.state, found.record.reason) == ("finished", None)


def test_what_is_no_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path) -> None:
    assert "is it a Python?" in failure(remote(serve(), python=wrapper(tmp_path / "python", "exit 0")))


def test_a_device_with_an_old_python_says_so(serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path) -> None:
    old = "import sys; sys.version_info = (3, 8, 18); exec(sys.argv.pop(1))"
    python = wrapper(tmp_path / "python", f'shift; exec {sys.executable} -c "{old}" "$@"')
    assert "expected Python 3.10 or newer, got 3.8" in failure(remote(serve(), python=python))


def test_a_device_without_numpy_or_a_backend_says_so_before_anything_is_sent(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve()
    bare = wrapper(tmp_path / "bare", f'exec {sys.executable} -S "$@"')
    assert "has no numpy" in failure(remote(server, python=bare))
    (tmp_path / "fake/numpy").mkdir(parents=True)
    (tmp_path / "fake/numpy/__init__.py").write_text("")
    fake = wrapper(tmp_path / "with-numpy", f'PYTHONPATH={tmp_path / "fake"} exec {sys.executable} -S "$@"')
    reason = failure(remote(server, python=fake))
    assert "expected onnxruntime, found none" in reason
    assert "--remote-python" in reason


def test_what_the_bench_there_complains_of_is_reported(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    request = replace(SHORT, bundle=str(tmp_path / "no bundle"))
    assert "expected a bundle, found no such folder" in failure(remote(serve(), request=request))


# What goes wrong on the way


def check_cut_off(found: HostResult, said: str, folder: Path) -> None:
    assert found.record.state == "cut off"
    assert said in str(found.record.reason)
    assert found.measurement is not None
    count = len(found.measurement.end_to_end.samples_ns)
    assert count > 0
    verdict, reason = verdict_of(found.measurement)
    assert verdict == "INVALID"
    assert f"the run was cut off after {count} queries: {found.record.reason}" in reason
    assert read_bench(folder) == found.measurement


def test_a_bench_that_hangs_is_stopped_and_its_times_are_kept(serve: Callable[..., Any], remote: Callable[..., Any]) -> None:
    server = serve()

    def stop() -> None:
        for pid in server.processes():
            os.kill(pid, signal.SIGSTOP)

    thread = when_times_are_written(server, stop)
    (found,) = remote(server, request=LONG, timeout_s=4.0)
    thread.join()
    check_cut_off(found, "silent for 4 s", found.folder)
    assert gone(server)


def test_a_host_that_hangs_does_not_stop_the_others(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    text = f'case "$3$HANGS" in runyes) sleep 100;; *) exec {sys.executable} "$@";; esac'
    python = wrapper(tmp_path / "python", text)
    hanging = serve("hanging", environment={"HANGS": "yes"})
    good = serve("good", addresses=["127.0.0.2"])
    start = time.monotonic()
    bad, found = remote(hanging, good, python=python, timeout_s=4.0)
    assert (bad.record.state, found.record.state) == ("failed", "finished")
    # Four seconds, and as many more as sending the code may take.
    assert re.search(r"silent for (?:[5-9]|1\d) s, as if it hung", bad.record.reason or "")
    assert time.monotonic() - start < 40


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_connection_is_made_again_and_the_times_are_kept(
    how: signal.Signals, serve: Callable[..., Any], remote: Callable[..., Any]
) -> None:
    server = serve()
    thread = when_times_are_written(server, lambda: server.signal_connections(how))
    (found,) = remote(server, request=LONG)
    thread.join()
    check_cut_off(found, "the connection was lost", found.folder)
    assert gone(server)


def test_a_device_whose_host_never_comes_back_stops_and_cleans_up_by_itself(
    serve: Callable[..., Any], remote: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_session, "_COME_BACK_S", 0.5)
    monkeypatch.setattr(host_session, "_CLEAN_S", 0.5)
    monkeypatch.setattr(device, "LINGER_S", 1.0)
    server = serve()
    thread = when_times_are_written(server, server.close)
    reason = failure(remote(server, request=LONG))
    thread.join()
    assert "the connection was lost" in reason
    assert "could not be fetched" in reason
    assert gone(server)


def test_a_disk_that_fills_during_the_run_keeps_the_times_before(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    python = wrapper(tmp_path / "python", f'ulimit -f 1024; exec {sys.executable} "$@"')
    server = serve()
    (found,) = remote(server, request=LONG, python=python)
    check_cut_off(found, "no space left to write", found.folder)
    assert 0 < len(found.measurement.end_to_end.samples_ns) <= 1024 * 1024 // 8
    assert gone(server)


def test_a_disk_that_is_full_before_the_run_says_so(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    python = wrapper(tmp_path / "python", f'ulimit -f 8; exec {sys.executable} "$@"')
    server = serve()
    assert "cannot be unpacked" in failure(remote(server, python=python))
    assert gone(server)


def test_a_wrong_clock_is_recorded_and_changes_no_time(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    behind_s = -40 * 86400
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(
        f"import time\nnow, now_ns = time.time, time.time_ns\ntime.time = lambda: now() + {behind_s}\n"
        f"time.time_ns = lambda: now_ns() + {behind_s} * 10**9\n"
    )
    server = serve(environment={"PYTHONPATH": str(tmp_path / "clock")})
    (found,) = remote(server)
    assert found.record.state == "finished"
    assert abs(found.record.clock_offset_ns - behind_s * 10**9) <= found.record.clock_uncertainty_ns + 50_000_000
    assert 0 < found.record.clock_uncertainty_ns < 5_000_000_000
    assert 0 < found.measurement.duration_ns < 60 * 10**9


def test_a_bench_that_lives_longer_than_its_rules_can_take_is_stopped() -> None:
    class Alive:
        async def line(self) -> bytes:
            await asyncio.sleep(0)
            return b'{"beat": true}\n'

    plan = HostPlan(request=LONG, payload=b"", timeout_s=30.0, limit_s=0.3)
    said = asyncio.run(host_session.listen(Alive(), plan))  # type: ignore[arg-type]
    assert said == "the bench was not done after 0 s, more than its rules can take; it was stopped"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b"a library's banner\n", b'{"beat": true}\n', b"[1]\n", b'{"done": true}\n'], None),
        ([b'{"error": "no model"}\n'], "no model"),
        ([b'{"ended": -9}\n'], "the bench on the device ended with -9, without a word of its own (Killed)"),
        ([b""], "the bench on the device ended, without a word of its own (Killed)"),
    ],
)
def test_what_a_device_says_decides(lines: list[bytes], said: str | None) -> None:
    class Talks:
        async def line(self) -> bytes:
            return lines.pop(0)

        def last_error_line(self) -> str:
            return "Killed"

    plan = HostPlan(request=LONG, payload=b"", timeout_s=30.0, limit_s=30.0)
    assert asyncio.run(host_session.listen(Talks(), plan)) == said  # type: ignore[arg-type]
    assert lines == []


def test_ctrl_c_leaves_neither_a_process_nor_a_folder(serve: Callable[..., Any], bundle: Bundle, key: Path) -> None:
    server = serve()
    command = [sys.executable, "-m", "weckd_edge", "bench", bundle.folder, "--ssh", server.host(), "--rules", "mobile"]
    options = ["--known-hosts", server.known_hosts(), "--identity", key, "--remote-python", sys.executable]
    started = subprocess.Popen([*command, *options, "--backend", "onnxruntime"], stderr=subprocess.PIPE, text=True)
    thread = when_times_are_written(server, lambda: started.send_signal(signal.SIGINT))
    _, err = started.communicate(timeout=60)
    thread.join()
    assert started.returncode == 130, err
    assert "Traceback" not in err
    assert server.left_behind() == []
    assert gone(server)


# Without a server


@pytest.mark.parametrize(
    ("text", "user", "name", "port", "folder"),
    [
        ("pi@10.0.0.7", "pi", "10.0.0.7", None, "pi@10.0.0.7"),
        ("jetson", None, "jetson", None, "jetson"),
        ("root@board.local:2222", "root", "board.local", 2222, "root@board.local_2222"),
        ("a@[fe80::1%eth0]:22", "a", "fe80::1%eth0", 22, "a@fe80__1_eth0_22"),
    ],
)
def test_a_host_is_read_as_ssh_writes_it(text: str, user: str | None, name: str, port: int | None, folder: str) -> None:
    (host,) = parse_hosts([text])
    assert (host.user, host.name, host.port, host.folder) == (user, name, port, folder)
    assert host.text == text


@pytest.mark.parametrize("text", ["", "a@", "a@b@c", "a b", "-oProxyCommand=x", "h:0", "h:65536", "h:x", "a,,b", ".."])
def test_what_is_no_host_is_refused(text: str) -> None:
    with raises(ConfigError, "E_CONFIG_VALUE"):
        parse_hosts([text])


@pytest.mark.parametrize("text", ["pi@a,pi@a", "pi@a,root@A", "a,a:22"])
def test_one_device_is_not_measured_twice_at_once(text: str) -> None:
    with raises(ConfigError, "E_CONFIG_VALUE"):
        parse_hosts([text])


def test_hosts_may_be_given_in_several_options() -> None:
    assert [host.text for host in parse_hosts(["a, b", "c:2"])] == ["a", "b", "c:2"]


def test_the_payload_holds_nothing_that_trains_compiles_or_talks(bundle: Bundle) -> None:
    names = [name for name, _ in code_files()]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.split("/")[1] in ("train", "compile", "cli", "pipeline", "report", "metrics")]
    rooms = {name.split("/")[2] for name in names if name.startswith("weckd_edge/devices/") and name.count("/") > 2}
    assert rooms & {"attribution", "demo", "doctor", "gates", "latency_model"} == set()
    images = {name.split("/")[3] for name in names if name.startswith("weckd_edge/devices/images/")}
    resized = {"__init__.py", "area_resize.py", "camera_frames.py", "fitting.py"}
    assert images == resized, "frames are resized there, and no file is decoded"
    assert "weckd_edge/devices/bench/cold_start.py" in names, "a process that the bench starts"
    assert "weckd_edge/devices/profiles/shipped/raspberry-pi-5.toml" in names
    payload = make_payload(bundle, SHORT)
    assert payload == make_payload(bundle, SHORT)
    with tarfile.open(fileobj=io.BytesIO(payload)) as archive:
        inside = archive.getnames()
    assert {f"bundle/{ref.path}" for ref in bundle.manifest.files} | {"bundle/manifest.json", "request.json"} <= set(inside)


def test_the_payload_holds_every_backend_and_power_source_of_the_tables() -> None:
    names = {name.removesuffix(".py").replace("/", ".") for name, _ in code_files()}
    assert {row.module for row in BACKENDS.values()} <= names
    assert {meter.__module__ for meter in METERS.values()} <= names  # type: ignore[attr-defined]  # classes


def test_every_module_of_the_payload_can_be_imported_without_the_rest_of_the_package(tmp_path: Path) -> None:
    for name, path in code_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    modules = [name[:-3].replace("/", ".").removesuffix(".__init__") for name, _ in code_files() if name.endswith(".py")]
    code = (
        f"import importlib, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "class Closed:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('click', 'rich', 'asyncssh', 'torch', 'jinja2'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Closed())\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "assert all(m.__file__.startswith(sys.path[0]) for n, m in sys.modules.items() if n.startswith('weckd_edge'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.parametrize("by", ["compiled", "numpy"])
def test_a_device_of_this_kind_computes_on_frames_as_this_machine_does(
    by: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    if by == "compiled":
        compile_library(tmp_path / "here.so")
        sent = {name: tmp_path / "here.so" if path == sources.LIBRARY else path for name, path in code_files()}
    else:
        sent = dict(code_files())
        assert not [name for name in sent if name.endswith((".so", ".c", ".h"))]
    for name, path in sent.items():
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).write_bytes(path.read_bytes())
    code = "from weckd_edge.devices.native.library import describe_library; print(describe_library())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "code", capture_output=True, text=True, check=True)
    assert done.stdout.startswith("compiled library" if by == "compiled" else "NumPy")


def test_nothing_but_what_a_bench_writes_is_taken_from_a_device(tmp_path: Path) -> None:
    packed = io.BytesIO()
    packed.write(b"Welcome to the device\n" + agent.MARK)
    with tarfile.open(fileobj=packed, mode="w|") as archive:
        for name in ("started.json", "bench.html", "../measurement.json", "/measurement.json", "x/samples.npz", ".bashrc"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
        link = tarfile.TarInfo("samples.npz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    device.unpack_bench(packed, tmp_path / "kept")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["kept", "kept/started.json"]


@pytest.mark.parametrize("data", [b"", b"Welcome", agent.MARK + b"\1" * 700])
def test_what_did_not_come_whole_is_reported(data: bytes, tmp_path: Path) -> None:
    with raises(LostError, "E_DEVICE_REMOTE_LOST"):
        device.unpack_bench(io.BytesIO(data), tmp_path / "kept")


def test_the_time_limit_follows_the_rules() -> None:
    def limit_s(**settings: Any) -> float:
        return run_limit_s(BenchRequest(settings=BenchSettings(**settings)))

    assert limit_s(rules="mlperf") > limit_s(rules="quick") > 60
    assert limit_s(queries=10_000) > 10_000
    assert run_limit_s(BenchRequest(finalize=True)) > run_limit_s(BenchRequest()) + 1800
    with raises(ConfigError, "E_CONFIG_CHOICE"):
        limit_s(rules="mlpref")


def test_settings_that_contradict_each_other_are_refused(bundle: Bundle) -> None:
    async def connect(host: Host, access: Access) -> Any:
        raise AssertionError("nobody is to log in")

    access = Access(connect=connect, known_hosts=(Path("none"),))
    for sent, hosts, request, jobs in (
        (bundle, [], SHORT, 1),
        (None, [Host(name="a")], SHORT, 1),
        (bundle, [Host(name="a")], replace(SHORT, bundle="/b"), 1),
        (bundle, [Host(name="a")], SHORT, 0),
        (bundle, [Host(name="a")], replace(SHORT, backend="openvin"), 1),
    ):
        with pytest.raises(ConfigError):
            bench_hosts(sent, hosts, request, access=access, limits=HostLimits(jobs=jobs))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x", "--remote-bundle"), "need --ssh"),
        (("x", "--finalize"), "need --ssh"),
        (("--compare", "a", "b", "--ssh", "h"), "leave --ssh out"),
        (("x", "--ssh", "a@b@c", "--remote-bundle"), "expected user@host"),
    ],
)
def test_a_wrong_request_is_refused(arguments: tuple[str, ...], said: str, run: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("asyncssh")
    code, _, err = run("bench", *arguments)
    assert code == 2
    assert said in err


def sparse_tar(name: str, size: int) -> bytes:
    """A GNU sparse file of a few bytes that unpacks to zeros."""
    info = tarfile.TarInfo(name)
    info.size = 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398], header[398:410] = b"%011o\0" % size, b"%011o\0" % 0  # one piece of no bytes, at the end
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def test_a_file_of_holes_cannot_fill_the_disk_here(tmp_path: Path) -> None:
    packed = agent.MARK + sparse_tar("samples.npz", 400 << 20)
    with tarfile.open(fileobj=io.BytesIO(packed[len(agent.MARK) :]), mode="r|") as archive:
        assert [(member.issparse(), member.size) for member in archive] == [(True, 400 << 20)]
    with raises(LostError, "E_DEVICE_REMOTE_LOST"):
        device.unpack_bench(io.BytesIO(packed), tmp_path / "kept")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0


def test_a_line_of_brackets_without_end_is_not_the_agents() -> None:
    assert device.parse_line(b"[" * 100_000) is None
    assert device.parse_line(b'{"done": ' + b"[" * 100_000) is None
    assert device.parse_line(b"1" * 100_000) is None


class Endless:
    """A device's stdout that says the same for ever, as asyncssh hands it out."""

    def __init__(self, data: bytes) -> None:
        self.data, self.read_bytes = data, 0
        self.stdin = self.stdout = self.stderr = self

    async def read(self, size: int) -> bytes:
        self.read_bytes += len(self.data)
        return self.data

    def is_closing(self) -> bool:
        return True


def test_a_device_that_speaks_without_end_is_left(tmp_path: Path) -> None:
    pytest.importorskip("asyncssh")
    from weckd_edge.devices.remote import asyncssh_backend

    async def speak(process: Any, sink: Any) -> None:
        await (process.line() if sink is None else process.finish(sink))

    for sink, most in ((None, base.MAX_LINE_BYTES), (io.BytesIO(), base.MAX_FETCHED_BYTES)):
        endless = Endless(bytes(1 << 16) if sink is None else bytes(1 << 22))
        process = asyncssh_backend._Process.__new__(asyncssh_backend._Process)
        process._process, process._host, process._unread, process._stderr = endless, Host(name="a"), b"", b""
        with raises(DeviceError, "E_DEVICE_REMOTE", says="1024" if sink is None else "256"):
            asyncio.run(speak(process, sink))
        assert endless.read_bytes <= most + 2 * len(endless.data)
        assert sink is None or sink.getbuffer().nbytes <= base.MAX_FETCHED_BYTES


def test_a_device_that_replies_nonsense_is_one_line() -> None:
    class Session:
        host_key = ""

        async def start(self, command: str) -> Any:
            return self

        async def send(self, data: bytes) -> None:
            return None

        async def line(self) -> bytes:
            return b'{"python": 3, "modules": 7}\n'

        async def finish(self, sink: Any = None) -> Finished:
            return Finished(stdout=b"", stderr="", code=0)

    async def connect(host: Host, access: Access) -> Any:
        return Session()

    asked = device.Device(Host(name="a"), Access(connect=connect, known_hosts=()), token="t")

    async def look() -> None:
        await asked.log_in()
        await asked.look(("numpy",))

    with raises(DeviceError, "E_DEVICE_REMOTE"):
        asyncio.run(look())
