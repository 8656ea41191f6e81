/* SPDX-License-Identifier: BSD-2-Clause */

#include <unistd.h>

#include "unit.h"


#define MANY     6
#define PASSERS  5000

/* an id of a thread is below it */
#define IDS      (1 << 22)


static _Atomic uint32_t   arrived;
static _Atomic bool       leave;
static _Atomic char       kinds[IDS];


static int
setup(void **state)
{
    (void) state;

    (void) unit_bridge();
    atomic_store(&arrived, 0);
    atomic_store(&leave, false);

    return 0;
}


typedef struct {
    uint64_t  queue[2];
    int       polls;
} visitor_t;


/* polls, and lives on until it is told to leave */
static void *
visit(void *arg)
{
    int               i;
    uint64_t          h;
    const visitor_t  *v;

    v = arg;

    for (i = 0; i < v->polls; i++) {
        (void) bridge_poll(b, v->queue[i & 1], &h, 1, 0);
    }

    atomic_fetch_add(&arrived, 1);

    while (!atomic_load(&leave)) {
        unit_pause(1000);
    }

    return NULL;
}


/* polls once, and ends */
static void *
look_in(void *arg)
{
    uint64_t          h;
    const visitor_t  *v;

    v = arg;
    (void) bridge_poll(b, v->queue[0], &h, 1, 0);

    return NULL;
}


typedef struct {
    uint64_t  queue;
    char      kind;
} passing_t;


static void *
pass_by(void *arg)
{
    uint64_t          h;
    const passing_t  *p;

    p = arg;
    atomic_store(&kinds[bridge_threads_id()], p->kind);
    (void) bridge_poll(b, p->queue, &h, 1, 0);
    atomic_fetch_add(&arrived, 1);
    usleep(100);

    return NULL;
}


static void *
come_and_go(void *arg)
{
    while (!atomic_load(&leave)) {
        unit_join(unit_thread(pass_by, arg));
    }

    return NULL;
}


static void
test_a_thread_counts_once_until_it_ends(void **state)
{
    int              i;
    pthread_t        threads[MANY];
    visitor_t        v;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    v.queue[0] = v.queue[1] = bridge_queue_handle(q);
    v.polls = 3;
    assert_int_equal(bridge_queue_threads(q), 0);

    for (i = 0; i < MANY; i++) {
        threads[i] = unit_thread(visit, &v);
    }

    unit_until(atomic_load(&arrived) == MANY);
    assert_int_equal(bridge_queue_threads(q), MANY);

    atomic_store(&leave, true);

    for (i = 0; i < MANY; i++) {
        unit_join(threads[i]);
    }

    assert_int_equal(bridge_queue_threads(q), 0);
    unit_queue_end(q);
}


static void
test_a_thread_of_two_queues_counts_in_both(void **state)
{
    pthread_t        thread;
    visitor_t        v;
    bridge_queue_t  *q1, *q2;

    (void) state;

    q1 = unit_queue(1);
    q2 = unit_queue(1);
    v.queue[0] = bridge_queue_handle(q1);
    v.queue[1] = bridge_queue_handle(q2);
    v.polls = 10;

    thread = unit_thread(visit, &v);
    unit_until(atomic_load(&arrived) == 1);
    assert_int_equal(bridge_queue_threads(q1), 1);
    assert_int_equal(bridge_queue_threads(q2), 1);
    assert_int_equal(bridge_threads_alive(b), 2);

    atomic_store(&leave, true);
    unit_join(thread);
    assert_int_equal(bridge_queue_threads(q1), 0);
    assert_int_equal(bridge_queue_threads(q2), 0);
    assert_int_equal(bridge_threads_alive(b), 0);
    unit_queue_end(q1);
    unit_queue_end(q2);
}


static void
test_a_thread_that_never_polled_does_not_count(void **state)
{
    pthread_t        thread;
    visitor_t        v;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    v.queue[0] = v.queue[1] = bridge_queue_handle(q) + 1;
    v.polls = 3;

    thread = unit_thread(visit, &v);
    unit_until(atomic_load(&arrived) == 1);
    assert_int_equal(bridge_queue_threads(q), 0);

    atomic_store(&leave, true);
    unit_join(thread);
    unit_queue_end(q);
}


static void
check_listed(uint64_t queue, int n)
{
    int  tids[2 * MANY];

    assert_int_equal(bridge_threads_list(b, queue, tids, 2 * MANY), n);
}


static void
test_live_threads_are_listed(void **state)
{
    int              i, tids[2 * MANY];
    pthread_t        threads[MANY];
    visitor_t        both, one;
    bridge_queue_t  *q1, *q2;

    (void) state;

    q1 = unit_queue(1);
    q2 = unit_queue(1);
    both.queue[0] = one.queue[0] = one.queue[1] = bridge_queue_handle(q1);
    both.queue[1] = bridge_queue_handle(q2);
    both.polls = one.polls = 4;
    check_listed(one.queue[0], 0);

    for (i = 0; i < MANY; i++) {
        threads[i] = unit_thread(visit, i ? &one : &both);
    }

    unit_until(atomic_load(&arrived) == MANY);
    check_listed(both.queue[0], MANY);
    check_listed(both.queue[1], 1);
    check_listed(0, MANY);

    assert_int_equal(bridge_threads_list(b, both.queue[0], tids, 2), 2);
    assert_int_not_equal(tids[0], tids[1]);
    assert_int_not_equal(tids[0], bridge_threads_id());

    atomic_store(&leave, true);

    for (i = 0; i < MANY; i++) {
        unit_join(threads[i]);
    }

    check_listed(0, 0);

    /* entries are used again, by others */

    atomic_store(&arrived, 0);
    atomic_store(&leave, false);
    threads[0] = unit_thread(visit, &one);
    unit_until(atomic_load(&arrived) == 1);
    check_listed(one.queue[0], 1);
    check_listed(both.queue[1], 0);
    atomic_store(&leave, true);
    unit_join(threads[0]);

    unit_queue_end(q1);
    unit_queue_end(q2);
}


/* while the entries of those that end go to others */
static void
test_no_thread_of_another_queue_is_listed(void **state)
{
    int              i, j, n, tids[MANY];
    pthread_t        threads[2];
    passing_t        passing[2];
    bridge_queue_t  *queues[2];

    (void) state;

    for (i = 0; i < 2; i++) {
        queues[i] = bridge_queue_new(b, 1);
        passing[i].queue = bridge_queue_handle(queues[i]);
        passing[i].kind = (char) (i + 1);
        threads[i] = unit_thread(come_and_go, &passing[i]);
    }

    while (atomic_load(&arrived) < PASSERS) {
        n = bridge_threads_list(b, passing[0].queue, tids, MANY);

        for (j = 0; j < n; j++) {
            assert_int_equal(atomic_load(&kinds[tids[j]]), 1);
        }
    }

    atomic_store(&leave, true);

    for (i = 0; i < 2; i++) {
        unit_join(threads[i]);
        unit_queue_end(queues[i]);
    }
}


/* whoever unloads a library waits for its threads, also past a release */
static void
test_threads_count_past_a_release(void **state)
{
    pthread_t        thread;
    visitor_t        v;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    v.queue[0] = v.queue[1] = bridge_queue_handle(q);
    v.polls = 1;

    thread = unit_thread(visit, &v);
    unit_until(atomic_load(&arrived) == 1);

    assert_ptr_equal(bridge_queue_pin(b, v.queue[0]), q);
    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));
    assert_int_equal(bridge_queue_threads(q), 1);

    bridge_queue_unpin(q);
    assert_true(bridge_queue_release(q));
    assert_int_equal(bridge_queue_threads(q), 1);

    atomic_store(&leave, true);
    unit_join(thread);
    assert_int_equal(bridge_queue_threads(q), 0);
}


/* it came in before the release began, and is counted after */
static void
test_a_thread_caught_in_a_release_counts(void **state)
{
    uint64_t         handle;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    handle = bridge_queue_handle(q);

    assert_ptr_equal(bridge_queue_pin(b, handle), q);
    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));

    bridge_threads_note(b, handle);
    assert_int_equal(bridge_queue_threads(q), 1);

    bridge_queue_unpin(q);
    assert_true(bridge_queue_release(q));
}


static void
test_old_threads_do_not_count_in_a_reused_queue(void **state)
{
    pthread_t        threads[2];
    visitor_t        before, after;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    before.queue[0] = before.queue[1] = bridge_queue_handle(q);
    before.polls = 1;
    threads[0] = unit_thread(visit, &before);
    unit_until(atomic_load(&arrived) == 1);
    unit_queue_end(q);

    assert_ptr_equal(bridge_queue_new(b, 1), q);
    assert_int_equal(bridge_queue_threads(q), 0);

    after.queue[0] = bridge_queue_handle(q);
    after.queue[1] = before.queue[0];
    after.polls = 4;
    threads[1] = unit_thread(visit, &after);
    unit_until(atomic_load(&arrived) == 2);
    assert_int_equal(bridge_queue_threads(q), 1);
    assert_int_equal(bridge_threads_alive(b), 2);

    atomic_store(&leave, true);
    unit_join(threads[0]);
    unit_join(threads[1]);
    assert_int_equal(bridge_queue_threads(q), 0);
    unit_queue_end(q);
}


static void
test_the_last_thread_to_end_notifies_the_host(void **state)
{
    pthread_t        stays;
    visitor_t        v;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    v.queue[0] = v.queue[1] = bridge_queue_handle(q);
    v.polls = 1;
    assert_false(bridge_queue_orphaned(q));

    stays = unit_thread(visit, &v);
    unit_until(atomic_load(&arrived) == 1);
    unit_join(unit_thread(look_in, &v));
    assert_false(bridge_queue_orphaned(q));
    assert_int_equal(unit_orphans(b), 0);
    assert_int_equal(atomic_load(&unit_notified), 0);

    atomic_store(&leave, true);
    unit_join(stays);
    assert_true(bridge_queue_orphaned(q));
    assert_int_equal(atomic_load(&unit_notified), 1);
    assert_int_equal(unit_orphans(b), 1);
    assert_int_equal(unit_orphans(b), 0);

    /* and once more */

    unit_join(unit_thread(look_in, &v));
    assert_true(bridge_queue_orphaned(q));
    assert_int_equal(atomic_load(&unit_notified), 2);
    assert_int_equal(unit_orphans(b), 1);
    unit_queue_end(q);
}


static void
test_a_dead_bridge_notifies_nobody(void **state)
{
    pthread_t        thread;
    visitor_t        v;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    v.queue[0] = v.queue[1] = bridge_queue_handle(q);
    v.polls = 1;

    thread = unit_thread(visit, &v);
    unit_until(atomic_load(&arrived) == 1);
    bridge_mark_dead(b);
    atomic_store(&leave, true);
    unit_join(thread);
    assert_int_equal(atomic_load(&unit_notified), 0);
    assert_int_equal(unit_orphans(b), 0);
    unit_queue_end(q);
}


static _Atomic bool  first, again, other;


static void *
ask_whether_told(void *arg)
{
    (void) arg;

    atomic_store(&first, bridge_threads_told(5));
    atomic_store(&again, bridge_threads_told(5));
    atomic_store(&other, bridge_threads_told(6));

    return NULL;
}


static void
test_each_thread_is_told_once(void **state)
{
    int  i;

    (void) state;

    for (i = 0; i < 2; i++) {
        unit_join(unit_thread(ask_whether_told, NULL));
        assert_false(atomic_load(&first));
        assert_true(atomic_load(&again));
        assert_false(atomic_load(&other));
    }
}


#define test(name)                                                            \
    cmocka_unit_test_setup_teardown(name, setup, unit_teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_a_thread_counts_once_until_it_ends),
        test(test_a_thread_of_two_queues_counts_in_both),
        test(test_a_thread_that_never_polled_does_not_count),
        test(test_live_threads_are_listed),
        test(test_no_thread_of_another_queue_is_listed),
        test(test_threads_count_past_a_release),
        test(test_a_thread_caught_in_a_release_counts),
        test(test_old_threads_do_not_count_in_a_reused_queue),
        test(test_the_last_thread_to_end_notifies_the_host),
        test(test_a_dead_bridge_notifies_nobody),
        test(test_each_thread_is_told_once),
    };

    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
