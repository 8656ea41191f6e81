# SPDX-License-Identifier: BSD-2-Clause
"""What is compiled into the loader, where the package need not be."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "python" / "resty_ffi" / "_loader"


def imported(path: Path) -> set[str]:
    """As absolute names or, below the folder, with a dot."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if not node.level:
                module = module.partition(".")[0]
            found.add("." * node.level + module)
    return found


def test_it_imports_only_what_is_compiled_in_before() -> None:
    text = (ROOT / "src" / "loader" / "interpreter.c").read_text()
    modules = re.findall(r"COMPILED_IN\((\w+)\)[,\n]", text)
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert set(modules) == files
    known = {"_resty_ffi", *sys.stdlib_module_names}
    for name in modules:
        assert imported(FOLDER / f"{name}.py") <= known
        known.add(f".{name}")
