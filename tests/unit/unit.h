/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef UNIT_H
#define UNIT_H

/* What the unit tests of the bridge have in common. */

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "answer.h"
#include "consumer.h"
#include "end.h"
#include "events.h"
#include "handle.h"
#include "log.h"
#include "queue.h"
#include "task.h"
#include "threads.h"
#include "wake.h"


/* how often the host was notified */
static _Atomic uint32_t  unit_notified;


static inline void
unit_notify(void *arg)
{
    (void) arg;
    atomic_fetch_add(&unit_notified, 1);
}


/* of the test that runs */
static bridge_t  *b;


static inline bridge_t *
unit_bridge(void)
{
    b = calloc(1, sizeof(bridge_t));
    assert_non_null(b);

    atomic_store(&unit_notified, 0);
    bridge_init(b, unit_notify, NULL);

    return b;
}


/* what has come up of other kinds than was asked for, oldest first */
static bridge_node_t  *unit_rest;


/* of what has come up, that of one kind, oldest first */
static inline bridge_node_t *
unit_take(bridge_t *b, int kind)
{
    bridge_node_t  *n, *first, **wanted, **rest;

    wanted = &first;
    rest = &unit_rest;

    while (*rest) {
        rest = &(*rest)->next;
    }

    *rest = bridge_take(b);
    rest = &unit_rest;

    while ((n = *rest) != NULL) {
        if (n->kind == kind) {
            *rest = n->next;
            *wanted = n;
            wanted = &n->next;

        } else {
            rest = &n->next;
        }
    }

    *wanted = NULL;

    return first;
}


/* the answers, linked by unit_next */
static inline bridge_task_t *
unit_answers(bridge_t *b)
{
    return (bridge_task_t *) unit_take(b, BRIDGE_NODE_ANSWER);
}


static inline bridge_task_t *
unit_next(bridge_task_t *t)
{
    return (bridge_task_t *) t->node.next;
}


/* how often a queue's last thread has ended */
static inline uint32_t
unit_orphans(bridge_t *b)
{
    uint32_t        n;
    bridge_node_t  *node, *next;

    n = 0;

    for (node = unit_take(b, BRIDGE_NODE_ORPHAN); node; node = next) {
        next = node->next;
        (void) bridge_threads_ended(node);
        n++;
    }

    return n;
}


/* the one line that waits, or NULL */
static inline bridge_line_t *
unit_line(bridge_t *b)
{
    bridge_node_t  *n;

    n = unit_take(b, BRIDGE_NODE_LINE);
    assert_true(n == NULL || n->next == NULL);

    return (bridge_line_t *) n;
}


/* frees the lines; how many */
static inline uint32_t
unit_free_lines(bridge_t *b)
{
    uint32_t        n;
    bridge_node_t  *node, *next;

    n = 0;

    for (node = unit_take(b, BRIDGE_NODE_LINE); node; node = next) {
        next = node->next;
        bridge_line_free(b, (bridge_line_t *) node);
        n++;
    }

    return n;
}


/* reachable: threads.c never frees what it knows of threads */
static bridge_t  *unit_kept;


/* once no thread is left that holds a handle */
static inline void
unit_bridge_free(bridge_t *b)
{
    uint32_t  i;

    assert_int_equal(b->live_tasks, 0);
    (void) unit_orphans(b);
    assert_null(bridge_take(b));
    assert_null(unit_rest);

    for (i = 0; i < BRIDGE_MAX_TASKS / BRIDGE_CHUNK; i++) {
        free(b->chunks[i]);
    }

    for (i = 0; i < b->nqueues; i++) {
        free((void *) b->queues[i]->cells);
        free(b->queues[i]);
    }

    b->notify_arg = unit_kept;
    unit_kept = b;
}


/* what most tests begin and end with */

static inline int
unit_setup(void **state)
{
    (void) state;
    (void) unit_bridge();

    return 0;
}


static inline int
unit_teardown(void **state)
{
    (void) state;
    unit_bridge_free(b);

    return 0;
}


#define unit_case(name)                                                       \
    cmocka_unit_test_setup_teardown(name, unit_setup, unit_teardown)


static inline bridge_queue_t *
unit_queue(uint32_t limit)
{
    bridge_queue_t  *q;

    q = bridge_queue_new(b, limit);
    assert_non_null(q);

    return q;
}


static inline void
unit_queue_end(bridge_queue_t *q)
{
    bridge_queue_close(q);
    assert_true(bridge_queue_release(q));
}


static inline pthread_t
unit_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t       thread;
    pthread_attr_t  attr;

    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attr, run, arg), 0);
    pthread_attr_destroy(&attr);

    return thread;
}


static inline void
unit_join(pthread_t thread)
{
    assert_int_equal(pthread_join(thread, NULL), 0);
}


static inline void
unit_pause(int tries)
{
    struct timespec  ts = { 0, 500000 };

    if (tries < 200) {
        sched_yield();
        return;
    }

    nanosleep(&ts, NULL);
}


/* fails where cond has not come true for a long time */
#define unit_until(cond)                                                      \
    do {                                                                      \
        int  tries_;                                                          \
                                                                              \
        for (tries_ = 0; !(cond); tries_++) {                                 \
            assert_true(tries_ < 20000);                                      \
            unit_pause(tries_);                                               \
        }                                                                     \
    } while (0)


static inline bridge_task_t *
unit_task(bridge_t *b, const char *req, size_t len)
{
    bridge_task_t  *t;

    t = bridge_task_new(b, req, len, NULL, 0);
    assert_non_null(t);

    return t;
}


/* one that a runtime may answer */
static inline bridge_task_t *
unit_lent(bridge_t *b, const char *req, size_t len)
{
    bridge_task_t  *t;

    t = unit_task(b, req, len);
    bridge_task_lend(t);

    return t;
}


/* a task whose data is n, in the queue */
static inline bridge_task_t *
unit_push(bridge_t *b, bridge_queue_t *q, uintptr_t n)
{
    bridge_task_t  *t;

    t = unit_task(b, "x", 1);
    t->data = (void *) n;
    assert_true(bridge_push(q, t));

    return t;
}


static inline bool
unit_answer(bridge_t *b, uint64_t task, int rc)
{
    return bridge_task_answer(b, task, rc, NULL, 0, NULL, NULL);
}


/* frees what has been answered; how many */
static inline uint32_t
unit_drain(bridge_t *b)
{
    uint32_t        n;
    bridge_task_t  *t, *next;

    n = 0;

    for (t = unit_answers(b); t; t = next) {
        next = unit_next(t);
        bridge_task_free(b, t, true);
        n++;
    }

    return n;
}

#endif /* UNIT_H */
