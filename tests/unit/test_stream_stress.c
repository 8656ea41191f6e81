/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Many streams at once, whose parts are numbered: each that was taken comes
 * once, in order, before the answer, and is released once; and nobody sleeps
 * for ever.
 */

#include <errno.h>
#include <stdio.h>

#include "input.h"
#include "send.h"
#include "stream.h"
#include "unit.h"


#define TASKS    300
#define LIVE     16
#define THREADS  3
#define HIGH     1000
#define ROUNDS   300


static bridge_queue_t    *q;
static uint64_t           queue;
static _Atomic uint32_t   sent, released;


/* ---- the runtime */


/* how it waits for what EAGAIN promises */
typedef enum { BY_WAIT, BY_OWN_EVENTS, BY_EVENTS } way_t;

typedef struct {
    uint64_t   task;        /* 0: free */
    uint32_t   left;        /* parts to send */
    uint32_t   sent;
    uint32_t   read;
    bool       all_read;
} call_t;

typedef struct {
    uint32_t   number;
    char       bytes[300];
} numbered_t;


static void
free_numbered(void *arg, int delivered)
{
    (void) delivered;
    atomic_fetch_add(&released, 1);
    free(arg);
}


/* by reference and by copy in turn */
static int
send_number(uint64_t task, uint32_t n)
{
    int          rc;
    size_t       len;
    numbered_t  *p, copy;

    len = sizeof(uint32_t) + (size_t) n * 37 % sizeof(copy.bytes);

    if (n % 2) {
        memset(&copy, 0, sizeof(copy));
        copy.number = n;
        return bridge_stream_send(b, task, (char *) &copy, len, true, NULL,
                                  NULL);
    }

    p = calloc(1, sizeof(numbered_t));
    assert_non_null(p);
    p->number = n;

    rc = bridge_stream_send(b, task, (char *) p, len, false, free_numbered,
                            p);

    if (rc) {
        free(p);

    } else {
        atomic_fetch_add(&sent, 1);
    }

    return rc;
}


/* 0: the end; else what read or send have said */
static int
go_on(call_t *c)
{
    int       rc;
    char     *part;
    size_t    len;
    uint32_t  number;

    while (!c->all_read) {
        rc = bridge_stream_read(b, c->task, &part, &len);
        if (rc) {
            return rc;
        }

        if (part == NULL) {
            c->all_read = true;
            break;
        }

        memcpy(&number, part, sizeof(number));
        assert_int_equal(number, c->read++);
        assert_int_equal(part[len], '\0');
        free(part);
    }

    while (c->sent < c->left) {
        rc = send_number(c->task, c->sent);
        if (rc) {
            return rc;
        }

        c->sent++;
    }

    return 0;
}


/* goes on as far as it can; the answer says how many parts there were */
static void
step(call_t *c, way_t way)
{
    while (go_on(c) == EAGAIN) {
        if (way != BY_WAIT) {
            return;
        }

        (void) bridge_stream_wait(b, c->task, c->all_read ? BRIDGE_WRITABLE
                                                          : BRIDGE_READABLE,
                                  -1);
    }

    assert_true(unit_answer(b, c->task, (int) c->sent));
    c->task = 0;
}


static call_t *
find(call_t *calls, uint64_t task)
{
    int  i;

    for (i = 0; i < LIVE && calls[i].task != task; i++) { /* void */ }

    return i < LIVE ? &calls[i] : NULL;
}


static void *
serve(void *arg)
{
    int        i, n;
    way_t      way;
    call_t     calls[LIVE], *c;
    uint64_t   tasks[LIVE];

    way = *(way_t *) arg;
    memset(calls, 0, sizeof(calls));

    for ( ;; ) {
        n = bridge_poll(b, queue, tasks, LIVE, -1);
        if (n == -1) {
            return NULL;
        }

        for (i = 0; i < n; i++) {
            c = find(calls, 0);
            assert_non_null(c);
            *c = (call_t) { .task = tasks[i] };
            c->left = (uint32_t) atoi(bridge_task_req(b, tasks[i], NULL,
                                                      NULL));
            step(c, way);
        }

        if (way == BY_WAIT) {
            continue;
        }

        do {
            n = bridge_events_take(b, queue, tasks, 4, way == BY_OWN_EVENTS);

            for (i = 0; i < n; i++) {
                c = find(calls, tasks[i]);

                /* answered in the meantime, perhaps */

                if (c) {
                    step(c, way);
                }
            }

        } while (n == 4);
    }
}


/* ---- the host */


typedef struct {
    bridge_task_t  *task;
    uint32_t        want, got;
    uint32_t        to_write, written;
    bool            blocked, finished, cancelled;
} job_t;

static job_t          jobs[TASKS];
static bridge_part_t *held[LIVE * 64];
static uint32_t       nheld;
static uint32_t       seed;


static uint32_t
random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;

    return (seed >> 8) % n;
}


static void
begin_job(job_t *j)
{
    char  text[16];

    memset(j, 0, sizeof(job_t));
    j->want = random_below(60);
    j->to_write = random_below(3) ? random_below(40) : 0;

    (void) snprintf(text, sizeof(text), "%u", j->want);
    j->task = unit_task(b, text, strlen(text));
    j->task->data = j;
    bridge_stream_open(j->task, HIGH, j->to_write > 0);
    j->finished = j->to_write == 0;
    assert_true(bridge_push(q, j->task));
}


static void
write_on(job_t *j)
{
    int        rc;
    uint32_t   number[64];

    while (!j->blocked && j->written < j->to_write) {
        memset(number, 0, sizeof(number));
        number[0] = j->written;

        rc = bridge_stream_write(b, j->task, (char *) number,
                                 sizeof(uint32_t) + random_below(200));

        j->blocked = rc != 0;
        j->written += rc == 0;
    }

    if (j->written == j->to_write && !j->finished) {
        j->finished = true;
        bridge_stream_finish(b, j->task);
    }
}


static void
release_held(uint32_t i)
{
    bridge_part_free(b, held[i], true);
    held[i] = held[--nheld];
}


static void
take_part(bridge_part_t *p)
{
    uint32_t        number;
    job_t          *j;
    bridge_task_t  *t;

    t = bridge_task_find(b, p->task);
    assert_non_null(t);
    j = t->data;
    memcpy(&number, p->bytes, sizeof(number));
    assert_int_equal(number, j->got++);

    assert_true(nheld < sizeof(held) / sizeof(held[0]));
    held[nheld++] = p;
}


/* how many tasks have ended */
static uint32_t
drain(void)
{
    job_t          *j;
    uint32_t        ended;
    bridge_node_t  *n, *next;
    bridge_task_t  *t;

    ended = 0;

    for (n = bridge_take(b); n; n = next) {
        next = n->next;

        switch (n->kind) {

        case BRIDGE_NODE_PART:
            take_part((bridge_part_t *) n);
            break;

        case BRIDGE_NODE_ROOM:
            j = bridge_stream_of_room(n)->data;
            j->blocked = false;
            break;

        case BRIDGE_NODE_ORPHAN:
            (void) bridge_threads_ended(n);
            break;

        default:
            t = (bridge_task_t *) n;
            j = t->data;
            assert_true(t->rejected ? j->cancelled && j->got == 0
                                    : t->rc == (int) j->got);
            assert_true(j->cancelled || j->got == j->want);
            j->task = NULL;
            bridge_task_free(b, t, !j->cancelled);
            ended++;
        }
    }

    return ended;
}


static void
stream(way_t way, int nthreads)
{
    int        i, idle;
    job_t     *j;
    uint32_t   begun, ended, before;
    pthread_t  threads[THREADS];

    (void) unit_bridge();
    q = unit_queue(LIVE);
    queue = bridge_queue_handle(q);
    atomic_store(&sent, 0);
    atomic_store(&released, 0);
    seed = 1;
    idle = 0;

    for (i = 0; i < nthreads; i++) {
        threads[i] = unit_thread(serve, &way);
    }

    for (begun = ended = 0; ended < TASKS; /* void */) {
        before = begun + ended;

        if (begun < TASKS && begun - ended < LIVE) {
            begin_job(&jobs[begun++]);
        }

        ended += drain();

        for (j = jobs; j < jobs + begun; j++) {
            if (j->task == NULL) {
                continue;
            }

            if (!j->cancelled && random_below(1000) == 0) {
                j->cancelled = true;
                bridge_task_cancel(b, j->task);
            }

            write_on(j);
        }

        while (nheld && random_below(4)) {
            release_held(random_below(nheld));
        }

        idle = before == begun + ended ? idle + 1 : 0;
        assert_true(idle < 100000);
        unit_pause(idle > 20 ? 200 : 0);
    }

    bridge_queue_close(q);

    for (i = 0; i < nthreads; i++) {
        unit_join(threads[i]);
    }

    while (nheld) {
        release_held(0);
    }

    assert_int_equal(atomic_load(&sent), atomic_load(&released));
    assert_true(bridge_queue_release(q));
    unit_bridge_free(b);
}


static void
test_streams_that_wait(void **state)
{
    (void) state;
    stream(BY_WAIT, THREADS);
}


static void
test_streams_and_events_of_each_thread(void **state)
{
    (void) state;
    stream(BY_OWN_EVENTS, THREADS);
}


static void
test_streams_and_events(void **state)
{
    (void) state;
    stream(BY_EVENTS, 1);
}


/* ---- several threads and one task */


static pthread_barrier_t  together;
static _Atomic uint64_t   shared;
static _Atomic uint32_t   taken;


/* what comes from a sender is its own number, and how many it has sent */
static void *
send_until_answered(void *arg)
{
    int        rc;
    uint32_t   n[2];

    n[0] = *(uint32_t *) arg;

    for ( ;; ) {
        (void) pthread_barrier_wait(&together);

        if (atomic_load(&shared) == 0) {
            return NULL;
        }

        for (n[1] = 0; /* void */ ; /* void */) {
            rc = bridge_stream_send(b, atomic_load(&shared), (char *) n,
                                    sizeof(n), true, NULL, NULL);

            if (rc == EPIPE) {
                break;
            }

            if (rc == 0) {
                n[1]++;
                atomic_fetch_add(&taken, 1);
                continue;
            }

            if (bridge_stream_wait(b, atomic_load(&shared), BRIDGE_WRITABLE,
                                   -1) & BRIDGE_GONE)
            {
                break;
            }
        }

        (void) pthread_barrier_wait(&together);
    }
}


static void *
answer_soon(void *arg)
{
    uint32_t  i;

    (void) arg;

    for (i = 0; /* void */ ; i++) {
        (void) pthread_barrier_wait(&together);

        if (atomic_load(&shared) == 0) {
            return NULL;
        }

        unit_until(atomic_load(&taken) >= i % 40);
        assert_true(unit_answer(b, atomic_load(&shared), 0));
        (void) pthread_barrier_wait(&together);
    }
}


/* whether the answer has come; how many parts have, from each sender */
static bool
drain_shared(uint32_t *came)
{
    bool            ended;
    uint32_t        n[2];
    bridge_node_t  *node, *next;
    bridge_part_t  *p;

    ended = false;

    for (node = bridge_take(b); node; node = next) {
        next = node->next;
        assert_false(ended);

        if (node->kind == BRIDGE_NODE_ANSWER) {
            ended = true;
            bridge_task_free(b, (bridge_task_t *) node, true);
            continue;
        }

        p = (bridge_part_t *) node;
        memcpy(n, p->bytes, sizeof(n));
        assert_int_equal(n[1], came[n[0]]++);
        bridge_part_free(b, p, true);
    }

    return ended;
}


static void
test_two_threads_send_and_one_answers(void **state)
{
    int             i;
    uint32_t        ids[] = { 0, 1 }, came[2];
    pthread_t       threads[3];
    bridge_task_t  *t;

    (void) state;

    (void) unit_bridge();
    pthread_barrier_init(&together, NULL, 4);
    threads[0] = unit_thread(send_until_answered, &ids[0]);
    threads[1] = unit_thread(send_until_answered, &ids[1]);
    threads[2] = unit_thread(answer_soon, NULL);

    for (i = 0; i < ROUNDS; i++) {
        t = unit_lent(b, "q", 1);

        if (i % 2) {
            bridge_stream_open(t, HIGH, false);
        }

        came[0] = came[1] = 0;
        atomic_store(&taken, 0);
        atomic_store(&shared, bridge_task_handle(t));
        (void) pthread_barrier_wait(&together);

        unit_until(drain_shared(came));

        (void) pthread_barrier_wait(&together);
        assert_null(bridge_take(b));
        assert_int_equal(came[0] + came[1], atomic_load(&taken));
    }

    atomic_store(&shared, 0);
    (void) pthread_barrier_wait(&together);

    for (i = 0; i < 3; i++) {
        unit_join(threads[i]);
    }

    pthread_barrier_destroy(&together);
    unit_bridge_free(b);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_streams_that_wait),
        cmocka_unit_test(test_streams_and_events_of_each_thread),
        cmocka_unit_test(test_streams_and_events),
        cmocka_unit_test(test_two_threads_send_and_one_answers),
    };

    return cmocka_run_group_tests_name("stream_stress", tests, NULL, NULL);
}
