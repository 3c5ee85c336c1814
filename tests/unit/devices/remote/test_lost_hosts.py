"""A host that hangs, is lost or full: the times so far are kept, and nothing is left there."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.programs.ssh_bench import LONG, failure, gone, wrapper
from weckd_edge.bundle.reader import Bundle
from weckd_edge.devices.bench.folder import read_bench
from weckd_edge.devices.bench.verdict import verdict_of
from weckd_edge.devices.remote import device, host_session
from weckd_edge.devices.remote.records import HostResult


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
