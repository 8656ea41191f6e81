# SPDX-License-Identifier: BSD-2-Clause
"""That the soak runs, and notices what is wrong; a short one of each kind."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from .line import fit
from .report import as_text, growths, write
from .soak import HERE, Result, Sample, Soak
from .sockets import SocketSoak
from .web import WebSoak

pytestmark = pytest.mark.once

SECONDS = 10


@pytest.mark.parametrize(
    ("kind", "name", "hup_s"),
    [
        (Soak, "a", 0),
        (Soak, "b", 3),
        (WebSoak, "web", 0),
        (WebSoak, "web-hup", 3),
        (SocketSoak, "sockets", 3),
    ],
)
def test_a_short_one(
    tmp_path: Path, kind: type[Soak], name: str, hup_s: float
) -> None:
    result = kind(name, SECONDS, hup_s, tmp_path).run()
    print(as_text(result), result.complaints)
    assert result.failures() == []
    if kind is SocketSoak:
        assert result.counts["told"]
    else:
        assert result.counts["left"]
    assert result.reloads or kind is not Soak
    if hup_s:
        assert len(result.old_workers) >= 2
    text, _ = write(tmp_path, [result], {})
    assert f"soak {name}" in text


@pytest.mark.parametrize(
    "edit",
    [
        ("request.translate(INVERTED)", "request"),
        ("await asyncio.sleep(0.002)", "request += b'x'"),
        ("VERSION.decode()", "VERSION[1:].decode()"),
        ("raise Error(7, answer(request))", "return answer(request)"),
        ("return VERSION", "return b'00000000'"),
        ("inverted[begin : begin + step]", "inverted[begin : begin + 5]"),
        ("step = 16", "step = 8"),
        ("yield part.translate(INVERTED)", "yield part[::-1]"),
    ],
)
def test_wrong_answers_are_seen(tmp_path: Path, edit: tuple[str, str]) -> None:
    result = Soak("wrong", 2, 0, tmp_path, edit).run()
    assert result.counts["wrong"] > 0
    assert any("wrong" in text for text in result.failures())


@pytest.mark.parametrize(
    "edit",
    [
        # what is inverted, by each of the two interfaces, and in parts
        ("body = answer(environ", "body = bytes(environ"),
        ("out.part(answer(message", "out.part(bytes(message"),
        ("await out.part(answer(body), False)", "await out.part(body, False)"),
        ("[begin : begin + 5000]", "[: 5000]"),
        ("out.part(answer(body), number", "out.part(body, number"),
        ("return (body for", "return (body[::-1] for"),
        ("await out.head(len(body))", "await out.head(len(body) + 1)"),
        ('if path == "/wsgi_fail":', "if False:"),
    ],
)
def test_wrong_answers_to_web_requests_are_seen(
    tmp_path: Path, edit: tuple[str, str]
) -> None:
    assert edit[0] in (HERE / "app" / "soakweb.py").read_text()
    result = WebSoak("wrong", 2, 0, tmp_path, edit).run()
    assert result.counts["wrong"] + result.counts["lost"] > 0
    assert result.failures()


@pytest.mark.parametrize(
    "edit",
    [
        ('"bytes": message["bytes"]', '"bytes": message["bytes"][::-1]'),
        ('"text": text', '"text": text + "x"'),
        ("while (message :=", "if (message :="),
    ],
)
def test_wrong_echoes_are_seen(tmp_path: Path, edit: tuple[str, str]) -> None:
    result = SocketSoak("wrong", 3, 1, tmp_path, edit).run()
    assert result.failures()


@pytest.mark.parametrize(
    ("name", "leak"),
    [("heap", "bytes(4000)"), ("blocks", "[[], []]")],
)
def test_a_leak_of_web_requests_is_seen(
    tmp_path: Path, name: str, leak: str
) -> None:
    kept = f"sys.__dict__.setdefault('kept', []).append({leak})"
    edit = ("    times = TIMES if", f"    {kept}\n    times = TIMES if")
    result = WebSoak("leak", SECONDS, 0, tmp_path, edit).run()
    print(as_text(result), result.complaints)
    assert result.failures() == []
    assert any(text.startswith(name) for text in growths(result))


def test_a_dead_worker_is_seen(tmp_path: Path) -> None:
    edit = ("await asyncio.sleep(0.002)", "__import__('os')._exit(1)")
    assert Soak("dead", 2, 0, tmp_path, edit).run().failures()


# what answers have kept for ever, in place of VERSION, and what grows by it
LEAKS = {
    "heap": "append(bytes(4000))",
    "blocks": "append([])",
    # a process may have 65 530 mappings
    "rest": "append((m := mmap.mmap(-1, 16384), m.write(bytes(16384))))"
    " if len(request) % 8 == 0 else None",
    "parted": "append(open('/dev/null')) if not request[:1] else None",
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_seen(tmp_path: Path, name: str) -> None:
    kept = "sys.__dict__.setdefault('kept', [])"
    leak = f"{kept}.{LEAKS[name]}".replace("mmap.", "__import__('mmap').", 1)
    edit = (
        "    return VERSION + request",
        f"    {leak}\n    return VERSION + request",
    )
    result = Soak("leak", SECONDS, 0, tmp_path, edit).run()
    print(as_text(result), result.complaints)
    assert result.failures() == []
    assert any(text.startswith(name) for text in growths(result))


def sample(requests: int, heap: int) -> Sample:
    return Sample(requests / 10, requests, 10**8, 8, 80, 1, heap)


def test_growth_is_seen() -> None:
    result = Result("a", seconds=100)
    for step in range(1, 1001):
        noise = (step * 7919 % 101) * 10_000
        result.samples.append(sample(step, 10**7 + noise))
    assert growths(result) == []
    result.samples = [
        dataclasses.replace(s, heap=s.heap + 4000 * s.requests)
        for s in result.samples
    ]
    assert growths(result) == ["heap grows"]


@pytest.mark.parametrize(
    ("fragments", "said"),
    [
        (lambda x: 0, []),
        # of arenas that fill
        (lambda x: 120e6 * (1 - math.exp(-x / 250)), []),
        (lambda x: 120e6 * x / (x + 100), []),
        (lambda x: 30_000 * x, ["fragments grow, and do not settle"]),
        (lambda x: 200 * x**2, ["fragments grow, and do not settle"]),
    ],
)
def test_what_malloc_keeps_settles(
    fragments: Callable[[int], float], said: list[str]
) -> None:
    result = Result("a", seconds=100)
    for step in range(1, 1001):
        kept = int(fragments(step))
        result.samples.append(
            dataclasses.replace(
                sample(step, 10**7), fragments=kept, resident=10**8 + kept
            )
        )
    assert growths(result) == said


def test_a_line() -> None:
    line = fit([(x, 3 * x + 5) for x in range(100)])
    assert line
    assert line.slope == pytest.approx(3)
    assert line.error == pytest.approx(0, abs=1e-9)
    assert fit([(1, 2)]) is None
