# SPDX-License-Identifier: BSD-2-Clause
"""k:stream(): messages as they come."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.client import eventually
from tests.integration.nginx import Nginx

from .broker import KafkaBroker, free_ports
from .calls import REBALANCE
from .cluster import Cluster
from .test_lua import LuaKafka, lua

READ = """
    local function read(s, number)
        local values = {}
        for i = 1, number do
            local msg, err, rc = s:read()
            if not msg then
                return values, err, rc
            end
            values[i] = msg.value
        end
        return values
    end
"""


PAGES = """
location = /piped {
    lua_check_client_abort on;
    lua_http10_buffering off;
    content_by_lua_block {
        ngx.req.read_body()
        assert(loadstring(ngx.req.get_body_data()))()
    }
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Nginx]:
    with Nginx(server=PAGES) as nginx:
        yield nginx


@pytest.fixture
def kafka(
    nginx: Nginx, broker: KafkaBroker, cluster: Cluster, topic: str
) -> LuaKafka:
    cluster.create(topic)
    return LuaKafka(nginx, broker.address, topic)


@pytest.fixture
def manual(kafka: LuaKafka) -> LuaKafka:
    kafka.config["ack"] = "manual"
    return kafka


def produce(kafka: LuaKafka, values: list[str]) -> None:
    messages = lua([{"msg": value} for value in values])
    assert kafka.run(f"return (k:produce({messages}))") == [True]


def produce_large(kafka: LuaKafka, number: int) -> None:
    """So many of 10 000 bytes."""
    assert kafka.run(f"""
        local messages = {{}}
        for i = 1, {number} do
            messages[i] = {{msg = ("x"):rep(10000)}}
        end
        return (k:produce(messages))
    """) == [True]


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


def stats(kafka: LuaKafka) -> dict[str, Any]:
    (text,) = kafka.run("""
        return require("cjson").encode(assert(k:stats()))
    """)
    values = json.loads(text)
    assert isinstance(values, dict)
    return values


def wait_stats(kafka: LuaKafka, **expected: int) -> None:
    eventually(lambda: expected.items() <= stats(kafka).items(), f"{expected}")


def wait_still(kafka: LuaKafka) -> dict[str, Any]:
    """Until nothing moves though there are messages."""
    before: dict[str, Any] = {}
    while not before.get("outstanding"):
        now = stats(kafka)
        time.sleep(0.5)
        before = now if now == stats(kafka) else {}
    return before


def test_messages_as_they_come(kafka: LuaKafka, topic: str) -> None:
    """Each is there before the next is produced."""
    assert kafka.run(f"""
        local s = assert(k:stream())
        local values = {{}}
        for i = 1, 20 do
            assert(k:produce({{msg = "m" .. i, key = "k",
                              headers = {{h = "\\255"}}}}))
            local m = assert(s:read())
            assert(m.topic == {lua(topic)} and m.partition == 0)
            assert(m.key == "k" and m.headers[1][2] == "\\255")
            assert(m.offset == nil)
            values[i] = m.value
        end
        s:close()
        return values
    """) == [[f"m{n}" for n in range(1, 21)]]
    wait_stats(kafka, waiting=0, outstanding=0, delivered=20, redelivered=0)


def test_order(kafka: LuaKafka) -> None:
    produce(kafka, numbers(0, 3000))
    (values,) = kafka.run(f"""
        {READ}
        return read(assert(k:stream()), 3000)
    """)
    assert values == numbers(0, 3000)


def test_options(kafka: LuaKafka) -> None:
    produce(kafka, ["a"])
    assert kafka.run("""
        local s = assert(k:stream({report = true}))
        local offset = s:read().offset
        local wrong = {}
        for i, opts in ipairs({{format = "xml"}, {quiet = 0},
                               {timeout = "x"}, {report = 1}})
        do
            wrong[i] = {k:stream(opts):read()}
        end
        return offset, wrong
    """) == [
        0,
        [
            [None, 'unknown format: "xml"', 1],
            [None, "quiet must be a number (ms) from 1 to 86400000", 1],
            [None, "timeout must be a number (ms) from 1 to 86400000", 1],
            [None, "report must be true or false", 1],
        ],
    ]


def test_close_in_the_middle(kafka: LuaKafka) -> None:
    """What was not read comes to the next, in order, and nothing twice."""
    produce(kafka, numbers(0, 1000))
    (values,) = kafka.run(f"""
        {READ}
        local all = {{}}
        for _, number in ipairs({{1, 10, 0, 100, 389, 500}}) do
            local s = assert(k:stream())
            for _, value in ipairs(read(s, number)) do
                all[#all + 1] = value
            end
            ngx.sleep(0.02)
            s:close()
            local again, err = s:read()
            assert(again == nil and err == "closed")
        end
        return all
    """)
    assert values == numbers(0, 1000)
    wait_stats(kafka, outstanding=0, delivered=1000, redelivered=0, waiting=0)


MANY = int(os.environ.get("KAFKA_MESSAGES", "20000"))

# Streams that end in all places; each message is had once.
RESTLESS = """
    local had, doubled, count = {{}}, 0, 0
    local function have(msg)
        doubled = doubled + (had[msg.value] and 1 or 0)
        had[msg.value] = true
        count = count + 1
        if msg.offset then
            assert(k:ack(msg))
        end
    end

    local function restless(seed)
        local opts = {{quiet = 200}}
        while count < {many} do
            seed = (seed * 75 + 74) % 65537
            local s = assert(k:stream(opts))
            for _ = 1, seed % 300 do
                local msg, err = s:read()
                if not msg then
                    return err
                end
                have(msg)
                if count >= {many} then
                    break
                end
            end
            if seed % 3 == 0 then
                ngx.sleep(0.005)
            end
            s:close()
        end
        k:close()
    end

    local threads = {{}}
    for i = 1, 6 do
        threads[i] = ngx.thread.spawn(restless, i * 7919)
    end
    for i = 1, 6 do
        local ok, err = ngx.thread.wait(threads[i])
        assert(ok and not err, err)
    end
    return count, doubled
"""


@pytest.mark.once
@pytest.mark.parametrize("ack", ["auto", "manual"])
def test_nothing_is_lost(kafka: LuaKafka, cluster: Cluster, ack: str) -> None:
    kafka.config["ack"] = ack
    many = MANY // 4
    topic = kafka.config["topic"]
    cluster.produce(topic, (b"%d" % n for n in range(many)))
    assert kafka.run(RESTLESS.format(many=many)) == [many, 0]
    eventually(
        lambda: cluster.committed(topic, topic) == {0: many}, "all committed"
    )


@pytest.mark.parametrize("ack", ["auto", "manual"])
def test_the_last_commit(kafka: LuaKafka, cluster: Cluster, ack: str) -> None:
    """Nothing that is older is committed behind it."""
    kafka.config["ack"] = ack
    topic = kafka.config["topic"]
    cluster.produce(topic, (b"%d" % n for n in range(2000)))
    assert (
        kafka.run(
            """
        local s = assert(k:stream({report = true}))
        for i = 1, 2000 do
            local msg = assert(s:read())
            if k.is_manual then
                assert(k:ack(msg))
            end
            if i == 1000 then
                ngx.sleep(0.5)
            end
        end
        s:close()
        k:close()
    """.replace("k.is_manual", str(ack == "manual").lower())
        )
        == []
    )
    eventually(lambda: cluster.members(topic) == {}, "it has left")
    assert cluster.committed(topic, topic) == {0: 2000}


def test_a_rebalance(kafka: LuaKafka, cluster: Cluster, topic: str) -> None:
    """A second member takes half; each message is had by one of them."""
    topic = f"{topic}-two"
    cluster.create(topic, 2)
    kafka.config |= {"topic": topic, "group_id": topic}
    with Nginx() as second, ThreadPoolExecutor() as pool:
        other = LuaKafka(second, "", "")
        other.config = kafka.config
        produce(kafka, numbers(0, 100))
        values: list[str] = []

        def read(which: LuaKafka) -> None:
            (had,) = which.run("""
                local s, values = assert(k:stream({quiet = 2000})), {}
                repeat
                    local msg, err = s:read()
                    assert(not err, err)
                    values[#values + 1] = msg and msg.value
                until not msg
                return values
            """)
            values.extend(had)
            assert had

        first = pool.submit(read, kafka)
        wait_stats(kafka, delivered=100)
        late = pool.submit(read, other)
        eventually(
            lambda: (
                len(cluster.members(topic)) == 2
                and all(cluster.members(topic).values())
            ),
            "both have partitions",
            REBALANCE,
        )
        for start in range(100, 500, 100):
            produce(kafka, numbers(start, start + 100))
        eventually(
            lambda: (
                stats(kafka)["delivered"] + stats(other)["delivered"] == 500
            ),
            "all delivered",
        )
        for each in (kafka, other):
            assert each.run("return k:close()") == [True]
        first.result()
        late.result()
        assert sorted(values, key=int) == numbers(0, 500)


def test_forgotten(kafka: LuaKafka) -> None:
    """A request that ends takes its streams along."""
    produce(kafka, numbers(0, 10))
    assert kafka.run("""
        s = assert(k:stream())
        return s:read().value
    """) == ["0"]
    assert kafka.run(f"{READ} return read(assert(k:stream()), 9)") == [
        numbers(1, 10)
    ]


def test_a_slow_reader(kafka: LuaKafka) -> None:
    """It does not draw the topic into memory."""
    produce_large(kafka, 800)
    first, most = kafka.run("""
        local s = assert(k:stream())
        local first = #s:read().value
        local most = 0
        for _ = 1, 10 do
            ngx.sleep(0.1)
            local stats = k:stats()
            most = math.max(most, stats.outstanding + stats.ready)
        end
        s:read()
        ngx.sleep(0.1)
        local stats = k:stats()
        most = math.max(most, stats.outstanding + stats.ready)
        local n = 2
        while n < 800 do
            assert(s:read())
            n = n + 1
        end
        return first, most
    """)
    assert first == 10_000
    assert 6 < most < 30


def test_several_share(kafka: LuaKafka) -> None:
    """And a consume takes its turn with them."""
    a, b, c = kafka.run("""
        local a, b = k:stream(), k:stream()
        local threads = {
            ngx.thread.spawn(a.read, a),
            ngx.thread.spawn(b.read, b),
            ngx.thread.spawn(k.consume, k),
        }
        repeat ngx.sleep(0.01) until k:stats().waiting == 3
        assert(k:produce({{msg = "1"}, {msg = "2"}, {msg = "3"}}))
        local values = {}
        for i, thread in ipairs(threads) do
            local _, msg = ngx.thread.wait(thread)
            values[i] = msg.value
        end
        return unpack(values)
    """)
    assert {a, b, c} == {"1", "2", "3"}


def test_manual(manual: LuaKafka) -> None:
    """Each is acknowledged, and none beyond `max_outstanding` comes."""
    manual.config["max_outstanding"] = 3
    produce(manual, numbers(0, 10))
    assert manual.run("""
        local s = assert(k:stream())
        local three = {s:read(), s:read(), s:read()}
        local read
        local fourth = ngx.thread.spawn(function()
            read = s:read()
            return read
        end)
        ngx.sleep(0.2)
        local outstanding = k:stats().outstanding
        local waits = read == nil
        assert(k:ack(three[1]))
        local _, msg = ngx.thread.wait(fourth)
        assert(k:nack(three[2]))
        local again = s:read()
        return outstanding, waits, msg.value, msg.delivery_count,
               again.value, again.delivery_count
    """) == [3, True, "3", 1, "1", 2]
    # Three were out.
    wait_stats(manual, acked=1, nacked=1, outstanding=3)


def test_ack_at_once(manual: LuaKafka) -> None:
    produce(manual, numbers(0, 500))
    assert (
        manual.run("""
        local s = assert(k:stream())
        for i = 1, 500 do
            assert(k:ack(assert(s:read())))
        end
        s:close()
    """)
        == []
    )
    wait_stats(manual, acked=500, outstanding=0, delivered=500)


def test_manual_and_gone(manual: LuaKafka) -> None:
    """What was not read was not delivered; what was waits for its ack."""
    manual.config["ack_timeout"] = 2000
    produce(manual, numbers(0, 5))
    assert manual.run("""
        local s = assert(k:stream())
        local first = s:read().value
        ngx.sleep(0.1)
        s:close()
        return first
    """) == ["0"]
    assert manual.run("""
        local counts = {}
        for i = 1, 5 do
            local m = assert(k:consume({timeout = 5000}))
            counts[i] = m.value .. ":" .. m.delivery_count
            k:ack(m)
        end
        return counts
    """) == [["1:1", "2:1", "3:1", "4:1", "0:2"]]


def test_events(manual: LuaKafka) -> None:
    values = ["hello", "", "two\nlines", "a\r\nb\rc", "\0"]
    produce(manual, values)
    assert manual.run("""
        assert(k:produce("\\255"))
        assert(k:produce({msg = ngx.null, key = "tombstone"}))
        local s = assert(k:stream({format = "sse", quiet = 100}))
        local texts = {}
        repeat
            local text = s:read()
            if text ~= ": nothing new\\n\\n" or #texts == 8 then
                texts[#texts + 1] = text
            end
        until #texts == 9
        return texts
    """) == [
        [
            ": messages follow\n\n",
            "id: 0/0\ndata: hello\n\n",
            "id: 0/1\ndata: \n\n",
            "id: 0/2\ndata: two\ndata: lines\n\n",
            "id: 0/3\ndata: a\ndata: b\ndata: c\n\n",
            "id: 0/4\ndata: \0\n\n",
            "id: 0/5\nevent: base64\ndata: /w==\n\n",
            "id: 0/6\ndata: \n\n",
            ": nothing new\n\n",
        ]
    ]
    # What arrives is acknowledged.
    wait_stats(manual, acked=7, outstanding=0)


def test_silence(kafka: LuaKafka) -> None:
    """Lua hears nothing of it, and waits on."""
    assert kafka.run("""
        local s = assert(k:stream({quiet = 50}))
        local msg
        local reader = ngx.thread.spawn(function() msg = s:read() end)
        ngx.sleep(0.5)
        local waits = msg == nil
        assert(k:produce("late"))
        ngx.thread.wait(reader)
        return waits, msg.value
    """) == [True, "late"]


def test_unload(kafka: LuaKafka) -> None:
    assert kafka.run("""
        local s = assert(k:stream())
        local reader = ngx.thread.spawn(s.read, s)
        repeat ngx.sleep(0.01) until k:stats().waiting == 1
        local done = k:close()
        return done, {select(2, ngx.thread.wait(reader))}, {s:read()}
    """) == [True, [], []]


def test_reload(kafka: LuaKafka) -> None:
    """Streams of the old member end, and others go on where they were."""
    produce(kafka, ["before"])
    assert kafka.run("""
        local s = assert(k:stream())
        local first = s:read().value
        local reader = ngx.thread.spawn(s.read, s)
        repeat ngx.sleep(0.01) until k:stats().waiting == 1
        assert(k.rt:__reload())
        local ended = {select(2, ngx.thread.wait(reader))}
        assert(k:produce("after"))
        return first, ended, k:stream():read().value
    """) == ["before", [], "after"]


def test_unload_with_a_slow_reader(kafka: LuaKafka) -> None:
    """Others have its messages though it still has some to read."""
    produce_large(kafka, 80)
    other = LuaKafka(
        kafka.nginx,
        **{**kafka.config, "partitions": 2},  # another runtime
    )
    started, last = kafka.run("""
        slow = assert(k:stream())
        slow:read()
        repeat ngx.sleep(0.01) until k:stats().outstanding >= 8
        local closer = ngx.thread.spawn(k.close, k)
        ngx.sleep(4)
        local n, err, rc = 1
        repeat
            local msg
            msg, err, rc = slow:read()
            n = n + (msg and 1 or 0)
        until not msg
        ngx.thread.wait(closer)
        return n, {err, rc}
    """)
    assert 2 < started < 20
    assert last == ["CancelledError", 1]
    assert other.run("return #assert(k:consume({timeout = 9000})).value") == [
        10_000
    ]


def test_kafka_is_away(nginx: Nginx, topic: str) -> None:
    """An error, when a consume would say it; Lua waits no longer."""
    (port,) = free_ports(1)
    nobody = LuaKafka(nginx, f"127.0.0.1:{port}", topic, timeout=1000)
    nothing, error, status = nobody.run("""
        local s = assert(k:stream({quiet = 300}))
        return s:read()
    """)
    assert (nothing, status) == (None, 2)
    assert "Connection refused" in error


class Client:
    """One that has a stream piped to it."""

    def __init__(self, kafka: LuaKafka, opts: dict[str, Any]) -> None:
        code = f"""
            local k = assert(require("resty.ffi.kafka").new(
                {lua(kafka.config)}))
            local bytes, err, rc = assert(k:stream({lua(opts)})):pipe()
            ngx.log(ngx.NOTICE, "piped: ", bytes, " ", err, " ", rc)
        """.encode()
        self._socket = kafka.nginx.connect()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.sendall(
            b"POST /piped HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
            % (len(code), code)
        )
        self._file = self._socket.makefile("rb")
        head = self._file.readline()
        assert b" 200 " in head, head
        while self._file.readline() != b"\r\n":
            pass

    def lines(self, number: int) -> list[str]:
        """So many that are not empty, without comments."""
        lines: list[str] = []
        while len(lines) < number:
            line = self._file.readline().decode()
            assert line, lines
            if line != "\n" and not line.startswith(":"):
                lines.append(line.removesuffix("\n"))
        return lines

    def rest(self) -> bytes:
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


SSE = {"format": "sse", "quiet": 100}


def test_pipe(manual: LuaKafka) -> None:
    """What the client's connection has is acknowledged."""
    client = Client(manual, SSE)
    wait_stats(manual, waiting=1)
    for number in range(10):
        produce(manual, [str(number)])
        assert client.lines(2) == [f"id: 0/{number}", f"data: {number}"]
    wait_stats(manual, acked=10, outstanding=0, delivered=10)
    client.close()
    wait_stats(manual, waiting=0)
    assert manual.run("return (k:consume({timeout = 500}))") == [None]


def test_pipe_lines(kafka: LuaKafka) -> None:
    """Of JSON."""
    produce(kafka, numbers(0, 300))
    client = Client(kafka, {"quiet": 100})
    lines = client.lines(300)
    assert [json.loads(line)["value"] for line in lines] == numbers(0, 300)
    wait_stats(kafka, delivered=300, outstanding=0)
    client.close()


def test_a_client_that_does_not_read(manual: LuaKafka) -> None:
    """It holds no more than its buffers do, and others get that, too."""
    produce_large(manual, 400)
    client = Client(manual, SSE)
    before = wait_still(manual)
    assert before["outstanding"] + before["ready"] < 30
    assert before["acked"] < 399
    client.close()
    wait_stats(manual, outstanding=0)
    acked = stats(manual)["acked"]
    # Bytes that the sockets had are lost; nothing else is.
    other = Client(manual, SSE)
    ids = other.lines(2 * (400 - acked))[::2]
    assert ids == [f"id: 0/{n}" for n in range(acked, 400)]
    other.close()
    wait_stats(manual, acked=400, outstanding=0, redelivered=0)


def test_pipe_and_unload(manual: LuaKafka) -> None:
    """The client sees a clean end."""
    produce(manual, ["last"])
    client = Client(manual, SSE)
    assert client.lines(2) == ["id: 0/0", "data: last"]
    assert manual.run("return k:close()") == [True]
    assert client.rest().replace(b": nothing new\n\n", b"") in (b"\n", b"")
    client.close()
    manual.nginx.wait_log("piped: [0-9]+ nil nil")


def test_pipe_and_a_late_fault(
    kafka: LuaKafka, nginx: Nginx, topic: str
) -> None:
    """An error to Lua, behind what has been sent."""
    (port,) = free_ports(1)
    since = len(nginx.log())
    nobody = LuaKafka(nginx, f"127.0.0.1:{port}", topic, timeout=1000)
    client = Client(nobody, SSE)
    assert client.rest().startswith(b": messages follow\n\n")
    client.close()
    nginx.wait_log("piped: nil .*Connection refused.* 2", since)


def test_the_broker_goes(nginx: Nginx, frail: KafkaBroker, topic: str) -> None:
    """A stream outlives what ends in time, and says what does not."""
    Cluster(frail.address).create(topic)
    kafka = LuaKafka(nginx, frail.address, topic, timeout=60_000)
    produce(kafka, ["before"])
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(
            kafka.run,
            """
                local s = assert(k:stream({timeout = 60000, quiet = 500}))
                return s:read().value, s:read().value
            """,
        )
        wait_stats(kafka, delivered=1, waiting=1)
        frail.kill()
        frail.start()
        eventually(
            lambda: kafka.run('return (k:produce("after"))') == [True],
            "the broker is back",
            60,
        )
        assert reader.result() == ["before", "after"]
        frail.pause()
        nothing, error, status = kafka.run("""
            local s = assert(k:stream({timeout = 3000, quiet = 500}))
            return s:read()
        """)
    assert (nothing, status) == (None, 2)
    assert frail.address in error


def test_no_group(nginx: Nginx, broker: KafkaBroker, topic: str) -> None:
    kafka = LuaKafka(nginx, broker.address, topic)
    del kafka.config["group_id"]
    assert kafka.run("return assert(k:stream()):read()") == [
        None,
        "the config has no group_id to consume in",
        1,
    ]


def test_quit(kafka: LuaKafka) -> None:
    """One that waits does not keep a worker that quits."""
    with Nginx() as server, ThreadPoolExecutor() as pool:
        kafka.nginx = server
        ended = pool.submit(
            kafka.run,
            """
                local s = assert(k:stream({quiet = 200}))
                return {s:read()}
            """,
        )
        wait_stats(kafka, waiting=1)
        server.quit()
        server.wait()
        assert ended.result() == [[]]
