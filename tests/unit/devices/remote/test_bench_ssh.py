"""``bench --ssh`` against real ssh servers on loopback: what it measures there, and what it leaves."""

import asyncio
import json
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.programs.ssh_bench import SHORT, failure, gone
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import StoreError
from weckd_edge.core.serialization import from_json
from weckd_edge.devices.bench.folder import read_bench
from weckd_edge.devices.remote.base import Access, RefusedError
from weckd_edge.devices.remote.hosts import Host, parse_hosts
from weckd_edge.devices.remote.many_hosts import HostLimits, bench_hosts
from weckd_edge.devices.remote.records import HostRecord


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


def test_what_the_bench_there_complains_of_is_reported(
    serve: Callable[..., Any], remote: Callable[..., Any], tmp_path: Path
) -> None:
    request = replace(SHORT, bundle=str(tmp_path / "no bundle"))
    assert "expected a bundle, found no such folder" in failure(remote(serve(), request=request))


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
