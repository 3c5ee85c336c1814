"""Read files of weights as trainers write them, tables of tensors and settings, without running any code of them."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.devices.images.file_kinds import HEAD_BYTES, file_kind_of, picture_kind_of

Table = dict[str, Tensor]

BESIDE = "config.json"
"""File with a network's settings that timm writes beside its weights."""

_MAX_SETTINGS_BYTES = 1 << 20
_DEEPEST = 4
_SETTINGS = ("args", "hyper_parameters", "hparams", "config", "cfg", "pretrained_cfg", "default_cfg")
_NO_WEIGHTS = ("optim", "opt", "lr_sched", "scheduler", "scaler", "amp", "loss_scaler")
_CODE = ("exec", "eval", "compile", "__import__", "os.", "posix.", "nt.", "sys.", "subprocess.", "shutil.", "runpy.")
"""Beginnings of names in a pickle that no trainer writes, and that can only be there to run code."""
_COUNTERS = ("num_batches_tracked", "n_averaged")


class Inert:
    """Stand-in for an object beside the weights: it keeps the state it is given, and none of the object's code runs."""

    settings: Mapping[str, Any]

    def __new__(cls, *_: object) -> Inert:
        made = object.__new__(cls)
        made.settings = {}
        return made

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.settings = state


def _plain_mapping(*_: object) -> dict[str, Any]:
    return {}


STAND_INS: dict[str, Any] = {
    # Settings of a run: timm's and torchvision's trainers keep what argparse has read.
    "argparse.Namespace": Inert,
    # Folders among these settings.
    **{
        f"{module}.{name}": Inert
        for module in ("pathlib", "pathlib._local")
        for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
    },
    # Numbers that NumPy has computed, such as the best accuracy.
    **{
        f"{module}.{name}": Inert
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("scalar", "_reconstruct")
    },
    "numpy.dtype": Inert,
    "numpy.ndarray": Inert,
    "numpy.random._pickle.__randomstate_ctor": Inert,
    # Lightning's hyperparameters, and the state of its callbacks.
    **{
        f"{module}.AttributeDict": dict
        for module in (
            "lightning.fabric.utilities.data",
            "lightning_fabric.utilities.data",
            "lightning.pytorch.utilities.parsing",
            "pytorch_lightning.utilities.parsing",
        )
    },
    **{
        f"{module}.{name}": Inert
        for module in ("lightning.pytorch.callbacks", "pytorch_lightning.callbacks")
        for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
    },
    # Settings by OmegaConf, as Hydra's users have them.
    **{
        f"omegaconf.{name}": Inert
        for name in (
            "dictconfig.DictConfig",
            "listconfig.ListConfig",
            "base.ContainerMetadata",
            "base.Metadata",
            "nodes.AnyNode",
            "nodes.StringNode",
            "nodes.IntegerNode",
            "nodes.FloatNode",
            "nodes.BooleanNode",
        )
    },
    "typing.Any": Inert,
    # Plain containers, and types that are named as such.
    "collections.defaultdict": _plain_mapping,
    **{
        f"{module}.{name}": Inert
        for module in ("builtins", "__builtin__")
        for name in ("dict", "list", "tuple", "int", "float", "str", "bool", "frozenset", "range", "slice", "object")
    },
    "datetime.datetime": Inert,
    "datetime.date": Inert,
    "datetime.timedelta": Inert,
}
"""Names of objects that may lie beside weights. None is imported or called: ``Inert`` or an empty dict stands for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """Content of a file of weights.

    Attributes:
        name: Name of the file.
        tables: Every table of tensors, by its place: "" is the file itself, "a.b" the entry b of its entry a.
        settings: Settings of the run that wrote the file, by name; empty where it holds none.
    """

    name: str
    tables: dict[str, Table]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedWeights:
    """Weights of one network, as they were found in a file.

    Attributes:
        place: Place of the weights: the table, and the prefix of their names.
        tensors: Tensors by the network's own names.
        others: Further places that hold all of the network's weights.
        left_out: Tensors of the same table that are no part of the network, by their names there.
    """

    place: str
    tensors: Table
    others: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def is_average(self) -> bool:
        """Whether these are a running average of the weights, by the name of their place."""
        return _is_average(self.place)


def read_weights(path: Path) -> WeightsFile:
    """Read a file of weights: safetensors, or a PyTorch file, which is read with ``weights_only=True``.

    Beside tensors and plain containers it may hold only objects that ``STAND_INS`` names; no code of the file is run.

    Raises:
        ModelError: The file is missing, holds anything else, or no tensors. Where it can be converted, the error's ``lines``
            are the three lines of Python that do so.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file", code="E_MODEL_FILE_MISSING")
    if _is_safetensors(path):
        return WeightsFile(name=path.name, tables={"": _read_safetensors(path)}, settings=_settings_beside(path))
    loaded = _load(path)
    tables = {place: table for place, table in _tables(loaded, "", 0) if table}
    if not tables:
        raise ModelError(f"{path.name}: expected a table of tensors, found {_describe(loaded)}", code="E_MODEL_WEIGHTS_FILE")
    return WeightsFile(name=path.name, tables=tables, settings={**_settings_beside(path), **_settings(loaded)})


def fit_to(
    file: WeightsFile, wanted: Mapping[str, Tensor], *, key: str | None = None, spare: tuple[str, ...] = ()
) -> FittedWeights:
    """Find a network's weights in a file: in whichever table, behind whichever prefix of their names.

    Where several places hold them all, the running average (EMA) is taken, as trainers evaluate it; then a table called
    ``state_dict`` or ``model``; then the first.

    Args:
        file: File of weights.
        wanted: Tensors of the network, by name.
        key: Name of the place to take, and no other; None chooses one.
        spare: Prefixes of names that the file need not hold, such as a classifier that is trained anew.

    Returns:
        All of the weights; where no place holds them all, those of the place that comes closest.

    Raises:
        ModelError: The file has no place of the name ``key``.
    """
    needed = {n for n in wanted if not n.endswith(_COUNTERS) and not n.startswith(spare)}
    places = {}
    for where, table in file.tables.items():
        names = [name for name in table if not name.endswith(_COUNTERS)]
        hits: dict[str, set[str]] = {"": set()}
        for name in names:
            for prefix, rest in _cuts(name):
                if rest in needed:
                    hits.setdefault(prefix, set()).add(rest)
        for prefix, found in hits.items():
            places[where, prefix] = len(found)
    if key is not None:
        chosen = {place: n for place, n in places.items() if (_join(*place) + ".").startswith(key.strip(".") + ".")}
        if not chosen:
            known = ", ".join(dict.fromkeys(repr(where) for where in file.tables if where)) or "one table without a name"
            raise ModelError(f"{file.name}: holds nothing called '{key}'; it holds {known}", code="E_MODEL_WEIGHTS_FILE")
        places = chosen
    maximum = max(places.values())
    if maximum == 0:  # weights of another network: the message is about the largest table
        places = {max(places, key=lambda place: len(file.tables[place[0]])): 0}
    best = sorted((place for place, n in places.items() if n == maximum), key=lambda place: _rank(_join(*place)))
    where, prefix = best[0]
    table = {n: v for n, v in file.tables[where].items() if not n.endswith(_COUNTERS)}
    whole = best if maximum == len(needed) else best[:1]
    copies = [other for place, other in whole if place == where and other != prefix]
    inner = {n: v for n, v in table.items() if n.startswith(prefix) and not any(_below(n, c, prefix) for c in copies)}
    return FittedWeights(
        place=_join(where, prefix),
        tensors={n.removeprefix(prefix): v for n, v in inner.items()},
        others=tuple(_join(*place) for place in whole[1:]),
        left_out=tuple(n for n in table if not n.startswith(prefix) and not any(n.startswith(c) for c in copies)),
    )


def _below(name: str, other: str, prefix: str) -> bool:
    return len(other) > len(prefix) and name.startswith(other)


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    yield "", name
    for dot in re.finditer(r"\.", name):
        yield name[: dot.end()], name[dot.end() :]


def _join(where: str, prefix: str) -> str:
    return ".".join(part for part in (where, prefix.rstrip(".")) if part)


def _rank(place: str) -> tuple[bool, bool]:
    return not _is_average(place), place.partition(".")[0] not in ("", "state_dict", "model")


def _is_average(place: str) -> bool:
    return "ema" in re.split(r"[^a-z]+", place.lower())


def _tables(value: object, place: str, depth: int) -> Iterator[tuple[str, Table]]:
    if isinstance(value, (list, tuple)):
        value = {str(n): one for n, one in enumerate(value)}
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    tensors = {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, Tensor)}
    yield place, tensors
    for name, one in value.items():
        if isinstance(name, str) and not name.lower().startswith(_NO_WEIGHTS) and not isinstance(one, Tensor):
            yield from _tables(one, _join(place, name), depth + 1)


def _settings(loaded: object) -> dict[str, Any]:
    if not isinstance(loaded, dict):
        return {}
    found: dict[str, Any] = {}
    for name in _SETTINGS:
        value = loaded.get(name)
        value = value.settings if isinstance(value, Inert) else value
        if isinstance(value, Mapping):
            found = {**{k: v for k, v in value.items() if isinstance(k, str) and v is not None}, **found}
    return found | ({"arch": loaded["arch"]} if isinstance(loaded.get("arch"), str) else {})


def _settings_beside(path: Path) -> dict[str, Any]:
    """Return the settings that timm writes beside weights, as ``config.json``; empty where that is no file of timm's."""
    beside = path.with_name(BESIDE)
    if not beside.is_file() or beside.stat().st_size > _MAX_SETTINGS_BYTES:
        return {}
    try:
        found = json.loads(beside.read_bytes())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("pretrained_cfg"), dict):
        return {}
    named = {"model_kwargs": found["model_args"]} if isinstance(found.get("model_args"), dict) else {}
    return {**found["pretrained_cfg"], "architecture": found.get("architecture"), **named}


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return path.suffix == ".safetensors" or (head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size)


def _read_safetensors(path: Path) -> Table:
    from safetensors.torch import load_file

    try:
        found: Table = load_file(path)
    except Exception as err:  # errors of safetensors have no common base class
        raise ModelError(
            f"{path.name}: cannot be read as weights ({_plain(str(err))[:200]})", code="E_MODEL_WEIGHTS_FILE"
        ) from err
    return found


def _load(path: Path) -> object:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([(how, name) for name, how in STAND_INS.items()]):
            warnings.simplefilter("ignore")  # warnings of the pickle's protocol, and of TorchScript
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many kinds for a file that is not what its name says
        why, lines = _why(path, str(err) or type(err).__name__)
        raise ModelError(f"{path.name}: cannot be read as weights: {why}", lines=lines, code="E_MODEL_WEIGHTS_FILE") from err


def _why(path: Path, message: str) -> tuple[str, tuple[str, ...]]:
    """Return the reason why torch does not read a file, with the lines of Python that convert it, where there are such."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if (
        not head.startswith((b"PK\x03\x04", b"\x80")) and head[257:262] != b"ustar"
    ):  # signatures of the files that torch writes and wrote
        kind = picture_kind_of(head) or file_kind_of(head)
        neither = "neither safetensors nor a file that PyTorch wrote"
        return f"it is {kind}, {neither}" if kind else f"it is {neither}", ()
    if "TorchScript" in message:
        lines = (
            "import torch",
            f"network = torch.jit.load({path.name!r}, map_location='cpu')",
            "torch.save(network.state_dict(), 'weights.pth')",
        )
        return "it is a TorchScript program; if you trust it, save its state_dict alone, and give that:", lines
    named = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    if named is not None and named[1].startswith(_CODE):
        return f"it would run code when it is opened ({named[1]}); do not open it, ask for its weights as safetensors", ()
    if named is None and not re.search("nsupported|llowlisted|reduce|allowed", message):
        return first_line(_plain(message)), ()
    what = f"it holds {named[1]}, and reading that can run code" if named else "it holds more than tensors and settings"
    lines = (
        f"import torch; found = torch.load({path.name!r}, map_location='cpu', weights_only=False)",
        "found = found.get('state_dict', found.get('model', found)) if isinstance(found, dict) else found",
        "torch.save(found.state_dict() if hasattr(found, 'state_dict') else dict(found), 'weights.pth')",
    )
    return f"{what}; if you trust it, save its state_dict alone, and give that:", lines


def _describe(loaded: object) -> str:
    if isinstance(loaded, dict):
        return f"a table of {', '.join(str(name) for name in list(loaded)[:5]) or 'nothing'}"
    return f"something else ({type(loaded).__name__})"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
