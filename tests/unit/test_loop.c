/* SPDX-License-Identifier: BSD-2-Clause */

/* What an event loop uses: kicks, the eventfd, events. */

#include <fcntl.h>
#include <unistd.h>

#include "unit.h"


#define KICKS  30000


static bridge_queue_t  *q;
static uint64_t         handle;


static int
setup(void **state)
{
    static uint32_t  gen = 0;

    (void) state;

    b = unit_bridge();
    q = unit_queue(100);

    /* this thread has polled queues of other bridges: no handle comes twice */

    gen += 10;
    atomic_store(&q->gen, gen);
    atomic_store(&q->threads, (uint64_t) gen << 32);
    handle = bridge_queue_handle(q);

    return 0;
}


static int
teardown(void **state)
{
    uint64_t  task;

    (void) state;

    bridge_queue_close(q);
    (void) bridge_queue_reject(b, q);
    (void) unit_drain(b);
    assert_int_equal(bridge_poll(b, handle, &task, 1, 0), -1);
    assert_true(bridge_queue_release(q));
    unit_bridge_free(b);

    return 0;
}


/* reads what has been written to the eventfd */
static uint64_t
written(void)
{
    uint64_t  n;

    return read(bridge_queue_fd(b, handle), &n, sizeof(n)) == sizeof(n) ? n
                                                                        : 0;
}


static uint64_t
poll_now(void)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, handle, &h, 1, 0), 1);

    return h;
}


static void
test_the_eventfd_is_one_and_ends_with_the_queue(void **state)
{
    int       fd;
    uint64_t  task;

    (void) state;

    fd = bridge_queue_fd(b, handle);
    assert_true(fd >= 0);
    assert_int_equal(bridge_queue_fd(b, handle), fd);
    assert_int_equal(written(), 0);

    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));

    /* the loop learns of the close */
    assert_int_equal(bridge_poll(b, handle, &task, 1, 0), -1);
    assert_true(bridge_queue_release(q));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(bridge_queue_fd(b, handle), -1);
    assert_false(bridge_queue_arm(b, handle));
}


static void
test_an_eventfd_that_nobody_polls_for(void **state)
{
    int       fd;
    uint64_t  last;

    (void) state;

    last = handle;
    fd = bridge_queue_fd(b, handle);
    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));
    bridge_queue_detach(q);
    assert_true(bridge_queue_release(q));
    assert_int_equal(fcntl(fd, F_GETFD), -1);

    /* for teardown */

    assert_ptr_equal(bridge_queue_new(b, 100), q);
    handle = bridge_queue_handle(q);
    assert_int_not_equal(handle, last);
}


static void
test_an_armed_queue_writes_once(void **state)
{
    (void) state;

    assert_int_equal(written(), 0);
    unit_push(b, q, 0);
    assert_int_equal(written(), 0);
    assert_false(bridge_queue_arm(b, handle));
    assert_true(unit_answer(b, poll_now(), 0));

    assert_true(bridge_queue_arm(b, handle));
    assert_int_equal(written(), 0);
    unit_push(b, q, 0);
    unit_push(b, q, 0);
    assert_int_equal(written(), 1);
}


static void
test_an_armed_queue_is_active_until_it_is_told(void **state)
{
    (void) state;

    assert_int_equal(written(), 0);
    assert_true(bridge_queue_arm(b, handle));
    assert_true(bridge_queue_active(q));

    assert_true(bridge_put(q, unit_task(b, "x", 1)));
    assert_true(bridge_queue_active(q));
    bridge_queue_wake(q);
    assert_false(bridge_queue_active(q));
}


static void
test_a_close_writes_to_an_armed_queue(void **state)
{
    (void) state;

    assert_int_equal(written(), 0);
    assert_true(bridge_queue_arm(b, handle));
    bridge_queue_close(q);
    assert_int_equal(written(), 1);
    assert_false(bridge_queue_arm(b, handle));
    assert_true(bridge_queue_active(q));
}


static void
test_a_kick_writes_armed_or_not(void **state)
{
    (void) state;

    assert_int_equal(written(), 0);
    assert_true(bridge_queue_arm(b, handle));
    bridge_kick(b, handle);
    assert_int_equal(written(), 1);
    bridge_kick(b, handle);
    assert_int_equal(written(), 1);
}


static void
test_a_kick_before_is_not_lost(void **state)
{
    uint64_t  h;

    (void) state;

    assert_int_equal(written(), 0);
    bridge_kick(b, handle);
    assert_int_equal(bridge_poll(b, handle, &h, 1, 600000), 0);

    bridge_kick(b, handle);
    assert_false(bridge_queue_arm(b, handle));
    assert_true(bridge_queue_arm(b, handle));
}


static bridge_queue_t  *told;


static void
tell_host(bridge_queue_t *of)
{
    told = of;
}


static void
test_a_kick_that_the_host_puts_off(void **state)
{
    (void) state;

    told = NULL;
    b->kicked = tell_host;

    assert_int_equal(written(), 0);
    bridge_kick(b, handle);
    assert_ptr_equal(told, q);
    assert_int_equal(written(), 0);

    bridge_queue_wake(q);
    assert_int_equal(written(), 1);

    assert_false(bridge_queue_arm(b, handle));
    bridge_queue_wake(q);
    assert_int_equal(written(), 0);

    assert_true(bridge_queue_arm(b, handle));
    bridge_kick(b, handle);
    bridge_queue_wake(q);
    assert_int_equal(written(), 1);

    /* it is as if it had not been put off */

    bridge_kick(b, handle);
    assert_int_equal(bridge_poll(b, handle, &(uint64_t) { 0 }, 1, 600000), 0);
}


static _Atomic uint32_t  returned;


static void *
poll_for_kicks(void *arg)
{
    uint64_t  h;

    (void) arg;

    while (bridge_poll(b, handle, &h, 1, -1) == 0) {
        atomic_fetch_add(&returned, 1);
    }

    return NULL;
}


/* also one that comes while the poll is about to sleep */
static void
test_each_kick_ends_a_poll(void **state)
{
    uint32_t   i, wait;
    pthread_t  thread;

    (void) state;

    atomic_store(&returned, 0);
    thread = unit_thread(poll_for_kicks, NULL);

    for (i = 0; i < KICKS; i++) {

        for (wait = 0; wait < i % 64; wait++) {
            (void) atomic_load(&returned);
        }

        bridge_kick(b, handle);
        unit_until(atomic_load(&returned) == i + 1);
    }

    bridge_queue_close(q);
    unit_join(thread);
}


static void
test_events_tell_of_cancelled_tasks(void **state)
{
    uint64_t        h[4], told[4];
    bridge_task_t  *t[4];

    (void) state;

    for (int i = 0; i < 4; i++) {
        t[i] = unit_push(b, q, 0);
    }

    h[0] = poll_now();
    bridge_task_cancel(b, t[0]);
    assert_int_equal(bridge_events_take(b, handle, told, 4, false), 1);
    assert_int_equal(told[0], h[0]);

    h[1] = poll_now();
    h[2] = poll_now();
    bridge_task_cancel(b, t[1]);
    bridge_task_cancel(b, t[1]);
    bridge_task_cancel(b, t[2]);
    bridge_task_cancel(b, t[3]);
    assert_true(bridge_task_cancelled(b, h[1]));

    assert_int_equal(bridge_events_take(b, handle, told, 1, false), 1);
    assert_int_equal(bridge_events_take(b, handle, told + 1, 4, false), 1);
    assert_int_equal(told[0], h[1]);
    assert_int_equal(told[1], h[2]);
    assert_int_equal(bridge_events_take(b, handle, told, 4, false), 0);

    for (int i = 0; i < 3; i++) {
        assert_true(unit_answer(b, h[i], 0));
    }
}


static void
test_an_event_ends_a_poll(void **state)
{
    uint64_t        h, none;
    bridge_task_t  *t;

    (void) state;

    t = unit_push(b, q, 0);
    h = poll_now();
    assert_int_equal(bridge_events_take(b, handle, &none, 1, false), 0);

    bridge_task_cancel(b, t);
    assert_int_equal(bridge_poll(b, handle, &none, 1, 600000), 0);
    assert_true(unit_answer(b, h, 0));
}


static void
test_events_nobody_takes_end_with_the_queue(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_push(b, q, 0);
    h = poll_now();
    assert_int_equal(bridge_events_take(b, handle, &h, 0, false), 0);
    bridge_task_cancel(b, t);
    assert_true(unit_answer(b, h, 0));
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_the_eventfd_is_one_and_ends_with_the_queue),
        test(test_an_eventfd_that_nobody_polls_for),
        test(test_an_armed_queue_writes_once),
        test(test_an_armed_queue_is_active_until_it_is_told),
        test(test_a_close_writes_to_an_armed_queue),
        test(test_a_kick_writes_armed_or_not),
        test(test_a_kick_before_is_not_lost),
        test(test_a_kick_that_the_host_puts_off),
        test(test_each_kick_ends_a_poll),
        test(test_events_tell_of_cancelled_tasks),
        test(test_an_event_ends_a_poll),
        test(test_events_nobody_takes_end_with_the_queue),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
