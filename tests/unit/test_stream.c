/* SPDX-License-Identifier: BSD-2-Clause */

/* Parts of an answer. */

#include "streams.h"


static void
test_parts_come_in_order_and_before_the_answer(void **state)
{
    char            text[] = "second";
    uint64_t        h;
    bridge_node_t  *n, *next;
    bridge_part_t  *p[3];
    bridge_task_t  *t;

    (void) state;

    t = opened(0, false);
    h = bridge_task_handle(t);

    assert_int_equal(bridge_stream_send(b, h, "first", 5, false,
                                        count_release, &released), 0);
    assert_int_equal(bridge_stream_send(b, h, text, 6, true, NULL, NULL), 0);
    memset(text, '!', 6);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_true(bridge_task_answer_copy(b, h, 3, "end", 3));

    n = bridge_take(b);

    for (int i = 0; i < 3; i++, n = next) {
        next = n->next;
        assert_int_equal(n->kind, BRIDGE_NODE_PART);
        p[i] = (bridge_part_t *) n;
        assert_true(p[i]->task == h);
    }

    assert_int_equal(n->kind, BRIDGE_NODE_ANSWER);
    assert_ptr_equal(n, t);
    assert_null(n->next);
    assert_int_equal(t->rc, 3);
    assert_memory_equal(t->rsp, "end", 3);

    assert_int_equal(p[0]->len, 5);
    assert_memory_equal(p[0]->bytes, "first", 5);
    assert_int_equal(p[1]->len, 6);
    assert_memory_equal(p[1]->bytes, "second", 6);
    assert_int_equal(p[2]->len, LARGE);
    assert_ptr_equal(p[2]->bytes, bytes);

    bridge_part_free(b, p[0], true);
    assert_int_equal(released, 1);
    assert_int_equal(delivered, 1);
    bridge_part_free(b, p[1], true);
    bridge_part_free(b, p[2], false);
    assert_int_equal(released, 2);
    assert_int_equal(delivered, 1);

    bridge_task_free(b, t, true);
}


static void
test_a_part_is_taken_whole_below_the_mark(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, COUNTS(HIGH - 1)), 0);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    end(t);

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), bytes, 1,
                                        true, NULL, NULL), EAGAIN);
    free_part(true);
    end(t);

    /* of a task of which the host has said nothing */

    t = unit_lent(b, "q", 1);
    assert_int_equal(send_n(t, COUNTS(BRIDGE_STREAM_HIGH - 1)), 0);
    assert_int_equal(send_n(t, 1), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    free_part(true);
    end(t);

    assert_int_equal(released, 5);
    assert_int_equal(delivered, 5);
}


static void
test_one_event_at_a_quarter_of_the_mark(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    h = bridge_task_handle(t);

    assert_int_equal(send_n(t, COUNTS(400)), 0);
    assert_int_equal(send_n(t, COUNTS(350)), 0);
    assert_int_equal(send_n(t, COUNTS(LOW + 1)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(event(false) == 0);

    free_part(true);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), 0);

    free_part(true);            /* one byte above it */
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), 0);

    free_part(true);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, 0), BRIDGE_WRITABLE);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);

    /* at it */

    assert_int_equal(send_n(t, COUNTS(HIGH - 100)), 0);
    assert_int_equal(send_n(t, COUNTS(LOW)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    free_part(true);
    assert_true(event(false) == h);
    free_part(true);
    assert_true(event(false) == 0);

    /* nobody was refused: nobody is told */

    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    free_part(true);
    assert_true(event(false) == 0);

    end(t);
}


static void
test_a_part_of_no_bytes(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, 0), 0);
    assert_int_equal(released, 1);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), NULL, 0,
                                        true, NULL, NULL), 0);
    assert_int_equal(bridge_stream_send(b, bridge_task_handle(t), NULL, 0,
                                        false, NULL, NULL), 0);
    assert_null(part());

    /* one that has no mark to wait for */

    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 0), 0);
    assert_int_equal(released, 2);
    free_part(true);
    assert_true(event(false) == 0);

    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 0), EPIPE);
    assert_int_equal(released, 3);
    end(t);
}


static void
test_nothing_is_sent_to_what_waits_for_no_answer(void **state)
{
    char            *p;
    size_t           len;
    uint64_t         h;
    bridge_task_t   *t;

    (void) state;

    /* not taken yet */

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_true(bridge_push(q, t));
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, -1), BRIDGE_GONE);

    h = poll_one();
    assert_int_equal(send_n(t, 1), 0);
    free_part(true);

    /* cancelled */

    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE | BRIDGE_READABLE, -1),
                     BRIDGE_GONE);

    /* answered */

    assert_true(unit_answer(b, h, 0));
    assert_int_equal(send_n(t, 1), EPIPE);
    check_no_read(t, EPIPE);
    assert_false(bridge_stream_has_parts(b, h));
    assert_int_equal(wait_for(t, BRIDGE_WRITABLE, -1), BRIDGE_GONE);

    /* freed, and another one in its place */

    assert_int_equal(unit_drain(b), 1);
    assert_ptr_equal(opened(HIGH, true), t);
    assert_true(bridge_task_handle(t) != h);

    assert_int_equal(bridge_stream_send(b, h, "x", 1, true, NULL, NULL),
                     EPIPE);
    assert_int_equal(bridge_stream_read(b, h, &p, &len), EPIPE);
    assert_false(bridge_stream_has_parts(b, h));
    assert_int_equal(bridge_stream_wait(b, h, 0, -1), BRIDGE_GONE);
    assert_true(bridge_stream_has_parts(b, bridge_task_handle(t)));
    assert_null(part());
    end(t);

    /* invented, and a queue's */

    for (h = 0; h < 64; h++) {
        assert_int_equal(bridge_stream_send(b, UINT64_C(1) << h, "x", 1,
                                            true, NULL, NULL), EPIPE);
        assert_int_equal(bridge_stream_wait(b, queue ^ h, 0, -1),
                         BRIDGE_GONE);
    }

    assert_int_equal(released, 1);
    assert_null(part());
}


static void
test_parts_of_a_caller_who_has_gone(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_true(event(false) == 0);
    assert_int_equal(send_n(t, 10), 0);
    bridge_task_cancel(b, t);
    assert_int_equal(send_n(t, 10), EPIPE);
    assert_int_equal(released, 0);

    free_part(false);
    assert_int_equal(released, 1);
    assert_int_equal(delivered, 0);
    assert_true(event(false) == bridge_task_handle(t));
    assert_true(event(false) == 0);
    end(t);
}


static void
test_a_part_may_outlive_its_task(void **state)
{
    bridge_part_t  *p[2];
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, LARGE), 0);
    p[0] = part();
    end(t);

    /* the counts of who has the slot then are its own */

    assert_ptr_equal(opened(HIGH, false), t);
    assert_int_equal(send_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    p[1] = part();

    bridge_part_free(b, p[0], true);
    assert_int_equal(released, 1);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(event(false) == 0);

    bridge_part_free(b, p[1], true);
    assert_int_equal(released, 2);
    assert_true(event(false) == bridge_task_handle(t));
    end(t);
}


static void
test_a_mark_that_is_reached_when_the_answer_comes(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_int_equal(send_n(t, LARGE), 0);
    assert_int_equal(send_n(t, 1), EAGAIN);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));

    /* it is not told any more */

    free_part(true);
    assert_true(event(false) == 0);
    assert_int_equal(unit_drain(b), 1);

    assert_ptr_equal(opened(0, false), t);
    assert_int_equal(send_n(t, HIGH), 0);
    assert_int_equal(send_n(t, HIGH), 0);
    free_part(true);
    free_part(true);
    assert_true(event(false) == 0);
    end(t);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        streams_case(test_parts_come_in_order_and_before_the_answer),
        streams_case(test_a_part_is_taken_whole_below_the_mark),
        streams_case(test_one_event_at_a_quarter_of_the_mark),
        streams_case(test_a_part_of_no_bytes),
        streams_case(test_nothing_is_sent_to_what_waits_for_no_answer),
        streams_case(test_parts_of_a_caller_who_has_gone),
        streams_case(test_a_part_may_outlive_its_task),
        streams_case(test_a_mark_that_is_reached_when_the_answer_comes),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
