/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>

#include "stream.h"
#include "unit.h"


#define HIGH   1000
#define LOW    (HIGH / 4)
#define LARGE  5000

/* of a part that counts for n */
#define COUNTS(n)  ((n) - BRIDGE_PART_COST)


static bridge_queue_t  *q;
static uint64_t         queue;
static char             bytes[BRIDGE_STREAM_HIGH + LARGE];
static int              released, delivered;


static int
setup(void **state)
{
    (void) unit_setup(state);
    q = unit_queue(8);
    queue = bridge_queue_handle(q);
    memset(bytes, 'x', sizeof(bytes));
    released = delivered = 0;

    return 0;
}


static int
teardown(void **state)
{
    if (q) {
        unit_queue_end(q);
    }

    return unit_teardown(state);
}


static void
count_release(void *arg, int was_delivered)
{
    assert_ptr_equal(arg, &released);
    released++;
    delivered += was_delivered;
}


static uint64_t
poll_one(void)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, queue, &h, 1, 0), 1);

    return h;
}


/* a task that this thread has taken */
static bridge_task_t *
opened(size_t high, bool input)
{
    bridge_task_t  *t;

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, high, input);
    assert_true(bridge_push(q, t));
    assert_true(poll_one() == bridge_task_handle(t));

    return t;
}


static int
send_n(bridge_task_t *t, size_t len)
{
    return bridge_stream_send(b, bridge_task_handle(t), bytes, len, false,
                              count_release, &released);
}


static int
write_n(bridge_task_t *t, size_t len)
{
    return bridge_stream_write(b, t, bytes, len);
}


/* the one part that is up; others after it stay */
static bridge_part_t *
part(void)
{
    static bridge_part_t  *rest;

    bridge_part_t  *p;

    if (rest == NULL) {
        rest = (bridge_part_t *) unit_take(b, BRIDGE_NODE_PART);
    }

    p = rest;
    if (p) {
        rest = (bridge_part_t *) p->node.next;
    }

    return p;
}


static void
free_part(bool was_delivered)
{
    bridge_part_t  *p;

    p = part();
    assert_non_null(p);
    bridge_part_free(b, p, was_delivered);
}


/* 0 where there is none */
static uint64_t
event(bool own)
{
    uint64_t  h;

    return bridge_events_take(b, queue, &h, 1, own) ? h : 0;
}


/* how often room has come up for t */
static int
rooms(bridge_task_t *t)
{
    int             n;
    bridge_node_t  *node, *next;

    n = 0;

    for (node = unit_take(b, BRIDGE_NODE_ROOM); node; node = next) {
        next = node->next;
        assert_ptr_equal(bridge_stream_of_room(node), t);
        n++;
    }

    return n;
}


static int
read_part(bridge_task_t *t, char **p, size_t *len)
{
    return bridge_stream_read(b, bridge_task_handle(t), p, len);
}


static void
check_read(bridge_task_t *t, size_t want)
{
    char    *p;
    size_t   len;

    assert_int_equal(read_part(t, &p, &len), 0);
    assert_int_equal(len, want);

    if (want == 0) {
        assert_null(p);
        return;
    }

    assert_memory_equal(p, bytes, want);
    assert_int_equal(p[want], '\0');
    free(p);
}


static void
check_no_read(bridge_task_t *t, int want)
{
    char    *p = bytes;
    size_t   len = 7;

    assert_int_equal(read_part(t, &p, &len), want);
    assert_null(p);
    assert_int_equal(len, 0);
}


static int
wait_for(bridge_task_t *t, int events, int ms)
{
    return bridge_stream_wait(b, bridge_task_handle(t), events, ms);
}


static void
end(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
}


/* ---- parts of an answer */


static void
test_parts_come_in_order_and_before_the_answer(void **state)
{
    char            text[] = "second";
    uint64_t        h;
    bridge_node_t  *n, *next;
    bridge_part_t  *p[3];
    bridge_task_t  *t;

    (void) state;

    t = opened(0, false);
    h = bridge_task_handle(t);

    assert_int_equal(bridge_stream_send(b, h, "first", 5, false,
                                        count_release, &released), 0);
    assert_int_equal(bridge_stream_send(b, h, text, 6, true, NULL, NULL), 0);
    memset(text, '!', 6);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_true(bridge_task_answer_copy(b, h, 3, "end", 3));

    n = bridge_take(b);

    for (int i = 0; i < 3; i++, n = next) {
        next = n->next;
        assert_int_equal(n->kind, BRIDGE_NODE_PART);
        p[i] = (bridge_part_t *) n;
        assert_true(p[i]->task == h);
    }

    assert_int_equal(n->kind, BRIDGE_NODE_ANSWER);
    assert_ptr_equal(n, t);
    assert_null(n->next);
    assert_int_equal(t->rc, 3);
    assert_memory_equal(t->rsp, "end", 3);

    assert_int_equal(p[0]->len, 5);
    assert_memory_equal(p[0]->bytes, "first", 5);
    assert_int_equal(p[1]->len, 6);
    assert_memory_equal(p[1]->bytes, "second", 6);
    assert_int_equal(p[2]->len, LARGE);
    assert_ptr_equal(p[2]->bytes, bytes);

    bridge_part_free(b, p[0], true);
    assert_int_equal(released, 1);
    assert_int_equal(delivered, 1);
    bridge_part_free(b, p[1], true);
    bridge_part_free(b, p[2], false);
    assert_int_equal(released, 2);
    assert_int_equal(delivered, 1);

    bridge_task_free(b, t, true);
}


static void
test_a_part_is_taken_whole_below_the_mark(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, COUNTS(HIGH - 1)), 0);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    end(t);

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), bytes, 1,
                                        true, NULL, NULL), EAGAIN);
    free_part(true);
    end(t);

    /* of a task of which the host has said nothing */

    t = unit_lent(b, "q", 1);
    assert_int_equal(send_n(t, COUNTS(BRIDGE_STREAM_HIGH - 1)), 0);
    assert_int_equal(send_n(t, 1), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    free_part(true);
    end(t);

    assert_int_equal(released, 5);
    assert_int_equal(delivered, 5);
}


static void
test_one_event_at_a_quarter_of_the_mark(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    h = bridge_task_handle(t);

    assert_int_equal(send_n(t, COUNTS(400)), 0);
    assert_int_equal(send_n(t, COUNTS(350)), 0);
    assert_int_equal(send_n(t, COUNTS(LOW + 1)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(event(false) == 0);

    free_part(true);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), 0);

    free_part(true);            /* one byte above it */
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), 0);

    free_part(true);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), BRIDGE_WRITABLE);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);

    /* at it */

    assert_int_equal(send_n(t, COUNTS(HIGH - 100)), 0);
    assert_int_equal(send_n(t, COUNTS(LOW)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    assert_true(event(false) == h);
    free_part(true);
    assert_true(event(false) == 0);

    /* nobody was refused: nobody is told */

    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    free_part(true);
    assert_true(event(false) == 0);

    end(t);
}


static void
test_a_part_of_no_bytes(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, 0), 0);
    assert_int_equal(released, 1);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), NULL, 0,
                                        true, NULL, NULL), 0);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), NULL, 0,
                                        false, NULL, NULL), 0);
    assert_null(part());

    /* one that has no mark to wait for */

    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 0), 0);
    assert_int_equal(released, 2);
    free_part(true);
    assert_true(event(false) == 0);

    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 0), EPIPE);
    assert_int_equal(released, 3);
    end(t);
}


static void
test_nothing_is_sent_to_what_waits_for_no_answer(void **state)
{
    char            *p;
    size_t           len;
    uint64_t         h;
    bridge_task_t   *t;

    (void) state;

    /* not taken yet */

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_true(bridge_push(q, t));
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, -1), BRIDGE_GONE);

    h = poll_one();
    assert_int_equal(send_n(t, 1), 0);
    free_part(true);

    /* cancelled */

    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE | BRIDGE_READABLE, -1),
                     BRIDGE_GONE);

    /* answered */

    assert_true(unit_answer(b, h, 0));
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_false(bridge_stream_has_parts(b, h));
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, -1), BRIDGE_GONE);

    /* freed, and another one in its place */

    assert_int_equal(unit_drain(b), 1);
    assert_ptr_equal(opened(HIGH, true), t);
    assert_true(bridge_task_handle(t) != h);

    assert_int_equal(bridge_stream_send(b, h, "x", 1, true, NULL, NULL),
                     EPIPE);
    assert_int_equal(bridge_stream_read(b, h, &p, &len), EPIPE);
    assert_false(bridge_stream_has_parts(b, h));
    assert_int_equal(bridge_stream_wait(b, h, 0, -1), BRIDGE_GONE);
    assert_true(bridge_stream_has_parts(b, bridge_task_handle(t)));
    assert_null(part());
    end(t);

    /* invented, and a queue's */

    for (h = 0; h < 64; h++) {
        assert_int_equal(bridge_stream_send(b, UINT64_C(1) << h, "x", 1,
                                            true, NULL, NULL), EPIPE);
        assert_int_equal(bridge_stream_wait(b, queue ^ h, 0, -1),
                         BRIDGE_GONE);
    }

    assert_int_equal(released, 1);
    assert_null(part());
}


static void
test_parts_of_a_caller_who_has_gone(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_true(event(false) == 0);
    assert_int_equal(send_n(t, 10), 0);
    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 10), EPIPE);
    assert_int_equal(released, 0);

    free_part(false);
    assert_int_equal(released, 1);
    assert_int_equal(delivered, 0);
    assert_true(event(false) == bridge_task_handle(t));
    assert_true(event(false) == 0);
    end(t);
}


static void
test_a_part_may_outlive_its_task(void **state)
{
    bridge_part_t  *p[2];
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, LARGE), 0);
    p[0] = part();
    end(t);

    /* the counts of who has the slot then are its own */

    assert_ptr_equal(opened(HIGH, false), t);
    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    p[1] = part();

    bridge_part_free(b, p[0], true);
    assert_int_equal(released, 1);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(event(false) == 0);

    bridge_part_free(b, p[1], true);
    assert_int_equal(released, 2);
    assert_true(event(false) == bridge_task_handle(t));
    end(t);
}


static void
test_a_mark_that_is_reached_when_the_answer_comes(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));

    /* it is not told any more */

    free_part(true);
    assert_true(event(false) == 0);
    assert_int_equal(unit_drain(b), 1);

    assert_ptr_equal(opened(0, false), t);
    assert_int_equal(send_n(t, HIGH), 0);
    assert_int_equal(send_n(t, HIGH), 0);
    free_part(true);
    free_part(true);
    assert_true(event(false) == 0);
    end(t);
}


/* ---- parts of a request */


static void
test_a_request_in_parts(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    h = bridge_task_handle(t);
    assert_true(event(false) == 0);

    assert_true(bridge_stream_has_parts(b, h));
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 0), 0);
    check_no_read(t, EAGAIN);
    check_no_read(t, EAGAIN);
    assert_true(event(false) == 0);

    assert_int_equal(write_n(t, 0), 0);
    assert_true(event(false) == 0);

    assert_int_equal(write_n(t, 3), 0);
    assert_int_equal(write_n(t, 4), 0);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 0), BRIDGE_READABLE);

    check_read(t, 3);
    check_read(t, 4);

    /* nobody was refused: nobody is told */

    assert_int_equal(write_n(t, 1), 0);
    assert_true(event(false) == 0);
    check_read(t, 1);

    check_no_read(t, EAGAIN);
    bridge_stream_finish(b, t);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, -1), BRIDGE_READABLE);
    check_read(t, 0);
    check_read(t, 0);
    assert_true(bridge_stream_has_parts(b, h));
    assert_null(unit_take(b, BRIDGE_NODE_ROOM));
    end(t);

    /* nothing is left of it */

    assert_ptr_equal(opened(HIGH, true), t);
    check_no_read(t, EAGAIN);
    end(t);
}


static void
test_a_request_without_parts(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    check_read(t, 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, -1), BRIDGE_READABLE);
    end(t);

    t = unit_lent(b, "q", 1);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    check_read(t, 0);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    end(t);
}


static void
test_parts_that_are_written_before_a_poll(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_int_equal(write_n(t, 5), 0);
    assert_true(bridge_push(q, t));
    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    bridge_stream_finish(b, t);

    (void) poll_one();
    check_read(t, 5);
    check_read(t, LARGE);
    check_read(t, 0);
    assert_int_equal(rooms(t), 1);
    end(t);
}


static void
test_room_comes_once_at_a_quarter_of_the_mark(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_int_equal(write_n(t, COUNTS(HIGH - 1 - LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW + 1)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    assert_int_equal(write_n(t, 0), 0);

    check_read(t, COUNTS(HIGH - 1 - LOW));
    check_read(t, COUNTS(LOW));
    assert_int_equal(rooms(t), 0);
    assert_int_equal(write_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, COUNTS(LOW + 1));
    assert_int_equal(rooms(t), 0);
    check_read(t, COUNTS(HIGH));
    assert_int_equal(rooms(t), 1);

    /* at it exactly */

    assert_int_equal(write_n(t, COUNTS(HIGH - LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, COUNTS(HIGH - LOW));
    assert_int_equal(rooms(t), 1);
    check_read(t, COUNTS(LOW));
    assert_int_equal(rooms(t), 0);

    /* nobody was refused: nobody is told */

    assert_int_equal(write_n(t, LARGE), 0);
    check_read(t, LARGE);
    assert_int_equal(rooms(t), 0);
    end(t);
}


/* a host that writes on before it has seen what is up */
static void
test_room_is_up_once_at_a_time(void **state)
{
    bridge_task_t  *t, *other;

    (void) state;

    t = opened(HIGH, true);
    other = opened(HIGH, true);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_n(t, LARGE), 0);
        assert_int_equal(write_n(t, 1), EAGAIN);
        check_read(t, LARGE);
        assert_int_equal(send_n(other, 1), 0);
    }

    assert_int_equal(rooms(t), 1);

    for (int i = 0; i < 3; i++) {
        free_part(true);
    }

    assert_null(part());

    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, LARGE);
    assert_int_equal(rooms(t), 1);
    end(t);
    end(other);
}


static void
test_nothing_is_written_to_who_reads_no_more(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_true(event(false) == 0);
    check_no_read(t, EAGAIN);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(write_n(t, 1), EPIPE);
    assert_int_equal(write_n(t, 0), EPIPE);
    bridge_stream_finish(b, t);
    assert_true(event(false) == 0);
    assert_int_equal(unit_drain(b), 1);

    t = opened(HIGH, true);
    check_no_read(t, EAGAIN);
    bridge_task_cancel(b, t);
    assert_true(event(false) == bridge_task_handle(t));
    assert_int_equal(write_n(t, 1), EPIPE);
    bridge_stream_finish(b, t);
    assert_true(event(false) == 0);
    end(t);
}


/* of whatever end: a sanitizer sees what is left */
static void
test_what_was_not_read_is_freed(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_int_equal(write_n(t, 10), 0);
    assert_int_equal(write_n(t, LARGE), 0);
    end(t);

    /* cancelled, and too late, in the queue */

    for (int i = 0; i < 2; i++) {
        t = unit_task(b, "q", 1);
        t->deadline = i;
        bridge_stream_open(t, HIGH, true);
        assert_true(bridge_push(q, t));
        assert_int_equal(write_n(t, LARGE), 0);

        if (i == 0) {
            bridge_task_cancel(b, t);
        }

        assert_int_equal(bridge_poll(b, queue, &h, 1, 0), 0);
        assert_int_equal(write_n(t, 1), EPIPE);
        assert_int_equal(unit_drain(b), 1);
    }

    /* taken back from it; and never put there */

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_true(bridge_push(q, t));
    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(bridge_queue_reject(b, q), 1);
    assert_int_equal(unit_drain(b), 1);

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_int_equal(write_n(t, LARGE), 0);
    bridge_task_free(b, t, false);
}


/* ---- waiting */


static void
test_what_holds(void **state)
{
    const int  all = BRIDGE_WRITABLE | BRIDGE_READABLE | BRIDGE_GONE;

    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_int_equal(wait_for(t, all, 0), BRIDGE_WRITABLE);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 0), 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 1), 0);
    assert_int_equal(wait_for(t, 0, 1), 0);

    assert_int_equal(write_n(t, 1), 0);
    assert_int_equal(wait_for(t, all, -1), BRIDGE_WRITABLE | BRIDGE_READABLE);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, -1), BRIDGE_READABLE);

    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(wait_for(t, all, -1), BRIDGE_READABLE);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 1), 0);

    /* who has only waited is told by no event */

    assert_true(event(false) == 0);
    free_part(true);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, -1), BRIDGE_WRITABLE);

    bridge_task_cancel(b, t);
    assert_int_equal(wait_for(t, all, -1), BRIDGE_GONE);
    assert_int_equal(wait_for(t, 0, -1), BRIDGE_GONE);
    end(t);
}


typedef struct {
    bridge_task_t  *task;
    int             events;
    int             ms;
    int             got;
} waiter_t;

static _Atomic int  waiting;


static void *
wait_in_thread(void *arg)
{
    waiter_t  *w;

    w = arg;
    atomic_fetch_add(&waiting, 1);
    w->got = bridge_stream_wait(b, bridge_task_handle(w->task), w->events,
                                w->ms);

    return NULL;
}


static void
give_back(bridge_task_t *t)
{
    (void) t;
    free_part(true);
}


static void
write_one(bridge_task_t *t)
{
    assert_int_equal(write_n(t, 1), 0);
}


static void
finish(bridge_task_t *t)
{
    bridge_stream_finish(b, t);
}


static void
cancel(bridge_task_t *t)
{
    bridge_task_cancel(b, t);
}


static void
answer(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
}


static void
test_who_waits_is_woken(void **state)
{
    const struct {
        void  (*act)(bridge_task_t *t);
        int     events;
        int     want;
    } cases[] = {
        { give_back, BRIDGE_WRITABLE, BRIDGE_WRITABLE },
        { write_one, BRIDGE_READABLE, BRIDGE_READABLE },
        { finish, BRIDGE_WRITABLE | BRIDGE_READABLE, BRIDGE_READABLE },
        { cancel, BRIDGE_WRITABLE, BRIDGE_GONE },
        { cancel, 0, BRIDGE_GONE },
        { answer, BRIDGE_READABLE, BRIDGE_GONE },
        { answer, 0, BRIDGE_GONE },
    };

    size_t           i;
    waiter_t         w[2];
    pthread_t        threads[2];
    bridge_part_t   *p;
    bridge_task_t   *t;

    (void) state;

    for (i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        t = opened(HIGH, true);
        assert_int_equal(send_n(t, LARGE), 0);
        atomic_store(&waiting, 0);

        for (int j = 0; j < 2; j++) {
            w[j] = (waiter_t) { t, cases[i / 2].events, i % 2 ? -1 : 600000,
                                -1 };
            threads[j] = unit_thread(wait_in_thread, &w[j]);
        }

        unit_until(atomic_load(&waiting) == 2);

        for (int j = 200; j < 203; j++) {
            unit_pause(j);      /* asleep by now, mostly */
        }

        cases[i / 2].act(t);

        for (int j = 0; j < 2; j++) {
            unit_join(threads[j]);
            assert_int_equal(w[j].got, cases[i / 2].want);
        }

        p = part();
        if (p) {
            bridge_part_free(b, p, false);
        }

        (void) unit_answer(b, bridge_task_handle(t), 0);
        assert_int_equal(unit_drain(b), 1);
    }
}


/* ---- events */


typedef struct {
    uint64_t  task;
    uint64_t  told;
    int       in_vain;
} owner_t;

static pthread_barrier_t  together;


/* takes a task, and then what is new about its own */
static void *
own_a_task(void *arg)
{
    owner_t  *o;

    o = arg;
    o->task = poll_one();
    assert_true(event(true) == 0);
    pthread_barrier_wait(&together);

    for ( ;; ) {
        assert_int_equal(bridge_poll(b, queue, &o->told, 1, -1), 0);
        o->told = event(true);

        if (o->told) {
            return NULL;
        }

        o->in_vain++;
    }
}


static void
test_each_thread_is_told_of_its_own(void **state)
{
    owner_t         o[2];
    pthread_t       threads[2];
    bridge_task_t  *t[2];

    (void) state;

    memset(o, 0, sizeof(o));
    pthread_barrier_init(&together, NULL, 3);

    for (int i = 0; i < 2; i++) {
        (void) unit_push(b, q, 0);
        threads[i] = unit_thread(own_a_task, &o[i]);
    }

    pthread_barrier_wait(&together);

    t[0] = bridge_task_find(b, o[0].task);
    t[1] = bridge_task_find(b, o[1].task);

    bridge_task_cancel(b, t[1]);
    unit_join(threads[1]);
    assert_true(o[1].told == o[1].task);

    /* this thread has none, and none is lost for it */

    bridge_task_cancel(b, t[0]);
    assert_true(event(true) == 0);
    unit_join(threads[0]);
    assert_true(o[0].told == o[0].task);

    for (int i = 0; i < 2; i++) {
        assert_int_equal(o[i].in_vain, 0);
        end(t[i]);
    }

    pthread_barrier_destroy(&together);
}


static void
test_own_events_make_each_poll_return(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_true(event(true) == 0);
    check_no_read(t, EAGAIN);
    assert_int_equal(write_n(t, 1), 0);

    assert_int_equal(bridge_poll(b, queue, &h, 1, -1), 0);
    assert_int_equal(bridge_poll(b, queue, &h, 1, -1), 0);
    assert_true(event(true) == bridge_task_handle(t));
    assert_int_equal(bridge_poll(b, queue, &h, 1, 1), 0);
    end(t);
}


static void
test_events_are_taken_oldest_first(void **state)
{
    int             i;
    uint64_t        told[4];
    bridge_task_t  *t[4];

    (void) state;

    for (i = 0; i < 4; i++) {
        t[i] = opened(HIGH, true);
    }

    for (i = 0; i < 4; i++) {
        bridge_task_cancel(b, t[i]);
    }

    end(t[1]);                  /* out of the middle */
    end(t[3]);                  /* the last */

    assert_int_equal(bridge_events_take(b, queue, told, 1, false), 1);
    assert_true(told[0] == bridge_task_handle(t[0]));
    assert_int_equal(bridge_events_take(b, queue, told, 4, false), 1);
    assert_true(told[0] == bridge_task_handle(t[2]));
    assert_true(event(false) == 0);
    end(t[0]);
    end(t[2]);
}


static void
test_no_events_after_the_unload(void **state)
{
    uint64_t        h, old;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_true(event(true) == 0);
    check_no_read(t, EAGAIN);
    assert_int_equal(write_n(t, 1), 0);

    bridge_queue_close(q);
    assert_int_equal(bridge_poll(b, queue, &h, 1, -1), -1);
    assert_true(bridge_queue_release(q));
    q = NULL;

    /* what was new, and what is; the task itself goes on */

    assert_true(event(true) == 0);
    check_read(t, 1);
    check_no_read(t, EAGAIN);
    bridge_stream_finish(b, t);
    bridge_task_cancel(b, t);
    assert_true(event(true) == 0);
    assert_int_equal(wait_for(t, 0, -1), BRIDGE_GONE);

    old = queue;
    q = unit_queue(8);
    queue = bridge_queue_handle(q);
    assert_true(queue != old);
    assert_true(event(true) == 0);
    end(t);
}


/* while some thread still has the queue, of which nothing new can be told */
static void
test_a_task_that_ends_after_its_queue(void **state)
{
    bridge_task_t   *t;
    bridge_queue_t  *old;

    (void) state;

    t = opened(HIGH, true);
    bridge_task_cancel(b, t);

    old = bridge_queue_pin(b, queue);
    assert_ptr_equal(old, q);
    bridge_queue_close(old);
    assert_false(bridge_queue_release(old));
    end(t);

    q = unit_queue(8);
    queue = bridge_queue_handle(q);
    assert_ptr_equal(opened(HIGH, true), t);
    assert_true(event(false) == 0);
    bridge_task_cancel(b, t);
    assert_true(event(false) == bridge_task_handle(t));

    bridge_queue_unpin(old);
    assert_true(bridge_queue_release(old));
    end(t);
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_parts_come_in_order_and_before_the_answer),
        test(test_a_part_is_taken_whole_below_the_mark),
        test(test_one_event_at_a_quarter_of_the_mark),
        test(test_a_part_of_no_bytes),
        test(test_nothing_is_sent_to_what_waits_for_no_answer),
        test(test_parts_of_a_caller_who_has_gone),
        test(test_a_part_may_outlive_its_task),
        test(test_a_mark_that_is_reached_when_the_answer_comes),
        test(test_a_request_in_parts),
        test(test_a_request_without_parts),
        test(test_parts_that_are_written_before_a_poll),
        test(test_room_comes_once_at_a_quarter_of_the_mark),
        test(test_room_is_up_once_at_a_time),
        test(test_nothing_is_written_to_who_reads_no_more),
        test(test_what_was_not_read_is_freed),
        test(test_what_holds),
        test(test_who_waits_is_woken),
        test(test_each_thread_is_told_of_its_own),
        test(test_own_events_make_each_poll_return),
        test(test_events_are_taken_oldest_first),
        test(test_no_events_after_the_unload),
        test(test_a_task_that_ends_after_its_queue),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
