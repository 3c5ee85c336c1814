"""``weckd-edge report``: a bundle's report written again, outside the bundle, or the changes since an older one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import Output, OwnerKey
from weckd_edge.cli.parsing.options import Command, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH
from weckd_edge.core.words import with_plain_spaces

if TYPE_CHECKING:
    from weckd_edge.bundle.reader import Bundle
    from weckd_edge.report.diff.rows import ChangeText


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportOutput(Output):
    """Output of a report: the files that are written, and what is printed."""

    outs: tuple[Path, ...] = option(
        "--out",
        type=PATH,
        multiple=True,
        help="HTML file; with --baseline also a Markdown file (.md), and it may be given twice.  [default: report.html, or "
        "with --baseline none]",
    )
    baseline: Path | None = option("--baseline", type=PATH, metavar="OLD", help="Older bundle to compare with.")


@click.command("report", cls=Command)
@click.argument("bundle", type=PATH)
@takes(trust=OwnerKey, output=ReportOutput)
def command(bundle: Path, trust: OwnerKey, output: ReportOutput) -> None:
    """Write the report of a bundle again from its evidence, or list the changes since an older bundle.

    A bundle never changes, so the report is written outside it. Only the report that the build wrote has sample frames.
    Changes are listed in data, model, thresholds and results: here, in Markdown, or as a section of the HTML report.
    """
    from weckd_edge.bundle.reader import open_bundle

    opened = open_bundle(bundle, key=trust.key)
    baseline, outs = output.baseline, output.outs
    if baseline is None and not outs:
        outs = (Path("report.html"),)
    for out in outs:
        _check_out(out, baseline)
    text: ChangeText | None = None
    if baseline is not None:
        from weckd_edge.report.diff import compare_bundles
        from weckd_edge.report.diff.rows import change_text

        change = compare_bundles(baseline, bundle, trust.key)
        text = change_text(change)
    for out in outs:
        _write(out, opened, text)
    if output.as_json:
        printed: dict[str, object] = {"bundle": str(bundle), "report": str(outs[0]) if outs else None}
        if baseline is not None:
            printed |= {"baseline": str(baseline), "written": [str(out) for out in outs], "change": change}
        print_json(printed)
        return
    if text is not None:
        _print(text)
    for out in outs:
        click.echo(str(out)) if text is None else print_message(f"written: {out}")


def _check_out(out: Path, baseline: Path | None) -> None:
    from weckd_edge.core.errors import ConfigError
    from weckd_edge.pipeline.output_paths import check_place

    check_place(out, makes="file")
    if out.is_dir():
        raise ConfigError(f"{out}: expected a file to write, found a folder; name a file in it", code="E_CONFIG_OUT_PLACE")
    if not out.absolute().parent.is_dir():
        raise ConfigError(
            f"{out}: expected an existing folder for it, found none; make {out.absolute().parent} first",
            code="E_CONFIG_OUT_PLACE",
        )
    if out.suffix.lower() == ".md" and baseline is None:
        raise ConfigError(
            f"{out}: Markdown is written of what changed; give --baseline too, or name an HTML file",
            code="E_CONFIG_OPTION_MISSING",
        )


def _write(out: Path, opened: Bundle, text: ChangeText | None) -> None:
    from weckd_edge.core.store import write_atomic
    from weckd_edge.report import read_contents, write_report
    from weckd_edge.report.rendering import render

    if out.suffix.lower() == ".md":
        write_atomic(out, render("change_log.md.j2", {"change": text}))
    else:
        write_report(read_contents(opened.read_path, opened.manifest), out, change=text)


def _print(text: ChangeText) -> None:
    click.echo(text.title)
    for line in (*text.warnings, text.purpose):
        click.echo(with_plain_spaces(line))
    for section in text.sections:
        click.echo()
        click.echo(section.title)
        for line in section.sentences:
            click.echo(with_plain_spaces(line))
        for table in section.tables:
            rows = [
                (_both(row.name, row.about), *(_both(cell.value, cell.interval) for cell in row.cells)) for row in table.rows
            ]
            print_table([with_plain_spaces(column) for column in table.columns], rows, title=with_plain_spaces(table.title))


def _both(text: str, more: str) -> str:
    return with_plain_spaces(f"{text} ({more})" if more else text)
