/* SPDX-License-Identifier: BSD-2-Clause */

#include "unit.h"


#define RACERS  4
#define ROUNDS  500


static void
test_answer_comes_out_of_the_drain(void **state)
{
    bridge_task_t  *t, *out;

    (void) state;

    t = unit_lent(b, "q", 1);
    t->data = (void *) &b;

    assert_true(bridge_task_answer(b, bridge_task_handle(t), -3, "abc", 3,
                                   NULL, NULL));
    out = unit_answers(b);

    assert_ptr_equal(out, t);
    assert_null(unit_next(out));
    assert_ptr_equal(out->data, &b);
    assert_int_equal(out->rc, -3);
    assert_int_equal(out->rsp_len, 3);
    assert_memory_equal(out->rsp, "abc", 3);

    bridge_task_free(b, out, true);
}


/* of one task, and not of the next one in its place */
static void
test_no_method(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);
    assert_false(t->no_method);

    bridge_task_no_method(b, h);
    assert_true(t->no_method);
    assert_true(unit_answer(b, h, 404));
    assert_int_equal(unit_drain(b), 1);

    assert_ptr_equal(unit_lent(b, "q", 1), t);
    bridge_task_no_method(b, h);
    assert_false(t->no_method);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
}


static void
test_only_a_polled_task_is_good(void **state)
{
    bool            ok;
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, "q", 1);
    h = bridge_task_handle(t);

    assert_null(bridge_task_req(b, h, NULL, &ok));
    assert_false(ok);
    assert_false(unit_answer(b, h, 0));

    bridge_task_lend(t);
    assert_non_null(bridge_task_req(b, h, NULL, &ok));
    assert_true(unit_answer(b, h, 0));

    assert_null(bridge_task_req(b, h, NULL, &ok));
    assert_false(ok);
    assert_false(unit_answer(b, h, 0));

    assert_int_equal(unit_drain(b), 1);

    assert_null(bridge_task_req(b, h, NULL, &ok));
    assert_false(ok);
    assert_false(unit_answer(b, h, 0));
    assert_int_equal(unit_drain(b), 0);
}


static int  released, delivered;


static void
count_release(void *arg, int was_delivered)
{
    assert_ptr_equal(arg, &released);
    released++;
    delivered += was_delivered;
}


static void
test_release_is_called_once(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    released = delivered = 0;
    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);

    assert_true(bridge_task_answer(b, h, 0, "a", 1, count_release,
                                   &released));
    assert_false(bridge_task_answer(b, h, 0, "a", 1, count_release,
                                    &released));
    assert_int_equal(released, 0);

    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(released, 1);
    assert_int_equal(delivered, 1);

    t = unit_lent(b, "q", 1);
    assert_true(bridge_task_answer(b, bridge_task_handle(t), 0, "a", 1,
                                   count_release, &released));
    assert_ptr_equal(unit_answers(b), t);
    bridge_task_free(b, t, false);
    assert_int_equal(released, 2);
    assert_int_equal(delivered, 1);
}


/* an echo: the bytes that are copied are the request's own */
static void
test_a_copied_answer_may_be_part_of_the_request(void **state)
{
    char           *req;
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "0123456789", 10);
    h = bridge_task_handle(t);
    req = bridge_task_req(b, h, NULL, NULL);

    assert_true(bridge_task_answer_copy(b, h, 2, req + 1, 8));
    assert_false(bridge_task_answer_copy(b, h, 2, "x", 1));
    assert_ptr_equal(unit_answers(b), t);
    assert_int_equal(t->rc, 2);
    assert_int_equal(t->rsp_len, 8);
    assert_memory_equal(t->rsp, "12345678", 8);
    bridge_task_free(b, t, true);
}


static void
test_copied_answers_of_every_length(void **state)
{
    char            bytes[1000];
    size_t          n;
    bridge_task_t  *t;

    (void) state;

    memset(bytes, 'x', sizeof(bytes));

    for (n = 0; n <= sizeof(bytes); n++) {
        t = unit_lent(b, "q", 1);
        assert_true(bridge_task_answer_copy(b, bridge_task_handle(t), 0,
                                            bytes, n));
        assert_ptr_equal(unit_answers(b), t);
        assert_non_null(t->rsp);
        assert_ptr_not_equal(t->rsp, bytes);
        assert_int_equal(t->rsp_len, n);
        assert_memory_equal(t->rsp, bytes, n);
        bridge_task_free(b, t, true);
    }

    t = unit_lent(b, "q", 1);
    assert_true(bridge_task_answer_copy(b, bridge_task_handle(t), 0, NULL,
                                        3));
    assert_ptr_equal(unit_answers(b), t);
    assert_null(t->rsp);
    assert_int_equal(t->rsp_len, 0);
    bridge_task_free(b, t, true);
}


static _Atomic uint64_t  shared;
static _Atomic uint32_t  accepted;
static _Atomic bool      stop;
static pthread_barrier_t barrier;


static void *
answer_each_round(void *arg)
{
    int  i;

    (void) arg;

    for (i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&barrier);

        if (unit_answer(b, atomic_load(&shared), 0)) {
            atomic_fetch_add(&accepted, 1);
        }

        pthread_barrier_wait(&barrier);
    }

    return NULL;
}


static void
test_one_of_many_answers_wins(void **state)
{
    int             i;
    pthread_t       racers[RACERS];
    bridge_task_t  *t;

    (void) state;

    atomic_store(&accepted, 0);
    pthread_barrier_init(&barrier, NULL, RACERS + 1);

    for (i = 0; i < RACERS; i++) {
        racers[i] = unit_thread(answer_each_round, NULL);
    }

    for (i = 0; i < ROUNDS; i++) {
        t = unit_lent(b, "q", 1);
        atomic_store(&shared, bridge_task_handle(t));
        pthread_barrier_wait(&barrier);

        if (i & 1) {
            bridge_task_cancel(b, t);
        }

        pthread_barrier_wait(&barrier);
        assert_int_equal(unit_drain(b), 1);
    }

    for (i = 0; i < RACERS; i++) {
        unit_join(racers[i]);
    }

    assert_int_equal(atomic_load(&accepted), ROUNDS);
    pthread_barrier_destroy(&barrier);
}


static void *
answer_what_is_shared(void *arg)
{
    uint64_t  h;

    (void) arg;

    while (!atomic_load(&stop)) {
        h = atomic_load(&shared);
        (void) bridge_task_req(b, h, NULL, NULL);

        if (unit_answer(b, h, 0)) {
            atomic_fetch_add(&accepted, 1);
        }

        sched_yield();
    }

    return NULL;
}


/* the host reuses the slot while others still ask for what was in it */
static void
test_late_answers_while_the_slot_is_reused(void **state)
{
    int             i;
    uint32_t        drained;
    pthread_t       racers[3];
    bridge_task_t  *t;

    (void) state;

    drained = 0;
    atomic_store(&accepted, 0);
    atomic_store(&stop, false);
    atomic_store(&shared, 0);

    for (i = 0; i < 3; i++) {
        racers[i] = unit_thread(answer_what_is_shared, NULL);
    }

    for (i = 0; i < ROUNDS; i++) {
        t = unit_lent(b, i & 1 ? "q" : NULL, 1);
        atomic_store(&shared, bridge_task_handle(t));
        unit_until((drained += unit_drain(b)) == (uint32_t) i + 1);
    }

    atomic_store(&stop, true);

    for (i = 0; i < 3; i++) {
        unit_join(racers[i]);
    }

    assert_int_equal(drained, ROUNDS);
    assert_int_equal(atomic_load(&accepted), ROUNDS);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        unit_case(test_answer_comes_out_of_the_drain),
        unit_case(test_no_method),
        unit_case(test_only_a_polled_task_is_good),
        unit_case(test_release_is_called_once),
        unit_case(test_a_copied_answer_may_be_part_of_the_request),
        unit_case(test_copied_answers_of_every_length),
        unit_case(test_one_of_many_answers_wins),
        unit_case(test_late_answers_while_the_slot_is_reused),
    };

    return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
