# SPDX-License-Identifier: BSD-2-Clause
"""Messages in error.log have codes, and docs/errors.md explains each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Sources of what error.log is told.
SOURCES = [
    *sorted((ROOT / "src").rglob("*.c")),
    *sorted((ROOT / "python" / "resty_ffi").rglob("*.py")),
]

CODE = re.compile(r"FFI\d{3}")
ROW = re.compile(r"^\| (FFI\d{3}) \| `.+ \| (\S[^|]*) \| (\S[^|]*) \|$", re.M)

# What is written to the log, up to the end of its statement.
IN_C = re.compile(
    r"\b(ngx_log_error|bridge_logf|resty_ffi_log)\((.*?)\);", re.S
)
OURS = re.compile(r'"(?:FFI\d{3}: )?(?:lua ffi|ffi|ffi_python3): ')


def documented() -> list[str]:
    text = (ROOT / "docs" / "errors.md").read_text()
    return [match[1] for match in ROW.finditer(text)]


def used() -> set[str]:
    return {
        code for file in SOURCES for code in CODE.findall(file.read_text())
    }


def messages() -> Iterator[str]:
    for file in SOURCES:
        if file.suffix == ".c":
            for match in IN_C.finditer(file.read_text()):
                if OURS.search(match[2]):
                    yield " ".join(match[2].split())


def test_each_code_is_documented_once() -> None:
    codes = documented()
    assert sorted(codes) == codes
    assert len(set(codes)) == len(codes)
    assert set(codes) == used()


def test_each_row_is_whole() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| FFI.*$", text, re.M)
    assert len(rows) == len(documented())


def test_each_message_of_c_has_one() -> None:
    found = list(messages())
    assert len(found) > 30
    assert [text for text in found if not CODE.search(text)] == []


def test_each_message_of_python_has_one() -> None:
    """But for what Lua is told."""
    told = re.compile(r"LoadError\(|_started\(|INTERNAL_ERROR")
    bare = []
    for file in SOURCES:
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if file.suffix != ".py" or not re.search(
                r"[\"']ffi_python3: ", line
            ):
                continue
            if not told.search(
                "".join(lines[max(0, number - 1) : number + 1])
            ):
                bare.append(f"{file.name}:{number + 1}")
    assert bare == []


def test_lua_gets_no_codes() -> None:
    """Texts that it compares are as they were."""
    for file in (ROOT / "src" / "nginx" / "lua").glob("*.c"):
        for match in re.finditer(
            r"lua_push(?:l?string|literal)\((.*?)\);", file.read_text(), re.S
        ):
            assert not CODE.search(match[1])
    for file in (ROOT / "lua").rglob("*.lua"):
        assert not CODE.search(file.read_text())
