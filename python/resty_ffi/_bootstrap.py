"""Imports what a cfg names and starts it.

Compiled into libffi_python3.so and run in the interpreter that it starts,
where the package need not be importable.
"""

from __future__ import annotations

import atexit
import contextvars
import itertools
import linecache
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from . import _fresh, _imports, _main_thread
else:
    import _resty_ffi_fresh as _fresh
    import _resty_ffi_imports as _imports
    import _resty_ffi_main_thread as _main_thread

LOG_ERR, LOG_WARN = 4, 5
RELOAD = 2

# What is left to users' threads, at most half, of the time that runtimes had.
OTHERS_S = 1.0

# Innermost frames of a stack that error.log shows.
FRAMES = 30

INTERNAL_ERROR = "ffi_python3: internal error: see error.log"

_put_first: set[str] = set()
_leaving = 0

# Context variables that imports have set: the value, and whose load it was.
_imported: dict[contextvars.ContextVar[Any], tuple[Any, str]] = {}

# What a runtime has its thread do once it has started.
Serve = Callable[[], None]


class LoadError(Exception):
    """What Lua is told; the exception behind it is the cause, if any."""


class Thread(threading.Thread):
    """A thread of a runtime; those that its code starts are no daemons."""

    of_runtime = True

    def __init__(
        self, main: Callable[..., object], name: str, *args: object
    ) -> None:
        super().__init__(target=main, name=name, args=args, daemon=False)


def start_thread(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
    memory: object,
) -> None:
    """Have a thread start the runtime of a cfg, report that, and serve.

    `cfg` and `tq` are addresses for the module's function, 0 is NULL; config
    are the bytes at cfg, which are there as long as memory is.
    """
    arguments = (directory, module, fresh, function, cfg, tq, config, memory)
    try:
        Thread(_main, f"{module}.{function}", *arguments).start()
    except RuntimeError:
        _started(tq, "ffi_python3: no thread to be had")


def _main(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
    memory: object,
) -> None:
    text: str | None = INTERNAL_ERROR
    serve = None
    try:
        with _main_thread.starting():
            serve = _new_context().run(
                start, directory, module, fresh, function, cfg, tq, config
            )
        text = None
    except LoadError as error:
        text = str(error)
    except BaseException:
        traceback.print_exc()
    finally:
        _started(tq, text)
    if serve is not None:
        serve()


def start(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    cfg: int,
    tq: int,
    config: bytes | None,
) -> Serve | None:
    """Start the runtime of a cfg, on its own thread.

    Returns what that thread has to do when this has been reported; None for
    a poll loop. LoadError says why it could not start; that and the
    traceback are in error.log then.
    """
    undo = _nothing
    try:
        again = fresh and _is_reload(tq)
        target, undo = _load(directory, module, fresh, function, again)
        _keep_variables(module)
        what = f"{module}.{function}"
        if is_served(target):
            return _serve(target, what, config, tq)
        call(target, what, cfg, tq)
    except LoadError as error:
        undo()
        full = str(error)
        if error.__cause__ is not None:
            full += "\n" + format_traceback(error.__cause__)
        _log(LOG_ERR, full)
        raise
    return None


def _new_context() -> contextvars.Context:
    """One as it would be in a thread that had imported all modules."""
    context = contextvars.Context()
    for variable, (value, _) in _imported.copy().items():
        context.run(variable.set, value)
    return context


def _keep_variables(module: str) -> None:
    """Keep what this load has set; not what an earlier version of it has."""
    found = {
        variable: (value, module)
        for variable, value in contextvars.copy_context().items()
        if variable not in _imported or _imported[variable][0] is not value
    }
    names = {variable.name for variable in found}
    for variable, (_, setter) in _imported.copy().items():
        if setter == module and variable.name in names:
            _imported.pop(variable, None)
    _imported.update(found)


def load(
    directory: str | None, module: str, fresh: bool, function: str
) -> Any:
    """The callable that a cfg names; LoadError where there is none."""
    return _load(directory, module, fresh, function)[0]


def _load(
    directory: str | None,
    module: str,
    fresh: bool,
    function: str,
    again: bool = False,
) -> tuple[Any, _fresh.Undo]:
    what = module

    def pick(loaded: Any) -> Any:
        nonlocal what
        target = getattr(loaded, function)
        what = f"{module}.{function}"
        if not callable(target):
            kind = type(target).__name__
            raise TypeError(f"{kind!r} object is not callable")
        return target

    try:
        if directory is not None:
            _put_on_path(directory)
        if fresh:
            return _fresh.load(module, pick, again)
        return pick(_fresh.load_cached(module)), _nothing
    except BaseException as error:
        raise failed(what, error) from error


def _nothing() -> None:
    pass


def leave(patience: int) -> None:
    """What an interpreter does at its end, as far as a worker can wait.

    Threads that are not daemons have `patience` milliseconds to end.
    """
    global _leaving
    _leaving = threading.get_ident()
    try:
        _wait_for_threads(patience / 1000)
    finally:
        atexit._run_exitfuncs()
        for file in (sys.stdout, sys.stderr):
            if file is not None:
                file.flush()


def _wait_for_threads(seconds: float) -> None:
    began = time.monotonic()
    _join(_of_runtimes(), max(seconds / 2, seconds - OTHERS_S))
    end = threading.Thread(target=_end_threads, daemon=True)
    end.start()
    _join([end], began + seconds - time.monotonic())
    stuck = _pollers(0) | _idents(_of_runtimes())
    _log_threads(LOG_WARN, "threads of runtimes that have not ended", stuck)
    _log_threads(
        LOG_WARN,
        "threads that are no daemons and have not ended",
        _idents(_awaited()) - stuck,
    )
    serve = sys.modules.get("resty_ffi._serve")
    if serve is not None:
        serve.log_tasks()


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def _end_threads() -> None:
    """Thread pools end their work, for which threading has a list."""
    for callback in reversed(getattr(threading, "_threading_atexits", ())):
        callback()
    for thread in _awaited():
        thread.join()


def _of_runtimes() -> list[threading.Thread]:
    polled = _pollers(0) - _idents(_pooled())
    return [
        thread
        for thread in _started_threads()
        if hasattr(thread, "of_runtime") or thread.ident in polled
    ]


def _pooled() -> set[threading.Thread]:
    """Threads of pools, which stay when what they have run has ended."""
    pool = sys.modules.get("concurrent.futures.thread")
    return set(getattr(pool, "_threads_queues", ()))


def _awaited() -> list[threading.Thread]:
    """Those of users' that Python would wait for."""
    pooled = _pooled()
    ours = [threading.main_thread(), *_of_runtimes()]
    return [
        thread
        for thread in threading.enumerate()
        if (thread in pooled or not thread.daemon) and thread not in ours
    ]


def _idents(threads: Iterable[threading.Thread]) -> set[int]:
    return {t.ident for t in threads if t.ident is not None}


def is_served(target: Any) -> bool:
    """Whether `resty_ffi.serve` has made the target."""
    return hasattr(target, "__resty_ffi__")


def _serve(target: Any, what: str, config: bytes | None, tq: int) -> Serve:
    try:
        from resty_ffi import _serve

        text = None
        if config is not None:
            text = config.decode("utf-8", "surrogateescape")
        return _serve.start(target, what, text, tq)
    except BaseException as error:
        raise failed(what, error) from error


def call(target: Any, what: str, cfg: int, tq: int) -> None:
    """Start a poll loop; LoadError where that fails."""
    try:
        rc = target(cfg, tq)
        told = None if rc == 0 else f"returned {rc!a}, not 0"
    except BaseException as error:
        raise failed(what, error) from error
    if told is not None:
        raise LoadError(f"ffi_python3: {what}: {told}")


def failed(what: str, error: BaseException) -> LoadError:
    """The LoadError for an exception; what: which part has raised it."""
    return LoadError(f"ffi_python3: {what}: {describe(error)}")


def _started(tq: int, text: str | None) -> None:
    import _resty_ffi  # only where this is compiled in

    _resty_ffi.started(tq, text)


def _log(level: int, text: str) -> None:
    import _resty_ffi  # only where this is compiled in

    _resty_ffi.log(level, text)


def _is_reload(tq: int) -> bool:
    import _resty_ffi

    return bool(_resty_ffi.option(tq, RELOAD, 0))


def describe(error: BaseException) -> str:
    """One line that UTF-8 can hold: the exception's class and text."""
    name = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except BaseException:
        text = "(its text cannot be had)"
    line = f"{name}: {text}" if text else name
    return line.encode("utf-8", "backslashreplace").decode()


def format_traceback(error: BaseException) -> str:
    """The traceback as in error.log: as the source is on disk now.

    Frames of ours are left out: they are of no interest to anybody.
    """
    linecache.checkcache()
    try:
        shown = traceback.TracebackException.from_exception(error)
        for part in _chain(shown):
            part.stack[:] = [f for f in part.stack if not _is_ours(f.filename)]
        return "".join(shown.format())
    except BaseException:  # the exception's own code has raised
        lines = traceback.format_tb(error.__traceback__)
        return "".join([*lines, f"{describe(error)}\n"])


def report(tq: int) -> None:
    """Tell error.log what the threads of a stuck runtime do.

    With 0 for tq, what the thread does that leaves.
    """
    if tq:
        _log_threads(LOG_ERR, "threads of the stuck runtime", _threads_of(tq))
    else:
        _log_threads(LOG_WARN, "still in atexit callbacks", {_leaving})


def _threads_of(tq: int) -> set[int]:
    """Idents: who has polled the queue, and who works for those.

    Where nobody has polled there is no telling: all but the loader's own.
    """
    found = _pollers(tq)
    if not found:
        loaders = {threading.main_thread().ident, threading.get_ident()}
        return sys._current_frames().keys() - loaders
    threads = {t.ident: t.name for t in _started_threads()}
    names = {threads.get(ident) for ident in found}
    for ident, name in threads.items():
        # an event loop's pool has its name
        if ident is not None and name.rpartition("_")[0] in names:
            found.add(ident)
    return found


def _pollers(tq: int) -> set[int]:
    """Idents of threads that have polled a queue (0: any)."""
    import _resty_ffi

    polled = set(_resty_ffi.pollers(tq))
    threads = _started_threads()
    found = {t.ident for t in threads if t.native_id in polled}
    if polled - {t.native_id for t in threads}:
        # not started by threading, so it has no native id in Python
        found |= sys._current_frames().keys() - {t.ident for t in threads}
    found -= {None, threading.get_ident()}
    return {ident for ident in found if ident is not None}


def _started_threads() -> list[threading.Thread]:
    """Those that threading has started.

    It never forgets one that was not and that once asked for its name; the
    ident may be another thread's by now.
    """
    dummy = threading._DummyThread
    return [t for t in threading.enumerate() if not isinstance(t, dummy)]


def _log_threads(level: int, what: str, idents: Iterable[int]) -> None:
    """One entry in error.log, with the stacks of the threads."""
    text = "".join(_format_threads(set(idents)))
    if text:
        _log(level, f"ffi_python3: {what}:\n{text}")


def _format_threads(idents: set[int]) -> Iterator[str]:
    # all at once, before any of them goes on
    stacks = {
        ident: traceback.StackSummary.extract(
            traceback.walk_stack(frame), lookup_lines=False
        )
        for ident, frame in sys._current_frames().items()
        if ident in idents
    }
    linecache.checkcache()
    threads = {t.ident: t for t in _started_threads()}
    for ident, stack in stacks.items():
        thread = threads.get(ident)
        if thread is None:
            title = f"thread {ident:#x}, not started by threading"
        else:
            title = f'thread {thread.native_id} "{thread.name}"'
        if isinstance(thread, threading.Timer):
            title += f", waiting to call {_name(thread.function)}"
        yield f"{title}:\n" + "".join(_format_stack(stack))


def _name(function: Any) -> str:
    try:
        return f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        return repr(type(function).__name__)


def _format_stack(stack: traceback.StackSummary) -> Iterator[str]:
    """Lines for a stack that begins with its innermost frame."""
    shown = [f for f in reversed(stack) if not _is_ours(f.filename)]
    shown = list(itertools.dropwhile(_begins_thread, shown))
    if not shown:
        yield "  in no code but the loader's\n"
    if len(shown) > FRAMES:
        yield f"  {len(shown) - FRAMES} frames, not shown\n"
    yield from traceback.StackSummary.from_list(shown[-FRAMES:]).format()


def _is_ours(file: str) -> bool:
    serve = getattr(sys.modules.get("resty_ffi._serve"), "__file__", None)
    return file in __file_names or (
        serve is not None and os.path.dirname(file) == os.path.dirname(serve)
    )


def _begins_thread(frame: traceback.FrameSummary) -> bool:
    return frame.filename == threading.__file__ and frame.name in (
        "_bootstrap",
        "_bootstrap_inner",
        "run",
    )


def _chain(
    shown: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    """An exception and those it came from."""
    if shown is not None:
        yield shown
        yield from _chain(shown.__cause__)
        yield from _chain(shown.__context__)


def _put_on_path(directory: str) -> None:
    directory = os.path.abspath(directory)
    if directory in _put_first:
        return
    _put_first.add(directory)
    sys.path[:] = [directory, *(p for p in sys.path if p != directory)]


__file_names = [
    function.__code__.co_filename
    for function in (
        *(start, _fresh.load, _imports.prepare),
        _main_thread.install,
    )
]
