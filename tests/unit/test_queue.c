/* SPDX-License-Identifier: BSD-2-Clause */

#include <unistd.h>

#include "unit.h"


/* polls without waiting and answers; how many there were, or -1 */
static int
serve(uint64_t handle, int max)
{
    int       i, n;
    uint64_t  h[64];

    n = bridge_poll(b, handle, h, max, 0);

    for (i = 0; i < n; i++) {
        assert_true(unit_answer(b, h[i], 0));
    }

    return n;
}


static void
test_first_in_first_out_in_batches(void **state)
{
    int              i, n;
    uint64_t         h[8], handle;
    uintptr_t        next;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);
    handle = bridge_queue_handle(q);

    for (next = 0; next < 10; next++) {
        unit_push(b, q, next);
    }

    for (next = 0; next < 10; /* void */) {
        n = bridge_poll(b, handle, h, 4, -1);
        assert_int_equal(n, next < 8 ? 4 : 2);

        for (i = 0; i < n; i++) {
            assert_ptr_equal(bridge_task_find(b, h[i])->data, next++);
            assert_true(unit_answer(b, h[i], 0));
        }
    }

    assert_int_equal(bridge_queue_len(q), 0);
    assert_int_equal(unit_drain(b), 10);
    unit_queue_end(q);
}


static void
test_an_empty_queue_times_out(void **state)
{
    uint64_t         h;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 0);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 20), 0);

    unit_push(b, q, 0);
    assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(q);
}


static void
check_limit(uint32_t limit)
{
    uint32_t         i, round;
    bridge_task_t   *extra;
    bridge_queue_t  *q;

    q = unit_queue(limit);
    extra = unit_task(b, NULL, 0);

    for (round = 0; round < 3; round++) {

        for (i = 0; i < limit; i++) {
            assert_false(bridge_queue_full(q));
            assert_int_equal(bridge_queue_len(q), i);
            unit_push(b, q, i);
        }

        assert_true(bridge_queue_full(q));
        assert_false(bridge_push(q, extra));

        assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
        unit_push(b, q, limit);
        assert_true(bridge_queue_full(q));
        assert_false(bridge_push(q, extra));

        assert_int_equal(bridge_queue_reject(b, q), limit);
        assert_int_equal(unit_drain(b), limit + 1);
    }

    bridge_task_free(b, extra, false);
    unit_queue_end(q);
}


static void
test_the_limit_is_exact(void **state)
{
    (void) state;

    check_limit(1);
    check_limit(3);
    check_limit(1023);
    check_limit(1024);
    check_limit(1025);
    check_limit(3000);
}


static void
test_a_closed_queue_gives_what_it_has(void **state)
{
    uint64_t         handle;
    bridge_task_t   *late;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);
    handle = bridge_queue_handle(q);
    late = unit_task(b, NULL, 0);

    unit_push(b, q, 0);
    unit_push(b, q, 1);
    bridge_queue_close(q);
    assert_false(bridge_push(q, late));

    assert_int_equal(serve(handle, 1), 1);
    assert_int_equal(serve(handle, 1), 1);
    assert_int_equal(serve(handle, 1), -1);
    assert_int_equal(serve(handle, 1), -1);

    bridge_task_free(b, late, false);
    assert_int_equal(unit_drain(b), 2);
    assert_true(bridge_queue_release(q));
}


static void
test_garbage_queues(void **state)
{
    size_t           i;
    uint64_t         h, good;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    good = bridge_queue_handle(q);
    unit_push(b, q, 0);

    const uint64_t  bad[] = {
        0, 1, UINT64_MAX, (uint64_t) (uintptr_t) q, good & BRIDGE_ID_MASK,
        good + (UINT64_C(1) << BRIDGE_SLOT_BITS), good + 1,
        bridge_handle(BRIDGE_KIND_QUEUE, 1, BRIDGE_MAX_QUEUES),
        bridge_handle(BRIDGE_KIND_QUEUE, 1, BRIDGE_MAX_TASKS - 1),
        bridge_handle(BRIDGE_KIND_TASK, 1, 0)
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(bridge_poll(b, bad[i], &h, 1, -1), -1);
        assert_null(bridge_queue_find(b, bad[i]));
        assert_null(bridge_queue_pin(b, bad[i]));
    }

    assert_int_equal(atomic_load(&q->inside), 0);
    assert_int_equal(serve(good, 1), 1);
    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(q);
}


static void
test_cancelled_tasks_are_passed_over(void **state)
{
    int              i, n;
    uint64_t         h[8];
    bridge_task_t   *t;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);

    for (i = 0; i < 10; i++) {
        t = unit_push(b, q, (uintptr_t) i);

        if (i != 4 && i != 5) {
            bridge_task_cancel(b, t);
        }
    }

    n = bridge_poll(b, bridge_queue_handle(q), h, 8, 0);
    assert_int_equal(n, 2);

    for (i = 0; i < n; i++) {
        assert_ptr_equal(bridge_task_find(b, h[i])->data, 4 + i);
        assert_true(unit_answer(b, h[i], 0));
    }

    assert_int_equal(serve(bridge_queue_handle(q), 8), 0);
    assert_int_equal(unit_drain(b), 10);
    unit_queue_end(q);
}


static void
test_a_poll_goes_on_behind_a_cancelled_task(void **state)
{
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);
    bridge_task_cancel(b, unit_push(b, q, 0));
    bridge_task_cancel(b, unit_push(b, q, 1));
    unit_push(b, q, 2);

    assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
    assert_int_equal(unit_drain(b), 3);
    unit_queue_end(q);
}


static void
test_a_task_past_its_deadline_is_passed_over(void **state)
{
    int              i;
    bridge_task_t   *t, *next;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);
    unit_push(b, q, 0)->deadline = 1;
    unit_push(b, q, 1)->deadline = INT64_MAX;
    unit_push(b, q, 2);

    assert_int_equal(serve(bridge_queue_handle(q), 3), 2);

    for (i = 0, t = unit_answers(b); t; t = next, i++) {
        next = unit_next(t);
        assert_int_equal(t->rejected, t->data == NULL);
        bridge_task_free(b, t, false);
    }

    assert_int_equal(i, 3);
    unit_queue_end(q);
}


static _Atomic bool  timed_out;


static void *
poll_once(void *arg)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, bridge_queue_handle(arg), &h, 1, 100), 0);
    atomic_store(&timed_out, true);

    return NULL;
}


static void
test_a_timeout_goes_on_behind_tasks_past_their_deadline(void **state)
{
    int               i;
    pthread_t         thread;
    bridge_task_t    *t;
    bridge_queue_t   *q;
    struct timespec   ts = { 0, 20000000 };

    (void) state;

    q = unit_queue(10);
    atomic_store(&timed_out, false);
    thread = unit_thread(poll_once, q);

    for (i = 0; i < 1000 && !atomic_load(&timed_out); i++) {
        if (!bridge_queue_full(q)) {
            t = unit_task(b, NULL, 0);
            t->deadline = 1;
            assert_true(bridge_push(q, t));
        }

        (void) unit_drain(b);
        nanosleep(&ts, NULL);
    }

    assert_true(i < 1000);
    unit_join(thread);
    (void) bridge_queue_reject(b, q);
    (void) unit_drain(b);
    unit_queue_end(q);
}


static void
test_a_reject_takes_back_what_waits(void **state)
{
    uint32_t         n;
    bridge_task_t   *t, *next;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(10);
    unit_push(b, q, 0);
    unit_push(b, q, 1);
    bridge_task_cancel(b, unit_push(b, q, 2));
    assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
    assert_int_equal(unit_drain(b), 1);

    bridge_queue_close(q);
    assert_false(bridge_queue_release(q));
    assert_int_equal(bridge_queue_reject(b, q), 2);
    assert_int_equal(bridge_queue_reject(b, q), 0);

    n = 1;

    for (t = unit_answers(b); t; t = next) {
        next = unit_next(t);
        assert_ptr_equal(t->data, n++);
        assert_null(t->rsp);
        assert_true(t->rejected);
        bridge_task_free(b, t, false);
    }

    assert_int_equal(n, 3);
    assert_true(bridge_queue_release(q));
}


static void
test_a_released_queue_is_reused(void **state)
{
    uint64_t         old, h;
    bridge_queue_t  *q, *again, *other;

    (void) state;

    q = unit_queue(5);
    other = unit_queue(5);
    old = bridge_queue_handle(q);
    assert_true(old != bridge_queue_handle(other));
    unit_queue_end(q);
    assert_int_equal(bridge_poll(b, old, &h, 1, -1), -1);

    again = unit_queue(2000);
    assert_ptr_equal(again, q);
    assert_true(bridge_queue_handle(again) != old);
    unit_push(b, again, 0);

    assert_int_equal(bridge_poll(b, old, &h, 1, -1), -1);
    assert_null(bridge_queue_find(b, old));
    assert_int_equal(bridge_queue_len(again), 1);
    assert_int_equal(serve(bridge_queue_handle(again), 1), 1);

    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(again);
    unit_queue_end(other);
}


static void
test_a_queue_in_use_is_not_released(void **state)
{
    uint64_t         old;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(5);
    old = bridge_queue_handle(q);
    assert_ptr_equal(bridge_queue_pin(b, old), q);
    bridge_queue_close(q);

    assert_false(bridge_queue_release(q));
    assert_false(bridge_queue_release(q));
    assert_ptr_not_equal(unit_queue(5), q);
    assert_null(bridge_queue_pin(b, old));

    bridge_queue_unpin(q);
    assert_true(bridge_queue_release(q));
    assert_ptr_equal(unit_queue(5), q);
}


static void
test_there_is_a_last_queue(void **state)
{
    uint32_t         i;
    bridge_queue_t  *q;

    (void) state;

    for (i = 0; i < BRIDGE_MAX_QUEUES; i++) {
        q = unit_queue(1);
    }

    assert_null(bridge_queue_new(b, 1));
    unit_queue_end(q);
    assert_ptr_equal(bridge_queue_new(b, 1), q);
}


static void
test_a_dead_bridge_has_no_queue(void **state)
{
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    unit_push(b, q, 0);
    bridge_mark_dead(b);
    assert_int_equal(serve(bridge_queue_handle(q), 1), -1);

    b->dead = false;
    assert_int_equal(bridge_queue_reject(b, q), 1);
    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(q);
}


typedef struct {
    uint64_t  queue;
    int       timeout;
    int       got;
} sleeper_t;


static void *
sleep_in_poll(void *arg)
{
    uint64_t    h;
    sleeper_t  *s;

    s = arg;
    s->got = bridge_poll(b, s->queue, &h, 1, s->timeout);

    if (s->got == 1) {
        (void) unit_answer(b, h, 0);
    }

    return NULL;
}


static void
test_a_close_ends_every_poll(void **state)
{
    int              i;
    pthread_t        threads[8];
    sleeper_t        s[8];
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);

    for (i = 0; i < 8; i++) {
        s[i].queue = bridge_queue_handle(q);
        s[i].timeout = i & 1 ? -1 : 600000;
        threads[i] = unit_thread(sleep_in_poll, &s[i]);
    }

    unit_until(bridge_queue_threads(q) == 8);
    bridge_queue_close(q);

    for (i = 0; i < 8; i++) {
        unit_join(threads[i]);
        assert_int_equal(s[i].got, -1);
    }

    assert_true(bridge_queue_release(q));
}


/* what tells that nobody has taken anything since a task was put */
static void
test_a_queue_counts_what_was_taken(void **state)
{
    uint64_t         h[4];
    bridge_task_t   *first, *last;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(4);
    assert_int_equal(bridge_queue_taken(q), 0);

    first = unit_push(b, q, 0);
    assert_int_equal(first->taken, 0);
    unit_push(b, q, 0);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), h, 4, 0), 2);
    assert_int_equal(bridge_queue_taken(q), 2);

    last = unit_push(b, q, 0);
    assert_int_equal(last->taken, 2);

    assert_true(unit_answer(b, h[0], 0));
    assert_true(unit_answer(b, h[1], 0));
    assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
    assert_int_equal(unit_drain(b), 3);
    unit_queue_end(q);
}


static void
test_whether_all_that_wait_are_cancelled(void **state)
{
    bridge_task_t   *first, *second;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(4);
    assert_true(bridge_queue_all_cancelled(q));

    unit_push(b, q, 0);
    assert_int_equal(serve(bridge_queue_handle(q), 1), 1);
    first = unit_push(b, q, 0);
    second = unit_push(b, q, 0);

    bridge_task_cancel(b, second);
    assert_false(bridge_queue_all_cancelled(q));
    bridge_task_cancel(b, first);
    assert_true(bridge_queue_all_cancelled(q));

    assert_int_equal(bridge_queue_reject(b, q), 2);
    assert_true(bridge_queue_all_cancelled(q));
    assert_int_equal(unit_drain(b), 3);
    unit_queue_end(q);
}


static void
test_cancelled_tasks_count_until_they_come_back(void **state)
{
    uint64_t         h[3];
    bridge_task_t   *polled, *waiting, *stray;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(4);
    polled = unit_push(b, q, 0);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), h, 3, 0), 1);
    waiting = unit_push(b, q, 0);
    stray = unit_task(b, "x", 1);

    bridge_task_cancel(b, polled);
    bridge_task_cancel(b, polled);
    bridge_task_cancel(b, waiting);
    bridge_task_cancel(b, stray);
    assert_int_equal(bridge_queue_cancelled(q), 2);

    assert_true(unit_answer(b, h[0], 0));
    assert_int_equal(bridge_queue_cancelled(q), 2);
    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(bridge_queue_cancelled(q), 1);

    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), h, 3, 0), 0);
    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(bridge_queue_cancelled(q), 0);
    bridge_task_free(b, stray, false);
    assert_int_equal(bridge_queue_cancelled(q), 0);
    unit_queue_end(q);
}


/* the queue's place has another one meanwhile */
static void
test_a_task_that_comes_back_late_counts_nowhere(void **state)
{
    uint64_t         h;
    bridge_task_t   *t;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(4);
    t = unit_push(b, q, 0);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 1);
    bridge_task_cancel(b, t);
    unit_queue_end(q);

    assert_ptr_equal(unit_queue(4), q);
    assert_int_equal(bridge_queue_cancelled(q), 0);
    assert_true(unit_answer(b, h, 0));
    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(bridge_queue_cancelled(q), 0);
    unit_queue_end(q);
}


static void
test_a_taken_task_is_unanswered_until_it_is_answered(void **state)
{
    uint64_t         h;
    bridge_queue_t  *q, *other;

    (void) state;

    q = unit_queue(10);
    other = unit_queue(10);
    assert_false(bridge_queue_unanswered(b, q));

    unit_push(b, q, 0);
    assert_false(bridge_queue_unanswered(b, q));

    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 1);
    assert_true(bridge_queue_unanswered(b, q));
    assert_false(bridge_queue_unanswered(b, other));

    bridge_task_cancel(b, bridge_task_find(b, h));
    assert_true(bridge_queue_unanswered(b, q));

    assert_true(unit_answer(b, h, 0));
    assert_false(bridge_queue_unanswered(b, q));

    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(q);
    unit_queue_end(other);
}


static void
test_who_sleeps_in_a_poll_is_active(void **state)
{
    pthread_t        thread;
    sleeper_t        s;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    assert_false(bridge_queue_active(q));

    s.queue = bridge_queue_handle(q);
    s.timeout = -1;
    thread = unit_thread(sleep_in_poll, &s);
    unit_until(atomic_load(&q->inside) == 1);
    assert_true(bridge_queue_active(q));

    unit_push(b, q, 0);
    unit_join(thread);
    assert_false(bridge_queue_active(q));
    assert_int_equal(unit_drain(b), 1);
    unit_queue_end(q);
}


/* as if the C library had lost the signal */
static void
test_who_does_not_sleep_alone_looks_again(void **state)
{
    int              i;
    pthread_t        threads[3];
    sleeper_t        s[3];
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(2);

    for (i = 0; i < 3; i++) {
        s[i].queue = bridge_queue_handle(q);
        s[i].timeout = i & 1 ? 3600 * 1000 : -1;
        threads[i] = unit_thread(sleep_in_poll, &s[i]);
        unit_until(atomic_load(&q->inside) == (uint32_t) i + 1);
        usleep(20000);
    }

    assert_true(bridge_put(q, unit_task(b, "x", 1)));
    unit_until(unit_drain(b) == 1);
    bridge_queue_close(q);

    for (i = 0; i < 3; i++) {
        unit_join(threads[i]);
    }

    assert_int_equal(s[0].got + s[1].got + s[2].got, 1 - 1 - 1);
    unit_queue_end(q);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        unit_case(test_first_in_first_out_in_batches),
        unit_case(test_an_empty_queue_times_out),
        unit_case(test_the_limit_is_exact),
        unit_case(test_a_closed_queue_gives_what_it_has),
        unit_case(test_garbage_queues),
        unit_case(test_cancelled_tasks_are_passed_over),
        unit_case(test_a_poll_goes_on_behind_a_cancelled_task),
        unit_case(test_a_task_past_its_deadline_is_passed_over),
        unit_case(test_a_timeout_goes_on_behind_tasks_past_their_deadline),
        unit_case(test_a_reject_takes_back_what_waits),
        unit_case(test_a_released_queue_is_reused),
        unit_case(test_a_queue_in_use_is_not_released),
        unit_case(test_there_is_a_last_queue),
        unit_case(test_a_dead_bridge_has_no_queue),
        unit_case(test_a_close_ends_every_poll),
        unit_case(test_a_queue_counts_what_was_taken),
        unit_case(test_whether_all_that_wait_are_cancelled),
        unit_case(test_cancelled_tasks_count_until_they_come_back),
        unit_case(test_a_task_that_comes_back_late_counts_nowhere),
        unit_case(test_a_taken_task_is_unanswered_until_it_is_answered),
        unit_case(test_who_sleeps_in_a_poll_is_active),
        unit_case(test_who_does_not_sleep_alone_looks_again),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
