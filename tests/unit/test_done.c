#include "unit.h"


#define WRITERS  4
#define TASKS    4000       /* of each writer */
#define LINES    3000


static bridge_t  *b;


static int
setup(void **state)
{
    (void) state;
    b = unit_bridge();
    return 0;
}


static int
teardown(void **state)
{
    (void) state;
    unit_bridge_free(b);
    return 0;
}


static uint32_t
wakes(void)
{
    return atomic_exchange(&unit_wakes, 0);
}


static void
answer(bridge_task_t *t)
{
    assert_true(unit_answer(b, bridge_task_handle(t), 0));
}


static void
test_the_first_answer_wakes(void **state)
{
    int  round;

    (void) state;

    for (round = 0; round < 3; round++) {
        assert_null(bridge_done_take(b));
        assert_int_equal(wakes(), 0);

        answer(unit_lent(b, NULL, 0));
        assert_int_equal(wakes(), 1);

        answer(unit_lent(b, NULL, 0));
        answer(unit_lent(b, NULL, 0));
        assert_int_equal(wakes(), 0);

        assert_int_equal(unit_drain(b), 3);
    }
}


static void
test_a_cancelled_task_wakes_too(void **state)
{
    uint64_t        h;
    bridge_task_t  *t;

    (void) state;

    t = unit_task(b, NULL, 0);
    bridge_task_cancel(b, t);
    assert_false(bridge_task_take(b, t, 0, &h));
    assert_int_equal(wakes(), 1);
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

    out = bridge_done_take(b);

    for (i = 3; i >= 0; i--) {
        assert_ptr_equal(out, t[i]);
        out = out->next;
        bridge_task_free(b, t[i], true);
    }

    assert_null(out);
    assert_null(bridge_done_take(b));
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


/* one wake for each time that the host finds something */
static void
test_one_wake_a_drain(void **state)
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
    assert_int_equal(wakes(), drains);
}


/* frees the lines that wait; how many */
static uint32_t
take_lines(uint32_t *lost)
{
    uint32_t        n;
    bridge_line_t  *line, *next;

    n = 0;

    for (line = bridge_log_take(b, lost); line; line = next) {
        next = line->next;
        free(line);
        n++;
    }

    return n;
}


static void
test_lines_keep_order_and_bytes(void **state)
{
    uint32_t        lost;
    bridge_line_t  *first, *second, *third;

    (void) state;

    bridge_log(b, 4, "a\0b", 3);
    bridge_logf(b, 5, "%d and %s", 3, "four");
    bridge_log(b, 7, "", 0);
    assert_int_equal(wakes(), 1);

    first = bridge_log_take(b, &lost);
    assert_int_equal(lost, 0);
    second = first->next;
    third = second->next;
    assert_null(third->next);

    assert_int_equal(first->level, 4);
    assert_int_equal(first->len, 3);
    assert_memory_equal(first->text, "a\0b", 4);

    assert_int_equal(second->level, 5);
    assert_int_equal(second->len, strlen("3 and four"));
    assert_string_equal(second->text, "3 and four");

    assert_int_equal(third->level, 7);
    assert_int_equal(third->len, 0);
    assert_string_equal(third->text, "");

    free(first);
    free(second);
    free(third);

    bridge_log(b, 4, "x", 1);
    assert_int_equal(wakes(), 1);
    assert_int_equal(take_lines(&lost), 1);
}


static void
test_a_formatted_line_is_cut(void **state)
{
    char            text[1000];
    uint32_t        lost;
    bridge_line_t  *line;

    (void) state;

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    bridge_logf(b, 4, "%s", text);

    line = bridge_log_take(b, &lost);
    assert_int_equal(line->len, 511);
    assert_int_equal(strlen(line->text), 511);
    assert_memory_equal(line->text, text, 511);
    free(line);
}


static void
test_a_long_line_is_cut(void **state)
{
    char           *text;
    uint32_t        lost;
    bridge_line_t  *line;

    (void) state;

    text = malloc(BRIDGE_LOG_LEN + 1);
    assert_non_null(text);
    memset(text, 'x', BRIDGE_LOG_LEN + 1);
    bridge_log(b, 4, text, BRIDGE_LOG_LEN + 1);

    line = bridge_log_take(b, &lost);
    assert_int_equal(line->len, BRIDGE_LOG_LEN);
    assert_int_equal(strlen(line->text), BRIDGE_LOG_LEN);
    assert_int_equal(lost, 0);
    free(line);
    free(text);
}


static void
test_lines_that_wait_are_bounded(void **state)
{
    int       i, round;
    uint32_t  lost;

    (void) state;

    for (round = 0; round < 3; round++) {

        for (i = 0; i < BRIDGE_LOG_MAX + round; i++) {
            bridge_log(b, 4, "x", 1);
        }

        assert_int_equal(wakes(), 1);
        assert_int_equal(take_lines(&lost), BRIDGE_LOG_MAX);
        assert_int_equal(lost, round);
    }

    assert_int_equal(take_lines(&lost), 0);
    assert_int_equal(lost, 0);
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
    uint32_t   n, lost, lines, dropped;
    pthread_t  threads[WRITERS];

    (void) state;

    lines = dropped = 0;

    for (w = 0; w < WRITERS; w++) {
        threads[w] = unit_thread(write_lines, NULL);
    }

    for (w = 0; w < WRITERS; w++) {
        n = take_lines(&lost);
        assert_true(n <= BRIDGE_LOG_MAX);
        lines += n;
        dropped += lost;
        unit_join(threads[w]);
    }

    lines += take_lines(&lost);
    dropped += lost;

    assert_int_equal(lines + dropped, WRITERS * LINES);
    assert_int_equal(atomic_load(&b->nlines), 0);
}


static void
test_a_dead_bridge_logs_nothing(void **state)
{
    uint32_t  lost;

    (void) state;

    bridge_mark_dead(b);
    bridge_log(b, 4, "x", 1);
    bridge_logf(b, 4, "%s", "x");

    assert_int_equal(take_lines(&lost), 0);
    assert_int_equal(lost, 0);
    assert_int_equal(wakes(), 0);
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_the_first_answer_wakes),
        test(test_a_cancelled_task_wakes_too),
        test(test_oldest_first),
        test(test_one_wake_a_drain),
        test(test_lines_keep_order_and_bytes),
        test(test_a_formatted_line_is_cut),
        test(test_a_long_line_is_cut),
        test(test_lines_that_wait_are_bounded),
        test(test_each_line_is_written_or_counted),
        test(test_a_dead_bridge_logs_nothing),
    };

    return cmocka_run_group_tests_name("done", tests, NULL, NULL);
}
