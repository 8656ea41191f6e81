# SPDX-License-Identifier: BSD-2-Clause
"""Serves a web application; or says what a cfg of ngx.load_ffi would load.

    python -m resty_ffi serve app:app --watch
    python -m resty_ffi 'app?,Cache,{"size": 1}'
    python -m resty_ffi paths

The second imports the module as the loader does, with what PYTHONPATH says and
without the current directory. Functions are not called, instances are not
made. The end is 0 where the cfg loads, 1 with load_ffi's error text where it
does not. The third says where a wheel has put nginx's modules.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from ._body import reader_of
from ._handlers import (
    is_asynchronous,
    is_coroutine,
    method_names,
)
from ._loader.bootstrap import call, is_served, load
from ._loader.cfg import Cfg, parse
from ._loader.errors import LoadError, failed, format_traceback
from ._options import Options
from ._paths import main as paths

FRESH = ", read again by a load or reload, not when it changes (see WATCH=1)"


class NotServedError(LoadError):
    """Of what would be called as a poll loop, and is none."""


def describe(cfg: Cfg) -> dict[str, str]:
    """What the cfg loads; LoadError where it does not."""
    target = load(cfg)
    if is_served(target):
        facts = _describe_served(target, cfg)
    else:
        _try_arguments(target, cfg)
        facts = {"kind": "poll loop: function(cfg, tq)"}
    config = "none" if cfg.config is None else repr(os.fsdecode(cfg.config))
    file = getattr(sys.modules.get(cfg.module), "__file__", None)
    return {
        "loads": cfg.what,
        "file": (file or "none") + (FRESH if cfg.fresh else ""),
        **facts,
        "config": config,
    }


def _describe_served(target: Any, cfg: Cfg) -> dict[str, str]:
    options: Options = target.__resty_ffi__
    try:
        is_async = is_asynchronous(target)
    except TypeError as error:
        raise failed(cfg.what, error) from error
    facts = {}
    if inspect.isclass(target):
        facts["kind"] = "class, on an event loop" if is_async else "class"
        facts["methods"] = ", ".join(_methods(target))
    else:
        what = "generator" if _yields(target) else "function"
        facts["kind"] = f"async {what}" if is_async else what
    if not is_async or options.threads > 1:
        facts["threads"] = str(options.threads)
    reader = None if inspect.isclass(target) else reader_of(target)
    if reader is not None:
        facts["request"] = f"in parts, by {reader.__name__}"
    else:
        facts["request"] = "memoryview" if options.view else "bytes"
    return facts


def _yields(function: Any) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
        function
    )


def _methods(cls: type) -> list[str]:
    return [
        f"async {name}" if is_coroutine(getattr(cls, name)) else name
        for name in method_names(cls)
    ]


def _try_arguments(target: Any, cfg: Cfg) -> None:
    """Raise the NotServedError of a callable that cannot start a poll loop.

    Only where the call does not reach its code: it takes other arguments,
    or is a coroutine function.
    """
    new: Any = getattr(target, "__new__", None)
    plain_class = type(target) is type and new is object.__new__
    if not inspect.isfunction(target) and not plain_class:
        return
    try:
        inspect.signature(target).bind(0, 0)
    except TypeError:
        pass
    else:
        if not inspect.iscoroutinefunction(target):
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            call(target, cfg, 0, 0)
        except LoadError as error:
            # a coroutine that is never awaited ends here, unheard
            traceback.clear_frames(error.__traceback__)
            raise NotServedError(str(error)) from error.__cause__


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["serve"]:
        from ._command import main as serve

        return serve(arguments[1:])
    if arguments[:1] == ["paths"]:
        return paths(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="python -m resty_ffi",
        description="Says what a cfg of ngx.load_ffi would load."
        " `python -m resty_ffi serve -h` is about serving.",
    )
    parser.add_argument("cfg", help="module,function[,config]")
    text = parser.parse_args(arguments).cfg
    try:
        cfg = parse(os.fsencode(text))
        facts = describe(cfg)
    except LoadError as error:
        print(error, file=sys.stderr)
        if error.__cause__ is not None:
            text = format_traceback(error.__cause__)
            print(text, end="", file=sys.stderr)
        if hint := _hint(error):
            print(f"hint: {hint}", file=sys.stderr)
        return 1
    for name, fact in facts.items():
        print(f"{name:<8} {fact}")
    return 0


def _hint(error: LoadError) -> str | None:
    if isinstance(error, NotServedError):
        return "is @serve missing?"
    cause = error.__cause__
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        name = cause.name.partition(".")[0]
        if Path(name).is_dir() or Path(f"{name}.py").is_file():
            return (
                f"nginx does not look for {name} in the current directory:"
                " set PYTHONPATH"
            )
    return None


def _leave_directory() -> None:
    # python -m has put it first, where -P and the like do not keep it off
    if getattr(sys.flags, "safe_path", False):
        return
    if os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
        del sys.path[0]


if __name__ == "__main__":
    _leave_directory()
    sys.exit(main(sys.argv[1:]))
