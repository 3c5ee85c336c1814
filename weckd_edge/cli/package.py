"""``weckd-edge package``: a bundle as an update file."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.console.output import HELP, json_option, print_json, print_message
from weckd_edge.cli.options import PATH, owner_key_option

_bundle = click.argument("bundle", type=PATH)
_out = click.option("--out", type=PATH, required=True, help="The update file; replaced where it exists.")
_sign_key = click.option("--sign-key", type=PATH, help="PEM private key that signs the update itself.")
_sign_cert = click.option("--sign-cert", type=PATH, help="PEM certificate of that key.")


@click.group("package", context_settings=HELP)
def command() -> None:
    """Pack a bundle for an update system: its signature and every digest are checked first."""


@command.command("tar", context_settings=HELP)
@_bundle
@_out
@owner_key_option
@json_option
def tar(bundle: Path, out: Path, key: Path | None, as_json: bool) -> None:
    """A plain tar, the same bytes each time: what weckd-update installs on the device."""
    _export("tar", bundle, out, key, None, None, as_json)


@command.command("rauc", context_settings=HELP)
@_bundle
@_out
@owner_key_option
@_sign_key
@_sign_cert
@json_option
def rauc(bundle: Path, out: Path, key: Path | None, sign_key: Path | None, sign_cert: Path | None, as_json: bool) -> None:
    """A RAUC bundle with an image for the slot class "weckd"; needs rauc, a key and a certificate."""
    _export("rauc", bundle, out, key, sign_key, sign_cert, as_json)


@command.command("swupdate", context_settings=HELP)
@_bundle
@_out
@owner_key_option
@_sign_key
@_sign_cert
@json_option
def swupdate(
    bundle: Path, out: Path, key: Path | None, sign_key: Path | None, sign_cert: Path | None, as_json: bool
) -> None:
    """An SWUpdate file that hands the tar to weckd-update; signed by CMS where a key and a certificate are given."""
    _export("swupdate", bundle, out, key, sign_key, sign_cert, as_json)


@command.command("mender", context_settings=HELP)
@_bundle
@_out
@owner_key_option
@_sign_key
@json_option
def mender(bundle: Path, out: Path, key: Path | None, sign_key: Path | None, as_json: bool) -> None:
    """A Mender artifact, read by our update module on the device.

    The tool mender-artifact makes it; the module is called weckd-bundle.
    """
    _export("mender", bundle, out, key, sign_key, None, as_json)


def _export(
    name: str, bundle: Path, out: Path, key: Path | None, sign_key: Path | None, sign_cert: Path | None, as_json: bool
) -> None:
    from weckd_edge.bundle.packaging.base import Signer
    from weckd_edge.bundle.packaging.package import package_bundle
    from weckd_edge.pipeline.output_paths import check_place

    if sign_key is None and sign_cert is not None:
        raise click.UsageError("--sign-cert is for --sign-key")
    check_place(out, makes="file")
    signer = None if sign_key is None else Signer(key=sign_key, certificate=sign_cert)
    done = package_bundle(bundle, out, format_name=name, key=key, signer=signer)
    if as_json:
        print_json(done)
    else:
        click.echo(done.file)
        print_message(
            f"{name}: for {done.compatible}, version {done.version}, {done.bytes} bytes, SHA-256 {done.sha256[:16]}..."
        )
    for warning in done.warnings:
        print_message(f"warning: {warning}")
