/* SPDX-License-Identifier: BSD-2-Clause */

/* Parts of a request. */

#include "streams.h"


static void
test_a_request_in_parts(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    h = bridge_task_handle(t);
    assert_true(event(false) == 0);

    assert_true(bridge_stream_has_parts(b, h));
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 0), 0);
    check_no_read(t, EAGAIN);
    check_no_read(t, EAGAIN);
    assert_true(event(false) == 0);

    assert_int_equal(write_n(t, 0), 0);
    assert_true(event(false) == 0);

    assert_int_equal(write_n(t, 3), 0);
    assert_int_equal(write_n(t, 4), 0);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, 0), BRIDGE_READABLE);

    check_read(t, 3);
    check_read(t, 4);

    /* nobody was refused: nobody is told */

    assert_int_equal(write_n(t, 1), 0);
    assert_true(event(false) == 0);
    check_read(t, 1);

    check_no_read(t, EAGAIN);
    bridge_stream_finish(b, t);
    assert_true(event(false) == h);
    assert_true(event(false) == 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, -1), BRIDGE_READABLE);
    check_read(t, 0);
    check_read(t, 0);
    assert_true(bridge_stream_has_parts(b, h));
    assert_null(unit_take(b, BRIDGE_NODE_ROOM));
    end(t);

    /* nothing is left of it */

    assert_ptr_equal(opened(HIGH, true), t);
    check_no_read(t, EAGAIN);
    end(t);
}


static void
test_a_request_without_parts(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, false);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    check_read(t, 0);
    assert_int_equal(wait_for(t, BRIDGE_READABLE, -1), BRIDGE_READABLE);
    end(t);

    t = unit_lent(b, "q", 1);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    check_read(t, 0);
    assert_false(bridge_stream_has_parts(b, bridge_task_handle(t)));
    end(t);
}


static void
test_parts_that_are_written_before_a_poll(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_int_equal(write_n(t, 5), 0);
    assert_true(bridge_push(q, t));
    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    bridge_stream_finish(b, t);

    (void) poll_one();
    check_read(t, 5);
    check_read(t, LARGE);
    check_read(t, 0);
    assert_int_equal(rooms(t), 1);
    end(t);
}


static void
test_room_comes_once_at_a_quarter_of_the_mark(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_int_equal(write_n(t, COUNTS(HIGH - 1 - LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW + 1)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    assert_int_equal(write_n(t, 0), 0);

    check_read(t, COUNTS(HIGH - 1 - LOW));
    check_read(t, COUNTS(LOW));
    assert_int_equal(rooms(t), 0);
    assert_int_equal(write_n(t, COUNTS(HIGH)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, COUNTS(LOW + 1));
    assert_int_equal(rooms(t), 0);
    check_read(t, COUNTS(HIGH));
    assert_int_equal(rooms(t), 1);

    /* at it exactly */

    assert_int_equal(write_n(t, COUNTS(HIGH - LOW)), 0);
    assert_int_equal(write_n(t, COUNTS(LOW)), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, COUNTS(HIGH - LOW));
    assert_int_equal(rooms(t), 1);
    check_read(t, COUNTS(LOW));
    assert_int_equal(rooms(t), 0);

    /* nobody was refused: nobody is told */

    assert_int_equal(write_n(t, LARGE), 0);
    check_read(t, LARGE);
    assert_int_equal(rooms(t), 0);
    end(t);
}


/* a host that writes on before it has seen what is up */
static void
test_room_is_up_once_at_a_time(void **state)
{
    bridge_task_t  *t, *other;

    (void) state;

    t = opened(HIGH, true);
    other = opened(HIGH, true);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_n(t, LARGE), 0);
        assert_int_equal(write_n(t, 1), EAGAIN);
        check_read(t, LARGE);
        assert_int_equal(send_n(other, 1), 0);
    }

    assert_int_equal(rooms(t), 1);

    for (int i = 0; i < 3; i++) {
        free_part(true);
    }

    assert_null(part());

    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(write_n(t, 1), EAGAIN);
    check_read(t, LARGE);
    assert_int_equal(rooms(t), 1);
    end(t);
    end(other);
}


static void
test_nothing_is_written_to_who_reads_no_more(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_true(event(false) == 0);
    check_no_read(t, EAGAIN);
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
    assert_int_equal(write_n(t, 1), EPIPE);
    assert_int_equal(write_n(t, 0), EPIPE);
    bridge_stream_finish(b, t);
    assert_true(event(false) == 0);
    assert_int_equal(unit_drain(b), 1);

    t = opened(HIGH, true);
    check_no_read(t, EAGAIN);
    bridge_task_cancel(b, t);
    assert_true(event(false) == bridge_task_handle(t));
    assert_int_equal(write_n(t, 1), EPIPE);
    bridge_stream_finish(b, t);
    assert_true(event(false) == 0);
    end(t);
}


/* of whatever end: a sanitizer sees what is left */
static void
test_what_was_not_read_is_freed(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = opened(HIGH, true);
    assert_int_equal(write_n(t, 10), 0);
    assert_int_equal(write_n(t, LARGE), 0);
    end(t);

    /* cancelled, and too late, in the queue */

    for (int i = 0; i < 2; i++) {
        t = unit_task(b, "q", 1);
        t->deadline = i;
        bridge_stream_open(t, HIGH, true);
        assert_true(bridge_push(q, t));
        assert_int_equal(write_n(t, LARGE), 0);

        if (i == 0) {
            bridge_task_cancel(b, t);
        }

        assert_int_equal(bridge_poll(b, queue, &h, 1, 0), 0);
        assert_int_equal(write_n(t, 1), EPIPE);
        assert_int_equal(unit_drain(b), 1);
    }

    /* taken back from it; and never put there */

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_true(bridge_push(q, t));
    assert_int_equal(write_n(t, LARGE), 0);
    assert_int_equal(bridge_queue_reject(b, q), 1);
    assert_int_equal(unit_drain(b), 1);

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_int_equal(write_n(t, LARGE), 0);
    bridge_task_free(b, t, false);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        streams_case(test_a_request_in_parts),
        streams_case(test_a_request_without_parts),
        streams_case(test_parts_that_are_written_before_a_poll),
        streams_case(test_room_comes_once_at_a_quarter_of_the_mark),
        streams_case(test_room_is_up_once_at_a_time),
        streams_case(test_nothing_is_written_to_who_reads_no_more),
        streams_case(test_what_was_not_read_is_freed),
    };

    return cmocka_run_group_tests_name("stream_input", tests, NULL, NULL);
}
