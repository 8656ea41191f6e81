/* SPDX-License-Identifier: BSD-2-Clause */

#include "unit.h"


#define WRITERS  4
#define TASKS    4000       /* of each writer */
#define LINES    3000


static uint32_t
notified(void)
{
    return atomic_exchange(&unit_notified, 0);
}


static void
answer(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
}


static void
test_the_first_answer_notifies(void **state)
{
    int  round;

    (void) state;

    for (round = 0; round < 3; round++) {
        assert_null(unit_answers(b));
        assert_int_equal(notified(), 0);

        answer(unit_lent(b, NULL, 0));
        assert_int_equal(notified(), 1);

        answer(unit_lent(b, NULL, 0));
        answer(unit_lent(b, NULL, 0));
        assert_int_equal(notified(), 0);

        assert_int_equal(unit_drain(b), 3);
    }
}


static void
test_a_cancelled_task_notifies_too(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, NULL, 0);
    bridge_task_cancel(b, t);
    assert_false(bridge_task_take(b, t, 0, 1, &h));
    assert_int_equal(notified(), 1);
    assert_int_equal(unit_drain(b), 1);
}


static void
test_oldest_first(void **state)
{
    int             i;
    bridge_task_t  *t[4], *out;

    (void) state;

    for (i = 0; i < 4; i++) {
        t[i] = unit_lent(b, NULL, 0);
    }

    for (i = 3; i >= 0; i--) {
        answer(t[i]);
    }

    out = unit_answers(b);

    for (i = 3; i >= 0; i--) {
        assert_ptr_equal(out, t[i]);
        out = unit_next(out);
        bridge_task_free(b, t[i], true);
    }

    assert_null(out);
    assert_null(unit_answers(b));
}


static uint64_t          handles[WRITERS][TASKS];
static _Atomic uint32_t  refused;


static void *
answer_many(void *arg)
{
    int              i;
    const uint64_t  *h;

    h = arg;

    for (i = 0; i < TASKS; i++) {
        if (!unit_answer(b, h[i], 0)) {
            atomic_fetch_add(&refused, 1);
        }
    }

    return NULL;
}


/* one for each time that the host finds something */
static void
test_one_notify_a_take(void **state)
{
    int        i, w;
    uint32_t   n, back, drains;
    pthread_t  threads[WRITERS];

    (void) state;

    for (w = 0; w < WRITERS; w++) {
        for (i = 0; i < TASKS; i++) {
            handles[w][i] = bridge_task_handle(unit_lent(b, NULL, 0));
        }
    }

    for (w = 0; w < WRITERS; w++) {
        threads[w] = unit_thread(answer_many, handles[w]);
    }

    back = drains = 0;

    while (back < WRITERS * TASKS) {
        n = unit_drain(b);
        back += n;
        drains += n > 0;
        sched_yield();
    }

    for (w = 0; w < WRITERS; w++) {
        unit_join(threads[w]);
    }

    assert_int_equal(atomic_load(&refused), 0);
    assert_int_equal(back, WRITERS * TASKS);
    assert_int_equal(notified(), drains);
}


/* the oldest node is a line; the next one */
static bridge_node_t *
check_line(bridge_node_t *n, int level, const char *text, size_t len)
{
    bridge_line_t  *line;
    bridge_node_t  *next;

    assert_non_null(n);
    assert_int_equal(n->kind, BRIDGE_NODE_LINE);

    line = (bridge_line_t *) n;
    assert_int_equal(line->level, level);
    assert_int_equal(line->len, len);
    assert_memory_equal(line->text, text, len + 1);

    next = n->next;
    bridge_line_free(b, line);

    return next;
}


static void
test_lines_keep_order_and_bytes(void **state)
{
    bridge_node_t  *n;

    (void) state;

    bridge_log(b, 4, "a\0b", 3);
    bridge_logf(b, 5, "%d and %s", 3, "four");
    bridge_log(b, 7, "", 0);
    assert_int_equal(notified(), 1);

    n = check_line(bridge_take(b), 4, "a\0b", 3);
    n = check_line(n, 5, "3 and four", strlen("3 and four"));
    assert_null(check_line(n, 7, "", 0));

    bridge_log(b, 4, "x", 1);
    assert_int_equal(notified(), 1);
    assert_null(check_line(bridge_take(b), 4, "x", 1));
}


static void *
poll_log_and_end(void *queue)
{
    uint64_t  h;

    assert_int_equal(bridge_poll(b, *(uint64_t *) queue, &h, 1, 0), 1);
    bridge_log(b, 4, "before", 6);
    (void) unit_answer(b, h, 0);
    bridge_log(b, 4, "after", 5);

    return NULL;
}


static void
test_all_kinds_come_in_order(void **state)
{
    uint64_t         handle;
    bridge_node_t   *n;
    bridge_task_t   *t;
    bridge_queue_t  *q;

    (void) state;

    q = unit_queue(1);
    handle = bridge_queue_handle(q);
    t = unit_push(b, q, 0);
    unit_join(unit_thread(poll_log_and_end, &handle));
    assert_int_equal(notified(), 1);

    n = check_line(bridge_take(b), 4, "before", 6);
    assert_ptr_equal(n, t);
    assert_int_equal(n->kind, BRIDGE_NODE_ANSWER);
    n = check_line(n->next, 4, "after", 5);
    assert_ptr_equal(n, q);
    assert_int_equal(n->kind, BRIDGE_NODE_ORPHAN);
    assert_null(n->next);

    assert_ptr_equal(bridge_threads_ended(n), q);
    bridge_task_free(b, t, true);
    unit_queue_end(q);
}


static void
test_a_formatted_line_is_cut(void **state)
{
    char            text[1000];
    bridge_line_t  *line;

    (void) state;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    bridge_logf(b, 4, "%s", text);

    line = unit_line(b);
    assert_int_equal(line->len, 511);
    assert_int_equal(strlen(line->text), 511);
    assert_memory_equal(line->text, text, 511);
    bridge_line_free(b, line);
}


static void
test_a_long_line_is_cut(void **state)
{
    char           *text;
    bridge_line_t  *line;

    (void) state;

    text = malloc(BRIDGE_LOG_LEN + 1);
    assert_non_null(text);
    memset(text, 'x', BRIDGE_LOG_LEN + 1);
    bridge_log(b, 4, text, BRIDGE_LOG_LEN + 1);

    line = unit_line(b);
    assert_int_equal(line->len, BRIDGE_LOG_LEN);
    assert_int_equal(strlen(line->text), BRIDGE_LOG_LEN);
    assert_int_equal(bridge_lines_lost(b), 0);
    bridge_line_free(b, line);
    free(text);
}


static void
test_lines_that_wait_are_bounded(void **state)
{
    int       i, round;
    (void) state;

    for (round = 0; round < 3; round++) {

        for (i = 0; i < BRIDGE_LOG_MAX + round; i++) {
            bridge_log(b, 4, "x", 1);
        }

        assert_int_equal(notified(), 1);
        assert_int_equal(unit_free_lines(b), BRIDGE_LOG_MAX);
        assert_int_equal(bridge_lines_lost(b), round);
    }

    assert_int_equal(unit_free_lines(b), 0);
    assert_int_equal(bridge_lines_lost(b), 0);
}


static void *
write_lines(void *arg)
{
    int  i;

    (void) arg;

    for (i = 0; i < LINES; i++) {
        bridge_logf(b, 4, "line %d", i);
    }

    return NULL;
}


static void
test_each_line_is_written_or_counted(void **state)
{
    int        w;
    uint32_t   n, lost, lines;
    pthread_t  threads[WRITERS];

    (void) state;

    lines = lost = 0;

    for (w = 0; w < WRITERS; w++) {
        threads[w] = unit_thread(write_lines, NULL);
    }

    for (w = 0; w < WRITERS; w++) {
        n = unit_free_lines(b);
        assert_true(n <= BRIDGE_LOG_MAX);
        lines += n;
        lost += bridge_lines_lost(b);
        unit_join(threads[w]);
    }

    lines += unit_free_lines(b);
    lost += bridge_lines_lost(b);

    assert_int_equal(lines + lost, WRITERS * LINES);
    assert_int_equal(atomic_load(&b->nlines), 0);
}


static void
test_a_dead_bridge_logs_nothing(void **state)
{
    (void) state;

    bridge_mark_dead(b);
    bridge_log(b, 4, "x", 1);
    bridge_logf(b, 4, "%s", "x");

    assert_int_equal(unit_free_lines(b), 0);
    assert_int_equal(bridge_lines_lost(b), 0);
    assert_int_equal(notified(), 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        unit_case(test_the_first_answer_notifies),
        unit_case(test_a_cancelled_task_notifies_too),
        unit_case(test_oldest_first),
        unit_case(test_one_notify_a_take),
        unit_case(test_lines_keep_order_and_bytes),
        unit_case(test_all_kinds_come_in_order),
        unit_case(test_a_formatted_line_is_cut),
        unit_case(test_a_long_line_is_cut),
        unit_case(test_lines_that_wait_are_bounded),
        unit_case(test_each_line_is_written_or_counted),
        unit_case(test_a_dead_bridge_logs_nothing),
    };

    return cmocka_run_group_tests_name("up", tests, NULL, NULL);
}
