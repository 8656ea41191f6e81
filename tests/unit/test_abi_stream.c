/* SPDX-License-Identifier: BSD-2-Clause */

/* The section "streams" of resty_ffi.h, as a runtime in C uses it. */

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "abi.h"
#include "input.h"
#include "send.h"
#include "stream.h"
#include "unit.h"


#define HIGH  1000


static bridge_queue_t  *q;
static bridge_task_t   *t;
static void            *tq, *tsk;
static int              released, delivered;


static int
setup(void **state)
{
    (void) state;

    b = bridge_host();
    q = unit_queue(10);
    tq = (void *) (uintptr_t) bridge_queue_handle(q);
    released = delivered = 0;

    t = unit_task(b, "q", 1);
    bridge_stream_open(t, HIGH, true);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    assert_non_null(tsk);

    return 0;
}


static int
teardown(void **state)
{
    (void) state;

    unit_queue_end(q);
    assert_int_equal(b->live_tasks, 0);
    assert_null(bridge_take(b));

    return 0;
}


static void
release(void *arg, int was_delivered)
{
    assert_ptr_equal(arg, &released);
    released++;
    delivered += was_delivered;
}


static void
free_parts(uint32_t n)
{
    bridge_node_t  *node, *next;

    for (node = unit_take(b, BRIDGE_NODE_PART); node; node = next) {
        next = node->next;
        bridge_part_free(b, (bridge_part_t *) node, true);
        n--;
    }

    assert_int_equal(n, 0);
}


static void
end(void)
{
    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    assert_int_equal(unit_drain(b), 1);
}


static void
test_an_answer_in_parts(void **state)
{
    void  *told;

    (void) state;

    assert_int_equal(resty_ffi_poll_events(tq, &told, 1, 0), 0);
    assert_int_equal(resty_ffi_send(tsk, "ab", 2, release, &released), 0);
    assert_int_equal(resty_ffi_send(tsk, "c", 1, NULL, NULL), 0);
    assert_int_equal(resty_ffi_send_copy(tsk, "def", 3), 0);
    assert_int_equal(resty_ffi_send(tsk, NULL, 0, release, &released), 0);
    assert_int_equal(resty_ffi_send_copy(tsk, NULL, 0), 0);
    assert_int_equal(released, 1);
    assert_int_equal(resty_ffi_send(tsk, "x", HIGH, NULL, NULL), 0);

    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, 0), 0);
    assert_int_equal(resty_ffi_send_copy(tsk, "g", 1), EAGAIN);
    assert_int_equal(resty_ffi_send(tsk, "h", 1, release, &released),
                     EAGAIN);
    assert_int_equal(resty_ffi_poll_events(tq, &told, 1, 0), 0);

    free_parts(4);
    assert_int_equal(released, 2);
    assert_int_equal(delivered, 2);

    assert_int_equal(resty_ffi_poll_events(tq, &told, 1, 0), 1);
    assert_ptr_equal(told, tsk);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, -1),
                     RESTY_FFI_WRITABLE);
    assert_int_equal(resty_ffi_send_copy(tsk, "g", 1), 0);
    free_parts(1);
    end();
}


static void
test_a_request_in_parts(void **state)
{
    char    *part;
    void    *told;
    size_t   len;

    (void) state;

    assert_int_equal(resty_ffi_has_parts(tsk), 1);
    assert_string_equal(ngx_http_lua_ffi_get_req(tsk, NULL), "q");
    assert_int_equal(resty_ffi_read(tsk, &part, &len), EAGAIN);
    assert_null(part);

    assert_int_equal(bridge_stream_write(b, t, "abc", 3), 0);
    assert_int_equal(resty_ffi_poll_events(tq, &told, 1, 1), 1);
    assert_ptr_equal(told, tsk);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_READABLE, -1),
                     RESTY_FFI_READABLE);
    assert_int_equal(resty_ffi_read(tsk, &part, &len), 0);
    assert_int_equal(len, 3);
    assert_string_equal(part, "abc");
    free(part);

    bridge_stream_finish(b, t);
    assert_int_equal(resty_ffi_read(tsk, &part, &len), 0);
    assert_null(part);
    assert_int_equal(len, 0);
    end();
}


static void
check_nothing_can_be_done(void *task)
{
    char    *part;
    size_t   len;

    assert_int_equal(resty_ffi_send(task, "x", 1, release, &released),
                     EPIPE);
    assert_int_equal(resty_ffi_send_copy(task, "x", 1), EPIPE);
    assert_int_equal(resty_ffi_read(task, &part, &len), EPIPE);
    assert_null(part);
    assert_int_equal(resty_ffi_wait(task, RESTY_FFI_WRITABLE
                                    | RESTY_FFI_READABLE, -1),
                     RESTY_FFI_GONE);
    assert_int_equal(released, 0);
}


static void
test_a_caller_who_has_gone(void **state)
{
    (void) state;

    bridge_task_cancel(b, t);
    check_nothing_can_be_done(tsk);
    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);
    check_nothing_can_be_done(tsk);
    assert_int_equal(unit_drain(b), 1);
    check_nothing_can_be_done(tsk);
    check_nothing_can_be_done(tq);
    check_nothing_can_be_done(NULL);
    assert_int_equal(resty_ffi_has_parts(tsk), 0);
    assert_int_equal(resty_ffi_has_parts(tq), 0);
    assert_int_equal(resty_ffi_has_parts(NULL), 0);
}


/* 0, or which of the checks has failed */
static int
act_in_child(void)
{
    char    *part;
    void    *told;
    size_t   len;

    (void) alarm(60);

    if (resty_ffi_send(tsk, "x", 1, release, &released) != EPIPE) {
        return 1;
    }

    if (resty_ffi_send_copy(tsk, "x", 1) != EPIPE) {
        return 2;
    }

    if (resty_ffi_read(tsk, &part, &len) != EPIPE || part || len) {
        return 3;
    }

    if (resty_ffi_has_parts(tsk) != 0) {
        return 4;
    }

    if (resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, -1) != RESTY_FFI_GONE) {
        return 5;
    }

    if (resty_ffi_poll_events(tq, &told, 1, 1) != 0) {
        return 6;
    }

    ngx_http_lua_ffi_respond(tsk, 0, NULL, 0);

    return released || bridge_take(b) ? 7 : 0;
}


/* another thread of the parent may have had the locks at the fork */
static void
test_a_forked_child_does_nothing(void **state)
{
    int    status;
    pid_t  pid;

    (void) state;

    assert_int_equal(bridge_stream_write(b, t, "abc", 3), 0);

    pthread_mutex_lock(&q->lock);
    pthread_mutex_lock(&t->stream.lock);
    pid = fork();

    if (pid == 0) {
        _exit(act_in_child());
    }

    pthread_mutex_unlock(&t->stream.lock);
    pthread_mutex_unlock(&q->lock);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    end();
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_an_answer_in_parts),
        test(test_a_request_in_parts),
        test(test_a_caller_who_has_gone),
        test(test_a_forked_child_does_nothing),
    };

    (void) bridge_host_init(unit_notify, NULL);

    return cmocka_run_group_tests_name("abi_stream", tests, NULL, NULL);
}
