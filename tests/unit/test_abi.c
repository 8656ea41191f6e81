/* SPDX-License-Identifier: BSD-2-Clause */

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include "end.h"
#include "resty_ffi.h"

#include "abi.h"
#include <errno.h>

#include "unit.h"


static bridge_queue_t  *q;
static void            *tq;


static void *
pointer(uint64_t handle)
{
    return (void *) (uintptr_t) handle;
}


static int
setup(void **state)
{
    (void) state;

    b = bridge_host();
    q = unit_queue(10);
    tq = pointer(bridge_queue_handle(q));
    atomic_store(&unit_notified, 0);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    unit_queue_end(q);
    assert_int_equal(b->live_tasks, 0);
    assert_null(unit_answers(b));
    assert_null(unit_line(b));
    assert_int_equal(bridge_lines_lost(b), 0);

    return 0;
}


/* one line waits, and it says so */
static void
check_line(const char *what)
{
    bridge_line_t  *line;

    line = unit_line(b);
    assert_non_null(line);
    assert_int_equal(line->level, RESTY_FFI_LOG_ERR);

    if (strstr(line->text, what) == NULL) {
        fail_msg("\"%s\" in \"%s\"", what, line->text);
    }

    bridge_line_free(b, line);
}


static void *
pushed_and_polled(const char *req, size_t len)
{
    void           *tsk;
    bridge_task_t  *t;

    t = unit_task(b, req, len);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    assert_ptr_equal(tsk, pointer(bridge_task_handle(t)));

    return tsk;
}


/* the answer that waits must be this one */
static void
check_answer(int rc, const char *rsp, size_t len)
{
    bridge_task_t  *t;

    t = unit_answers(b);
    assert_non_null(t);
    assert_null(unit_next(t));
    assert_int_equal(t->rc, rc);
    assert_int_equal(t->rsp_len, len);

    if (rsp) {
        assert_non_null(t->rsp);
        assert_memory_equal(t->rsp, rsp, len);

    } else {
        assert_null(t->rsp);
    }

    bridge_task_free(b, t, true);
}


static char *
copy(const char *bytes, size_t len)
{
    char  *p;

    p = malloc(len);
    assert_non_null(p);

    return memcpy(p, bytes, len);
}


static void
test_a_round_trip(void **state)
{
    int    len;
    char  *req;
    void  *tsk;

    (void) state;

    tsk = pushed_and_polled("a\0b", 3);
    req = ngx_http_lua_ffi_get_req(tsk, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(req, "a\0b", 4);
    assert_ptr_equal(ngx_http_lua_ffi_get_req(tsk, NULL), req);

    ngx_http_lua_ffi_respond(tsk, -7, copy("x\0y\0", 4), 4);
    assert_int_equal(atomic_load(&unit_notified), 1);
    check_answer(-7, "x\0y\0", 4);
}


static void
test_a_nil_request_is_no_fault(void **state)
{
    int    len;
    void  *tsk;

    (void) state;

    len = 5;
    tsk = pushed_and_polled(NULL, 0);
    assert_null(ngx_http_lua_ffi_get_req(tsk, &len));
    assert_int_equal(len, 0);
    assert_null(ngx_http_lua_ffi_get_req(tsk, NULL));

    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    check_answer(0, NULL, 0);
}


static void
test_no_body_whatever_its_length(void **state)
{
    (void) state;

    ngx_http_lua_ffi_respond(pushed_and_polled("q", 1), 1, NULL, 5);
    check_answer(1, NULL, 0);
}


static void
test_length_0_means_a_c_string(void **state)
{
    (void) state;

    ngx_http_lua_ffi_respond(pushed_and_polled("q", 1), 0, strdup("hello"),
                             0);
    check_answer(0, "hello", 5);

    ngx_http_lua_ffi_respond(pushed_and_polled("q", 1), 0, strdup(""), 0);
    check_answer(0, "", 0);
}


static void
test_a_c_string_without_its_nul(void **state)
{
    char           *rsp;
    size_t          usable;
    bridge_task_t  *t;

    (void) state;

    /* filled to the last byte that belongs to it, there is no NUL at all */

    rsp = malloc(24);
    assert_non_null(rsp);
    usable = malloc_usable_size(rsp);
    memset(rsp, 'x', usable);

    ngx_http_lua_ffi_respond(pushed_and_polled("q", 1), 0, rsp, 0);

    t = unit_answers(b);
    assert_non_null(t);
    assert_ptr_equal(t->rsp, rsp);
    assert_int_equal(t->rsp_len, usable);
    bridge_task_free(b, t, true);
}


static void
test_a_negative_length(void **state)
{
    void  *tsk;

    (void) state;

    tsk = pushed_and_polled("q", 1);
    ngx_http_lua_ffi_respond(tsk, 3, copy("abc", 3), -1);
    check_answer(3, NULL, 0);
    check_line("negative length -1");

    ngx_http_lua_ffi_respond(tsk, 3, copy("abc", 3), -1);
    check_line("not a task");
}


static void
test_an_answer_to_no_task(void **state)
{
    size_t         i;
    void          *tsk;

    (void) state;

    tsk = pushed_and_polled("q", 1);
    ngx_http_lua_ffi_respond(tsk, 0, copy("one", 3), 3);
    ngx_http_lua_ffi_respond(tsk, 0, copy("two", 3), 3);
    check_line("answered it twice");
    check_answer(0, "one", 3);

    void *const  bad[] = { NULL, tq, (void *) &tsk, tsk,
                            pointer(UINT64_MAX) };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ngx_http_lua_ffi_respond(bad[i], 0, copy("abc", 3), 3);
        check_line("respond(");
        ngx_http_lua_ffi_respond(bad[i], 0, strdup("abc"), 0);
        check_line("respond(");
        ngx_http_lua_ffi_respond(bad[i], 0, NULL, 0);
        check_line("respond(");
    }
}


static void
test_the_request_of_no_task(void **state)
{
    int            len;
    size_t         i;
    void          *tsk;

    (void) state;

    tsk = pushed_and_polled("q", 1);
    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    check_answer(0, NULL, 0);

    void *const  bad[] = { NULL, tq, (void *) &tsk, tsk,
                            pointer(UINT64_MAX) };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        len = 5;
        assert_null(ngx_http_lua_ffi_get_req(bad[i], &len));
        assert_int_equal(len, 0);
        check_line("get_req(");
        assert_null(ngx_http_lua_ffi_get_req(bad[i], NULL));
        check_line("get_req(");
    }
}


static void *
poll_until_null(void *arg)
{
    void              *tsk;
    _Atomic uint32_t  *answered;

    answered = arg;

    while ((tsk = ngx_http_lua_ffi_task_poll(tq)) != NULL) {
        ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
        atomic_fetch_add(answered, 1);
    }

    return NULL;
}


static void
test_each_poller_gets_its_null(void **state)
{
    int               i;
    uint32_t          back;
    pthread_t         threads[3];
    _Atomic uint32_t  answered;

    (void) state;

    atomic_init(&answered, 0);

    for (i = 0; i < 10; i++) {
        unit_push(b, q, 0);
    }

    for (i = 0; i < 3; i++) {
        threads[i] = unit_thread(poll_until_null, &answered);
    }

    bridge_queue_close(q);

    for (i = 0; i < 3; i++) {
        unit_join(threads[i]);
    }

    back = unit_drain(b);
    assert_int_equal(back, 10);
    assert_int_equal(atomic_load(&answered), 10);
    assert_null(unit_line(b));
}


static void
test_a_poll_after_the_null(void **state)
{
    (void) state;

    bridge_queue_close(q);
    assert_null(ngx_http_lua_ffi_task_poll(tq));
    assert_null(unit_line(b));

    assert_null(ngx_http_lua_ffi_task_poll(tq));
    check_line("polled queue");
}


static void
test_a_poll_of_no_queue(void **state)
{
    size_t       i;
    void *const  bad[] = { NULL, &i, pointer(UINT64_MAX) };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(ngx_http_lua_ffi_task_poll(bad[i]));
        check_line("not a queue");
    }
}


static bridge_task_t *
starting(void)
{
    bridge_task_t  *t;

    t = unit_lent(b, NULL, 0);
    atomic_store(&q->start, bridge_task_handle(t));

    return t;
}


static void
test_a_start_is_reported_once(void **state)
{
    (void) state;

    starting();
    resty_ffi_started(tq, 0, "ignored", 7);
    check_answer(0, NULL, 0);
    assert_int_equal(atomic_load(&q->start), 0);

    resty_ffi_started(tq, 0, NULL, 0);
    check_line("not a runtime that is starting");
    resty_ffi_started(tq, 1, "late", 4);
    check_line("not a runtime that is starting");
}


static void
test_a_failed_start_says_why(void **state)
{
    char  text[] = "why";

    (void) state;

    starting();
    resty_ffi_started(tq, -1, text, 3);
    text[0] = '?';
    check_answer(-1, "why", 3);

    starting();
    resty_ffi_started(tq, 1, NULL, 3);
    check_answer(1, NULL, 0);

    starting();
    resty_ffi_started(tq, 1, text, -1);
    check_answer(1, NULL, 0);
}


static void
test_a_start_of_no_queue(void **state)
{
    bridge_task_t  *t;

    (void) state;

    t = starting();
    resty_ffi_started(NULL, 0, NULL, 0);
    check_line("not a runtime that is starting");
    resty_ffi_started(pointer(bridge_task_handle(t)), 1, "x", 1);
    check_line("not a runtime that is starting");

    resty_ffi_started(tq, 0, NULL, 0);
    check_answer(0, NULL, 0);
}


static _Atomic int  reports;


static void *
report_start(void *arg)
{
    (void) arg;

    resty_ffi_started(tq, 1, "text", 4);
    atomic_fetch_add(&reports, 1);

    return NULL;
}


static void
test_a_start_reported_by_two_threads(void **state)
{
    int        i;
    pthread_t  threads[2];

    (void) state;

    for (i = 0; i < 200; i++) {
        starting();
        threads[0] = unit_thread(report_start, NULL);
        threads[1] = unit_thread(report_start, NULL);
        unit_join(threads[0]);
        unit_join(threads[1]);

        check_answer(1, "text", 4);
        check_line("not a runtime that is starting");
    }
}


static void
test_log_lines(void **state)
{
    bridge_line_t  *line;

    (void) state;

    resty_ffi_log(RESTY_FFI_LOG_INFO, NULL, 4);
    resty_ffi_log(RESTY_FFI_LOG_INFO, "none", 0);
    resty_ffi_log(RESTY_FFI_LOG_INFO, "none", -1);
    resty_ffi_log(RESTY_FFI_LOG_INFO, "a\nbcd", 4);

    line = unit_line(b);
    assert_non_null(line);
    assert_int_equal(line->level, RESTY_FFI_LOG_INFO);
    assert_string_equal(line->text, "a\nbc");
    assert_int_equal(line->task, 0);
    bridge_line_free(b, line);
}


static void
test_what_is_done_for_a_task(void **state)
{
    bridge_line_t  *line;

    (void) state;

    resty_ffi_described(NULL, "none", 4);
    resty_ffi_described(pointer(1), NULL, 4);
    resty_ffi_described(pointer(1), "none", 0);
    resty_ffi_described(pointer(77), "in f\n", 4);

    /* it may have ended by now: nobody checks before it is up */

    line = unit_line(b);
    assert_non_null(line);
    assert_true(line->task == 77);
    assert_string_equal(line->text, "in f");
    bridge_line_free(b, line);
    assert_null(unit_line(b));
}


static void
test_log_lines_of_tasks(void **state)
{
    bridge_task_t  *t;
    bridge_line_t  *line;

    (void) state;

    t = unit_lent(b, NULL, 0);
    resty_ffi_log_of(pointer(bridge_task_handle(t)), RESTY_FFI_LOG_DEBUG,
                     "abc", 2);

    line = unit_line(b);
    assert_non_null(line);
    assert_int_equal(line->level, RESTY_FFI_LOG_DEBUG);
    assert_string_equal(line->text, "ab");
    assert_ptr_equal(bridge_task_find(b, line->task), t);

    /* it may end before its line comes up */

    bridge_task_free(b, t, 0);
    assert_null(bridge_task_find(b, line->task));
    bridge_line_free(b, line);
}


static void
test_the_log_level(void **state)
{
    (void) state;

    atomic_store(&b->log_level, RESTY_FFI_LOG_WARN);
    assert_int_equal(resty_ffi_log_level(), RESTY_FFI_LOG_WARN);
}


static size_t
allocated(void)
{
    struct mallinfo2  m;

    m = mallinfo2();

    return m.uordblks + m.hblkhd;
}


static void
note_fate(void *arg, int delivered)
{
    *(int *) arg = delivered;
}


/* 0, or which of the checks has failed */
static int
act_in_child(void *tsk)
{
    int     len, fate;
    char   *rsp;
    void   *task;
    size_t  before;

    len = 5;
    atomic_store(&unit_notified, 0);
    (void) alarm(60);

    if (ngx_http_lua_ffi_task_poll(tq) != NULL) {
        return 1;
    }

    if (ngx_http_lua_ffi_task_poll(NULL) != NULL) {
        return 2;
    }

    if (ngx_http_lua_ffi_get_req(tsk, &len) != NULL || len != 0) {
        return 3;
    }

    before = allocated();
    rsp = malloc(1000000);

    if (rsp == NULL) {
        return 4;
    }

    ngx_http_lua_ffi_respond(tsk, 0, rsp, 1000000);

    if (allocated() != before) {
        return 5;
    }

    fate = -1;
    resty_ffi_respond_ref(tsk, 0, "x", 1, note_fate, &fate);

    if (fate != 0) {
        return 6;
    }

    /* whose lock another thread may have had at the fork */

    resty_ffi_kick(tq);
    resty_ffi_name(tq, "child");
    resty_ffi_default_timeout(tq, 1);

    if (resty_ffi_poll_batch(tq, &task, 1, -1) != -1
        || resty_ffi_poll_events(tq, &task, 1, 0) != 0
        || resty_ffi_eventfd(tq) != -1
        || resty_ffi_arm(tq) != 1)
    {
        return 9;
    }

    resty_ffi_respond_ref(tsk, 0, "x", 1, NULL, NULL);
    resty_ffi_started(tq, 0, NULL, 0);
    resty_ffi_log(RESTY_FFI_LOG_ERR, "x", 1);

    if (unit_answers(b) || unit_line(b)) {
        return 7;
    }

    return atomic_load(&unit_notified) ? 8 : 0;
}


static void
test_a_forked_child_does_nothing(void **state)
{
    int    status;
    void  *tsk;
    pid_t  pid;

    (void) state;

    tsk = pushed_and_polled("q", 1);
    starting();
    unit_push(b, q, 0);

    pthread_mutex_lock(&q->lock);
    pid = fork();

    if (pid == 0) {
        _exit(act_in_child(tsk));
    }

    pthread_mutex_unlock(&q->lock);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    /* the parent goes on */

    ngx_http_lua_ffi_respond(tsk, 0, copy("yes", 3), 3);
    check_answer(0, "yes", 3);
    resty_ffi_started(tq, 0, NULL, 0);
    check_answer(0, NULL, 0);
    ngx_http_lua_ffi_respond(ngx_http_lua_ffi_task_poll(tq), 0, NULL, 0);
    check_answer(0, NULL, 0);
}


static void
test_who_polls(void **state)
{
    int    tids[3];
    void  *tsk;

    (void) state;

    assert_int_equal(resty_ffi_pollers(tq, tids, 3), 0);

    tsk = pushed_and_polled("q", 1);

    assert_int_equal(resty_ffi_pollers(tq, tids, 0), 0);
    assert_int_equal(resty_ffi_pollers(tq, tids, 3), 1);
    assert_int_equal(tids[0], getpid());
    assert_int_equal(resty_ffi_pollers(NULL, tids, 3), 1);
    assert_int_equal(resty_ffi_pollers(tsk, tids, 3), 0);

    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    check_answer(0, NULL, 0);
}


static void
test_the_method(void **state)
{
    int             len;
    void           *tsk;
    bridge_task_t  *t;

    (void) state;

    t = bridge_task_new(b, "q", 1, "upper", 5);
    assert_non_null(t);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);

    assert_string_equal(resty_ffi_method(tsk, &len), "upper");
    assert_int_equal(len, 5);
    assert_string_equal(resty_ffi_method(tsk, NULL), "upper");

    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    assert_null(resty_ffi_method(tsk, NULL));
    assert_null(resty_ffi_method(tsk, &len));
    assert_int_equal(len, 0);
    check_answer(0, NULL, 0);
}


static _Atomic bool  started;


static void *
say_started(void *arg)
{
    (void) arg;
    atomic_store(&started, true);

    return NULL;
}


static void *
start_for_the_queue(void *arg)
{
    *(int *) arg = resty_ffi_thread(tq, say_started, NULL, 0);

    return NULL;
}


static void
test_threads_that_have_parted(void **state)
{
    int    rc;
    void  *stale;

    (void) state;

    assert_int_equal(resty_ffi_thread(NULL, say_started, NULL, 0), 0);
    unit_until(atomic_load(&started));

    /* for a queue that is none, or not from here */

    stale = pointer(~bridge_queue_handle(q));
    assert_int_equal(resty_ffi_thread(stale, say_started, NULL, 0),
                     EINVAL);

    unit_join(unit_thread(start_for_the_queue, &rc));
    assert_int_equal(rc, EINVAL);

    /* once */

    atomic_store(&started, false);
    assert_int_equal(resty_ffi_thread(tq, say_started, NULL, 0), 0);
    unit_until(atomic_load(&started));
    assert_int_equal(resty_ffi_thread(tq, say_started, NULL, 0),
                     EINVAL);
}


static void
test_a_default_timeout(void **state)
{
    (void) state;

    assert_int_equal(atomic_load(&q->timeout), 0);

    resty_ffi_default_timeout(tq, 60000);
    assert_int_equal(atomic_load(&q->timeout), 60000);

    resty_ffi_default_timeout(tq, -1);
    assert_int_equal(atomic_load(&q->timeout), 0);

    resty_ffi_default_timeout(NULL, 1);
    resty_ffi_default_timeout(pointer(~bridge_queue_handle(q)), 1);
    assert_int_equal(atomic_load(&q->timeout), 0);
}


static void
test_whole_requests(void **state)
{
    (void) state;

    assert_false(atomic_load(&q->whole));

    resty_ffi_buffer_requests(NULL);
    resty_ffi_buffer_requests(pointer(~bridge_queue_handle(q)));
    assert_false(atomic_load(&q->whole));

    resty_ffi_buffer_requests(tq);
    assert_true(atomic_load(&q->whole));
}


static void
test_quiet(void **state)
{
    (void) state;

    resty_ffi_quiet(NULL, 5);
    resty_ffi_quiet(pointer(~bridge_queue_handle(q)), 5);
    assert_int_equal(atomic_load(&q->quiet), 0);

    resty_ffi_quiet(tq, 5);
    assert_int_equal(atomic_load(&q->quiet), 5);

    resty_ffi_quiet(tq, -1);
    assert_int_equal(atomic_load(&q->quiet), 0);
}


static void
test_waits_for_a_lock(void **state)
{
    (void) state;

    resty_ffi_lock_waited(NULL, 5);
    resty_ffi_lock_waited(pointer(~bridge_queue_handle(q)), 5);
    assert_int_equal(atomic_load(&q->locks), 0);

    resty_ffi_lock_waited(tq, 5);
    resty_ffi_lock_waited(tq, 7);
    resty_ffi_lock_waited(tq, -3);
    assert_int_equal(atomic_load(&q->locks), 3);
    assert_int_equal(atomic_load(&q->lock_ns), 12);
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_a_round_trip),
        test(test_who_polls),
        test(test_the_method),
        test(test_a_nil_request_is_no_fault),
        test(test_no_body_whatever_its_length),
        test(test_length_0_means_a_c_string),
        test(test_a_c_string_without_its_nul),
        test(test_a_negative_length),
        test(test_an_answer_to_no_task),
        test(test_the_request_of_no_task),
        test(test_each_poller_gets_its_null),
        test(test_a_poll_after_the_null),
        test(test_a_poll_of_no_queue),
        test(test_a_start_is_reported_once),
        test(test_a_failed_start_says_why),
        test(test_a_start_of_no_queue),
        test(test_a_start_reported_by_two_threads),
        test(test_log_lines),
        test(test_log_lines_of_tasks),
        test(test_the_log_level),
        test(test_what_is_done_for_a_task),
        test(test_a_forked_child_does_nothing),
        test(test_a_default_timeout),
        test(test_whole_requests),
        test(test_quiet),
        test(test_waits_for_a_lock),
        test(test_threads_that_have_parted),
    };

    (void) bridge_host_init(unit_notify, NULL);

    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
