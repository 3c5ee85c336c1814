"""Read a data set from folders: one for each class, maybe below one for each split, maybe all in a folder of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.listing.base import ListedImage, Listing
from weckd_edge.train.data.listing.masks import is_mask_folder, pair_masks
from weckd_edge.train.data.listing.notes import counted, note, quoted, some_names
from weckd_edge.train.data.listing.rows import label_notes
from weckd_edge.train.data.listing.splits import Named, SplitName, are_alike, is_filler, split_name
from weckd_edge.train.data.listing.system_files import IMAGE_ENDINGS, entries, is_no_image, walk
from weckd_edge.train.data.listing.tables import ENDINGS


@dataclass(eq=False)
class Folder:
    """Folder below the data set's root.

    Attributes:
        name: Name of the folder.
        path: Path relative to the root, POSIX; empty for the root itself.
        files: Paths of the files that lie directly in it and may be images.
        folders: Folders in it, by name.
        others: Whether there are files below it that are no images.
    """

    name: str
    path: str
    files: list[str] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    others: bool = False

    def below(self) -> list[str]:
        """Return the path of every file in it or below it."""
        found = list(self.files)
        for folder in self.folders.values():
            found += folder.below()
        return found

    def live(self) -> list[Folder]:
        """Return the folders in it that hold files."""
        return [folder for _, folder in sorted(self.folders.items()) if folder.below()]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Class:
    label: str
    split: Named | None
    folder: Folder


def read_folder(root: Path) -> Listing:
    """Read a data set from folders, in a layout of ``list_data``.

    Raises:
        DataError: There are no folders, a class has no images, or the folders of classes cannot be told from others.
    """
    notes: list[DataNote] = []
    tree = _tree(root, notes)
    if not tree.folders:
        raise DataError(
            f"{root}: expected one sub-folder for each class with its images inside, found no sub-folder"
            f"{_tables(root, tree)}",
            code="E_DATA_LAYOUT",
        )
    classes = _Layout(root, notes).read(tree)
    if not classes:
        raise DataError(
            f"{root}: expected one sub-folder for each class with its images inside, found none with images",
            code="E_DATA_LAYOUT",
        )
    images = [
        ListedImage(path=file, label=one.label, published_split=None if one.split == "unlabelled" else one.split)
        for one in classes
        for file in one.folder.below()
    ]
    notes += label_notes([image.label for image in images])
    return Listing(images=tuple(images), notes=tuple(notes))


def _tree(root: Path, notes: list[DataNote]) -> Folder:
    """Return the tree of folders below a folder."""
    tree = Folder("", "")
    system: Counter[str] = Counter()
    others: list[str] = []
    for top in entries(root, system):
        if not top.is_dir():
            if not is_no_image(top.name):
                tree.files.append(top.name)
            continue
        found = walk(top)
        system += found.system
        _reach(tree, (top.name,))
        for here in found.folders:
            _reach(tree, here.relative_to(root).parts)
        for file in found.files:
            _reach(tree, file.relative_to(root).parts[:-1]).files.append(file.relative_to(root).as_posix())
        for file in found.others:
            parts = file.relative_to(root).parts[:-1]
            for depth in range(len(parts)):
                _reach(tree, parts[: depth + 1]).others = True
            others.append(file.relative_to(root).as_posix())
    if system:
        hidden = system.pop("hidden", 0)
        counts = [
            f"{counted(count, 'file or folder', 'files and folders')} of {origin}"
            for origin, count in sorted(system.items())
        ]
        counts += [counted(hidden, "hidden file or folder", "hidden files and folders")] if hidden else []
        notes.append(note("I_SYSTEM_FILES", f"left out by name: {', '.join(counts)}"))
    if others:
        notes.append(
            note(
                "I_OTHER_FILES",
                f"left out, as no images by their names: {counted(len(others), 'file')}: {some_names(sorted(others))}",
            )
        )
    return tree


def _reach(tree: Folder, parts: Sequence[str]) -> Folder:
    here = tree
    for part in parts:
        path = f"{here.path}/{part}" if here.path else part
        here = here.folders.setdefault(part, Folder(part, path))
    return here


def _tables(root: Path, tree: Folder) -> str:
    """Return a hint at the tables in a folder that holds no classes."""
    places = [root, *(root / folder.path for folder in tree.folders.values())]
    found = [
        file.relative_to(root).as_posix()
        for place in places
        for file in entries(place, Counter())
        if file.suffix.lower() in ENDINGS and file.is_file()
    ]
    return f"; if {some_names(found)} names the labels, give that file" if found else ""


class _Layout:
    """Finds the classes in a tree of folders, and notes what was decided."""

    def __init__(self, root: Path, notes: list[DataNote]) -> None:
        self.root = root
        self.notes = notes

    def read(self, tree: Folder) -> list[_Class]:
        """Return the folders of classes.

        Raises:
            DataError: The folders of classes cannot be told from others, or one has no images.
        """
        here, split = tree, None
        while True:
            live = self._without_masks(here)
            only = live[0] if len(live) == 1 and not self._empty(here) else None
            if only is None or only.files or not only.live():
                break
            name = split_name(only.name)
            split = name.split if name is not None and name.split != "unlabelled" else split
            here = only
        if here is not tree:
            self.notes.append(note("I_FOLDER_BELOW", f"classes are read from the folder '{here.path}'"))
        self._beside(here)
        family = self._family(live, here)
        if family:
            return self._splits(family)
        inside = self._splits_inside(live)
        if inside:
            return inside
        for folder in self._empty(here):
            raise DataError(
                f"{self.root / folder.path}: expected images of the class '{folder.name}', found none; fill or remove it",
                code="E_DATA_EMPTY_CLASS",
            )
        return [_Class(label=folder.name, split=split, folder=folder) for folder in live]

    def _empty(self, here: Folder) -> list[Folder]:
        return [folder for _, folder in sorted(here.folders.items()) if not folder.below() and not folder.others]

    def _beside(self, here: Folder) -> None:
        loose = [file for file in here.files if Path(file).suffix.lower() in IMAGE_ENDINGS]
        if loose:
            self.notes.append(
                note(
                    "W_IMAGES_BESIDE_FOLDERS",
                    f"{counted(len(loose), 'image')} beside the folders of classes have no label and are left out: "
                    f"{some_names(loose)}",
                )
            )

    def _without_masks(self, here: Folder) -> list[Folder]:
        """Return the folders that hold files, without folders of masks for the images of the others."""
        live = here.live()
        masks = [folder for folder in live if is_mask_folder(folder.name)]
        if not masks or len(masks) == len(live):
            return live
        files = [file.removeprefix(f"{here.path}/") for folder in live for file in folder.below()]
        known = pair_masks(files)
        for folder in masks:
            own = [file.removeprefix(f"{here.path}/") for file in folder.below()]
            if sum(file in known for file in own) * 2 >= len(own):
                live.remove(folder)
                self.notes.append(
                    note(
                        "W_MASKS_LEFT_OUT",
                        f"the folder '{folder.path}' is left out: its {counted(len(own), 'file')} look like masks of the "
                        "images in the other folders",
                    )
                )
        return live

    def _family(self, live: Sequence[Folder], here: Folder) -> dict[Folder, SplitName]:
        """Return the folders that are splits: those called so, if they alone lie there or hold folders of the same names.

        Raises:
            DataError: Splits hold no folders of classes, or something else with images lies beside them.
        """
        named = {folder: name for folder in live if (name := split_name(folder.name)) is not None}
        classes = self._classes(named)
        labels = {folder: {inner.name for inner in self._inner(folder, classes).live()} for folder in named}
        kinds = {name.split for name in named.values()}
        shared = any(
            labels[a] & labels[b]
            for a in named
            for b in named
            if named[a].split != named[b].split and labels[a] and labels[b]
        )
        alone = len(named) == len(live) and are_alike(list(named.values())) and len(kinds) > 1
        if not named or not (shared or alone):
            if named and len(live) > 1:
                others = [folder.name for folder in live if folder not in named]
                self.notes.append(
                    note(
                        "I_SPLIT_NAME_IS_CLASS",
                        f"{quoted(folder.name for folder in named)} "
                        + (f"beside {quoted(others[:3])} " if others else "")
                        + "is read as a class and not as a split, as the folders do not hold the same classes",
                    )
                )
            return {}
        if not any(labels.values()):
            raise DataError(
                f"{self.root / here.path}: expected one sub-folder for each class, found the splits "
                f"{', '.join(folder.name for folder in named)} without any; expected <split>/<label>/<image>, or a CSV that "
                f"names the labels{_tables(self.root, here)}",
                code="E_DATA_LAYOUT",
            )
        for folder in live:
            if folder not in named:
                self._refuse_beside(folder, named)
        return named

    def _refuse_beside(self, folder: Folder, named: dict[Folder, SplitName]) -> None:
        """Leave out a second copy of the whole layout; refuse anything else with images beside splits.

        Raises:
            DataError: The folder is something else.
        """
        inner = self._inner(folder)
        names = {other.name for other in named}
        own = {file.removeprefix(f"{inner.path}/") for file in inner.below()}
        other_files = {file.removeprefix(f"{folder.path.rpartition('/')[0]}/") for other in named for file in other.below()}
        if names & {one.name for one in inner.live()} and own <= other_files:
            text = f"the folder '{folder.path}' is left out: it holds the same files once more"
            self.notes.append(note("W_FOLDER_TWICE", text))
            return
        raise DataError(
            f"{self.root}: found the splits {', '.join(sorted(names))}, and beside them the folder '{folder.name}' with "
            f"{counted(len(folder.below()), 'image')}; move it elsewhere, or name the images in a CSV with a split column",
            code="E_DATA_LAYOUT",
        )

    def _classes(self, splits: Iterable[Folder]) -> frozenset[str]:
        """Return the names of classes that splits of several classes hold."""
        inside = [self._inner(folder).live() for folder in splits]
        return frozenset(one.name for live in inside if len(live) > 1 for one in live)

    def _inner(self, folder: Folder, classes: Collection[str] = ()) -> Folder:
        """Return the folder that holds the classes of a split, which may lie below it, as in ``train/train``.

        Args:
            folder: The split.
            classes: Names of classes of other splits: a folder of such a name is one here as well, such as ``test/1``.
        """
        while len(folder.live()) == 1 and not folder.files:
            only = folder.live()[0]
            same = only.name.lower() == folder.name.lower()
            if only.name in classes or not (same or split_name(only.name) or is_filler(only.name)):
                break
            folder = only
        return folder

    def _splits(self, family: dict[Folder, SplitName]) -> list[_Class]:
        classes: list[_Class] = []
        notes = []
        where: dict[str, set[str]] = defaultdict(set)
        names = self._classes(family)
        for folder, name in family.items():
            inner = self._inner(folder, names)
            live = inner.live()
            if not live or name.split == "unlabelled":
                files = folder.below()
                self.notes.append(
                    note(
                        "W_UNLABELLED_SPLIT",
                        f"the folder '{folder.path}' has no folders of classes: its "
                        f"{counted(len(files), 'unlabelled image')} are left out",
                    )
                )
                continue
            self._beside(inner)
            classes += [_Class(label=one.name, split=name.split, folder=one) for one in live]
            for one in live:
                where[one.name].add(folder.name)
            notes.append(f"'{folder.path}' is {name.split}")
        self.notes.append(note("I_SPLIT_FOLDERS", f"folders are read as published splits: {', '.join(notes)}"))
        self.notes += _uneven(where, [folder.name for folder in family if any(folder.name in s for s in where.values())])
        return classes

    def _splits_inside(self, live: Sequence[Folder]) -> list[_Class]:
        """Return the classes where each holds splits that hold images: the layout ``<label>/<split>/<image>``."""
        inside = [(folder, one, split_name(one.name)) for folder in live for one in folder.live()]
        kinds = {name.split for _, _, name in inside if name is not None}
        flat = all(name is not None and not name.rest and one.files for _, one, name in inside)
        if not inside or len(kinds) < 2 or not flat or any(folder.files for folder in live):
            return []
        where: dict[str, set[str]] = defaultdict(set)
        classes = []
        for folder, one, name in inside:
            if name is not None and name.split != "unlabelled":
                where[folder.name].add(name.split)
                classes.append(_Class(label=folder.name, split=name.split, folder=one))
        notes = ", ".join(sorted({f"'{one.name}' is {name.split}" for _, one, name in inside if name is not None}))
        self.notes.append(note("I_SPLIT_FOLDERS", f"the folders in each class are read as published splits: {notes}"))
        self.notes += _uneven(where, sorted(kinds))
        return classes


def _uneven(where: dict[str, set[str]], splits: Sequence[str]) -> Iterator[DataNote]:
    """Yield a note for the classes that some of the splits do not hold."""
    for label, found in sorted(where.items()):
        lacking = [split for split in splits if split not in found]
        if lacking:
            yield note(
                "W_CLASS_NOT_IN_EVERY_SPLIT",
                f"the class '{label}' is in {quoted(sorted(found))} alone, and not in {quoted(lacking)}",
            )
