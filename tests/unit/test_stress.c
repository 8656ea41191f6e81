/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Many threads at once, and one count in the end: each task that was pushed
 * has come back exactly once.
 */

#include "unit.h"


#define TASKS      20000
#define CONSUMERS  3
#define CYCLES     1000


static _Atomic uint64_t   current;      /* handle of the queue in use */
static _Atomic uint32_t   answered;
static _Atomic uint32_t   refused;
static _Atomic bool       stop;
static uint8_t            seen[TASKS];


static int
setup(void **state)
{
    (void) state;

    (void) unit_bridge();
    atomic_store(&answered, 0);
    atomic_store(&refused, 0);
    atomic_store(&stop, false);
    memset(seen, 0, sizeof(seen));

    return 0;
}


/* frees what came back; each number may come once */
static uint32_t
collect(void)
{
    uint32_t        n;
    bridge_task_t  *t, *next;

    n = 0;

    for (t = unit_answers(b); t; t = next) {
        next = unit_next(t);
        assert_int_equal(seen[(uintptr_t) t->data]++, 0);
        bridge_task_free(b, t, true);
        n++;
    }

    return n;
}


static bridge_task_t *
numbered(uintptr_t n)
{
    char            req[400];
    bridge_task_t  *t;

    memset(req, (int) ('a' + n % 26), sizeof(req));
    t = unit_task(b, req, n % sizeof(req));
    t->data = (void *) n;

    return t;
}


/* what a runtime sees must be the bytes of one request */
static bool
is_whole(uint64_t h)
{
    int    i, len;
    bool   ok;
    char  *req;

    req = bridge_task_req(b, h, &len, &ok);
    if (!ok) {
        return false;
    }

    for (i = 0; i < len; i++) {
        if (req[i] != req[0]) {
            return false;
        }
    }

    return req[len] == '\0';
}


static void
answer(uint64_t h)
{
    if (is_whole(h) && unit_answer(b, h, 0)) {
        atomic_fetch_add(&answered, 1);

    } else {
        atomic_fetch_add(&refused, 1);
    }
}


typedef struct {
    int   max;
    int   timeout;
    bool  twice;
} consumer_t;


static void *
consume(void *arg)
{
    int                i, n;
    uint64_t           h[16];
    const consumer_t  *c;

    c = arg;

    for ( ;; ) {
        n = bridge_poll(b, atomic_load(&current), h, c->max, c->timeout);

        if (n == -1) {
            return NULL;
        }

        for (i = 0; i < n; i++) {
            answer(h[i]);

            if (c->twice && unit_answer(b, h[i], 0)) {
                atomic_fetch_add(&answered, 1000000);
            }
        }
    }
}


static void
run(const consumer_t *c, uint32_t limit, bool cancel)
{
    int              i;
    uint32_t         back, pushed;
    pthread_t        threads[CONSUMERS];
    bridge_task_t   *t;
    bridge_queue_t  *q;

    q = unit_queue(limit);
    atomic_store(&current, bridge_queue_handle(q));

    for (i = 0; i < CONSUMERS; i++) {
        threads[i] = unit_thread(consume, (void *) &c[i]);
    }

    back = 0;

    for (pushed = 0; pushed < TASKS; /* void */) {

        if (bridge_queue_full(q)) {
            back += collect();
            sched_yield();
            continue;
        }

        t = numbered(pushed);
        assert_true(bridge_push(q, t));
        pushed++;

        if (cancel && pushed % 3 == 0) {
            bridge_task_cancel(b, t);
        }

        if (pushed % 64 == 0) {
            sched_yield();
        }
    }

    /* not one wake-up may be missing: all must come before the close */

    unit_until((back += collect()) == TASKS);
    bridge_queue_close(q);

    for (i = 0; i < CONSUMERS; i++) {
        unit_join(threads[i]);
    }

    assert_int_equal(collect(), 0);
    assert_int_equal(atomic_load(&refused), 0);

    if (!cancel) {
        assert_int_equal(atomic_load(&answered), TASKS);
    }

    assert_true(atomic_load(&answered) <= TASKS);
    assert_int_equal(bridge_queue_threads(q), 0);
    assert_true(bridge_queue_release(q));
}


static void
test_consumers_that_sleep(void **state)
{
    const consumer_t  c[CONSUMERS] = {
        { 1, -1, false }, { 1, -1, false }, { 1, -1, false }
    };

    (void) state;
    run(c, 4, false);
}


static void
test_consumers_of_every_kind(void **state)
{
    const consumer_t  c[CONSUMERS] = {
        { 1, -1, true }, { 16, 1, false }, { 7, 0, true }
    };

    (void) state;
    run(c, 100, false);
}


static void
test_consumers_and_cancelled_tasks(void **state)
{
    const consumer_t  c[CONSUMERS] = {
        { 1, -1, false }, { 16, -1, true }, { 3, 2, false }
    };

    (void) state;
    run(c, 30, true);
}


/* the ring turns often */
static void
test_consumers_of_a_full_ring(void **state)
{
    const consumer_t  c[CONSUMERS] = {
        { 16, -1, false }, { 16, -1, false }, { 16, -1, false }
    };

    (void) state;
    run(c, 1024, false);
}


static void *
poll_whatever_is_current(void *arg)
{
    int       n;
    uint64_t  h, old;

    (void) arg;
    old = 0;

    while (!atomic_load(&stop)) {
        n = bridge_poll(b, atomic_load(&current), &h, 1, 1);

        if (n == 1) {
            answer(h);
        }

        if (n == -1) {
            if (old && bridge_poll(b, old, &h, 1, -1) == 1) {
                answer(h);
            }

            old = atomic_load(&current);
            sched_yield();
        }
    }

    return NULL;
}


static void
test_queues_come_and_go_under_their_pollers(void **state)
{
    int              i;
    uint32_t         back, cycle, pushed;
    pthread_t        threads[CONSUMERS];
    bridge_queue_t  *q, *slot;

    (void) state;

    back = pushed = 0;
    slot = NULL;
    atomic_store(&current, 0);

    for (i = 0; i < CONSUMERS; i++) {
        threads[i] = unit_thread(poll_whatever_is_current, NULL);
    }

    for (cycle = 0; cycle < CYCLES; cycle++) {
        q = bridge_queue_new(b, 20);
        assert_non_null(q);
        assert_true(slot == NULL || q == slot);
        slot = q;
        atomic_store(&current, bridge_queue_handle(q));

        for (i = 0; i < 20; i++) {
            assert_true(bridge_push(q, numbered(pushed++)));
        }

        if (cycle % 2) {
            unit_until(bridge_queue_len(q) < 10);
        }

        bridge_queue_close(q);

        if (cycle % 3 == 0) {
            (void) bridge_queue_reject(b, q);
        }

        unit_until(bridge_queue_release(q));
        back += collect();
    }

    atomic_store(&stop, true);

    for (i = 0; i < CONSUMERS; i++) {
        unit_join(threads[i]);
    }

    back += collect();
    assert_int_equal(back, pushed);
    assert_int_equal(atomic_load(&refused), 0);
}


typedef struct {
    uint64_t  task;
    size_t    size;
} taker_t;

static pthread_barrier_t  together;
static _Atomic uint32_t   taken;


static void *
take_request(void *arg)
{
    int       len;
    char     *req, bytes[400];
    taker_t  *taker;

    taker = arg;

    for ( ;; ) {
        (void) pthread_barrier_wait(&together);

        if (atomic_load(&stop)) {
            return NULL;
        }

        req = bridge_task_take_req(b, taker->task, &len);
        memset(bytes, 'x', sizeof(bytes));

        if (req) {
            assert_int_equal(len, taker->size);
            assert_memory_equal(req, bytes, taker->size);
            atomic_fetch_add(&taken, 1);
            free(req);

        } else {
            assert_int_equal(len, 0);
        }

        (void) pthread_barrier_wait(&together);
    }
}


static void
test_a_request_is_taken_by_one_thread(void **state)
{
    char            bytes[400];
    int             i;
    taker_t         taker;
    pthread_t       threads[CONSUMERS];
    bridge_task_t  *t;

    (void) state;

    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(pthread_barrier_init(&together, NULL, CONSUMERS + 1), 0);

    for (i = 0; i < CONSUMERS; i++) {
        threads[i] = unit_thread(take_request, &taker);
    }

    for (i = 0; i < CYCLES; i++) {
        taker.size = i % 2 ? 400 : 100;
        t = unit_lent(b, bytes, taker.size);
        taker.task = bridge_task_handle(t);
        atomic_store(&taken, 0);

        (void) pthread_barrier_wait(&together);
        (void) pthread_barrier_wait(&together);

        assert_int_equal(atomic_load(&taken), 1);
        assert_true(unit_answer(b, taker.task, 0));
        assert_int_equal(unit_drain(b), 1);
    }

    atomic_store(&stop, true);
    (void) pthread_barrier_wait(&together);

    for (i = 0; i < CONSUMERS; i++) {
        unit_join(threads[i]);
    }

    pthread_barrier_destroy(&together);
}


#define test(name)                                                            \
    cmocka_unit_test_setup_teardown(name, setup, unit_teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_consumers_that_sleep),
        test(test_consumers_of_every_kind),
        test(test_consumers_and_cancelled_tasks),
        test(test_consumers_of_a_full_ring),
        test(test_queues_come_and_go_under_their_pollers),
        test(test_a_request_is_taken_by_one_thread),
    };

    return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
