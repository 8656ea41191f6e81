/* SPDX-License-Identifier: BSD-2-Clause */

/* The section "web requests" of resty_ffi.h, and how a head comes up. */

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "abi.h"
#include "head.h"
#include "input.h"
#include "send.h"
#include "stream.h"
#include "unit.h"


#define HEADER(name, value)                                                   \
    { name, sizeof(name) - 1, value, sizeof(value) - 1 }


static bridge_queue_t  *q;
static bridge_task_t   *t;
static void            *tq, *tsk;


/* a task that this thread has taken, of the kind that is wanted */
static void
take(bool web)
{
    char  *head;

    if (web) {
        head = strdup("the head");
        t = bridge_task_new_web(b, head, 8);
        assert_non_null(t);

    } else {
        t = unit_task(b, "q", 1);
    }

    bridge_stream_open(t, 0, false);
    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    assert_non_null(tsk);
}


static int
setup(void **state)
{
    (void) state;

    b = bridge_host();
    q = unit_queue(10);
    tq = (void *) (uintptr_t) bridge_queue_handle(q);
    take(true);

    return 0;
}


static void
finish(void)
{
    resty_ffi_respond_copy(tsk, 0, NULL, 0);
    assert_int_equal(unit_drain(b), 1);
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


static bridge_head_t *
head(void)
{
    return (bridge_head_t *) unit_take(b, BRIDGE_NODE_HEAD);
}


static int
send_one(const char *name, size_t name_len, const char *value,
    size_t value_len)
{
    resty_ffi_header_t  h = { name, name_len, value, value_len };

    return resty_ffi_send_head(tsk, 200, &h, 1);
}


static void
test_the_head_of_a_request(void **state)
{
    int    len;
    char  *kept;

    (void) state;

    assert_string_equal((const char *) resty_ffi_head(tsk), "the head");
    assert_ptr_equal(resty_ffi_head(tsk), ngx_http_lua_ffi_get_req(tsk, &len));
    assert_int_equal(len, 8);
    assert_string_equal(resty_ffi_method(tsk, &len), "");
    assert_int_equal(len, 0);

    kept = resty_ffi_take_req(tsk, &len);
    assert_string_equal(kept, "the head");
    assert_null(resty_ffi_head(tsk));
    free(kept);

    finish();
    assert_null(resty_ffi_head(tsk));
    assert_null(resty_ffi_head(NULL));
    assert_null(resty_ffi_head(tq));
}


static void
test_another_task_has_none(void **state)
{
    (void) state;

    finish();
    take(false);

    assert_null(resty_ffi_head(tsk));
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), EINVAL);
    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), 0);
    bridge_part_free(b, (bridge_part_t *) unit_take(b, BRIDGE_NODE_PART),
                     true);
    finish();
}


static void
test_the_head_of_an_answer(void **state)
{
    bridge_head_t       *h;
    resty_ffi_header_t   headers[] = {
        HEADER("X-Mixed", "Value"), HEADER("empty", ""),
        { "null", 4, NULL, 0 },
    };

    (void) state;

    assert_int_equal(resty_ffi_send_head(tsk, 299, headers, 3), 0);
    memset(headers, 0, sizeof(headers));

    h = head();
    assert_non_null(h);
    assert_true(h->task == bridge_task_handle(t));
    assert_int_equal(h->status, 299);
    assert_int_equal(h->nfields, 3);
    assert_string_equal(h->fields[0].name, "X-Mixed");
    assert_int_equal(h->fields[0].name_len, 7);
    assert_string_equal(h->fields[0].lower, "x-mixed");
    assert_string_equal(h->fields[0].value, "Value");
    assert_int_equal(h->fields[0].value_len, 5);
    assert_string_equal(h->fields[1].value, "");
    assert_string_equal(h->fields[2].value, "");
    bridge_head_free(h);

    finish();
}


static void
test_what_comes_first(void **state)
{
    bridge_node_t  *n;

    (void) state;

    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), EINVAL);
    assert_int_equal(resty_ffi_send_copy(tsk, "", 0), EINVAL);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), 0);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), EINVAL);
    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), 0);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), EINVAL);
    resty_ffi_respond_copy(tsk, 0, NULL, 0);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), EPIPE);

    n = bridge_take(b);
    assert_int_equal(n->kind, BRIDGE_NODE_HEAD);
    assert_int_equal(n->next->kind, BRIDGE_NODE_PART);
    assert_int_equal(n->next->next->kind, BRIDGE_NODE_ANSWER);
    assert_null(n->next->next->next);
    bridge_task_free(b, (bridge_task_t *) n->next->next, true);
    bridge_part_free(b, (bridge_part_t *) n->next, true);
    bridge_head_free((bridge_head_t *) n);
}


static void
test_the_next_task_in_its_place(void **state)
{
    (void) state;

    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), 0);
    bridge_head_free(head());
    finish();

    take(true);
    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), EINVAL);
    finish();
}


static void
test_heads_that_are_bad(void **state)
{
    char    *large;
    size_t   i;

    static const int   status[] = { -1, 0, 199, 1000, 65736 };
    static const char  bad[] = "\r\n\0\t \"(),/:;<=>?@[\\]{}\x7f\x80\xff";

    (void) state;

    for (i = 0; i < sizeof(status) / sizeof(status[0]); i++) {
        assert_int_equal(resty_ffi_send_head(tsk, status[i], NULL, 0),
                         EINVAL);
    }

    for (i = 0; i < sizeof(bad) - 1; i++) {
        char  name[] = "a?b";

        name[1] = bad[i];
        assert_int_equal(send_one(name, 3, "v", 1), EINVAL);
    }

    for (i = 0; i < 3; i++) {
        assert_int_equal(send_one("a", 1, &bad[i], 1), EINVAL);
    }

    assert_int_equal(send_one("", 0, "v", 1), EINVAL);
    assert_int_equal(send_one(NULL, 0, "v", 1), EINVAL);
    assert_int_equal(send_one("a", SIZE_MAX, "v", 1), EINVAL);
    assert_int_equal(send_one("a", 1, "v", SIZE_MAX), EINVAL);

    large = malloc(BRIDGE_HEAD_MAX);
    memset(large, 'x', BRIDGE_HEAD_MAX);
    assert_int_equal(send_one("a", 1, large, BRIDGE_HEAD_MAX), EINVAL);
    assert_int_equal(send_one(large, BRIDGE_HEAD_MAX, "v", 1), EINVAL);
    assert_int_equal(send_one("a", 1, large, BRIDGE_HEAD_MAX - 200), 0);
    free(large);
    bridge_head_free(head());

    finish();
}


static void
test_values_that_are_odd(void **state)
{
    static const char  value[] = "\t \x01\x7f\x80\xff";

    (void) state;

    assert_int_equal(send_one("!#$%&'*+-.^_`|~0aZ", 18, value,
                              sizeof(value) - 1), 0);
    bridge_head_free(head());
    finish();
}


static void
test_hints(void **state)
{
    int                  i;
    bridge_head_t       *h;
    resty_ffi_header_t   headers[] = { HEADER("Link", "</a>") };

    (void) state;

    for (i = 0; i < 3; i++) {
        assert_int_equal(resty_ffi_send_head(tsk, 103, headers, 1), 0);
        h = head();
        assert_int_equal(h->status, 103);
        assert_string_equal(h->fields[0].value, "</a>");
        bridge_head_free(h);
    }

    /* a part still needs its head */
    assert_int_equal(resty_ffi_send_copy(tsk, "x", 1), EINVAL);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), 0);
    bridge_head_free(head());
    assert_int_equal(resty_ffi_send_head(tsk, 103, headers, 1), EINVAL);
    finish();
}


static void
test_trailers(void **state)
{
    bridge_head_t       *h;
    resty_ffi_header_t   headers[] = { HEADER("X-Mixed", "Value") };
    resty_ffi_header_t   bad[] = { HEADER("a", "b\r\nc: d") };

    (void) state;

    assert_int_equal(resty_ffi_send_trailers(tsk, headers, 1), EINVAL);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), 0);
    bridge_head_free(head());

    assert_int_equal(resty_ffi_send_trailers(tsk, bad, 1), EINVAL);
    assert_int_equal(resty_ffi_send_trailers(tsk, headers, 1), 0);
    h = head();
    assert_int_equal(h->status, 0);
    assert_int_equal(h->nfields, 1);
    assert_string_equal(h->fields[0].lower, "x-mixed");
    bridge_head_free(h);

    assert_int_equal(resty_ffi_send_trailers(tsk, NULL, 0), 0);
    bridge_head_free(head());

    finish();
    assert_int_equal(resty_ffi_send_trailers(tsk, headers, 1), EPIPE);

    take(false);
    assert_int_equal(resty_ffi_send_trailers(tsk, headers, 1), EINVAL);
    finish();
}


static void
test_a_caller_who_has_gone(void **state)
{
    (void) state;

    bridge_task_cancel(b, t);
    assert_int_equal(resty_ffi_send_head(tsk, 200, NULL, 0), EPIPE);
    assert_null(head());
    finish();
    assert_int_equal(resty_ffi_send_head(NULL, 200, NULL, 0), EPIPE);
}


static void
test_a_forked_child_does_nothing(void **state)
{
    int    status;
    pid_t  pid;

    (void) state;

    pid = fork();
    assert_true(pid >= 0);

    if (pid == 0) {
        _exit(resty_ffi_head(tsk) == NULL
              && resty_ffi_send_head(tsk, 200, NULL, 0) == EPIPE ? 0 : 1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    finish();
}


/* ends the task there was, and has one that goes on in parts */
static void
take_upgradable(bool offered)
{
    finish();

    t = bridge_task_new_web(b, strdup("the head"), 8);
    assert_non_null(t);

    bridge_stream_open(t, 300, true);

    if (offered) {
        bridge_stream_offer_upgrade(t);
    }

    assert_true(bridge_push(q, t));
    tsk = ngx_http_lua_ffi_task_poll(tq);
    assert_non_null(tsk);
}


static void
test_an_upgrade(void **state)
{
    char           *part;
    size_t          len;
    bridge_head_t  *h;

    (void) state;

    assert_false(atomic_load(&q->upgrades));
    resty_ffi_accept_upgrades(tq);
    assert_true(atomic_load(&q->upgrades));

    take_upgradable(true);

    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), 0);
    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), EINVAL);

    h = head();
    assert_int_equal(h->status, 101);
    bridge_head_free(h);

    /* what may be written is not refused then, however long it is */

    assert_int_equal(bridge_stream_may_write(b, t), 0);
    assert_int_equal(bridge_stream_write(b, t, "0123456789", 10), 0);
    assert_int_equal(bridge_stream_may_write(b, t), 0);
    part = calloc(1, 1000);
    assert_int_equal(bridge_stream_write(b, t, part, 1000), 0);
    free(part);
    assert_int_equal(bridge_stream_may_write(b, t), EAGAIN);

    assert_int_equal(resty_ffi_read(tsk, &part, &len), 0);
    assert_int_equal(len, 10);
    free(part);
    assert_int_equal(resty_ffi_read(tsk, &part, &len), 0);
    free(part);
    assert_ptr_equal(bridge_stream_of_room(unit_take(b, BRIDGE_NODE_ROOM)), t);
    assert_int_equal(bridge_stream_may_write(b, t), 0);

    bridge_stream_finish(b, t);
    finish();
}


static void
test_an_upgrade_that_is_not_offered(void **state)
{
    (void) state;

    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), EINVAL);

    take_upgradable(false);
    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), EINVAL);

    take_upgradable(true);
    assert_int_equal(resty_ffi_send_head(tsk, 100, NULL, 0), EINVAL);
    assert_int_equal(resty_ffi_send_head(tsk, 403, NULL, 0), 0);
    bridge_head_free(head());
    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), EINVAL);
    finish();

    /* another one in its place */

    take(true);
    assert_int_equal(resty_ffi_send_head(tsk, 101, NULL, 0), EINVAL);
    finish();
}


static void
test_a_worker_that_leaves(void **state)
{
    void  *tasks[2];

    (void) state;

    assert_int_equal(resty_ffi_poll_events(tq, tasks, 2, 0), 0);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_LEAVING, 0), 0);

    bridge_stream_tell_leaving(b, t);

    assert_int_equal(resty_ffi_poll_events(tq, tasks, 2, 0), 1);
    assert_ptr_equal(tasks[0], tsk);
    assert_int_equal(resty_ffi_poll_events(tq, tasks, 2, 0), 0);

    /* also without a bound, and only who asks for it */

    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_LEAVING, -1),
                     RESTY_FFI_LEAVING);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_WRITABLE, 0),
                     RESTY_FFI_WRITABLE);
    finish();
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_LEAVING, 0),
                     RESTY_FFI_GONE);

    take(true);
    assert_int_equal(resty_ffi_wait(tsk, RESTY_FFI_LEAVING, 0), 0);
    finish();
}


#define test(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest  tests[] = {
        test(test_the_head_of_a_request),
        test(test_another_task_has_none),
        test(test_the_head_of_an_answer),
        test(test_what_comes_first),
        test(test_the_next_task_in_its_place),
        test(test_heads_that_are_bad),
        test(test_values_that_are_odd),
        test(test_hints),
        test(test_trailers),
        test(test_an_upgrade),
        test(test_an_upgrade_that_is_not_offered),
        test(test_a_worker_that_leaves),
        test(test_a_caller_who_has_gone),
        test(test_a_forked_child_does_nothing),
    };

    (void) bridge_host_init(unit_notify, NULL);

    return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
