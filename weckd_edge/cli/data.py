"""``weckd-edge data``: read, check, audit and split a data set; extract one from videos; make a synthetic one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from weckd_edge.cli import data_extract, data_index
from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import Cache, DataColumns, ProgressOutput, Settings
from weckd_edge.cli.parsing.options import CommandGroup, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, SEED, AnyPath, WholeNumber
from weckd_edge.core.words import with_plain_spaces

if TYPE_CHECKING:
    from weckd_edge.train.data.check import DataReport

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedData(DataColumns):
    """How the data set is read, and how far apart near duplicates may be."""

    distance: int | None = option(
        "--distance", type=WholeNumber(0, 16), help="Near-duplicate distance, in place of the default."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedCache(OptionGroup):
    """The shard that is read, and the folder that keeps it."""

    title: ClassVar[str] = "Shard"
    shard: str = option(
        "--shard", required=True, metavar="NUMBER/COUNT", help="Part that is read, such as 3/8: the third of eight."
    )
    folder: Path = option(
        "--cache",
        type=AnyPath(file_okay=False),
        required=True,
        help="Folder that keeps what was read of each image, the same for every shard.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Split(Settings):
    """Settings of a split."""

    labelled_subsets: int | None = option(
        "--labelled-subsets",
        type=WholeNumber(1, 1000),
        help="Number of labelled subsets. Default: one for each link of the configuration.",
    )
    skip_bad: bool = option("--skip-bad", is_flag=True, help="Skip files that cannot be used, and list them.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitOutput(ProgressOutput):
    """Output of a split: the index file, and what is printed."""

    out: Path = option("--out", type=AnyPath(dir_okay=False), required=True, help="JSON file to write.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditInputs(Settings):
    """Inputs of the audit beside the images, and its settings."""

    backbone: str | None = option(
        "--backbone", metavar="MODEL[@PIXELS]=FILE", help="Pretrained network whose features embed the images."
    )
    masks: Path | None = option("--masks", type=PATH, help="Folder of masks, named like the images.")
    source: str | None = option("--source", help="Column of the CSV that names where an image comes from.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticSet(OptionGroup):
    """The synthetic data set that is drawn."""

    title: ClassVar[str] = "Data"
    out: Path = option("--out", type=AnyPath(file_okay=False), required=True, help="Folder to write.")
    images: int = option("--images", type=WholeNumber(20, 100_000), default=600, show_default=True, help="Number of images.")
    seed: int = option("--seed", type=SEED, default=0, show_default=True, help="Seed; equal seeds give equal bytes.")
    size: str = option("--size", default="192x256", show_default=True, metavar="HxW", help="Height and width, pixels.")

    def height_and_width(self) -> tuple[int, int]:
        """Return height and width of an image, pixels.

        Raises:
            UsageError: ``--size`` is not written as two numbers.
        """
        height, _, width = self.size.lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and len(self.size) < 20):
            raise click.UsageError(f"--size {self.size}: expected height and width in pixels, such as 192x256")
        return int(height), int(width)


@click.group(name="data", cls=CommandGroup)
def command() -> None:
    """Read, check, audit and split a data set; extract one from videos; make a synthetic one."""


@command.command(name="check")
@click.argument("path", type=PATH)
@takes(checked=CheckedData, cache=Cache, output=ProgressOutput)
def check_command(path: Path, checked: CheckedData, cache: Cache, output: ProgressOutput) -> None:
    """Report bad files, copies, near copies and leaks of PATH: a folder of images by class, or a CSV.

    The command fails only where no file can be read.
    """
    from weckd_edge.config import load_config
    from weckd_edge.core.errors import DataError
    from weckd_edge.train.data.check import check_data

    config = load_config(None, checked.settings()).data
    if checked.distance is not None:
        config = replace(config, near_duplicate_distance=checked.distance)
    with output.progress() as progress:
        report = check_data(path, config, progress, cache.place(path))
    if output.as_json:
        print_json(report.summary())
    else:
        _print_report(path, report)
    if report.images == 0:
        first = report.bad_files[0]
        wanted = "" if path.is_dir() else "; expected a column that names images, relative to its own folder (--path-column)"
        raise DataError(
            f"{path}: none of {len(report.bad_files)} files can be read; the first is {first.path}: {first.reason}{wanted}",
            code="E_DATA_BAD_IMAGES",
        )


def _print_report(path: Path, report: DataReport) -> None:
    kind = " (synthetic: drawn, not medical images)" if report.synthetic else ""
    print_table(("class", "images"), report.class_counts.items(), title=f"{path}{kind}")
    rows: list[tuple[str, object]] = [
        ("readable images", report.images),
        ("files that cannot be read", len(report.bad_files)),
        ("images that copy an earlier one, pixel by pixel", report.exact_duplicates),
        ("images that also have another label", len(report.contradictions)),
        ("clusters of near duplicates", report.near_duplicate_groups),
        ("groups that a split keeps whole", report.groups),
        ("images in the largest group", report.largest_group),
        ("pairs that look alike in groups that stay apart", report.separate_ties),
    ]
    published = report.published_split
    if published is not None:
        rows += [
            ("test images of the published split", published.test_images),
            ("LEAK: of these, copies of a training image", published.copies),
            ("LEAK: of these, in one group with a training image", published.grouped),
        ]
    if published is not None and (published.val_copies or published.val_grouped):
        rows += [
            ("LEAK: of these, copies of a validation image", published.val_copies),
            ("LEAK: of these, in one group with a validation image", published.val_grouped),
        ]
    print_table(("found", "number"), rows)
    if report.notes:
        print_table(("code", "noticed"), [(one.code, one.text) for one in report.notes])
    if report.bad_files:
        _print_some(("file", "cannot be used because"), [(f.path, f.reason) for f in report.bad_files])
    if report.contradictions:
        _print_some(("file", "contradiction"), [(f.path, f.reason) for f in report.contradictions])
    for name, pairs in (
        ("training", [(leak.test, leak.train) for leak in report.leaks if leak.train]),
        ("validation", [(leak.test, leak.val) for leak in report.leaks if leak.val]),
    ):
        if pairs:
            _print_some(("test file", f"is a copy of the {name} file"), pairs)


def _print_some(columns: tuple[str, str], rows: list[tuple[str, str]]) -> None:
    more = f" (the first {_SHOWN} of {len(rows)})" if len(rows) > _SHOWN else ""
    print_table((columns[0] + more, columns[1]), rows[:_SHOWN])


@command.command(name="read")
@click.argument("path", type=PATH)
@takes(columns=DataColumns, part=SharedCache, output=ProgressOutput)
def read_command(path: Path, columns: DataColumns, part: SharedCache, output: ProgressOutput) -> None:
    """Read the images of one shard of PATH, so that several processes or machines share the work.

    Give each of them another shard and the same --cache, a folder that all of them see. With that --cache, 'data check',
    'data split', 'data audit' and 'build' then decode only files that no shard has read, or that changed since.
    """
    from weckd_edge.config import load_config
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.train.data.listing.notes import counted
    from weckd_edge.train.data.shards import Shard, read_shard

    shard = Shard.parse(part.shard)
    check_place(part.folder, [ReadPath("the data set", path)], option="--cache")
    with output.progress() as progress:
        found = read_shard(path, shard, part.folder, progress, load_config(None, columns.settings()).data)
    if output.as_json:
        print_json(found.summary())
        return
    if found.bad_files:
        _print_some(("file", "cannot be read because"), [(f.path, f.reason) for f in found.bad_files])
    click.echo(
        f"shard {shard}: {counted(found.images, 'image')} read, {counted(len(found.bad_files), 'file')} unreadable; "
        f"after all {shard.count} shards, run 'data check', 'data split', 'data audit' or 'build' with --cache {part.folder}"
    )


@command.command(name="split")
@click.argument("path", type=PATH)
@takes(columns=DataColumns, split=Split, cache=Cache, output=SplitOutput)
def split_command(path: Path, columns: DataColumns, split: Split, cache: Cache, output: SplitOutput) -> None:
    """Write which image of PATH is used where: splits, labelled subsets and groups, as a build would."""
    from weckd_edge.artifacts import SPLITS
    from weckd_edge.core.serialization import to_json
    from weckd_edge.core.store import explain_os_errors, write_atomic
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.train.data.index import build_index

    config, out = split.load(columns), output.out
    check_place(out, [ReadPath("the data set", path)], makes="file")
    with output.progress() as progress:
        index = build_index(
            path,
            config.data,
            labelled_subsets=len(config.link) if split.labelled_subsets is None else split.labelled_subsets,
            seed=config.seed,
            skip_bad=split.skip_bad,
            progress=progress,
            cache=cache.place(path),
        )
    with explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, to_json(index))
    if output.as_json:
        print_json(index)
        return
    rows = []
    splits = Counter((record.label, record.split) for record in index.images)
    labelled = Counter(record.label for record in index.images if record.labelled_subset is not None)
    groups = Counter(label for label, _ in {(record.label, record.group) for record in index.images})
    for label, class_name in enumerate(index.labels):
        rows.append((class_name, *(splits[label, name] for name in SPLITS), labelled[label], groups[label]))
    kind = " (synthetic)" if index.synthetic else ""
    print_table(("class", "train", "val", "test", "of train, labelled", "groups"), rows, title=f"{index.name}{kind}")
    print_message(f"written: {out}")


@command.command(name="audit")
@click.argument("path", type=PATH)
@takes(columns=DataColumns, inputs=AuditInputs, cache=Cache, output=ProgressOutput)
def audit_command(path: Path, columns: DataColumns, inputs: AuditInputs, cache: Cache, output: ProgressOutput) -> None:
    """Audit the data set PATH: leaks, random-split bias, shortcuts through cameras and sites, label errors.

    No network is trained: a linear classifier predicts the labels from the features of a frozen network. Name that network
    by --backbone or by the links of --config; without one, the features are colours and edges.
    """
    from weckd_edge.report.chapters.audit import about_data, audit_sections
    from weckd_edge.train.audit.run import audit_folder

    config = inputs.load(columns)
    if inputs.backbone is not None:
        from weckd_edge.cli.parsing.links import parse_link

        config = replace(config, link=(*config.link[:-1], parse_link(inputs.backbone)))
    audit = config.audit
    audit = replace(
        audit,
        masks=str(inputs.masks) if inputs.masks else audit.masks,
        source_column=inputs.source or audit.source_column,
    )
    config = replace(config, audit=audit)
    with output.progress() as progress:
        found = audit_folder(path, config, progress, cache.place(path))
    if output.as_json:
        print_json(found)
        return
    click.echo(with_plain_spaces(about_data(found)))
    for section in audit_sections(found):
        click.echo()
        click.echo(section.title)
        click.echo(with_plain_spaces(section.finding))
        if section.rows:
            print_table(
                [with_plain_spaces(name) for name in section.columns],
                [[with_plain_spaces(cell) for cell in row] for row in section.rows],
            )
    for note in found.notes:
        print_message(f"note: {note}")


command.add_command(data_index.command)
command.add_command(data_extract.command)


@command.command(name="synth")
@takes(synthetic=SyntheticSet, output=ProgressOutput)
def synth_command(synthetic: SyntheticSet, output: ProgressOutput) -> None:
    """Draw a synthetic data set of eardrums in five classes, for trials. They are not medical images."""
    from weckd_edge.pipeline.output_paths import check_place
    from weckd_edge.train.data.synth.phantoms import write_phantoms

    height, width = synthetic.height_and_width()
    out, images, seed = synthetic.out, synthetic.images, synthetic.seed
    check_place(out)
    with output.progress() as progress:
        ears = write_phantoms(out, progress, images=images, seed=seed, height=height, width=width)
    if output.as_json:
        print_json({"folder": str(out), "synthetic": True, "images": images, "ears": ears, "seed": seed})
    else:
        click.echo(f"{out}: {images} synthetic frames of {ears} drawn ears (not medical images)")
