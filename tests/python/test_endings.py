# SPDX-License-Identifier: BSD-2-Clause
"""What is left of a runtime ends with it; serve/test_endings.py has more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from resty_ffi import _ending, serve
from resty_ffi.testing import Runtime

said: list[str] = []
kept: list[object] = []


async def numbers() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await asyncio.sleep(0)
        said.append("generator")


async def flush() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        said.append("task")


def job() -> None:
    said.append("job")


@serve
class Leaves:
    async def well(self, request: bytes) -> None:
        generator = numbers()
        kept.append(generator)
        await generator.__anext__()
        self.task = asyncio.create_task(flush())
        loop = asyncio.get_running_loop()
        for _ in range(100):
            loop.run_in_executor(None, job)
        await asyncio.sleep(0)

    async def close(self) -> None:
        said.append("close")


def test_all_ends(caplog: pytest.LogCaptureFixture) -> None:
    with Runtime(Leaves) as rt:
        assert rt.well() == (True, None)
    assert said.count("job") == 100
    assert [what for what in said if what != "job"] == [
        *("close", "task", "generator")
    ]
    assert not caplog.records


def test_many_tasks_are_one_line() -> None:
    async def test() -> str:
        tasks = [asyncio.create_task(flush()) for _ in range(9)]
        await asyncio.sleep(0)
        text = _ending.describe_tasks(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return text

    text = asyncio.run(test())
    assert text.count(" in flush (") == 5
    assert text.endswith("; 4 more")
    assert "\n" not in text
