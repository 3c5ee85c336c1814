"""The demo's server: what it answers, whom it refuses, and that nothing of an image stays behind."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.bundles.predicting import predict_images
from support.errors import raises
from support.programs.demo_server import serving_bundle
from weckd_edge.core.errors import BundleError, DeviceError
from weckd_edge.devices.demo import page_parts
from weckd_edge.devices.demo.bounded_reader import Limits
from weckd_edge.devices.demo.page_parts import load_page
from weckd_edge.devices.demo.server import DemoServer, is_loopback
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.runtime.decision import ABSTAIN

PAGE = Path(page_parts.__file__).parent / "page"


def picture(size: tuple[int, int] = (30, 20), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def bundle(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = toy.write_bundle(tmp_path_factory.mktemp("demo") / "b", confidence_threshold=0.1).folder
    return folder


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[DemoServer]:
    with serving_bundle(bundle) as made:
        yield made


def ask(
    server: DemoServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    kind = reply.getheader("Content-Type", "")
    return reply.status, dict(reply.getheaders()), json.loads(data) if kind == "application/json" and data else data


def test_the_page_comes_with_a_policy_that_names_its_own_script_and_style(server: DemoServer) -> None:
    status, headers, body = ask(server, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert headers["Permissions-Policy"].startswith("camera=(self),")
    assert "unsafe" not in policy
    assert set(re.findall(rb"https?://[^ )\"`]+", body)) == {b"http://127.0.0.1"}  # words, for who has no camera
    assert b" style=" not in body
    assert re.search(rb"\son\w+=", body) is None
    assert "Set-Cookie" not in headers
    assert headers["Server"].startswith("weckd-edge")
    assert "Python" not in headers["Server"]
    assert ask(server, "HEAD", "/")[2] == b""


def test_the_page_is_one_document_and_the_policy_names_each_of_its_scripts_and_styles() -> None:
    page = load_page()
    scripts, styles = page.html.count(b"<script>"), page.html.count(b"<style>")
    assert page.policy.count("sha256-") == scripts + styles
    assert (scripts, styles) == (len(list(PAGE.glob("*.js"))), len(list(PAGE.glob("*.css"))))
    assert b"<script " not in page.html
    assert re.findall(rb'<link rel="([^"]+)"', page.html) == [b"icon"]


def test_only_the_page_itself_may_use_a_camera(server: DemoServer) -> None:
    for method, path in (("GET", "/api/bundle"), ("GET", "/other"), ("POST", "/api/exam/begin")):
        _, headers, _ = ask(server, method, path, b"" if method == "POST" else None)
        assert headers["Permissions-Policy"].startswith("camera=(),")


def test_a_model_that_fails_gets_a_reply_and_is_logged(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError("the library fell over")

    monkeypatch.setattr(server.session, "predict", fail)
    with caplog.at_level(logging.ERROR):
        status, _, found = ask(server, "POST", "/api/predict", picture())
    assert status == 500
    assert "could not be predicted" in found["error"]
    assert "the library fell over" in caplog.text


def test_an_image_gets_the_prediction_that_predict_gives(server: DemoServer, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    (expected,) = predict_images(bundle, [tmp_path / "a.png"], backend="onnxruntime")
    status, _, found = ask(server, "POST", "/api/predict", picture())
    assert status == 200
    assert found["prediction"]["probabilities"] == expected.probabilities
    assert (found["prediction"]["decision"], found["prediction"]["reason"]) == (expected.decision, expected.reason)
    assert [stage["name"] for stage in found["stages"]] == [
        "Decode the file",
        "Fit to the camera frame",
        "End-to-end latency",
    ]
    assert all(stage["ns"] > 0 for stage in found["stages"])
    seen = Image.open(io.BytesIO(base64.b64decode(found["seen"].partition(",")[2])))
    assert seen.width == 640


def test_bytes_that_are_no_image_are_unable_to_analyze_with_the_reason(server: DemoServer) -> None:
    for data, reason in ((b"no image", "not an image"), (b"", "empty file"), (picture()[:200], "damaged or cut short")):
        status, _, found = ask(server, "POST", "/api/predict", data)
        assert status == 200
        assert found["prediction"]["decision"] == ABSTAIN
        assert reason in found["prediction"]["reason"]
        assert found["seen"] is None


def test_an_explanation_has_an_overlay_and_its_sanity_figure(server: DemoServer) -> None:
    status, _, found = ask(server, "POST", "/api/explain", picture())
    assert status == 200
    assert found["overlay"].startswith("data:image/jpeg;base64,")
    assert found["deletion"]["maps_by_chance"] == 19
    assert found["label"] in ("effusion", "normal", "wax")
    status, _, found = ask(server, "POST", "/api/explain", b"no image")
    assert (status, found) == (422, {"error": "not an image but text"})


def test_the_bundle_is_described(server: DemoServer) -> None:
    status, _, found = ask(server, "GET", "/api/bundle")
    assert status == 200
    assert (found["name"], found["device"], found["confidence_threshold"]) == ("toy", "generic-x86", 0.1)
    assert found["notice"].startswith("Not a medical device")
    assert found["verdict"]["title"]
    assert "synthetic" in found["synthetic"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.9", "[::1", "a:b:c"]
)
def test_a_name_that_anyone_can_point_here_is_refused(server: DemoServer, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/api/bundle"), ("POST", "/api/predict")):
        status, _, found = ask(server, method, path, picture() if method == "POST" else None, Host=host)
        assert status == 421
        assert server.url in found["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_this_machines_own_names_are_welcome(server: DemoServer, host: str) -> None:
    assert ask(server, "GET", "/", Host=host)[0] == 200


def test_another_sites_page_cannot_send_images(server: DemoServer) -> None:
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        status, reply, found = ask(server, "POST", "/api/predict", picture(), **headers)
        assert status == 403
        assert "this page only" in found["error"]
        assert "Access-Control-Allow-Origin" not in reply
    own = server.url.rstrip("/")
    assert ask(server, "POST", "/api/predict", picture(), Origin=own, Sec_Fetch_Site="same-origin")[0] == 200


def test_too_much_and_what_has_no_length_are_refused(server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "limits", Limits(body_bytes=1 << 20))
    status, headers, found = ask(server, "POST", "/api/predict", bytes((1 << 20) + 1))
    assert (status, found) == (413, {"error": "the file has 1.0 MiB; the limit is 1 MiB"})
    assert headers["Connection"] == "close"
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)) as connection:
        connection.request("POST", "/api/predict", iter([b"chunk"]), encode_chunked=True)
        with connection.getresponse() as reply:
            assert reply.status == 411
    assert ask(server, "POST", "/api/predict", picture(), Content_Length="-5")[0] == 411


def test_other_pages_and_methods_reply_in_json(server: DemoServer) -> None:
    assert ask(server, "GET", "/../etc/passwd")[0] == 404
    assert ask(server, "POST", "/", b"x")[0] == 404
    status, _, found = ask(server, "PUT", "/", b"x")
    assert status == 501
    assert "error" in found


def test_queries_at_the_same_time_are_all_classified_alike(server: DemoServer) -> None:
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(server, "POST", "/api/predict", picture())[2]["prediction"]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(answer.pop("latency_ns") > 0 for answer in found)
    assert all(answer == found[0] for answer in found)


def test_nothing_of_an_image_is_logged(server: DemoServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(server, "POST", "/api/predict", b"SECRET-PIXELS")
    assert "/api/predict" in caplog.text
    assert "SECRET" not in caplog.text


def test_on_a_network_addresses_are_welcome_and_foreign_names_are_not(bundle: Path) -> None:
    with DemoSession(bundle, backend="onnxruntime") as session, DemoServer(session, host="0.0.0.0") as server:
        assert not server.is_local
        assert server.knows("10.0.0.9:8765")
        assert server.knows("[fe80::1]:8765")
        assert server.knows("localhost:8765")
        assert not server.knows("evil.example:8765")
    assert is_loopback("127.0.0.2")
    assert not is_loopback("example.org")


def test_a_name_server_is_asked_for_this_machines_own_name_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(socket, "gethostname", lambda: "Booth")
    monkeypatch.setattr(socket, "getfqdn", lambda name="": asked.append(name) or "booth.clinic.example")
    with DemoSession(bundle, backend="onnxruntime") as session, DemoServer(session, host="0.0.0.0") as server:
        assert server.knows("booth:8765")
        assert not server.knows("evil.example:8765")
        assert asked == []
        assert server.knows("booth.clinic.example:8765")
        assert not server.knows("booth.evil.example:8765")
    assert asked == ["", ""]


def test_a_port_that_is_taken_says_what_to_do(server: DemoServer, bundle: Path) -> None:
    with (
        DemoSession(bundle, backend="onnxruntime") as session,
        raises(DeviceError, "E_DEVICE_DEMO", says=("--port", "0")),
    ):
        DemoServer(session, port=server.server_address[1])


def test_a_changed_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        DemoSession(tmp_path)


def start(bundle: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "weckd_edge", "demo", str(bundle), "--port", "0", "--backend", "onnxruntime", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def test_the_command_prints_its_address_and_ends_with_ctrl_c(bundle: Path) -> None:
    process = start(bundle)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/", url)
    assert match is not None
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=30)) as connection:
        connection.request("GET", "/api/bundle")
        with connection.getresponse() as reply:
            assert json.loads(reply.read())["name"] == "toy"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["Ctrl-C ends it", "stopped"]


def test_a_host_of_the_network_is_warned_of_and_json_is_one_object(bundle: Path) -> None:
    process = start(bundle, "--host", "0.0.0.0", "--json")
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        text += process.stdout.readline()
    assert json.loads(text)["url"].startswith("http://0.0.0.0:")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert "warning: anyone who reaches 0.0.0.0 over the network can send it images" in err
    assert re.search(r"the camera works only at http://localhost:\d+/, as browsers ask for https elsewhere", err)


def test_a_browser_gives_the_camera_at_this_machines_own_address_alone(bundle: Path) -> None:
    with DemoSession(bundle, backend="onnxruntime") as session:
        with DemoServer(session) as local:
            assert local.camera_url == local.url
        with DemoServer(session, host="0.0.0.0") as everywhere:
            assert everywhere.camera_url == f"http://localhost:{everywhere.server_address[1]}/"
            everywhere.host = "192.0.2.7"
            assert everywhere.camera_url is None
