/* SPDX-License-Identifier: BSD-2-Clause */

/* Parts of answers and requests: marks, events, waits and ends. */

#include <errno.h>
#include <stdlib.h>

#include "world.h"


/* one part of a byte reaches the mark; and the first of two does not */
#define ONE  1
#define TWO  (BRIDGE_PART_COST + 2)

#define SENDERS  MODEL_FIBERS

static MODEL_STATE unsigned  sent[SENDERS];     /* parts, by each fiber */
static MODEL_STATE unsigned  got;               /* parts of the request */
static MODEL_STATE unsigned  told;              /* events of task 1 */


/* task n, polled, as if by that fiber */
static void
open_task(unsigned n, size_t high, bool input, int fiber)
{
    uint64_t        handle;
    bridge_task_t  *t;

    t = world_task(n);
    bridge_stream_open(t, high, input);
    MODEL_ASSERT(bridge_push(world.q, t));
    MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 1);
    atomic_store(&t->tid, fiber + 1);
}


static void
setup_one(void)
{
    world_new();
    open_task(0, ONE, true, 1);
}


static void
watch(bool own)
{
    uint64_t  handle;

    MODEL_ASSERT(bridge_events_take(world.b, world.h, &handle, 1, own) == 0);
}


static void
setup_watched(void)
{
    setup_one();
    watch(false);
}


static void
setup_watched_mark_of_two(void)
{
    world_new();
    open_task(0, TWO, true, 1);
    watch(false);
}


/* as nginx does with its kicks, until it has taken what is up */
static void
put_off(bridge_queue_t *q)
{
    MODEL_ASSERT(q == world.q);
    world.put_off = true;
}


static void
setup_watched_put_off(void)
{
    setup_watched();
    world.b->kicked = put_off;
}


static void
setup_loop(void)
{
    setup_watched();
    MODEL_ASSERT(bridge_queue_fd(world.b, world.h) != -1);
}


static void
setup_loop_put_off(void)
{
    setup_loop();
    world.b->kicked = put_off;
}


static void
setup_two(void)
{
    setup_one();
    open_task(1, ONE, true, 2);
}


static void
setup_two_watched(void)
{
    setup_two();
    watch(false);
}


static void
setup_two_owners(void)
{
    setup_two();
    watch(true);
}


/* ---- what a runtime does */

static int
try_to_send(unsigned n)
{
    int  rc;

    rc = bridge_stream_send(world.b, world.handles[n], "x", 1, false,
                            world_released, &world.released[n]);

    if (rc == 0) {
        sent[model_self()]++;
    }

    return rc;
}


static void
answer_one(unsigned n)
{
    if (bridge_task_answer(world.b, world.handles[n], 0, NULL, 0, NULL, NULL))
    {
        model_access(&world.answers, true, "answered", __func__, __LINE__);
        world.answers++;
    }
}


static void
send_one(void)
{
    (void) try_to_send(0);
}


static void
send_two(void)
{
    (void) try_to_send(0);
    (void) try_to_send(0);
}


static void
answer(void)
{
    answer_one(0);
}


static void
send_and_answer(void)
{
    send_one();
    answer();
}


/* sleeps in a poll until something is new about a task of its own, or any */
static void
poll_until_event(unsigned n, bool own)
{
    uint64_t  handle;

    while (bridge_events_take(world.b, world.h, &handle, 1, own) == 0) {
        MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, -1) == 0);
    }

    MODEL_ASSERT(handle == world.handles[n]);
}


/* the same for a loop */
static void
loop_until_event(unsigned n)
{
    int       fd;
    uint64_t  handle;

    fd = atomic_load(&world.q->fd);

    while (bridge_events_take(world.b, world.h, &handle, 1, false) == 0) {
        MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, 0) == 0);
        model_read_fd(fd);

        if (bridge_queue_arm(world.b, world.h)) {
            model_wait_fd(fd);
        }
    }

    MODEL_ASSERT(handle == world.handles[n]);
}


static void
wait_for(int events, int want)
{
    int  now;

    now = bridge_stream_wait(world.b, world.handles[0], events, -1);
    MODEL_ASSERT(now && (now & ~want) == 0);
}


/* two parts where the mark has room for one, and the answer */
static void
send_by_poll(void)
{
    while (sent[model_self()] < 2) {
        if (try_to_send(0) == EAGAIN) {
            poll_until_event(0, false);
        }
    }

    answer();
}


/* three where it has room for two */
static void
send_three_by_poll(void)
{
    while (sent[model_self()] < 3) {
        if (try_to_send(0) == EAGAIN) {
            poll_until_event(0, false);
        }
    }

    answer();
}


static void
send_by_loop(void)
{
    while (sent[model_self()] < 2) {
        if (try_to_send(0) == EAGAIN) {
            loop_until_event(0);
        }
    }

    answer();
}


static void
send_by_wait(void)
{
    while (sent[model_self()] < 2) {
        if (try_to_send(0) == EAGAIN) {
            wait_for(BRIDGE_WRITABLE, BRIDGE_WRITABLE);
        }
    }

    answer();
}


/* that has not asked by a send */
static void
send_after_wait(void)
{
    while (sent[model_self()] < 2) {
        wait_for(BRIDGE_WRITABLE, BRIDGE_WRITABLE);
        (void) try_to_send(0);
    }

    answer();
}


/* each to its task's mark, and told of that one alone */
static void
send_own(unsigned n)
{
    uint64_t  handle;

    MODEL_ASSERT(try_to_send(n) == 0);

    while (try_to_send(n) == EAGAIN) {
        MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, -1) == 0);
        MODEL_ASSERT(bridge_events_take(world.b, world.h, &handle, 1, true)
                     == 1);
        MODEL_ASSERT(handle == world.handles[n]);
    }

    answer_one(n);
}


static void
send_first(void)
{
    send_own(0);
}


static void
send_second(void)
{
    send_own(1);
}


static void
send_until_gone(void)
{
    int  rc;

    while ((rc = try_to_send(0)) != EPIPE) {
        if (rc == EAGAIN) {
            poll_until_event(0, false);
        }

        /* an event more would be one of the cancel */

        if (sent[model_self()] == 3) {
            break;
        }
    }

    answer();
}


static void
wait_until_gone(void)
{
    wait_for(0, BRIDGE_GONE);
    answer();
}


/* until its mark is free, the caller gone, or another thread has answered */
static void
send_and_wait(void)
{
    if (try_to_send(0) == 0 && try_to_send(0) == EAGAIN) {
        wait_for(BRIDGE_WRITABLE, BRIDGE_WRITABLE | BRIDGE_GONE);
    }

    answer();
}


static void
wait_in_time(void)
{
    int  now;

    (void) try_to_send(0);
    now = bridge_stream_wait(world.b, world.handles[0], BRIDGE_WRITABLE, 1);
    MODEL_ASSERT(now == 0 || now == BRIDGE_WRITABLE);
    answer();
}


/* 0: the end */
static int
try_to_read(void)
{
    int      rc;
    char    *part;
    size_t   len;

    rc = bridge_stream_read(world.b, world.handles[0], &part, &len);
    MODEL_ASSERT((part != NULL) == (rc == 0 && len));

    if (part) {
        MODEL_ASSERT(part[0] == (char) ('a' + got));
        got++;
        free(part);
        return 1;
    }

    return rc;
}


static void
read_by_poll(void)
{
    int  rc;

    while ((rc = try_to_read()) != 0) {
        if (rc == EAGAIN) {
            poll_until_event(0, false);
        }
    }

    answer();
}


static void
read_by_wait(void)
{
    while (try_to_read() != 0) {
        wait_for(BRIDGE_READABLE, BRIDGE_READABLE);
    }

    answer();
}


static void
read_until_gone(void)
{
    int  rc;

    while ((rc = try_to_read()) != EPIPE && rc != 0) {
        if (rc == EAGAIN) {
            poll_until_event(0, false);
        }
    }

    answer();
}


/* by the caller, or by another thread's answer */
static void
wait_and_read_until_gone(void)
{
    int  rc;

    while ((rc = try_to_read()) != EPIPE && rc != 0) {
        if (rc == EAGAIN) {
            wait_for(BRIDGE_READABLE, BRIDGE_READABLE | BRIDGE_GONE);
        }
    }

    answer();
}


static void
send_to_the_first(void)
{
    int  rc;

    rc = try_to_send(0);
    MODEL_ASSERT(rc == 0 || rc == EPIPE);
}


/* ---- what the host does */

static int
write_one(unsigned n)
{
    char  text;

    text = (char) ('a' + n);

    return bridge_stream_write(world.b, world.tasks[0], &text, 1);
}


static void
write_two(void)
{
    MODEL_ASSERT(write_one(0) == 0);
    MODEL_ASSERT(write_one(1) == 0);
    bridge_stream_finish(world.b, world.tasks[0]);
    world_until_back(1);
}


static void
write_by_room(void)
{
    unsigned  n, rooms;

    for (n = 0; n < 3; /* void */) {
        rooms = world.rooms;

        if (write_one(n) == 0) {
            n++;
            continue;
        }

        for (world_drain(); world.rooms == rooms; world_drain()) {
            world_until_notified();
        }
    }

    bridge_stream_finish(world.b, world.tasks[0]);
    world_until_back(1);
}


/* again and again, before it takes what is up */
static void
write_at_will(void)
{
    unsigned  i, n;

    for (n = 0, i = 0; i < 5; i++) {
        n += write_one(n) == 0;
    }

    bridge_stream_finish(world.b, world.tasks[0]);
    world_until_back(1);
    MODEL_ASSERT(got == n);
}


static void
write_cancel_and_drain(void)
{
    int  rc;

    MODEL_ASSERT(write_one(0) == 0);
    bridge_task_cancel(world.b, world.tasks[0]);
    rc = write_one(1);
    MODEL_ASSERT(rc == EPIPE);
    world_until_back(1);
}


/* nobody reads it any more at some time */
static void
write_and_drain(void)
{
    int  rc;

    rc = write_one(0);
    MODEL_ASSERT(rc == 0 || rc == EPIPE);
    bridge_stream_finish(world.b, world.tasks[0]);
    world_until_back(1);
}


/* ---- events of what has ended */

static void
take_events(void)
{
    int       i, n;
    uint64_t  handles[2];

    n = bridge_events_take(world.b, world.h, handles, 2, false);

    for (i = 0; i < n; i++) {
        MODEL_ASSERT(handles[i] == world.handles[0]
                     || handles[i] == world.handles[1]);
        told += handles[i] == world.handles[1];
    }
}


/* in the slot of the first; as if it had been taken from a queue */
static void
lend_second(uint64_t queue)
{
    world_task(1)->queue = queue;
    bridge_task_lend(world.tasks[1]);
    MODEL_ASSERT(world.tasks[0] == world.tasks[1]);
}


/* a cancel, an answer, and both again of another task in the same slot */
static void
end_and_reuse(void)
{
    bridge_task_cancel(world.b, world.tasks[0]);
    answer_one(0);
    world_until_back(1);

    lend_second(world.h);
    bridge_task_cancel(world.b, world.tasks[1]);
    world_until_told(1);
    answer_one(1);
    world_until_back(2);
}


static void
take_until_the_second(void)
{
    uint64_t  handle;

    do {
        while (bridge_events_take(world.b, world.h, &handle, 1, false) == 0) {
            MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, -1) == 0);
        }

    } while (handle == world.handles[0]);

    MODEL_ASSERT(handle == world.handles[1]);
    world_tell();
}


/* one event at a time, and it sleeps before the next one */
static void
answer_one_each_poll(void)
{
    unsigned  n;
    uint64_t  handle;

    for (n = 0; n < 2; /* void */) {
        MODEL_ASSERT(bridge_poll(world.b, world.h, &handle, 1, -1) == 0);

        if (bridge_events_take(world.b, world.h, &handle, 1, false)) {
            MODEL_ASSERT(handle == world.handles[n]);
            answer_one(n++);
        }
    }
}


/* and in another queue, while somebody still looks at the first one */
static void
release_and_reuse(void)
{
    bool      gone;
    uint64_t  handle;

    bridge_task_cancel(world.b, world.tasks[0]);
    bridge_queue_close(world.q);
    gone = bridge_queue_release(world.q);
    answer_one(0);
    world_until_back(1);

    world.q2 = bridge_queue_new(world.b, 8);
    world.h2 = bridge_queue_handle(world.q2);
    lend_second(world.h2);
    bridge_task_cancel(world.b, world.tasks[1]);
    MODEL_ASSERT(bridge_events_take(world.b, world.h2, &handle, 1, false)
                 == 1);
    MODEL_ASSERT(handle == world.handles[1]);
    answer_one(1);
    world_until_back(2);

    while (!gone) {
        model_yield("sweep");
        gone = bridge_queue_release(world.q);
    }
}


/* ---- what all come to */

static void
nothing_is_lost(void)
{
    unsigned  i, n, all;

    all = 0;
    world_drain();

    for (i = 0; i < SENDERS; i++) {
        all += sent[i];
    }

    for (n = 0; n < TASKS; n++) {
        MODEL_ASSERT(world.parts[n] == world.released[n]);
        all -= world.parts[n];
    }

    MODEL_ASSERT(all == 0);
    MODEL_ASSERT(world.answers == world.all_back);
    MODEL_ASSERT(world.b->live_tasks == 0);
    MODEL_ASSERT(world.q->first_event == NULL);
}


static void
all_is_read(void)
{
    nothing_is_lost();
    MODEL_ASSERT(got >= 2);
}


static void
other_is_untouched(void)
{
    MODEL_ASSERT(world.b->live_tasks == 1);
    MODEL_ASSERT(world.parts[0] == sent[1] && world.parts[1] == 0);
    MODEL_ASSERT(world.tasks[1]->stream.unreleased == 0);
    MODEL_ASSERT(!(world.tasks[1]->state & BRIDGE_TASK_STREAM));
}


static void
at_most_once(void)
{
    nothing_is_lost();
    MODEL_ASSERT(told <= 1);
}


const model_scenario_t  model_stream[] = {
    { "send, and an answer", world_polled,
      { { "host", world_end_one }, { "a", send_two }, { "b", answer } },
      nothing_is_lost, 1, 0, false },
    { "two threads send, and an answer", world_polled,
      { { "host", world_end_one }, { "a", send_one }, { "b", send_one },
        { "c", answer } },
      nothing_is_lost, 0, 3, false },
    { "send, two answers", world_polled,
      { { "host", world_end_one }, { "a", send_and_answer }, { "b", answer } },
      nothing_is_lost, 1, 0, false },
    { "a late send, the slot is used again", world_polled,
      { { "host", world_end_one_and_reuse }, { "a", send_to_the_first },
        { "b", answer } },
      other_is_untouched, 0, 0, false },
    { "send, cancel, and events", setup_watched,
      { { "host", world_cancel_one }, { "runtime", send_until_gone } },
      nothing_is_lost, 0, 0, false },
    { "a mark, and its event by a poll", setup_watched,
      { { "host", world_end_one }, { "runtime", send_by_poll } },
      nothing_is_lost, 1, 0, false },
    { "a mark of two, and its event by a poll", setup_watched_mark_of_two,
      { { "host", world_end_one }, { "runtime", send_three_by_poll } },
      nothing_is_lost, 0, 0, false },
    { "a mark, and its event by an eventfd", setup_loop,
      { { "host", world_end_one }, { "runtime", send_by_loop } },
      nothing_is_lost, 1, 0, false },
    { "a mark, and its event by a poll that is put off",
      setup_watched_put_off,
      { { "host", world_end_one }, { "runtime", send_by_poll } },
      nothing_is_lost, 1, 0, false },
    { "a mark, and its event by an eventfd that is put off",
      setup_loop_put_off,
      { { "host", world_end_one }, { "runtime", send_by_loop } },
      nothing_is_lost, 1, 0, false },
    { "two marks, and events of two threads", setup_two_owners,
      { { "host", world_end_two }, { "a", send_first }, { "b", send_second } },
      nothing_is_lost, 0, 2, false },
    { "a mark, and a wait", setup_one,
      { { "host", world_end_one }, { "runtime", send_by_wait } },
      nothing_is_lost, 1, 0, false },
    { "a mark, and a wait without a send", setup_one,
      { { "host", world_end_one }, { "runtime", send_after_wait } },
      nothing_is_lost, 1, 0, false },
    { "a mark, and a wait that may end", setup_one,
      { { "host", world_end_one }, { "runtime", wait_in_time } },
      nothing_is_lost, 0, 0, true },
    { "wait and cancel", setup_one,
      { { "host", world_cancel_one }, { "runtime", wait_until_gone } },
      nothing_is_lost, 1, 0, false },
    { "wait and answer", setup_one,
      { { "host", world_end_one }, { "a", wait_until_gone }, { "b", answer } },
      nothing_is_lost, 1, 0, false },
    { "wait, release, cancel and answer", setup_one,
      { { "host", world_cancel_one }, { "a", send_and_wait },
        { "b", answer } },
      nothing_is_lost, 0, 0, false },
    { "write, and read by a poll", setup_watched_mark_of_two,
      { { "host", write_two }, { "runtime", read_by_poll } },
      all_is_read, 1, 0, false },
    { "write, and read by a wait", setup_watched_mark_of_two,
      { { "host", write_two }, { "runtime", read_by_wait } },
      all_is_read, 1, 0, false },
    { "write, and room", setup_one,
      { { "host", write_by_room }, { "runtime", read_by_wait } },
      all_is_read, 0, 0, false },
    { "write at will, and room", setup_one,
      { { "host", write_at_will }, { "runtime", read_by_wait } },
      nothing_is_lost, 0, 0, false },
    { "write and cancel", setup_watched,
      { { "host", write_cancel_and_drain }, { "runtime", read_until_gone } },
      nothing_is_lost, 0, 0, false },
    { "write, read and answer", setup_watched,
      { { "host", write_and_drain }, { "a", wait_and_read_until_gone },
        { "b", answer } },
      nothing_is_lost, 0, 0, false },
    { "two events, and a poll for each", setup_two_watched,
      { { "host", world_cancel_two }, { "runtime", answer_one_each_poll } },
      nothing_is_lost, 1, 0, false },
    { "an event, and the slot is used again", setup_watched,
      { { "host", end_and_reuse }, { "runtime", take_until_the_second } },
      at_most_once, 0, 0, false },
    { "an event, release, and the slot is used again", setup_watched,
      { { "host", release_and_reuse }, { "runtime", take_events } },
      at_most_once, 0, 0, false },
    { 0 }
};
