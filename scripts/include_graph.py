# SPDX-License-Identifier: BSD-2-Clause
"""Which file of src includes which: downwards only, and in no circle.

usage: include_graph.py [--print] [ROOT]

A .c file and its .h are one node.  Rooms are those of docs/architecture.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

# room: those below it whose files it may include
ROOMS = {
    "include": (),
    "src/bridge": ("include",),
    "src/nginx/core": ("src/bridge", "include"),
    "src/nginx/request": ("src/nginx/core", "src/bridge", "include"),
    "src/nginx/http": (
        "src/nginx/request",
        "src/nginx/core",
        "src/bridge",
        "include",
    ),
    "src/nginx/lua": (
        "src/nginx/request",
        "src/nginx/core",
        "src/bridge",
        "include",
    ),
    "src/loader": ("include",),
}
NGINX = r"(?:ngx_|nginx).*"
LUA = r"(?:luajit[^/]*/)?(?:lua|lauxlib|lualib|luajit)\.h"
PYTHON = r"(?:Python|structmember|frameobject)\.h|cpython/.*"
# room: headers of others that it must not know
UNKNOWN = {
    "include": f"{NGINX}|{LUA}|{PYTHON}",
    "src/bridge": f"{NGINX}|{LUA}|{PYTHON}",
    "src/nginx/core": f"{LUA}|{PYTHON}",
    "src/nginx/request": f"{LUA}|{PYTHON}",
    "src/nginx/http": f"{LUA}|{PYTHON}",
    "src/nginx/lua": PYTHON,
    "src/loader": f"{NGINX}|{LUA}",
}

INCLUDE = re.compile(
    r"""^[ \t]*\#[ \t]*include[ \t]*([<"])([^>"\n]+)""", re.MULTILINE
)


class Graph:
    def __init__(self, root: Path) -> None:
        self.faults: list[str] = []
        self.paths = {
            room: sorted((root / room).glob("*.[ch]")) for room in ROOMS
        }
        self.homes: dict[str, list[str]] = {}
        for room, paths in self.paths.items():
            for path in paths:
                self.homes.setdefault(path.name, []).append(room)
        # room: file without its suffix: the likes in its own room
        self.nodes = {room: self._nodes(room) for room in ROOMS}

    def _nodes(self, room: str) -> dict[str, set[str]]:
        nodes: dict[str, set[str]] = {p.stem: set() for p in self.paths[room]}
        for path in self.paths[room]:
            for mark, name in INCLUDE.findall(path.read_text()):
                home = self._home(room, name)
                if mark == "<" and not name.startswith("ngx_"):
                    home = None  # the system has a spawn.h, too
                if home == room and Path(name).stem != path.stem:
                    nodes[path.stem].add(Path(name).stem)
                if home not in (None, room, *ROOMS[room]) or (
                    home is None and re.fullmatch(UNKNOWN[room], name)
                ):
                    self.faults.append(
                        f"{room}/{path.name} must not include {name}"
                    )
        return nodes

    def _home(self, room: str, name: str) -> str | None:
        """Its own room first, as a compiler looks for it."""
        homes = self.homes.get(name.rpartition("/")[2], [])
        best = [home for home in (room, *ROOMS[room]) if home in homes]
        return next(iter(best + homes), None)

    def order(self, room: str) -> Iterator[str]:
        """Lowest first; a circle is a fault."""
        try:
            yield from TopologicalSorter(self.nodes[room]).static_order()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            self.faults.append(f"{room}: a circle: {circle}")
            yield from sorted(self.nodes[room])

    def text(self) -> Iterator[str]:
        for room, below in ROOMS.items():
            yield f"{room}  ->  {', '.join(below) or 'nothing'}"
            for node in self.order(room):
                deps = " ".join(sorted(self.nodes[room][node]))
                yield f"    {node}{': ' if deps else ''}{deps}"


def main() -> None:
    arguments = sys.argv[1:]
    show = "--print" in arguments
    roots = [word for word in arguments if word != "--print"]
    graph = Graph(Path(roots[0] if roots else "."))
    text = "\n".join(graph.text())
    if show:
        print(text)
    sys.exit("\n".join(graph.faults) or None)


if __name__ == "__main__":
    main()
