# SPDX-License-Identifier: BSD-2-Clause
"""The bridge in a model checker: all schedules of small scenarios.

And that it finds what is wrong: each mutation of the bridge is seen.

MODEL_PREEMPTIONS: for the scenarios that have a bound, another; -1: none.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "model"
# Of processes that run tests beside each other, each but the first has a
# bridge and a mutant elsewhere.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
BESIDE = "" if WORKER == "gw0" else f"-{WORKER}"

# A file, what is in it once, what is there instead, and the scenario in
# which that shows.
MUTATIONS = [
    (
        "queue.c",
        "atomic_load(&q->gen) != bridge_handle_gen(handle)) {",
        "0) {",
        "release and reuse, a late poll",
    ),
    (
        "queue.c",
        "    if (atomic_load(&q->inside)) {\n        return false;\n    }\n",
        "",
        "release and reuse, a late poll",
    ),
    (
        "queue.c",
        "    if (!q->stale && atomic_load(&q->has_loop)",
        "    if (atomic_load(&q->has_loop)",
        "loop, close and release",
    ),
    (
        "queue.c",
        "               && (uint32_t) atomic_load(&q->threads)"
        " < BRIDGE_THREAD_UNTOLD);",
        "               && true);",
        "two loops on one eventfd, close and release",
    ),
    (
        "consumer.c",
        "        if (atomic_load(&q->has_loop)) {",
        "        if (0) {",
        "two loops on one eventfd, close",
    ),
    (
        "wake.c",
        "    pthread_cond_signal(&q->changed);\n    bridge_queue_unpin(q);",
        "    bridge_queue_unpin(q);",
        "kick",
    ),
    (
        "consumer.c",
        "    bridge_quiet_poll(b, q, timeout_ms);\n",
        "",
        "two answers, the first one quiet",
    ),
    (
        "quiet.c",
        " && atomic_load(&b->quiet)) {",
        ") {",
        "a quiet answer, and a host that looks no more",
    ),
    (
        "consumer.c",
        "    if (more) {",
        "    if (more && n < 0) {",
        "put two, one wake-up, pollers that take one each",
    ),
    (
        "wake.c",
        "        || !(q->kicked || bridge_queue_len(q)))",
        "        || !(q->kicked || bridge_queue_len(q) > 1))",
        "push, two pollers",
    ),
    (
        "consumer.c",
        "    q->called = false;\n",
        "",
        "put two, pollers that are told first",
    ),
    (
        "consumer.c",
        "        q->coming = 0;\n",
        "        (void) q;\n",
        "put two, pollers that are told first",
    ),
    (
        "consumer.c",
        "    if (max > 0 || atomic_load(&q->closed)) {",
        "    if (max > 0) {",
        "put two and close, pollers that are told first",
    ),
    (
        "wake.c",
        "    write = wake && (disarm(q) ||",
        "    write = wake && ((disarm(q) && 0) ||",
        "loop, push and close",
    ),
    (
        "queue.c",
        "pthread_cond_broadcast(&q->changed);",
        "pthread_cond_signal(&q->changed);",
        "close, three pollers",
    ),
    (
        "consumer.c",
        "        armed = !q->kicked;",
        "        armed = true;",
        "loop, kick",
    ),
    (
        "answer.c",
        "if (!atomic_compare_exchange_strong_explicit(&t->req, &req, NULL,",
        "if (atomic_exchange(&t->req, NULL) == (char *) 1 &&"
        " !atomic_compare_exchange_strong_explicit(&t->req, &req, NULL,",
        "two threads take a short request",
    ),
    (
        "answer.c",
        "if (!bridge_task_is_polled(state, handle)) {",
        "if (bridge_task_gen(state) != bridge_handle_gen(handle)) {",
        "two answers",
    ),
    (
        "bridge.c",
        "n = atomic_exchange_explicit(&b->stack, NULL, memory_order_acquire);",
        "n = atomic_load(&b->stack);\n    atomic_store(&b->stack, NULL);",
        "answers from two threads",
    ),
    (
        "bridge.c",
        "    return top == NULL;",
        "    return top == NULL && n->kind != BRIDGE_NODE_LINE;",
        "lines from two threads",
    ),
    (
        "bridge.c",
        "    for (first = NULL; n; n = next) {",
        "    for (first = n; n && 0; n = next) {",
        "lines, answers and the end of threads",
    ),
    (
        "threads.c",
        "        && !atomic_exchange(&q->is_up, true))",
        "        && (atomic_exchange(&q->is_up, true) || 1))",
        "orphaned",
    ),
    (
        "threads.c",
        "    atomic_store(&q->is_up, false);\n",
        "",
        "orphaned",
    ),
    (
        "log.c",
        "        >= BRIDGE_LOG_MAX)",
        "        > BRIDGE_LOG_MAX)",
        "more lines than may wait",
    ),
    (
        "task.c",
        "    return bridge_task_phase(old) == BRIDGE_TASK_POLLED;",
        "    return bridge_task_phase(old) == BRIDGE_TASK_QUEUED;",
        "a cancel, and its event",
    ),
    (
        "events.c",
        "        bridge_kick(b, t->queue);",
        "        (void) b;",
        "a cancel, and its event",
    ),
    (
        "events.c",
        "        q->last_event = t->event_prev;",
        "        (void) q;",
        "two cancels, and their events",
    ),
    (
        "threads.c",
        "        if (threads >> 32 != bridge_handle_gen(queue)) {",
        "        if (0) {",
        "release and reuse, a late poll",
    ),
    (
        "stream.c",
        "state | BRIDGE_TASK_STREAM,",
        "state,",
        "send, and an answer",
    ),
    (
        "answer.c",
        "        if ((state & BRIDGE_TASK_STREAM) && !locked) {",
        "        if ((state & BRIDGE_TASK_STREAM) && locked) {",
        "send, and an answer",
    ),
    (
        "stream.c",
        "    if (!is_waited_for(bridge_task_state(t), handle)) {\n"
        "        pthread_mutex_unlock(&t->stream.lock);\n"
        "        return NULL;\n    }\n",
        "",
        "a late send, the slot is used again",
    ),
    (
        "answer.c",
        "            pthread_cond_broadcast(&t->stream.changed);",
        "            (void) t;",
        "wait and answer",
    ),
    ("end.c", "        bridge_stream_wake(t);\n", "", "wait and cancel"),
    (
        "end.c",
        "        bridge_events_push(b, t);\n",
        "        (void) b;\n",
        "write and cancel",
    ),
    (
        "send.c",
        "            s->full = false;\n"
        "            pthread_cond_broadcast(&s->changed);",
        "            s->full = false;",
        "a mark, and a wait",
    ),
    (
        "input.c",
        "    s->starved = false;\n\n    pthread_cond_broadcast(&s->changed);",
        "    s->starved = false;",
        "write, and read by a wait",
    ),
    (
        "send.c",
        "        s->full = true;\n",
        "",
        "a mark, and its event by a poll",
    ),
    (
        "send.c",
        "        s->full = true;\n",
        "",
        "a mark, and its event by an eventfd",
    ),
    (
        "wake.c",
        "        || !(q->kicked || bridge_queue_len(q)))",
        "        || !bridge_queue_len(q))",
        "a mark, and its event by a poll that is put off",
    ),
    (
        "wake.c",
        "    wake = q->kicked || bridge_queue_len(q);",
        "    wake = bridge_queue_len(q);",
        "a mark, and its event by an eventfd that is put off",
    ),
    (
        "send.c",
        "            s->full = false;\n",
        "",
        "a mark, and a wait",
    ),
    (
        "input.c",
        "        s->starved = true;\n",
        "",
        "write, and read by a poll",
    ),
    ("input.c", "        t->stream.blocked = true;\n", "", "write, and room"),
    (
        "input.c",
        "            if (!s->room_up) {",
        "            if (s) {",
        "write at will, and room",
    ),
    (
        "input.c",
        "    t->stream.room_up = false;\n",
        "",
        "write, and room",
    ),
    (
        "events.c",
        "    if (atomic_load(&t->in_events)) {\n        unlink_event(q, t);",
        "    if (atomic_load(&t->in_events)) {\n        (void) q;",
        "an event, and the slot is used again",
    ),
    (
        "events.c",
        "            handles[n++] = bridge_task_handle(t);\n"
        "            unlink_event(q, t);",
        "            unlink_event(q, t);\n"
        "            handles[n++] = bridge_task_handle(t);",
        "an event, and the slot is used again",
    ),
    (
        "queue.c",
        "        forget_events(q);\n",
        "        if (atomic_load(&q->inside) == 0) forget_events(q);\n",
        "an event, release, and the slot is used again",
    ),
    (
        "events.c",
        "    if (!own && q->first_event) {",
        "    if (own && q->first_event) {",
        "two events, and a poll for each",
    ),
    (
        "events.c",
        "        if (!own\n            || atomic_load_explicit(",
        "        if (own || !own\n            || atomic_load_explicit(",
        "two marks, and events of two threads",
    ),
    (
        "events.c",
        "        pthread_cond_broadcast(&q->changed);",
        "        pthread_cond_signal(&q->changed);",
        "two marks, and events of two threads",
    ),
    (
        "consumer.c",
        "            && bridge_queue_has_event(q, bridge_threads_id()))",
        "            && bridge_queue_has_event(q, 1))",
        "two marks, and events of two threads",
    ),
    (
        "head.c",
        "    if (rc != 0) {\n        bridge_head_free(head);",
        "    if (rc == EPIPE) {\n        bridge_head_free(head);",
        "two threads send a head",
    ),
    (
        "head.c",
        "    if (rc != 0) {\n        bridge_head_free(head);",
        "    if (rc == EINVAL) {\n        bridge_head_free(head);",
        "a head and cancel",
    ),
    (
        "head.c",
        "    head->task = handle;",
        "    head->task = handle + 1;",
        "a head, a part and the answer",
    ),
    (
        "head.c",
        "    head->status = status;",
        "    head->status = 201;",
        "two threads send a head",
    ),
    (
        "head.c",
        "            p[i] |= 0x20;",
        "            p[i] |= 0;",
        "a head, a part and the answer",
    ),
    (
        "send.c",
        "        t->stream.headless = status == BRIDGE_HEAD_HINTS;\n",
        "",
        "two threads send a head",
    ),
    (
        "send.c",
        "        notify = bridge_lay_up(b, n);\n    }\n\n"
        "    bridge_stream_leave(b, t, notify);\n",
        "    }\n\n    bridge_stream_leave(b, t, false);\n"
        "    if (rc == 0) bridge_up(b, n);\n    (void) notify;\n",
        "a head and a part, and an answer",
    ),
    (
        "send.c",
        "        notify = bridge_lay_up(b, n);\n    }\n\n"
        "    bridge_stream_leave(b, t, notify);\n",
        "    }\n\n    bridge_stream_leave(b, t, false);\n"
        "    if (rc == 0) bridge_up(b, n);\n    (void) notify;\n",
        "a head, and a part of another thread",
    ),
    (
        "send.c",
        "    if (s->headless\n        || (web",
        "    if ((web",
        "a head, and a part of another thread",
    ),
    (
        "stream.c",
        "    s->headless = false;\n",
        "",
        "a late head, the slot is used by a call",
    ),
    (
        "stream.c",
        "    if (!is_waited_for(bridge_task_state(t), handle)) {\n"
        "        pthread_mutex_unlock(&t->stream.lock);\n"
        "        return NULL;\n    }\n",
        "",
        "a late head, the slot is used by a web request",
    ),
]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name}: {old}"
    path.write_text(text.replace(old, new))


def make(folder: Path) -> Path:
    """The checker with the bridge in folder/src."""
    environ = {k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}
    program = folder / "model"
    subprocess.run(
        ["make", "-s", f"MODEL={folder}", str(program)],
        cwd=ROOT,
        env=environ,
        check=True,
    )
    return program


def run(program: Path, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(program), *args],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="session")
def model() -> Path:
    """The bridge as it is."""
    folder = BUILD / f"plain{BESIDE}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "bridge", folder / "src")
    # the checker's own objects are for all, and compiled by one
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return make(folder)


@pytest.mark.timeout(7200)
def test_all_scenarios(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output = run(model)
    with capsys.disabled():
        print()
        for line in output.splitlines():
            if " states" in line:
                print(line)
    assert status == 0, output
    assert "not ok" not in output
    assert f"1..{output.count(chr(10) + 'ok ') + 1}" in output


@pytest.mark.parametrize(
    ("name", "old", "new", "scenario"),
    MUTATIONS,
    ids=[f"{m[0]}, {m[3]}" for m in MUTATIONS],
)
def test_a_mutation_is_found(
    model: Path, name: str, old: str, new: str, scenario: str
) -> None:
    folder = BUILD / f"mutant{BESIDE}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model.parent, folder)
    edit(folder / "src" / name, old, new)
    program = make(folder)
    status, output = run(program, scenario)
    assert status == 1, output
    assert f"not ok 1 - {scenario}" in output
    choices = output.split(f"--replay '{scenario}' ")[1].split()[0]
    status, again = run(program, "--replay", scenario, choices)
    assert status == 1, again
