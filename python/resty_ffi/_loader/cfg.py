# SPDX-License-Identifier: BSD-2-Clause
"""The loader's grammar: `[directory/]module[?],function[,config]`."""

from __future__ import annotations

from typing import NamedTuple

from .errors import INTERNAL_ERROR, LoadError


class Cfg(NamedTuple):
    directory: str | None  # "/", or without a slash at its end
    module: str
    fresh: bool
    function: str
    config: bytes | None  # all behind the second comma

    @property
    def what(self) -> str:
        """What texts and the thread call it."""
        return f"{self.module}.{self.function}"


def parse(text: bytes | None) -> Cfg:
    """The parts of a cfg; LoadError where it is none."""
    if text is None:
        raise _malformed("it is nil")
    if not text:
        raise _malformed("it is empty")
    path, *rest = text.split(b",", 2)
    if not rest:
        raise _malformed("it has no comma")
    directory, slash, module = path.rpartition(b"/")
    fresh = module.endswith(b"?")
    module = module.removesuffix(b"?")
    if not module:
        raise _malformed("its module is empty")
    if not rest[0]:
        raise _malformed("its function is empty")
    try:
        return Cfg(
            (directory.rstrip(b"/") or b"/").decode() if slash else None,
            module.decode(),
            fresh,
            rest[0].decode(),
            rest[1] if len(rest) > 1 else None,
        )
    except UnicodeDecodeError as error:
        raise LoadError(INTERNAL_ERROR) from error


def _malformed(what: str) -> LoadError:
    return LoadError(
        f'ffi_python3: cfg must be "module,function[,config]": {what}'
    )
