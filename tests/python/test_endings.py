"""What is left of a runtime in resty_ffi.testing ends with it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator

import pytest

from resty_ffi import _ending, serve
from resty_ffi.testing import Runtime

SHORT_S = 0.3
# In which a handler has surely begun.
SOON_S = 0.5

said: list[str] = []
kept: list[object] = []
go_on = threading.Event()


@pytest.fixture(autouse=True)
def _bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ending, "END_S", SHORT_S)
    said.clear()
    kept.clear()
    go_on.clear()


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


async def refuse() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            said.append("refused")


def job() -> None:
    said.append("job")


def stuck_job() -> None:
    go_on.wait(60)


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

    async def refusing(self, request: bytes) -> None:
        self.task = asyncio.create_task(refuse(), name="refusing")
        await asyncio.sleep(0)

    async def stuck(self, request: bytes) -> None:
        asyncio.get_running_loop().run_in_executor(None, stuck_job)

    async def stay(self, request: bytes) -> None:
        await refuse()

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


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (
            "refusing",
            r"Leaves: tasks have not ended within 0\.3 s, and are left:"
            r" refusing in refuse \(.*test_endings\.py:\d+\), Event\.wait ",
        ),
        (
            "stuck",
            r"Leaves: its executor's jobs have not ended within 0\.3 s, and go"
            r" on: .*Leaves_\d+ in stuck_job \(.*test_endings\.py:\d+\)",
        ),
    ],
)
def test_what_does_not_end_is_named(
    method: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Runtime(Leaves) as rt:
        assert rt.well() == rt.call(method) == (True, None)
    go_on.set()
    assert {"close", "task", "generator"} <= set(said)
    (record,) = caplog.records
    assert re.search(line, record.getMessage()), record.getMessage()


def test_a_call_that_refuses_to_be_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Runtime(Leaves) as rt:
        assert rt.stay(timeout=SOON_S) == (False, "timeout")
    assert said == ["refused", "close", "refused"]
    (record,) = caplog.records
    assert "Leaves.stay (" in record.getMessage()


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
