"""Update systems run the program that installs bundles on a device: Mender, systemd, SWUpdate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weckd_edge.bundle.packaging.base import Signer
from weckd_edge.bundle.packaging.package import package_bundle

MODULE = Path(__file__).parents[2] / "devices/firmware/update/mender/weckd-bundle"
SYSTEMD = Path(__file__).parents[2] / "devices/firmware/update/systemd"


# ---- what stands around it


def test_the_mender_module_installs_commits_and_goes_back(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    conf = tmp_path / "update.conf"
    conf.write_text(f'WECKD_UPDATE_OPTIONS="{" ".join(map(str, tool.options()))}"\n')

    def module(state: str, bundle: Path | None = None, expect: int = 0) -> str:
        tree = tmp_path / "tree"
        (tree / "files").mkdir(parents=True, exist_ok=True)
        if bundle is not None:
            tool.tar(bundle, tree / "files/weckd-bundle.tar")
        env = {**os.environ, "WECKD_UPDATE_CONF": str(conf), "WECKD_UPDATE": str(tool.program)}
        done = subprocess.run(["sh", MODULE, state, tree], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    assert module("SupportsRollback") == "Yes\n"
    assert module("NeedsArtifactReboot") == "Automatic\n"
    module("ArtifactInstall", make(1))
    module("ArtifactCommit", expect=1)  # not before the machine has started with it
    tool.done("boot")
    module("ArtifactVerifyReboot")
    module("ArtifactCommit")
    assert tool.status()["confirmed"] == "yes"
    module("ArtifactInstall", make(2))
    module("ArtifactVerifyReboot", expect=1)
    module("ArtifactRollback")
    assert tool.wanted() == tool.digest(make(1))
    module("ArtifactRollback")  # a second time does no harm
    assert tool.wanted() == tool.digest(make(1))
    module("ArtifactInstall", make(3))
    tool.damage(make(3))
    assert "rolled back" in tool.done("boot")
    module("ArtifactVerifyReboot", expect=1)  # and what came back is not taken for the update
    module("ArtifactCommit", expect=1)
    module("ArtifactInstall", make(1))  # what runs already is no failure
    module("ArtifactVerifyReboot")
    module("ArtifactCommit")
    assert module("ArtifactInstall", make(4, wrong=True), expect=1) == ""
    assert os.access(MODULE, os.X_OK)


@pytest.fixture
def mender(tool: Any, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts the update module for one artifact; ``longest_s`` is what it takes for the longest time of ``boot``."""
    conf = tmp_path / "update.conf"
    (tmp_path / "tree/files").mkdir(parents=True)

    def module(state: str, bundle: Path | None = None, *, longest_s: int = 60) -> subprocess.Popen[str]:
        options = " ".join(map(str, tool.options()))
        conf.write_text(f'WECKD_UPDATE_OPTIONS="{options}"\nWECKD_BOOT_SECONDS={longest_s}\n')
        if bundle is not None:
            tool.tar(bundle, tmp_path / "tree/files/weckd-bundle.tar")
        env = {**os.environ, "WECKD_UPDATE_CONF": str(conf), "WECKD_UPDATE": str(tool.program)}
        return subprocess.Popen(["sh", MODULE, state, tmp_path / "tree"], env=env, stdout=subprocess.DEVNULL)

    return module


def test_the_mender_module_waits_for_the_check_at_boot(tool: Any, make: Callable[..., Path], mender: Any) -> None:
    tool.take(make(1))
    assert mender("ArtifactInstall", make(2)).wait(60) == 0
    tool.power_off()
    waiting = mender("ArtifactVerifyReboot")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    tool.done("boot")
    assert waiting.wait(60) == 0
    tool.power_off()
    assert mender("ArtifactVerifyReboot", longest_s=1).wait(60) == 1  # and no longer than that


def test_the_mender_module_rolls_back_its_own_bundle_alone(tool: Any, make: Callable[..., Path], mender: Any) -> None:
    tool.take(make(1))
    tool.done("install", make(2))  # by hand; it is not confirmed yet
    assert mender("ArtifactRollback").wait(60) == 0  # of an artifact that was never installed
    assert tool.wanted() == tool.digest(make(2))
    assert mender("ArtifactInstall", make(3)).wait(60) == 0
    tool.done("install", make(2))
    assert mender("ArtifactRollback").wait(60) == 0
    assert tool.wanted() == tool.digest(make(2))
    assert mender("ArtifactInstall", make(3, wrong=True)).wait(60) == 1
    assert mender("ArtifactRollback").wait(60) == 0
    assert tool.wanted() == tool.digest(make(2))
    assert mender("ArtifactInstall", make(3)).wait(60) == 0
    assert mender("ArtifactRollback").wait(60) == 0
    assert tool.wanted() == tool.digest(make(1))


def test_the_units_are_understood_by_systemd(tool: Any, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    camera = SYSTEMD.parents[1] / "examples/weckd-camera.service"
    for source in (camera, SYSTEMD / "weckd-confirm.service", SYSTEMD / "weckd-confirm.timer"):
        text = (
            source.read_text()
            .replace("/usr/bin/weckd-update", str(tool.program))
            .replace("/usr/bin/camera_exam", "/bin/true")
        )
        (tmp_path / source.name).write_text(text)
    drop_in = tmp_path / "weckd-camera.service.d/update.conf"
    drop_in.parent.mkdir()
    text = (SYSTEMD / "weckd-camera.service.d-update.conf").read_text()
    drop_in.write_text(text.replace("/usr/bin/weckd-update", str(tool.program)).replace("/usr/bin/camera_exam", "/bin/true"))
    units = [tmp_path / name for name in ("weckd-camera.service", "weckd-confirm.service", "weckd-confirm.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "weckd" in line and "/weckd-camera.service:" not in line]
    assert said == []


def test_the_unit_gives_a_start_more_time_than_it_may_take(tool: Any) -> None:
    usage = tool.call("--help").stdout
    timeout, wait = (
        int(re.search(rf"--{name} S .*\((\d+)\)$", usage, re.M)[1])  # type: ignore[index]
        for name in ("timeout", "lock-timeout")
    )
    source = SYSTEMD.parent
    grace, verifications = (
        int((source / name).read_text().split(f"#define {word} ")[1].split()[0])
        for name, word in (("base/child.h", "CHILD_GRACE_S"), ("store/recover.h", "RECOVER_MAX"))
    )
    longest = wait + (verifications + 4) * (timeout + grace)  # three of the store and the factory's are tested
    unit = (SYSTEMD / "weckd-camera.service.d-update.conf").read_text()
    minutes = int(unit.split("TimeoutStartSec=")[1].split("min")[0])
    assert longest < minutes * 60
    assert f"WECKD_BOOT_SECONDS:-{longest}}}" in MODULE.read_text()
    assert f"= {longest} s" in (source.parents[2] / "docs/how-to/updates.md").read_text()


IN_A_ROOT_OF_ITS_OWN = """
set -e
mount -t tmpfs none "$SCRATCH"
mkdir "$SCRATCH/etc" "$SCRATCH/etc.work" "$SCRATCH/bin" "$SCRATCH/bin.work"
mount -t tmpfs none /var/lib
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$SCRATCH/etc,workdir=$SCRATCH/etc.work" /etc
mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$SCRATCH/bin,workdir=$SCRATCH/bin.work" /usr/bin
mkdir /etc/weckd /var/lib/weckd
cp "$PROGRAM" /usr/bin/weckd-update
echo 'WECKD_UPDATE_OPTIONS="--store /var/lib/weckd/store --key /etc/weckd/key.pub --backend echo"' > /etc/weckd/update.conf
cp "$KEY" /etc/weckd/key.pub
[ "$1" = probe ] && exit 0
for update; do
    swupdate -i "$update" -k "$CERTIFICATE" -H weckd:generic-x86 && echo "took $update" || echo "refused $update"
done
ls /var/lib/weckd/incoming | wc -l
. /etc/weckd/update.conf
weckd-update status $WECKD_UPDATE_OPTIONS
"""


def test_swupdate_itself_installs_the_update(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    for program in ("swupdate", "openssl", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    key, certificate, scratch = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "scratch"
    scratch.mkdir()
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=updates", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *map(str, request)], check=True, capture_output=True)
    signer = Signer(key=key, certificate=certificate)
    for name, bundle in (("good", make(2)), ("wrong", make(3, wrong=True))):
        package_bundle(bundle, tmp_path / f"{name}.swu", format_name="swupdate", signer=signer)
    env = {
        **os.environ,
        "SCRATCH": str(scratch),
        "PROGRAM": str(tool.program),
        "KEY": str(tool.key),
        "CERTIFICATE": str(certificate),
    }
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", IN_A_ROOT_OF_ITS_OWN, "sh"]
    if subprocess.run([*shell, "probe"], env=env, capture_output=True, check=False).returncode:
        pytest.skip("no file systems of its own may be mounted here")
    updates = [str(tmp_path / f"{name}.swu") for name in ("good", "wrong")]
    done = subprocess.run([*shell, *updates], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"took {updates[0]}" in lines
    assert f"refused {updates[1]}" in lines
    assert lines[lines.index("0") + 1].startswith(f"current {tool.digest(make(2))} version 2")  # and no tar is left
