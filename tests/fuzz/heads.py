# SPDX-License-Identifier: BSD-2-Clause
"""Heads of web requests and of answers, by a real nginx and its Python.

usage: python -m tests.fuzz.heads requests|answers SECONDS SEED
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import deque
from typing import Any

from tests.integration.checker import SLOWNESS
from tests.integration.client import eventually

from . import request_heads
from .app import answer_heads
from .heads_site import Heads

# Between two looks whether nginx is well.
EVERY = 200
PATIENCE = 5.0 * SLOWNESS

Table = dict[str, Any]


def differ(what: str, *values: object) -> None:
    assert len({repr(value) for value in values}) == 1, f"{what}: {values}"


# ---- requests


def raw(text: str) -> bytes:
    return text.encode("latin-1")


def shown(text: str) -> str:
    """As scopes have it: UTF-8 where it is."""
    return raw(text).decode("utf-8", "replace")


def escaped(path: bytes) -> bytes:
    """As nginx escapes what it has changed."""
    return b"".join(
        b"%%%02X" % c
        if c <= 32 or c >= 127 or c in b'"#%<>?\\^`{|}'
        else b"%c" % c
        for c in path
    )


def version(protocol: str) -> tuple[int, ...]:
    """Of "HTTP/1.01": as numbers; nginx has none where there is none."""
    protocol = protocol or "HTTP/0.9"
    return tuple(int(word) for word in protocol[5:].split("."))


def check_scope(scope: Table, said: Table) -> None:
    """said: what nginx does of the same request."""
    differ("method", scope["method"], said["F_METHOD"])
    differ("path", scope["path"], shown(said["F_URI"]))
    differ("query", scope["query_string"]["bytes"], said["F_ARGS"])
    differ("scheme", scope["scheme"], said["F_SCHEME"])
    differ("client", scope["client"], None)
    differ("root_path", scope["root_path"], "")
    differ(
        "version",
        version("HTTP/" + scope["http_version"]),
        version(said["F_PROTOCOL"]),
    )
    differ("raw_path", scope["raw_path"]["bytes"], raw_path(said))
    fields = [(n["bytes"], v["bytes"]) for n, v in scope["headers"]]
    if "transfer-encoding" in dict(fields):
        said = {**said, "F_LENGTH": None}
    for name, value in scope["state"]["params"].items():
        if said[name] is not None:
            differ(name, value, shown(said[name]))
    check_fields(fields, said)


def raw_path(said: Table) -> str:
    path = re.split("[?#]", said["F_TARGET"])[0]
    if not path.startswith("/"):
        path = escaped(raw(said["F_URI"])).decode("latin-1")
    return path


def check_fields(fields: list[tuple[str, str]], said: Table) -> None:
    for name, _ in fields:
        assert re.fullmatch(r"[!-9;-@\[-~\x80-\xff]+", name), name
        differ("lower case", name, name.lower())
    for name, key in (
        ("host", "F_HOST"),
        ("content-type", "F_TYPE"),
        ("content-length", "F_LENGTH"),
        ("user-agent", "F_AGENT"),
        ("cookie", "F_COOKIE"),
    ):
        values = [v for n, v in fields if n == name]
        if said[key] is None:
            # which nginx counts, as the body comes
            continue
        if name == "cookie":
            differ(name, "; ".join(values), said[key])
        elif len(values) <= 1:
            differ(name, values[0] if values else "", said[key])
        else:
            assert said[key] in (*values, ", ".join(values)), (name, values)


def check_environ(environ: Table, said: Table) -> None:
    differ("method", environ["REQUEST_METHOD"], said["F_METHOD"])
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    differ("path", path, said["F_URI"])
    differ("query", environ["QUERY_STRING"], said["F_ARGS"])
    differ("scheme", environ["scheme"], said["F_SCHEME"])
    differ(
        "version",
        version(environ["SERVER_PROTOCOL"]),
        version(said["F_PROTOCOL"]),
    )
    query = said["F_ARGS"] and "?" + said["F_ARGS"]
    differ("uri", environ["REQUEST_URI"], raw_path(said) + query)
    if "HTTP_TRANSFER_ENCODING" in environ:
        said = {**said, "F_LENGTH": environ.get("CONTENT_LENGTH", "")}
        environ = {**environ, "F_LENGTH": said["F_LENGTH"]}
    for name in said.keys() - {"F_STATUS"}:
        differ(name, environ[name], said[name])
    for name, key in (
        ("HTTP_HOST", "F_HOST"),
        ("HTTP_COOKIE", "F_COOKIE"),
        ("CONTENT_LENGTH", "F_LENGTH"),
    ):
        differ(name, environ.get(name, ""), said[key])
    assert "HTTP_PROXY" not in environ
    for name in environ:
        assert re.fullmatch(r"[!-~]+", name), name


def clean(data: bytes) -> tuple[list[tuple[str, str]], bytes] | None:
    """The fields and the body of a request that nobody reads otherwise."""
    head, end, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not end or not re.fullmatch(rb"[A-Z]+ /[!-~]* HTTP/1\.1", first):
        return None
    fields = []
    for line in lines:
        match = re.fullmatch(rb"([A-Za-z-]+): ([!-~]([ -~]*[!-~])?)?", line)
        if not match:
            return None
        name, value = match[1].decode().lower(), (match[2] or b"").decode()
        fields.append((name, value))
    names = [name for name, _ in fields]
    if names.count("host") != 1 or "transfer-encoding" in names:
        return None
    lengths = [value for name, value in fields if name == "content-length"]
    if not lengths:
        return fields, b""
    if len(lengths) > 1 or not re.fullmatch("[0-9]{1,3}", lengths[0]):
        return None
    return fields, rest[: int(lengths[0])]


def number_of(fields: list[tuple[str, str]]) -> str:
    """Of the request, where it has one."""
    return dict(fields).get("x-number", "")


def fields_of(report: Table) -> list[tuple[str, str]]:
    head = report["head"]
    if report["kind"] == "wsgi":
        return [("x-number", head.get("HTTP_X_NUMBER", ""))]
    return [(n["bytes"], v["bytes"]) for n, v in head["headers"]]


def check_clean(
    fields: list[tuple[str, str]], body: bytes, report: Table
) -> None:
    if report["body"] is not None:
        differ("body", raw(report["body"]["bytes"]), body)
    if report["kind"] == "asgi":
        differ("fields", fields_of(report), fields)


class Requests:
    """What was sent, what nginx says of it, and what the applications do."""

    def __init__(self, nginx: Heads) -> None:
        self._nginx = nginx
        self._said: dict[str, Table] = {}
        self._reports: dict[str, Table] = {}
        # of requests that we can read as well, and that have no report yet
        self._clean: dict[str, tuple[list[tuple[str, str]], bytes]] = {}
        self._at = [0, 0]
        self._count = 0
        self.compared = 0
        self.read = 0
        self.sent: deque[bytes] = deque(maxlen=5)

    def send(self, pick: random.Random) -> None:
        self._count += 1
        data = request_heads.make(pick, self._count)
        self.sent.append(data)
        found = clean(data)
        number = f"{self._count}/{self._count}"
        if found and number_of(found[0]) == number:
            self._clean[number] = found
        self._nginx.exchange(pick.choice(["asgi", "wsgi"]), data, 0.5)
        self.compare()

    def compare(self) -> None:
        for said in self._lines(0, self._nginx.heads_log):
            self._said[said["F_ID"]] = said
        for report in self._lines(1, self._nginx.reports):
            # it may be late: of a request that was sent before the last
            found = self._clean.pop(number_of(fields_of(report)), None)
            if found:
                check_clean(*found, report)
                self.read += 1
            head = report["head"]
            params = (
                head if report["kind"] == "wsgi" else head["state"]["params"]
            )
            self._reports[params["F_ID"]] = report
        for key in self._said.keys() & self._reports.keys():
            said, report = self._said.pop(key), self._reports.pop(key)
            check = check_scope if report["kind"] == "asgi" else check_environ
            check(report["head"], said)
            self.compared += 1

    def _lines(self, number: int, path: Any) -> list[Table]:
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._at[number])
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._at[number] += len(data)
        encoding = "latin-1" if number == 0 else "utf-8"
        lines = data.decode(encoding).split("\n")
        return [json.loads(line, strict=False) for line in lines if line]

    def all_are_told(self) -> bool:
        """Each request has been reported, if it has an answer."""
        self.compare()
        answered = [s for s in self._said.values() if s["F_STATUS"] == "200"]
        return not self._reports and not answered


def check_well(nginx: Heads) -> None:
    nginx.check()
    lines = [e for e in nginx.errors() if "client sent invalid " not in e]
    assert not lines, "\n".join(lines)


def fuzz_requests(seconds: float, seed: int) -> int:
    end = time.monotonic() + seconds
    pick = random.Random(seed)
    with Heads(seed) as nginx:
        requests = Requests(nginx)
        count = 0
        try:
            while time.monotonic() < end:
                requests.send(pick)
                count += 1
                if count % EVERY == 0:
                    check_well(nginx)
            eventually(requests.all_are_told, "all reports")
            check_well(nginx)
        except BaseException:
            print("sent last:", *requests.sent, sep="\n  ")
            raise
    assert requests.compared > count // 10, requests.compared
    assert requests.read > count // 20, requests.read
    print(f"{count} runs, {requests.compared} compared, {requests.read} read")
    return count


# ---- answers

# of nginx itself, or its own where the application has them
OURS = {
    *(b"server", b"date", b"content-type", b"content-length"),
    *(b"connection", b"transfer-encoding", b"keep-alive"),
}
LINE = r'ffi: "\S*fuzzed:[a-z_]+" has '
CODE = r"FFI\d{3}: "
TRACEBACK = r"ffi_python3: \S*fuzzed:[a-z_]+: "
DROPPED = {name.lower() for name in answer_heads.HOP_BY_HOP}


def parse(data: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    head, end, _ = data.partition(b"\r\n\r\n")
    assert end, "no end of the head"
    first, *lines = head.split(b"\r\n")
    match = re.fullmatch(rb"HTTP/1\.1 (\d{3})( [ -~]*)?", first)
    assert match, first
    fields = []
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon, line
        assert name, line
        fields.append((name, value))
    return int(match[1]), fields


def others(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(n, v) for n, v in fields if n.lower() not in OURS | DROPPED]


def check_arrived(case: answer_heads.Case, data: bytes) -> None:
    code, fields = parse(data)
    differ("status", code, case.code)
    differ("fields", others(fields), others(case.fields))
    given = {}
    for name, value in case.fields:
        given[name.lower()] = value
    if code in (204, 304) or not given.get(b"content-type"):
        # nginx has none then
        given.pop(b"content-type", None)
    for name in (b"server", b"date", b"content-type"):
        if name in given:
            values = [v for n, v in fields if n.lower() == name]
            assert given[name] in values, (name, given[name], values)


def without_tracebacks(errors: list[str]) -> list[str]:
    """Python's, whose lines nginx cuts: what follows has no code."""
    kept = []
    inside = False
    for line in errors:
        if re.search(TRACEBACK, line):
            inside = True
        elif not inside or re.search(CODE, line):
            inside = False
            kept.append(line)
    return kept


def check_answer(
    case: answer_heads.Case, data: bytes, errors: list[str]
) -> str:
    """What it has come to."""
    assert b"\nInjected" not in data
    assert not re.search(rb"[^\r]\n[^\r]*: ", data.partition(b"\r\n\r\n")[0])
    errors = without_tracebacks(errors)
    refused = data.startswith((b"HTTP/1.1 500 ", b"HTTP/1.1 502 ")) and errors
    if case.kind == answer_heads.GOOD:
        assert not errors, errors
    elif case.kind == answer_heads.BAD:
        assert refused, "not refused"
    if refused or not data:
        assert len(errors) == 1, errors
        assert re.search(LINE, errors[0]), errors
        return "refused"
    check_arrived(case, data)
    return "arrived"


def fuzz_answers(seconds: float, seed: int) -> int:
    end = time.monotonic() + seconds
    pick = random.Random(seed)
    counts: dict[str, int] = {}
    with Heads(seed) as nginx:
        count = 0
        while time.monotonic() < end:
            count += 1
            kind = pick.choice(["asgi", "wsgi"])
            case = answer_heads.make(seed, count, kind == "wsgi")
            ask = f"GET /{kind}?{count} HTTP/1.1\r\nHost: h\r\n"
            data = nginx.exchange(
                "answers", f"{ask}Connection: close\r\n\r\n".encode(), PATIENCE
            )
            errors = nginx.errors()
            try:
                what = f"{case.kind} {check_answer(case, data, errors)}"
                counts[what] = counts.get(what, 0) + 1
            except AssertionError:
                print(f"{kind} {count}: {repr(case)[:3000]}")
                print(f"answered: {data[:3000]!r}\n  {errors}")
                raise
            if count % EVERY == 0:
                nginx.check()
    print(f"{count} runs, {counts}")
    for what in ("good arrived", "bad refused", "odd refused", "odd arrived"):
        assert counts.get(what), counts
    return count


TARGETS = {"requests": fuzz_requests, "answers": fuzz_answers}

if __name__ == "__main__":
    name, seconds, seed = sys.argv[1:]
    TARGETS[name](
        float(seconds), int(seed) or random.SystemRandom().getrandbits(31)
    )
