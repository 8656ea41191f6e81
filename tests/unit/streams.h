/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef UNIT_STREAMS_H
#define UNIT_STREAMS_H

/* What the unit tests of streams have in common. */

#include <errno.h>

#include "input.h"
#include "send.h"
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


static inline int
setup(void **state)
{
    (void) unit_setup(state);
    q = unit_queue(8);
    queue = bridge_queue_handle(q);
    memset(bytes, 'x', sizeof(bytes));
    released = delivered = 0;

    return 0;
}


static inline int
teardown(void **state)
{
    if (q) {
        unit_queue_end(q);
    }

    return unit_teardown(state);
}


static inline void
count_release(void *arg, int was_delivered)
{
    assert_ptr_equal(arg, &released);
    released++;
    delivered += was_delivered;
}


static inline uint64_t
poll_one(void)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, queue, &h, 1, 0), 1);

    return h;
}


/* a task that this thread has taken */
static inline bridge_task_t *
opened(size_t high, bool input)
{
    bridge_task_t  *t;

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, high, input);
    assert_true(bridge_push(q, t));
    assert_true(poll_one() == bridge_task_handle(t));

    return t;
}


static inline int
send_n(bridge_task_t *t, size_t len)
{
    return bridge_stream_send(b, bridge_task_handle(t), bytes, len, false,
                              count_release, &released);
}


static inline int
write_n(bridge_task_t *t, size_t len)
{
    return bridge_stream_write(b, t, bytes, len);
}


/* the one part that is up; others after it stay */
static inline bridge_part_t *
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


static inline void
free_part(bool was_delivered)
{
    bridge_part_t  *p;

    p = part();
    assert_non_null(p);
    bridge_part_free(b, p, was_delivered);
}


/* 0 where there is none */
static inline uint64_t
event(bool own)
{
    uint64_t  h;

    return bridge_events_take(b, queue, &h, 1, own) ? h : 0;
}


/* how often room has come up for t */
static inline int
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


static inline int
read_part(bridge_task_t *t, char **p, size_t *len)
{
    return bridge_stream_read(b, bridge_task_handle(t), p, len);
}


static inline void
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


static inline void
check_no_read(bridge_task_t *t, int want)
{
    char    *p = bytes;
    size_t   len = 7;

    assert_int_equal(read_part(t, &p, &len), want);
    assert_null(p);
    assert_int_equal(len, 0);
}


static inline int
wait_for(bridge_task_t *t, int events, int ms)
{
    return bridge_stream_wait(b, bridge_task_handle(t), events, ms);
}


static inline void
end(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
}


#define streams_case(name)                                                    \
    cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* UNIT_STREAMS_H */
