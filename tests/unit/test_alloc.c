/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Each allocation of the bridge fails once, the first, the second and so on,
 * until a scenario needs no more of them.  The linker puts the __wrap_
 * functions in the place of the real ones.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "abi.h"
#include "head.h"
#include "input.h"
#include "send.h"
#include "stream.h"
#include "unit.h"


#define LARGE  500


void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
int __real_eventfd(unsigned int count, int flags);
int __real_pthread_key_create(pthread_key_t *key, void (*end)(void *));
int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void));


/* how many to go; 0: none fails */
static _Atomic int  countdown;
static _Atomic int  failures;

static bridge_queue_t  *q;


static bool
fails(void)
{
    int  n;

    n = atomic_load(&countdown);

    while (n > 0 && !atomic_compare_exchange_weak(&countdown, &n, n - 1)) {
        /* void */
    }

    if (n == 1) {
        atomic_fetch_add(&failures, 1);
    }

    return n == 1;
}


void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}


void *
__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}


int
__wrap_eventfd(unsigned int count, int flags)
{
    if (fails()) {
        errno = ENOMEM;
        return -1;
    }

    return __real_eventfd(count, flags);
}


int
__wrap_pthread_key_create(pthread_key_t *key, void (*end)(void *))
{
    return fails() ? EAGAIN : __real_pthread_key_create(key, end);
}


int
__wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return fails() ? ENOMEM : __real_pthread_setspecific(key, value);
}


int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void))
{
    return fails() ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}


/* whether the next allocation is the one that fails */
static bool
next_fails(void)
{
    return atomic_load(&countdown) == 1;
}


/* runs it until it has passed without a failure; how many it has survived */
static int
each(void (*scenario)(void))
{
    int  n;

    for (n = 1; /* void */ ; n++) {
        atomic_store(&failures, 0);
        atomic_store(&countdown, n);
        scenario();
        atomic_store(&countdown, 0);

        if (atomic_load(&failures) == 0) {
            return n - 1;
        }
    }
}


/* the test's own memory is there */
static void
new_bridge(void)
{
    int  n;

    n = atomic_exchange(&countdown, 0);
    (void) unit_bridge();
    atomic_store(&countdown, n);
}


static void
give_back(void)
{
    unit_queue_end(q);
}


static void
tasks(void)
{
    bool            fail;
    char            text[LARGE];
    bridge_task_t  *t;

    memset(text, 'x', sizeof(text));
    new_bridge();

    /* a chunk, a request, a method: any of them */

    t = bridge_task_new(b, text, LARGE, text, LARGE);
    fail = atomic_load(&failures) == 1;
    assert_true((t == NULL) == fail);

    if (fail) {
        assert_int_equal(b->live_tasks, 0);
        t = bridge_task_new(b, text, LARGE, text, LARGE);
        assert_non_null(t);
    }

    bridge_task_free(b, t, false);
    unit_bridge_free(b);
}


static void
answers(void)
{
    int             len;
    bool            fail;
    char           *taken, text[LARGE];
    uint64_t        h;
    bridge_task_t  *t;

    memset(text, 'x', sizeof(text));

    /* a request for keeps, which nil is not taken for */

    t = unit_lent(b, "abc", 3);
    h = bridge_task_handle(t);

    fail = next_fails();
    taken = bridge_task_take_req(b, h, &len);
    assert_int_equal(len, 3);
    assert_true((taken == NULL) == fail);

    if (fail) {
        taken = bridge_task_take_req(b, h, &len);
        assert_int_equal(len, 3);
    }

    assert_string_equal(taken, "abc");
    free(taken);

    /* an answer that is no success any more, nor taken for one */

    fail = next_fails();
    assert_true(bridge_task_answer_copy(b, h, 0, text, LARGE));
    assert_ptr_equal(unit_answers(b), t);
    assert_int_equal(t->rc, fail ? 1 : 0);
    assert_int_equal(t->rsp_len, fail ? 0 : LARGE);
    assert_true((t->rsp == NULL) == fail);
    bridge_task_free(b, t, true);

    t = unit_lent(b, NULL, 0);
    fail = next_fails();
    assert_true(bridge_task_answer_copy(b, bridge_task_handle(t), 7, text,
                                        LARGE));
    assert_ptr_equal(unit_answers(b), t);
    assert_int_equal(t->rc, 7);
    assert_true((t->rsp == NULL) == fail);
    bridge_task_free(b, t, true);
}


static void
lines(void)
{
    bool            fail;
    bridge_line_t  *line;

    fail = next_fails();
    bridge_log(b, 4, "a line", 6);
    line = unit_line(b);

    assert_int_equal(bridge_lines_lost(b), fail ? 1 : 0);
    assert_true((line == NULL) == fail);

    if (line) {
        bridge_line_free(b, line);
    }

    assert_int_equal(atomic_load(&b->nlines), 0);
}


static void
queues(void)
{
    new_bridge();

    /* a queue, or its cells */

    q = bridge_queue_new(b, 8);
    assert_true((q == NULL) == (atomic_load(&failures) == 1));

    if (q == NULL) {
        q = bridge_queue_new(b, 8);
        assert_non_null(q);
    }

    assert_int_equal(b->nqueues, 1);
    give_back();
    unit_bridge_free(b);
}


static void
event_fds(void)
{
    int       fd;
    bool      fail;
    uint64_t  handle;

    handle = bridge_queue_handle(q);

    fail = next_fails();
    fd = bridge_queue_fd(b, handle);
    assert_true((fd == -1) == fail);

    fd = bridge_queue_fd(b, handle);
    assert_int_not_equal(fd, -1);

    /* as a release does */
    (void) close(atomic_exchange(&q->fd, -1));
    atomic_store(&q->has_loop, false);
}


static void
events(void)
{
    uint64_t        h, told, handle;
    bridge_task_t  *t;

    handle = bridge_queue_handle(q);
    (void) bridge_events_take(b, handle, &told, 1, false);

    t = unit_push(b, q, 1);
    assert_int_equal(bridge_poll(b, handle, &h, 1, 0), 1);

    /* telling needs no memory */

    bridge_task_cancel(b, t);
    assert_true(bridge_task_cancelled(b, h));
    assert_int_equal(bridge_events_take(b, handle, &told, 1, false), 1);

    assert_true(unit_answer(b, h, 0));
    assert_int_equal(unit_drain(b), 1);
    assert_int_equal(bridge_queue_cancelled(q), 0);
}


static void
count_release(void *arg, int delivered)
{
    (void) delivered;
    (*(int *) arg)++;
}


/* a part of the answer, a copy of one, a part of the request and its copy */
static void
streams(void)
{
    int             n, released;
    bool            fail;
    char           *part, text[LARGE];
    size_t          len;
    uint64_t        h;
    bridge_node_t  *node, *next;
    bridge_task_t  *t;

    memset(text, 'x', sizeof(text));
    released = 0;

    t = unit_lent(b, NULL, 0);
    bridge_stream_open(t, 0, true);
    h = bridge_task_handle(t);

    fail = next_fails();
    assert_int_equal(bridge_stream_send(b, h, text, LARGE, false,
                                        count_release, &released),
                     fail ? ENOMEM : 0);
    n = !fail;
    assert_int_equal(released, 0);

    fail = next_fails();
    assert_int_equal(bridge_stream_send(b, h, text, LARGE, true, NULL, NULL),
                     fail ? ENOMEM : 0);
    n += !fail;

    for (node = unit_take(b, BRIDGE_NODE_PART); node; node = next) {
        next = node->next;
        bridge_part_free(b, (bridge_part_t *) node, true);
        n--;
    }

    assert_int_equal(n, 0);
    assert_int_equal(t->stream.unreleased, 0);

    fail = atomic_load(&countdown) == 1 || atomic_load(&countdown) == 2;
    assert_int_equal(bridge_stream_write(b, t, text, LARGE),
                     fail ? ENOMEM : 0);
    assert_int_equal(bridge_stream_read(b, h, &part, &len),
                     fail ? EAGAIN : 0);
    assert_int_equal(len, fail ? 0 : LARGE);
    free(part);

    /* no memory is this large */

    assert_int_equal(bridge_stream_send(b, h, text, SIZE_MAX, true, NULL,
                                        NULL), ENOMEM);

    assert_true(unit_answer(b, h, 0));
    assert_int_equal(unit_drain(b), 1);
}


static void
heads(void)
{
    bool                fail;
    char               *req;
    uint64_t            h;
    bridge_task_t      *t;
    resty_ffi_header_t  header = { "name", 4, "value", 5 };

    req = strdup("the head");
    t = bridge_task_new_web(b, req, 8);
    if (t == NULL) {
        free(req);
        return;
    }

    bridge_task_lend(t);
    bridge_stream_open(t, 0, false);
    h = bridge_task_handle(t);

    fail = next_fails();
    assert_int_equal(bridge_head_send(b, h, 200, &header, 1),
                     fail ? ENOMEM : 0);

    if (fail) {
        assert_int_equal(bridge_head_send(b, h, 200, &header, 1), 0);
    }

    bridge_head_free((bridge_head_t *) unit_take(b, BRIDGE_NODE_HEAD));

    assert_true(unit_answer(b, h, 0));
    assert_int_equal(unit_drain(b), 1);
}


static void *
look_in(void *arg)
{
    uint64_t  h;

    (void) arg;
    assert_int_equal(bridge_poll(b, bridge_queue_handle(q), &h, 1, 0), 0);

    return NULL;
}


/* the key, a note, or where it is kept: the thread seems to live on */
static void
check_thread(void)
{
    uint32_t  left;

    unit_join(unit_thread(look_in, NULL));
    left = atomic_load(&failures);

    assert_int_equal(bridge_queue_threads(q), left);
    assert_int_equal(bridge_threads_alive(b), 0);
    assert_int_equal(unit_orphans(b), left == 0);
    assert_true(bridge_queue_orphaned(q) == (left == 0));
}


static void
threads(void)
{
    int  n;

    new_bridge();
    n = atomic_exchange(&countdown, 0);
    q = unit_queue(8);
    atomic_store(&countdown, n);

    check_thread();
    give_back();
    unit_bridge_free(b);
}


static void
hosts(void)
{
    bool            fail;
    void           *tq;
    bridge_task_t  *start;

    b = bridge_host();

    start = unit_lent(b, NULL, 0);
    atomic_store(&q->start, bridge_task_handle(start));
    tq = (void *) (uintptr_t) bridge_queue_handle(q);

    /* the reason is lost, the failure is not */

    fail = next_fails();
    resty_ffi_started(tq, 3, "why", 3);
    assert_ptr_equal(unit_answers(b), start);
    assert_int_equal(start->rc, 3);
    assert_true((start->rsp == NULL) == fail);
    bridge_task_free(b, start, false);

    assert_null(unit_line(b));
    assert_int_equal(bridge_lines_lost(b), 0);
}


static void
test_tasks(void **state)
{
    (void) state;
    assert_int_equal(each(tasks), 3);
}


static void
test_queues(void **state)
{
    (void) state;
    assert_int_equal(each(queues), 2);
}


static void
test_threads(void **state)
{
    (void) state;
    assert_int_equal(each(threads), 2);
}


/* of a bridge that has a task and a queue already */
static void
test_the_rest(void **state)
{
    (void) state;

    new_bridge();
    q = unit_queue(8);

    bridge_task_free(b, unit_task(b, NULL, 0), false);
    assert_int_equal(each(answers), 3);
    assert_int_equal(each(streams), 4);
    assert_int_equal(each(heads), 1);
    assert_int_equal(each(lines), 1);
    assert_int_equal(each(event_fds), 1);

    /* this thread is one of those that have polled */
    look_in(NULL);
    assert_int_equal(each(events), 0);

    give_back();
    unit_bridge_free(b);
}


static void
test_host(void **state)
{
    (void) state;

    atomic_store(&countdown, 1);
    assert_false(bridge_host_init(unit_notify, NULL));
    assert_true(bridge_host_init(unit_notify, NULL));

    /* once is enough */
    atomic_store(&countdown, 1);
    assert_true(bridge_host_init(unit_notify, NULL));
    atomic_store(&countdown, 0);

    b = bridge_host();
    q = unit_queue(8);
    bridge_task_free(b, unit_task(b, NULL, 0), false);

    assert_int_equal(each(hosts), 1);
    give_back();
}


/* a process has one key, or none for ever */
static void
test_no_key(void **state)
{
    int    status;
    pid_t  pid;

    (void) state;

    pid = fork();
    assert_int_not_equal(pid, -1);

    if (pid == 0) {
        new_bridge();
        q = bridge_queue_new(b, 8);
        atomic_store(&countdown, 1);
        check_thread();
        _exit(atomic_load(&failures) == 1 ? 0 : 1);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_no_key),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_queues),
        cmocka_unit_test(test_the_rest),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_host),
    };

    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
