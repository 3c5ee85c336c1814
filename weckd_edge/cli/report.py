"""``weckd-edge report``: write a bundle's report again, outside the bundle."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.output import HELP, json_option, print_json


@click.command("report", context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, help="HTML file.")
@json_option
def command(bundle: Path, out: Path, as_json: bool) -> None:
    """Write the report of a bundle again from the evidence it holds.

    A bundle is sealed, so the report is written outside it; sample frames are only in the report that the build wrote.
    """
    from weckd_edge.bundle import open_bundle
    from weckd_edge.errors import ConfigError
    from weckd_edge.report import write_report

    opened = open_bundle(bundle)
    if out.resolve().is_relative_to(bundle.resolve()):
        raise ConfigError(f"{out}: lies in the sealed bundle; choose an --out outside {bundle}")
    if out.is_dir():
        raise ConfigError(f"{out}: expected a file to write, found a folder; name a file in it")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out}: expected an existing folder for it, found none; make {out.absolute().parent} first")
    write_report(opened.folder, opened.manifest, out)
    if as_json:
        print_json({"bundle": str(bundle), "report": str(out)})
    else:
        click.echo(str(out))
