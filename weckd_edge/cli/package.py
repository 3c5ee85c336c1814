"""``weckd-edge package``: a bundle as an update file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message
from weckd_edge.cli.parsing.option_groups import Output, OwnerKey
from weckd_edge.cli.parsing.options import CommandGroup, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH

_bundle = click.argument("bundle", type=PATH)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateFile(Output):
    """Output of a packaging: the update file, and what is printed."""

    out: Path = option("--out", type=PATH, required=True, help="The update file; replaced where it exists.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateKey(OptionGroup):
    """The key that signs an update itself."""

    title: ClassVar[str] = "Signature"
    sign_key: Path | None = option("--sign-key", type=PATH, help="PEM private key that signs the update itself.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSigner(UpdateKey):
    """The key that signs an update itself, with its certificate."""

    sign_cert: Path | None = option("--sign-cert", type=PATH, help="PEM certificate of that key.")


@click.group("package", cls=CommandGroup)
def command() -> None:
    """Package a bundle for an update system; its signature and every digest are checked first."""


@command.command("tar")
@_bundle
@takes(trust=OwnerKey, output=UpdateFile)
def tar(bundle: Path, trust: OwnerKey, output: UpdateFile) -> None:
    """Write a plain tar, the same bytes each time: what weckd-update installs on the device."""
    _package("tar", bundle, trust, output)


@command.command("rauc")
@_bundle
@takes(trust=OwnerKey, signer=UpdateSigner, output=UpdateFile)
def rauc(bundle: Path, trust: OwnerKey, signer: UpdateSigner, output: UpdateFile) -> None:
    """Write a RAUC bundle with an image for the slot class "weckd"; it needs rauc, a key and a certificate."""
    _package("rauc", bundle, trust, output, signer)


@command.command("swupdate")
@_bundle
@takes(trust=OwnerKey, signer=UpdateSigner, output=UpdateFile)
def swupdate(bundle: Path, trust: OwnerKey, signer: UpdateSigner, output: UpdateFile) -> None:
    """Write an SWUpdate file that hands the tar to weckd-update; with a key and a certificate, it is signed by CMS."""
    _package("swupdate", bundle, trust, output, signer)


@command.command("mender")
@_bundle
@takes(trust=OwnerKey, signer=UpdateKey, output=UpdateFile)
def mender(bundle: Path, trust: OwnerKey, signer: UpdateKey, output: UpdateFile) -> None:
    """Write a Mender artifact; the update module weckd-bundle reads it on the device.

    The tool mender-artifact makes it.
    """
    _package("mender", bundle, trust, output, UpdateSigner(sign_key=signer.sign_key, sign_cert=None))


def _package(name: str, bundle: Path, trust: OwnerKey, output: UpdateFile, signing: UpdateSigner | None = None) -> None:
    from weckd_edge.bundle.packaging.base import Signer
    from weckd_edge.bundle.packaging.package import package_bundle
    from weckd_edge.pipeline.output_paths import check_place

    if signing is not None and signing.sign_key is None and signing.sign_cert is not None:
        raise click.UsageError("--sign-cert is for --sign-key")
    check_place(output.out, makes="file")
    signer = None
    if signing is not None and signing.sign_key is not None:
        signer = Signer(key=signing.sign_key, certificate=signing.sign_cert)
    done = package_bundle(bundle, output.out, format_name=name, key=trust.key, signer=signer)
    if output.as_json:
        print_json(done)
    else:
        click.echo(done.file)
        print_message(
            f"{name}: for {done.compatible}, version {done.version}, {done.bytes} bytes, SHA-256 {done.sha256[:16]}..."
        )
    for warning in done.warnings:
        print_message(f"warning: {warning}")
