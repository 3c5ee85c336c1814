"""Codes of errors: each is known, used, explained, of its class, and survives a change of process."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.core import error_codes
from weckd_edge.core.error_codes import LIBRARY_STATUSES, MEANINGS, library_status
from weckd_edge.core.errors import BundleError, DataError, ModelError, WeckdError

ROOT = Path(__file__).parents[4]
SHARED = ("FILE", "JSON", "RECORD", "TOML")
"""What can be wrong with a file of anybody: the class of the error says whose it is."""
FAMILIES = {
    "ConfigError": ("CONFIG", *SHARED),
    "DataError": ("DATA", *SHARED),
    "ModelError": ("MODEL", *SHARED),
    "BundleError": ("BUNDLE", *SHARED),
    "SignatureError": ("BUNDLE",),
    "DeviceError": ("DEVICE", *SHARED),
    "PowerSourceError": ("DEVICE",),
    "LostError": ("DEVICE",),
    "RefusedError": ("DEVICE",),
    "StoreError": ("STORE", *SHARED),
    "MissingDependency": ("MISSING",),
}
PAGE_HEAD = """# Errors

Every failure ends in one line on stderr, `error[CODE]: what was expected, what was found, what to do`, and an exit code:
0 done, 1 failed, 2 wrong request, 3 a gate failed or `bench --compare` found B slower, 70 a defect of this software, 130
interrupted, which is also how `demo` ends. With `--json`, stdout
holds `{"error": {"code": ..., "message": ...}}`, unless it holds a result already, as for `verify`. Match codes in scripts:
a sentence may be rewritten, a code stays. In Python, a `WeckdError` has it as `error.code`.

The second word of a code says where to look. `FILE`, `JSON`, `TOML` and `RECORD` concern any file that is read; the message
names the file. Where the C library reports the same, its status stands beside the code; every other code of a bundle is its
`WECKD_ERR_FORMAT`. Notes of `data check` have codes of their own, which begin with `I_` and `W_`:
[Check before you build](../how-to/data.md#check-before-you-build).

This page is written from `weckd_edge/core/error_codes.py` by `pytest --update-goldens tests/unit/weckd_edge/core`.
"""


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for folder in ("weckd_edge", "train", "compile", "devices"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not any(part.is_symlink() for part in path.parents) and path != Path(error_codes.__file__):
                yield path, ast.parse(path.read_text())


def test_every_code_in_the_source_is_known_and_every_known_code_is_used() -> None:
    used = {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("E(_[A-Z0-9]+)+", node.value)
    }
    assert used == set(MEANINGS)


def test_the_code_of_an_error_is_of_its_classes_family() -> None:
    strangers = []
    seen = 0
    for path, tree in sources():
        for node in ast.walk(tree):
            name = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or name not in FAMILIES:
                continue
            for word in node.keywords:
                if word.arg == "code" and isinstance(word.value, ast.Constant):
                    seen += 1
                    if str(word.value.value).split("_")[1] not in FAMILIES[name]:
                        strangers.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name} {word.value.value}")
    assert seen > 400
    assert strangers == []


def test_codes_are_sorted_and_explained_in_a_sentence() -> None:
    assert list(MEANINGS) == sorted(MEANINGS)
    assert [code for code, text in MEANINGS.items() if not re.fullmatch(r"[A-Z].{15,110}\.", text)] == []


def test_the_page_of_errors_lists_every_code(golden: Callable[[Path, str], None]) -> None:
    parts = [PAGE_HEAD]
    for family, codes in groupby(MEANINGS, key=lambda code: code.split("_")[1]):
        statuses = family in ("BUNDLE", "CONFIG", "MODEL")
        rows = [f"\n## {family}\n", "| code | meaning |" + (" C library |" if statuses else "")]
        rows.append("|---|---|" + ("---|" if statuses else ""))
        for code in codes:
            status = f" `{LIBRARY_STATUSES[code]}` |" if code in LIBRARY_STATUSES else " |"
            rows.append(f"| `{code}` | {MEANINGS[code]} |" + (status if statuses else ""))
        parts.append("\n".join(rows) + "\n")
    golden(ROOT / "docs/reference/errors.md", "".join(parts))


def test_the_statuses_of_the_c_library_are_those_of_its_header() -> None:
    header = (ROOT / "devices/firmware/include/weckd_edge.h").read_text()
    names = set(re.findall(r"^ +(WECKD_ERR_\w+) = -\d+", header, re.MULTILINE))
    assert set(LIBRARY_STATUSES.values()) <= names
    assert library_status("E_BUNDLE_LABELS") == library_status("E_JSON") == "WECKD_ERR_FORMAT"


def test_an_error_keeps_its_code_and_its_lines_between_processes() -> None:
    error = ModelError("w.pth: cannot be read", code="E_MODEL_WEIGHTS_FILE", lines=("import torch",))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code, again.lines) == (ModelError, str(error), error.code, error.lines)


def test_an_error_without_a_code_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        DataError("no code")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("a.png", code="E_DATA_BOX"), "E_DATA_MASKS", "a.png"),
        (DataError("a.png", code="E_DATA_BOX"), "E_DATA_BOX", "b.png"),
        (DataError("a.png", code="E_DATA_BOX"), "E_NOT_A_CODE", "a.png"),
    ],
    ids=["another code", "without the fact", "a code that is none"],
)
def test_the_tests_own_helper_fails_where_the_error_is_another(error: WeckdError, code: str, says: str) -> None:
    with pytest.raises(AssertionError), raises(DataError, code, says=says):
        raise error


def test_the_tests_own_helper_fails_on_another_class() -> None:
    with pytest.raises(DataError), raises(BundleError, "E_BUNDLE_IO"):
        raise DataError("a.png", code="E_DATA_BOX")
