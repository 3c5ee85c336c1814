"""Hosts and settings of a bench over ssh, as people write them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.programs.ssh_bench import SHORT
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.remote.base import Access
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.host_session import run_limit_s
from weckd_edge.devices.remote.hosts import Host, parse_hosts
from weckd_edge.devices.remote.many_hosts import HostLimits, bench_hosts


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
        (("x", "--remote-bundle"), "without --ssh nothing reads --remote-bundle"),
        (("x", "--finalize"), "without --ssh nothing reads --finalize"),
        (("x", "--jobs", "16", "--timeout", "30"), "without --ssh nothing reads --jobs, --timeout"),
        (("x", "--remote-python", "python3"), "without --ssh nothing reads --remote-python"),
        (("x", "--ssh", "h", "--margin", "0.05"), "without --compare nothing reads --margin"),
        (("--compare", "a", "b", "--ssh", "h"), "leave --ssh out"),
        (("x", "--ssh", "a@b@c", "--remote-bundle"), "expected user@host"),
    ],
)
def test_a_wrong_request_is_refused(arguments: tuple[str, ...], said: str, run: Callable[..., tuple[int, str, str]]) -> None:
    pytest.importorskip("asyncssh")
    code, _, err = run("bench", *arguments)
    assert code == 2
    assert said in err
