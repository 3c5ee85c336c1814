"""What a device that is measured over ssh says and sends back is not trusted."""

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.programs.ssh_bench import LONG
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.remote import agent, base, device, host_session
from weckd_edge.devices.remote.base import Access, Finished, LostError
from weckd_edge.devices.remote.host_session import HostPlan
from weckd_edge.devices.remote.hosts import Host


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
