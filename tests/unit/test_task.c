/* SPDX-License-Identifier: BSD-2-Clause */

#include "unit.h"


static void
finish(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
}


static void
check_request(const char *bytes, size_t n)
{
    int             len;
    bool            ok;
    char           *req;
    bridge_task_t  *t;

    t = unit_lent(b, bytes, n);
    req = bridge_task_req(b, bridge_task_handle(t), &len, &ok);

    assert_true(ok);
    assert_non_null(req);
    assert_ptr_not_equal(req, bytes);
    assert_true(req != t->req_buf || n < sizeof(t->req_buf));
    assert_int_equal(len, n);
    assert_memory_equal(req, bytes, n);
    assert_int_equal(req[n], '\0');

    assert_ptr_equal(bridge_task_req(b, bridge_task_handle(t), NULL, NULL),
                     req);
    finish(t);
}


static void
test_request_is_a_copy_with_a_nul_behind(void **state)
{
    size_t  n;
    char   *bytes;

    (void) state;

    check_request("", 0);
    check_request("hello", 5);
    check_request("a\0b\0", 4);

    for (n = BRIDGE_INLINE_REQ - 2; n < BRIDGE_INLINE_REQ + 2; n++) {
        bytes = malloc(n);
        assert_non_null(bytes);
        memset(bytes, 'x', n);
        check_request(bytes, n);
        free(bytes);
    }
}


static void
test_nil_request(void **state)
{
    int             len;
    bool            ok;
    bridge_task_t  *t;

    (void) state;

    len = 7;
    ok = false;
    t = unit_lent(b, NULL, 0);

    assert_null(bridge_task_req(b, bridge_task_handle(t), &len, &ok));
    assert_int_equal(len, 0);
    assert_true(ok);
    finish(t);
}


static void
test_nothing_of_the_last_use_is_left(void **state)
{
    bridge_task_t  *t, *again;

    (void) state;

    t = unit_lent(b, "q", 1);
    t->data = (void *) &b;
    bridge_task_cancel(b, t);
    assert_true(bridge_task_answer(b, bridge_task_handle(t), 9, "abc", 3,
                                   NULL, NULL));
    assert_int_equal(unit_drain(b), 1);

    again = unit_lent(b, NULL, 0);
    assert_ptr_equal(again, t);
    assert_null(again->data);
    assert_null(again->rsp);
    assert_int_equal(again->rsp_len, 0);
    assert_int_equal(again->rc, 0);
    assert_int_equal(atomic_load(&again->state) & BRIDGE_TASK_CANCEL, 0);
    finish(again);
}


static void
test_a_handle_is_stale_once_freed(void **state)
{
    uint64_t        h, h2;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);

    assert_ptr_equal(bridge_task_find(b, h), t);
    assert_ptr_equal(bridge_task_find(b, h & BRIDGE_ID_MASK), t);
    finish(t);

    assert_null(bridge_task_find(b, h));
    assert_null(bridge_task_find(b, h & BRIDGE_ID_MASK));

    t = unit_lent(b, "q", 1);
    h2 = bridge_task_handle(t);

    assert_int_equal(bridge_handle_slot(h2), bridge_handle_slot(h));
    assert_true(h2 != h);
    assert_false(unit_answer(b, h, 0));
    assert_null(bridge_task_req(b, h, NULL, NULL));
    finish(t);
}


static void
test_a_handle_is_no_canonical_address(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);

    /* x86-64 with five levels of page tables has the widest: 57 bits */
    assert_true(h >> 56 != 0 && h >> 56 != 0xff);
    assert_true((uint64_t) (double) (h & BRIDGE_ID_MASK)
                == (h & BRIDGE_ID_MASK));
    finish(t);
}


static void
test_the_generation_wraps(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    finish(t);
    atomic_store(&t->state, (uint64_t) UINT32_MAX << 8);

    assert_ptr_equal(unit_lent(b, "q", 1), t);
    h = bridge_task_handle(t);
    assert_int_equal(bridge_handle_gen(h), UINT32_MAX);
    assert_ptr_equal(bridge_task_find(b, h), t);
    finish(t);
    assert_null(bridge_task_find(b, h));

    assert_ptr_equal(unit_lent(b, "q", 1), t);
    assert_int_equal(bridge_handle_gen(bridge_task_handle(t)), 0);
    assert_false(unit_answer(b, h, 0));
    finish(t);
}


static void
test_garbage_handles(void **state)
{
    int             len;
    bool            ok;
    size_t          i;
    uint64_t        h, bad[9];
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);

    bad[0] = 0;
    bad[1] = 1;
    bad[2] = UINT64_MAX;
    bad[3] = (uint64_t) (uintptr_t) t;
    bad[4] = h & BRIDGE_ID_MASK;
    bad[5] = h + (UINT64_C(1) << BRIDGE_SLOT_BITS);
    bad[6] = h ^ (UINT64_C(3) << 52);
    bad[7] = bridge_handle(BRIDGE_KIND_TASK, 1, BRIDGE_MAX_TASKS - 1);
    bad[8] = bridge_handle(BRIDGE_KIND_TASK, 1, BRIDGE_CHUNK - 1);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        len = 7;
        ok = true;
        assert_null(bridge_task_req(b, bad[i], &len, &ok));
        assert_false(ok);
        assert_int_equal(len, 0);
        assert_false(unit_answer(b, bad[i], 0));
    }

    assert_null(unit_answers(b));
    finish(t);
}


static void
test_each_slot_is_given_out_once(void **state)
{
    uint32_t        i;
    bridge_task_t  *t[BRIDGE_CHUNK + 2];

    (void) state;

    for (i = 0; i < BRIDGE_CHUNK + 2; i++) {
        t[i] = unit_task(b, NULL, 0);
        assert_null(t[i]->data);
        t[i]->data = t[i];
        assert_ptr_equal(bridge_task_find(b, bridge_task_handle(t[i])), t[i]);
    }

    assert_int_equal(b->live_tasks, BRIDGE_CHUNK + 2);
    assert_int_equal(b->ntasks, 2 * BRIDGE_CHUNK);

    for (i = 0; i < BRIDGE_CHUNK + 2; i++) {
        bridge_task_free(b, t[i], false);
    }

    assert_int_equal(b->live_tasks, 0);
}


static void
test_no_slot_is_left(void **state)
{
    (void) state;

    b->ntasks = BRIDGE_MAX_TASKS;
    assert_null(bridge_task_new(b, "q", 1, NULL, 0));
    b->ntasks = 0;
    assert_int_equal(b->live_tasks, 0);
}


static void
check_taken(size_t n)
{
    int             len;
    char           *taken, bytes[500];
    bridge_task_t  *t;

    memset(bytes, 'x', sizeof(bytes));
    t = unit_lent(b, bytes, n);

    taken = bridge_task_take_req(b, bridge_task_handle(t), &len);
    assert_non_null(taken);
    assert_int_equal(len, n);
    assert_null(bridge_task_req(b, bridge_task_handle(t), &len, NULL));
    assert_int_equal(len, 0);
    assert_null(bridge_task_take_req(b, bridge_task_handle(t), NULL));
    finish(t);

    assert_memory_equal(taken, bytes, n);
    assert_int_equal(taken[n], '\0');
    free(taken);

    t = unit_lent(b, bytes, n);
    taken = bridge_task_take_req(b, bridge_task_handle(t), NULL);
    assert_memory_equal(taken, bytes, n);
    free(taken);
    finish(t);
}


static void
test_a_request_for_keeps(void **state)
{
    (void) state;

    check_taken(0);
    check_taken(5);
    check_taken(500);
}


static void
test_the_method(void **state)
{
    int             len;
    char            name[300];
    size_t          n;
    uint64_t        h;
    const char     *method;
    bridge_task_t  *t;

    (void) state;

    memset(name, 'm', sizeof(name));

    for (n = 0; n <= sizeof(name); n += 15) {
        t = bridge_task_new(b, "q", 1, name, n);
        bridge_task_lend(t);
        h = bridge_task_handle(t);

        method = bridge_task_method(b, h, &len);
        assert_non_null(method);
        assert_int_equal(len, n);
        assert_memory_equal(method, name, n);
        assert_int_equal(method[n], '\0');

        finish(t);
        assert_null(bridge_task_method(b, h, &len));
        assert_int_equal(len, 0);
    }

    t = unit_lent(b, "q", 1);
    assert_string_equal(bridge_task_method(b, bridge_task_handle(t), &len),
                        "");
    finish(t);
}


static int  unsettled;


static void
count_unsettled(bridge_task_t *t)
{
    assert_ptr_equal(t->account, &unsettled);
    t->settled = true;
    unsettled++;
}


static void
test_a_task_is_settled_once(void **state)
{
    bridge_task_t  *t;

    (void) state;

    unsettled = 0;
    b->unsettled = count_unsettled;

    /* one without an account never is */

    t = unit_task(b, "q", 1);
    bridge_task_free(b, t, false);
    assert_int_equal(unsettled, 0);

    t = unit_task(b, "q", 1);
    t->account = &unsettled;
    bridge_task_lend(t);
    bridge_task_cancel(b, t);
    bridge_task_cancel(b, t);
    assert_int_equal(unsettled, 1);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(unsettled, 1);

    t = unit_task(b, "q", 1);
    assert_null(t->account);
    assert_false(t->settled);
    t->account = &unsettled;
    bridge_task_free(b, t, true);
    assert_int_equal(unsettled, 2);

    b->unsettled = NULL;
}


static void
test_a_poll_says_when(void **state)
{
    uint64_t         h;
    bridge_task_t   *t;
    bridge_queue_t  *q;

    (void) state;

    q = bridge_queue_new(b, 1);
    t = unit_task(b, "q", 1);
    assert_true(t->taken_at == 0);

    assert_true(bridge_push(q, t));
    assert_true(t->taken_at == 0);
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 1);
    assert_true(t->taken_at > 0);
    finish(t);

    t = unit_task(b, "q", 1);
    assert_true(t->taken_at == 0);
    bridge_task_free(b, t, false);

    bridge_queue_close(q);
}


static void
test_take_passes_over_a_cancelled_task(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, "q", 1);
    assert_true(bridge_task_take(b, t, 0, 1, &h));
    assert_true(h == bridge_task_handle(t));
    bridge_task_cancel(b, t);
    assert_non_null(bridge_task_req(b, h, NULL, NULL));
    finish(t);

    t = unit_task(b, "q", 1);
    bridge_task_cancel(b, t);
    assert_false(bridge_task_take(b, t, 0, 1, &h));
    assert_false(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(unit_drain(b), 1);
}


static void
test_a_request_that_nobody_will_read(void **state)
{
    char            bytes[500];
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    memset(bytes, 'x', sizeof(bytes));

    t = bridge_task_new(b, bytes, sizeof(bytes), bytes, sizeof(bytes));
    bridge_task_cancel(b, t);
    assert_null(atomic_load(&t->req));
    assert_null(atomic_load(&t->method));
    assert_false(bridge_task_take(b, t, 0, 1, &h));
    assert_null(bridge_task_req(b, h, NULL, NULL));
    assert_int_equal(unit_drain(b), 1);

    /* a runtime may be reading this one */

    t = bridge_task_new(b, bytes, sizeof(bytes), bytes, sizeof(bytes));
    assert_true(bridge_task_take(b, t, 0, 1, &h));
    bridge_task_cancel(b, t);
    assert_memory_equal(bridge_task_req(b, h, NULL, NULL), bytes, 500);
    assert_memory_equal(bridge_task_method(b, h, NULL), bytes, 500);
    finish(t);
}


static void
test_a_dead_bridge_knows_no_task(void **state)
{
    bool            ok;
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_lent(b, "q", 1);
    h = bridge_task_handle(t);
    bridge_mark_dead(b);

    assert_null(bridge_task_req(b, h, NULL, &ok));
    assert_false(ok);
    assert_false(unit_answer(b, h, 0));
    assert_null(unit_answers(b));

    bridge_task_free(b, t, false);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        unit_case(test_request_is_a_copy_with_a_nul_behind),
        unit_case(test_nil_request),
        unit_case(test_nothing_of_the_last_use_is_left),
        unit_case(test_a_handle_is_stale_once_freed),
        unit_case(test_a_handle_is_no_canonical_address),
        unit_case(test_the_generation_wraps),
        unit_case(test_garbage_handles),
        unit_case(test_each_slot_is_given_out_once),
        unit_case(test_no_slot_is_left),
        unit_case(test_a_request_for_keeps),
        unit_case(test_the_method),
        unit_case(test_a_task_is_settled_once),
        unit_case(test_a_poll_says_when),
        unit_case(test_take_passes_over_a_cancelled_task),
        unit_case(test_a_request_that_nobody_will_read),
        unit_case(test_a_dead_bridge_knows_no_task),
    };

    return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}
