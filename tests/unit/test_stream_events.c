/* SPDX-License-Identifier: BSD-2-Clause */

/* What is told about streams: who waits is woken, and events. */

#include "streams.h"


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
test_own_events_of_answered_tasks_make_none_return(void **state)
{
    int             tid;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    tid = bridge_task_holder(t);
    assert_true(event(true) == 0);
    check_no_read(t, EAGAIN);
    assert_int_equal(write_n(t, 1), 0);
    assert_true(bridge_queue_has_event(q, tid));

    /* the answer may stay up for as long as its client likes */

    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_false(bridge_queue_has_event(q, tid));
    assert_int_equal(unit_drain(b), 1);
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
test_events_that_are_left_make_a_poll_return(void **state)
{
    uint64_t        h;
    bridge_task_t  *t[3];

    (void) state;

    assert_true(event(false) == 0);
    assert_int_not_equal(bridge_queue_fd(b, queue), -1);

    for (int i = 0; i < 3; i++) {
        t[i] = opened(HIGH, true);
    }

    for (int i = 0; i < 3; i++) {
        bridge_task_cancel(b, t[i]);
    }

    assert_int_equal(bridge_poll(b, queue, &h, 1, -1), 0);
    assert_true(event(false) == bridge_task_handle(t[0]));
    assert_int_equal(bridge_poll(b, queue, &h, 1, -1), 0);
    assert_true(event(false) == bridge_task_handle(t[1]));
    assert_false(bridge_queue_arm(b, queue));
    assert_true(event(false) == bridge_task_handle(t[2]));
    assert_int_equal(bridge_poll(b, queue, &h, 1, 1), 0);
    assert_true(bridge_queue_arm(b, queue));

    for (int i = 0; i < 3; i++) {
        end(t[i]);
    }

    bridge_queue_detach(q);
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


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        streams_case(test_what_holds),
        streams_case(test_who_waits_is_woken),
        streams_case(test_each_thread_is_told_of_its_own),
        streams_case(test_own_events_make_each_poll_return),
        streams_case(test_own_events_of_answered_tasks_make_none_return),
        streams_case(test_events_are_taken_oldest_first),
        streams_case(test_events_that_are_left_make_a_poll_return),
        streams_case(test_no_events_after_the_unload),
        streams_case(test_a_task_that_ends_after_its_queue),
    };

    return cmocka_run_group_tests_name("stream_events", tests, NULL, NULL);
}
