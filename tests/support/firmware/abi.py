"""What a program built against the C library's header relies on: ``python tests/support/firmware/abi.py`` writes it.

Every struct with size and places of its fields (on a 64-bit processor), every constant with its value, every function.
``tests/firmware/abi.txt`` is what the API version in its first line promises.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEADER = ROOT / "devices/firmware/include/weckd_edge.h"
KEPT = ROOT / "tests/firmware/abi.txt"


def without_comments(header: str) -> str:
    return re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)


def functions(header: str) -> list[str]:
    """Return every exported declaration on one line, sorted."""
    found = re.findall(r"WECKD_EXPORT\s+([^;{#]+?);", without_comments(header))
    return sorted(" ".join(words.split()) for words in found)


def function_names(header: str) -> set[str]:
    """Return the name of every exported function."""
    return {re.search(r"(weckd_\w+)\(", words)[1] for words in functions(header)}  # type: ignore[index]


def structs(header: str) -> dict[str, list[str]]:
    """Return the names of the fields of every struct."""
    found = {}
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", without_comments(header), re.DOTALL):
        fields = []
        for line in filter(None, (part.strip() for part in body.split(";"))):
            pointer = re.search(r"\(\*(\w+)\)", line)
            declared = [pointer[0]] if pointer else line.split(",")
            fields += [re.sub(r"\[.*", "", words).split("*")[-1].strip(" )").split()[-1] for words in declared]
        found[name] = fields
    return found


def constants(header: str) -> list[str]:
    """Return every enumerator and every number that is defined."""
    text = without_comments(header)
    enumerators = [
        name
        for body in re.findall(r"typedef enum \w+ \{(.*?)\}", text, re.DOTALL)
        for name in re.findall(r"(WECKD_\w+) =", body)
    ]
    return enumerators + re.findall(r"^#define (WECKD_\w+) \(?-?\d", text, re.MULTILINE)


def describe(header: Path = HEADER) -> str:
    """Compile a program that tells, and return what it says behind the functions."""
    text = header.read_text(encoding="utf-8")
    lines = [f'printf("{name} %lld\\n", (long long){name});' for name in constants(text)]
    for name, fields in structs(text).items():
        lines.append(f'printf("struct {name} %zu bytes\\n", sizeof({name}));')
        lines += [
            f'printf("  {field} at %zu, %zu bytes\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
            for field in fields
        ]
    program = f'#include "{header}"\n#include <stdio.h>\nint main(void) {{\n' + "\n".join(lines) + "\nreturn 0;\n}\n"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tell.c").write_text(program, encoding="utf-8")
        for command in (["cc", "-o", f"{folder}/tell", f"{folder}/tell.c"], [f"{folder}/tell"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
    return done.stdout + "".join(f"{words}\n" for words in functions(text))


def taken_away(before: str, after: str) -> list[str]:
    """Return what a program may rely on by one text and not by another; nothing where the API version is another.

    Fields that take words of ``reserved`` leave the struct's size and all other fields where they were.
    """

    def lines(text: str) -> list[str]:
        found, struct = [], ""
        for line in text.splitlines():
            struct = line.rsplit(" ", 2)[0] if line.startswith("struct ") else struct
            found.append(f"{struct}:{line}" if line.startswith("  ") else line)
        return [line for line in found if ":  reserved at" not in line]

    remaining = set(lines(after))
    return [line for line in lines(before) if line not in remaining] if version(before) == version(after) else []


def version(text: str) -> int:
    """Return the API version that a text describes."""
    found = re.search(r"^WECKD_API_VERSION (\d+)$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    KEPT.write_text(describe(), encoding="utf-8")
