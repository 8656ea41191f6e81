/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * The loader under ThreadSanitizer, with real threads of Python on one side
 * of the real bridge, and this program in nginx's place on the other.
 */

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "end.h"
#include "resty_ffi.h"

#include "abi.h"
#include "events.h"
#include "input.h"
#include "log.h"
#include "queue.h"
#include "send.h"
#include "stream.h"
#include "task.h"
#include "threads.h"
#include "wake.h"


#define MAX_LEN    70000
#define WINDOW     16
#define CALLS      120
#define PATIENCE   60       /* s */

/* a status that no runtime answers with */
#define WHATEVER   INT_MAX


typedef struct {
    const char      *cfg;
    const char      *method;
    int              wanted;    /* status of an answer */
    bool             parts;     /* the request comes in parts */
    bridge_queue_t  *queue;
    bool             started;
    int              rc;        /* of the start */
    unsigned         sent;
    unsigned         open;
} served_t;

typedef struct {
    served_t  *served;      /* NULL: the start of started */
    served_t  *started;
    size_t     len;
    size_t     got;         /* in parts */
    bool       cancelled;
    bool       feeding;     /* request bytes are still to be written */
    size_t     fed;
} wait_t;


static const size_t  lengths[] = { 0, 10, 159, 160, 5000, MAX_LEN };

static char              pattern[MAX_LEN];
static _Atomic uint32_t  notified;
static unsigned          nlines;


static void
notify(void *arg)
{
    (void) arg;
    atomic_fetch_add(&notified, 1);
}


/* whether bytes are those of the answer that come next */
static bool
is_next(wait_t *w, const char *bytes, size_t len)
{
    bool  right;

    right = len <= w->len - w->got
            && memcmp(bytes, pattern + w->got, len) == 0;
    w->got += len;

    return right;
}


static void
end_call(bridge_task_t *t, wait_t *w)
{
    bool  wrong;

    w->served->open--;

    wrong = !w->cancelled && w->served->wanted != WHATEVER
            && (t->rc != w->served->wanted
                || (t->rc == 0
                    && ((t->rsp_len && !is_next(w, t->rsp, t->rsp_len))
                        || w->got != w->len)));

    if (wrong) {
        fail_msg("%s: status %d, %zu bytes of %zu", w->served->cfg, t->rc,
                 w->got, w->len);
    }

    bridge_task_free(bridge_host(), t, !w->cancelled);
}


static void
take_answer(bridge_task_t *t)
{
    wait_t  *w;

    w = t->data;

    if (w->served) {
        end_call(t, w);

    } else {
        w->started->started = true;
        w->started->rc = t->rc;
        bridge_task_free(bridge_host(), t, true);
    }

    free(w);
}


/* writes what there is room for; in odd pieces */
static void
feed(bridge_task_t *t)
{
    int      rc;
    size_t   len;
    wait_t  *w;

    w = t->data;

    while (w->feeding) {
        len = 1 + w->fed * 7 % 4000;
        len = len < w->len - w->fed ? len : w->len - w->fed;

        rc = bridge_stream_write(bridge_host(), t, pattern + w->fed, len);

        if (rc == EAGAIN) {
            return;
        }

        w->fed += len;

        if (rc == EPIPE || w->fed == w->len) {
            w->feeding = false;
            bridge_stream_finish(bridge_host(), t);
        }
    }
}


static void
take_part(bridge_part_t *p)
{
    wait_t         *w;
    bridge_task_t  *t;

    t = bridge_task_find(bridge_host(), p->task);

    if (t) {
        w = t->data;

        if (w->served->wanted != WHATEVER && !w->cancelled
            && !is_next(w, p->bytes, p->len))
        {
            fail_msg("%s: a part that is wrong", w->served->cfg);
        }
    }

    bridge_part_free(bridge_host(), p, t != NULL);
}


static void
drain(void)
{
    bridge_node_t  *n, *next;

    for (n = bridge_take(bridge_host()); n; n = next) {
        next = n->next;

        if (n->kind == BRIDGE_NODE_ANSWER) {
            take_answer((bridge_task_t *) n);

        } else if (n->kind == BRIDGE_NODE_PART) {
            take_part((bridge_part_t *) n);

        } else if (n->kind == BRIDGE_NODE_ROOM) {
            feed(bridge_stream_of_room(n));

        } else if (n->kind == BRIDGE_NODE_LINE) {
            nlines++;
            bridge_line_free(bridge_host(), (bridge_line_t *) n);

        } else {
            (void) bridge_threads_ended(n);
        }
    }
}


static void
drain_until(const bool *flag, const unsigned *count, unsigned wanted)
{
    time_t           end;
    uint32_t         seen;
    struct timespec  ts = { 0, 200000 };

    end = time(NULL) + PATIENCE;

    for ( ;; ) {
        seen = atomic_load(&notified);
        drain();

        if (flag ? *flag : *count <= wanted) {
            return;
        }

        if (atomic_load(&notified) == seen) {
            assert_true(time(NULL) < end);
            nanosleep(&ts, NULL);
        }
    }
}


static wait_t *
wait_new(served_t *served, served_t *started)
{
    wait_t  *w;

    w = calloc(1, sizeof(wait_t));
    assert_non_null(w);

    w->served = served;
    w->started = started;

    return w;
}


static void *
queue_of(const served_t *s)
{
    return (void *) (uintptr_t) bridge_queue_handle(s->queue);
}


static void
begin_load(served_t *s)
{
    char           *cfg;
    bridge_task_t  *start;

    s->started = false;
    s->sent = 0;

    start = bridge_task_new(bridge_host(), NULL, 0, NULL, 0);
    assert_non_null(start);
    start->data = wait_new(NULL, s);
    bridge_task_lend(start);

    s->queue = bridge_queue_new(bridge_host(), 1000);
    assert_non_null(s->queue);
    atomic_store(&s->queue->start, bridge_task_handle(start));

    cfg = strdup(s->cfg);
    assert_non_null(cfg);
    assert_int_equal(libffi_init(cfg, queue_of(s)), 0);
    free(cfg);
}


static void
load(served_t *s)
{
    begin_load(s);
    drain_until(&s->started, NULL, 0);
    assert_int_equal(s->rc, 0);
}


static void
call(served_t *s)
{
    wait_t         *w;
    bridge_task_t  *t;

    w = wait_new(s, NULL);
    w->len = lengths[s->sent % (sizeof(lengths) / sizeof(lengths[0]))];

    t = bridge_task_new(bridge_host(), pattern, s->parts ? 0 : w->len,
                        s->method, strlen(s->method));
    assert_non_null(t);
    t->data = w;

    if (s->parts) {
        w->feeding = true;
        bridge_stream_open(t, 5000, true);
    }

    assert_true(bridge_push(s->queue, t));
    s->sent++;
    s->open++;

    feed(t);

    /* its caller has gone, as soon as it came */

    if (s->sent % 7 == 0) {
        w->cancelled = true;
        bridge_task_cancel(bridge_host(), t);
    }
}


/* no further calls; those that are open are answered */
static void
unload(served_t *s)
{
    int              i;
    struct timespec  ts = { 0, 1000000 };

    bridge_queue_close(s->queue);
    drain_until(NULL, &s->open, 0);

    for (i = 0; !bridge_queue_release(s->queue); i++) {
        assert_true(i < PATIENCE * 1000);
        nanosleep(&ts, NULL);
        drain();
    }
}


static void
call_all(served_t *list, unsigned n)
{
    unsigned  i, j;

    for (i = 0; i < CALLS; i++) {
        for (j = 0; j < n; j++) {
            call(&list[j]);
            drain_until(NULL, &list[j].open, WINDOW);
        }

        if (i % 40 == 0) {
            resty_ffi_report(queue_of(&list[i % n]));
        }
    }
}


static void
run_all(served_t *list, unsigned n)
{
    unsigned  i;

    for (i = 0; i < n; i++) {
        begin_load(&list[i]);
    }

    for (i = 0; i < n; i++) {
        drain_until(&list[i].started, NULL, 0);
        assert_int_equal(list[i].rc, 0);
    }

    call_all(list, n);

    for (i = 0; i < n; i++) {
        unload(&list[i]);
    }
}


static void
test_all_kinds_at_once(void **state)
{
    static served_t  list[] = {
        { .cfg = "apps,plain", .method = "note" },
        { .cfg = "apps,threads", .method = "note" },
        { .cfg = "apps,view", .method = "" },
        { .cfg = "apps,loop", .method = "note" },
        { .cfg = "apps,Pooled", .method = "plain" },
        { .cfg = "apps,Pooled,again", .method = "note" },
        { .cfg = "apps,poll_loops", .method = "x" },
        { .cfg = "apps,fails", .method = "x", .wanted = 1 },
        { .cfg = "apps,Streams", .method = "plain" },
        { .cfg = "apps,Streams,again", .method = "read", .parts = true },
        { .cfg = "apps,StreamThreads", .method = "plain" },
        { .cfg = "apps,StreamThreads,again", .method = "sends" },
        { .cfg = "apps,StreamLoop", .method = "loop", .parts = true },
        { .cfg = "apps,StreamLoop,again", .method = "plain", .parts = true },
        { .cfg = "apps,StreamPool", .method = "plain" },
        { .cfg = "apps,StreamPool,again", .method = "read", .parts = true },
        { .cfg = "apps,StreamPool,more", .method = "loop_read",
          .parts = true },
    };

    (void) state;
    run_all(list, sizeof(list) / sizeof(list[0]));
    assert_true(nlines > 0);
}


static void
test_one_stays_while_others_come_and_go(void **state)
{
    unsigned  i, j, n;
    static served_t  stays = { .cfg = "apps,threads,stays", .method = "note" };
    static served_t  list[] = {
        { .cfg = "apps?,plain,fresh", .method = "note" },
        { .cfg = "apps,loop,again", .method = "note" },
        { .cfg = "apps,poll_loops,again", .method = "" },
        { .cfg = "apps,Streams,go", .method = "plain" },
        { .cfg = "apps,StreamThreads,go", .method = "plain" },
        { .cfg = "apps,StreamLoop,go", .method = "loop" },
        { .cfg = "apps,StreamPool,go", .method = "plain" },
    };

    (void) state;

    n = sizeof(list) / sizeof(list[0]);
    load(&stays);

    for (i = 0; i < 6; i++) {
        for (j = 0; j < n; j++) {
            load(&list[j]);
        }

        for (j = 0; j < WINDOW * 2; j++) {
            call(&stays);
            call(&list[j % n]);
        }

        for (j = 0; j < n; j++) {
            resty_ffi_report(queue_of(&list[j]));
            unload(&list[j]);
        }
    }

    unload(&stays);
}


static void
test_starts_that_fail(void **state)
{
    unsigned  i;
    static served_t  list[] = {
        { .cfg = "apps" },
        { .cfg = "no_such_module,init" },
        { .cfg = "apps,no_such_function" },
        { .cfg = "apps,FFI" },
    };

    (void) state;

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        begin_load(&list[i]);
    }

    for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        drain_until(&list[i].started, NULL, 0);
        assert_int_not_equal(list[i].rc, 0);
        bridge_queue_detach(list[i].queue);
        unload(&list[i]);
    }
}


static _Atomic int  failures;


int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void));


int
__wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void),
    void (*child)(void))
{
    return atomic_fetch_sub(&failures, 1) > 0
           ? ENOMEM : __real_pthread_atfork(prepare, parent, child);
}


/*
 * ThreadSanitizer knows of one table of descriptors: in two of them the same
 * number looks like a race.  So the threads have to share it.
 */

int
__wrap_unshare(int flags)
{
    (void) flags;
    errno = EPERM;
    return -1;
}


int
__wrap_clone(int (*run)(void *), void *stack, int flags, void *arg)
{
    (void) run;
    (void) stack;
    (void) arg;

    return __wrap_unshare(flags);
}


/* some of the first loads are told so, while others try again */
static void
test_memory_runs_out_at_the_first_starts(void **state)
{
    unsigned         i, round, nfailed;
    static served_t  list[8];

    (void) state;

    nfailed = 0;
    atomic_store(&failures, 3);

    for (round = 0; round < 4; round++) {
        for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            list[i] = (served_t) { .cfg = "apps,no_such_function" };
            begin_load(&list[i]);
        }

        for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
            drain_until(&list[i].started, NULL, 0);
            nfailed += list[i].rc != 0;
            bridge_queue_detach(list[i].queue);
            unload(&list[i]);
        }
    }

    assert_int_equal(nfailed, 4 * sizeof(list) / sizeof(list[0]));
    assert_true(atomic_load(&failures) <= 0);
}


static void
test_without_uvloop(void **state)
{
    static served_t  first = { .cfg = "apps,without_uvloop", .method = "x" };
    static served_t  list[] = {
        { .cfg = "apps,loop", .method = "note" },
        { .cfg = "apps,Pooled", .method = "note" },
    };

    (void) state;

    load(&first);
    run_all(list, sizeof(list) / sizeof(list[0]));
    unload(&first);
}


/* as a worker leaves: with calls that nobody waits for */
static void
test_the_end(void **state)
{
    unsigned  i, j, n;
    static served_t  list[] = {
        { .cfg = "apps,plain", .method = "note",
          .wanted = WHATEVER },
        { .cfg = "apps,loop", .method = "note",
          .wanted = WHATEVER },
        { .cfg = "apps,Pooled", .method = "plain",
          .wanted = WHATEVER },
        { .cfg = "apps,Streams", .method = "endless", .wanted = WHATEVER },
        { .cfg = "apps,StreamLoop", .method = "endless_loop",
          .wanted = WHATEVER },
        { .cfg = "apps,StreamPool", .method = "endless",
          .wanted = WHATEVER },
    };

    (void) state;

    n = sizeof(list) / sizeof(list[0]);

    for (i = 0; i < n; i++) {
        load(&list[i]);
    }

    for (j = 0; j < WINDOW; j++) {
        for (i = 0; i < n; i++) {
            call(&list[i]);
        }
    }

    atomic_store(&bridge_host()->exiting, true);

    for (i = 0; i < n; i++) {
        bridge_queue_close(list[i].queue);
        resty_ffi_report(queue_of(&list[i]));
    }

    resty_ffi_exit(2000);
    drain();
}


int
main(void)
{
    int     failed;
    size_t  i;

    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_memory_runs_out_at_the_first_starts),
        cmocka_unit_test(test_starts_that_fail),
        cmocka_unit_test(test_all_kinds_at_once),
        cmocka_unit_test(test_one_stays_while_others_come_and_go),
        cmocka_unit_test(test_without_uvloop),
        cmocka_unit_test(test_the_end),
    };

    for (i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char) ('a' + i % 26);
    }

    bridge_host_init(notify, NULL);

    failed = cmocka_run_group_tests_name("loader", tests, NULL, NULL);

    /* threads of Python run on, and must not see what exit() destroys */

    (void) fflush(NULL);
    _exit(failed ? 1 : 0);
}
