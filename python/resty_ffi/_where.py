# SPDX-License-Identifier: BSD-2-Clause
"""Where an asyncio task waits: the stack of what it awaits."""

from __future__ import annotations

import gc
import inspect
import traceback
from types import FrameType
from typing import Any

# attributes of a coroutine, an asynchronous generator and a plain one
_KINDS = (
    ("cr_frame", "cr_await"),
    ("ag_frame", "ag_await"),
    ("gi_frame", "gi_yieldfrom"),
)


def stack_of(task: Any) -> traceback.StackSummary | None:
    """Innermost frame first; None where it runs, or has no frame of Python's.

    task: an asyncio task, or another future, of any loop and thread.
    """
    get_coro = getattr(task, "get_coro", None)
    awaited = get_coro() if get_coro is not None else None
    frames: list[tuple[FrameType, int]] = []
    while awaited is not None:
        kind = _kind_of(awaited)
        if kind is None:
            # what "async for" awaits does not say of which generator it is
            found = filter(inspect.isasyncgen, gc.get_referents(awaited))
            awaited = next(found, None)
            kind = _kind_of(awaited)
        if kind is None:
            break
        frame, awaited = (getattr(awaited, name) for name in kind)
        if frame is not None:
            if frame.f_back is not None:
                return None  # its thread runs it
            frames.append((frame, frame.f_lineno))
    if not frames:
        return None
    return traceback.StackSummary.extract(reversed(frames), lookup_lines=False)


def _kind_of(awaited: object) -> tuple[str, str] | None:
    return next((k for k in _KINDS if hasattr(awaited, k[0])), None)
