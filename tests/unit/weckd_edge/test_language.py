"""The code uses the field's words: a word that the project has retired comes back in no name, message or page."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ("weckd_edge", "train", "compile", "devices")

RETIRED = {
    "adopt": "import",
    "adopted": "imported",
    "answer": "prediction, output or reply",
    "answered": "classified or decided",
    "answers": "predictions, outputs or probabilities",
    "bar": "limit",
    "bars": "limits or gates",
    "brought": "imported",
    "dealt": "assigned",
    "errand": "plan",
    "fleet": "hosts",
    "harm": "prediction flips",
    "infer": "predict",
    "ladder": "candidates",
    "mend": "correct",
    "papers": "documents",
    "parcel": "payload",
    "parting": "layer divergence",
    "partings": "layer divergences",
    "rung": "candidate",
    "rungs": "candidates",
    "said": "text, notes or reported",
    "ship": "select or deploy",
    "shipped": "deployed",
    "shipping": "link selection",
    "ships": "is deployed",
    "sight": "decision",
    "sights": "decisions",
    "strain": "limit ratio",
    "told": "text or reported",
    "trunk": "backbone",
    "trunks": "backbones",
    "twin": "baseline",
    "twins": "baselines",
    "unfamiliar": "out of distribution",
    "unfamiliarity": "ood score",
    "weigh": "evaluate",
    "weighed": "evaluated",
    "weighing": "selection",
}
"""The words, each with what to say for it."""

APPROVED = {
    "overlay.py: bar": "a bar of a legend",
    "predictions.py: bar": "a bar of a chart",
    "predictions.py: fraction_bar": "a bar of a chart",
}
"""Names that may hold such a word, by module, each with what it means there."""


RETIRED_IN_TEXTS = {
    r"adopt(s|ed)?": "import",
    r"amiss": "wrong",
    r"answer(s|ed|ing)?": "prediction or decision; predict, decide or reply",
    r"at (its|their) word": "calibrated",
    r"bars?": "limit or gate",
    r"brought": "imported or converted",
    r"commonest": "most common",
    r"dealt": "assigned or divided",
    r"doubts": "warnings",
    r"familiar frames?|unfamiliar(ity)?": "in-distribution frames, OOD score",
    r"figures?": "metrics or results",
    r"flatter(s|ed)?": "overestimate",
    r"frame guard": "input guard",
    r"ladder|rungs?": "candidates",
    r"likeliest": "most probable",
    r"mend(s|ed)?": "correct",
    r"multiply-adds?": "MACs",
    r"papers": "model card, SBOM",
    r"partings?": "layer divergence",
    r"probe[sd]?": "audit",
    r"ship(s|ped|ping)?": "deploy",
    r"to the (better|worse)": "for the better, for the worse",
    r"trunks?": "backbone",
    r"twins?": "baseline",
    r"weigh(s|ed|ing)?": "evaluate or select",
}
"""Words, as patterns, that no message, page or document says, each with what to say for it."""

APPROVED_TEXTS = ("linear probe", "linear probing")
"""Terms of the field that hold such a word."""


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: parted at underscores and capitals."""
    return [word.lower() for word in re.split(r"_|(?<=[a-z0-9])(?=[A-Z])", name) if word]


def names_of(file: Path, *, inside: bool) -> Iterator[tuple[str, int]]:
    """Yield the names that a module makes, with their lines; ``inside``: those of functions too."""
    yield file.stem, 0
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif inside and isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif inside and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif inside and isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def retired_names(folder: Path, *, inside: bool) -> list[str]:
    """Return where a name of a folder's modules holds a retired word, with what to say for it."""
    return [
        f"{file.relative_to(ROOT)}:{line}: {name}: say {RETIRED[word]} for {word}"
        for file in sorted(folder.rglob("*.py"))
        for name, line in names_of(file, inside=inside)
        for word in words(name)
        if word in RETIRED and f"{file.name}: {name}" not in APPROVED
    ]


@pytest.mark.parametrize("folder", SOURCE)
def test_no_name_of_the_source_holds_a_retired_word(folder: str) -> None:
    assert not retired_names(ROOT / folder, inside=True)


def test_no_name_of_a_test_or_its_module_holds_a_retired_word() -> None:
    found = [line for line in retired_names(ROOT / "tests", inside=False) if "test_" in line.split(":")[2]]
    assert not found


def test_a_retired_word_is_found_in_every_kind_of_name(tmp_path: Path) -> None:
    file = tmp_path / "twin.py"
    file.write_text("class TrunkOf:\n    def weigh_it(self, bars):\n        told = self.answer = 1\n", encoding="utf-8")
    found = {word for name, _ in names_of(file, inside=True) for word in words(name) if word in RETIRED}
    assert found == {"twin", "trunk", "weigh", "bars", "told", "answer"}


def test_an_approved_name_is_still_in_use() -> None:
    files = [file for folder in SOURCE for file in (ROOT / folder).rglob("*.py")]
    assert set(APPROVED) <= {f"{file.name}: {name}" for file in files for name, _ in names_of(file, inside=True)}


def keys_of(value: object) -> Iterator[str]:
    """Yield the keys of a JSON value, at any depth."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield key
            yield from keys_of(below)
    elif isinstance(value, list):
        for below in value:
            yield from keys_of(below)


def test_no_flag_or_command_is_a_retired_word() -> None:
    text = (ROOT / "tests/goldens/help.txt").read_text(encoding="utf-8")
    typed = {*re.findall(r"--([a-z][a-z-]+)", text), *re.findall(r"^\$ weckd-edge (.*) --help$", text, re.MULTILINE)}
    assert {"data audit", "min-version"} <= typed
    assert not {name for name in typed for word in re.split(r"[- ]", name) if word in RETIRED}


def test_no_key_of_printed_json_or_of_a_bundle_holds_a_retired_word() -> None:
    files = [*(ROOT / "tests/goldens/json").glob("*.json"), *(ROOT / "tests/fixtures/bundle-v1").rglob("*.json")]
    keys = {key for file in files for key in keys_of(json.loads(file.read_text(encoding="utf-8")))}
    assert {"end_to_end", "gates", "limit"} <= keys
    assert not {key for key in keys for word in words(key) if word in RETIRED}


def texts_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield what a module or a template says to people, with the line: strings of more than one word, no docstrings."""
    source = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        shown = re.sub(
            r"{%.*?%}|{{.*?}}|{#.*?#}|<[^>]*>", lambda code: "\n" * code[0].count("\n") + " ", source, flags=re.DOTALL
        )
        yield from enumerate(shown.split("\n"), start=1)
        return
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
        if is_text and id(node) not in docstrings:
            yield node.lineno, node.value


def retired_texts(folder: Path) -> list[str]:
    """Return where a text of a folder's modules or templates says a retired word, with what to say for it."""
    found = []
    for file in sorted((*folder.rglob("*.py"), *folder.rglob("*.j2"))):
        for line, text in texts_of(file):
            for term in APPROVED_TEXTS:
                text = text.replace(term, "")
            found += [
                f"{file.relative_to(folder.parent)}:{line}: {word[0]}: say {instead}"
                for pattern, instead in RETIRED_IN_TEXTS.items()
                if (word := re.search(rf"\b({pattern})\b", text, re.IGNORECASE))
            ]
    return found


@pytest.mark.parametrize("folder", SOURCE)
def test_no_text_of_the_source_says_a_retired_word(folder: str) -> None:
    found = retired_texts(ROOT / folder)
    assert not found, "\n".join(found)


def test_a_retired_word_is_found_in_messages_and_templates_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "a.py").write_text(
        '"""The twin answers."""\nx = f"{1} bars were cleared by what ships"\ny = "answers"\nz = "a linear probe"\n',
        encoding="utf-8",
    )
    (folder / "b.j2").write_text(
        "{% if bars %}\n<figure>{{ figures }}</figure> The Figures\n{% endif %}\n", encoding="utf-8"
    )
    assert [line.partition(": say ")[0] for line in retired_texts(folder)] == [
        "made/a.py:2: bars",
        "made/a.py:2: ships",
        "made/b.j2:2: Figures",
    ]
