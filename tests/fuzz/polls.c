/* SPDX-License-Identifier: BSD-2-Clause */

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "events.h"
#include "program.h"


/* a poll has returned -1: other loops on the eventfd are to hear of it */
static void
pass_on(queue_t *q)
{
    q->readable |= q->fd != -1;
}


void
poll_batch(void)
{
    int       i, n, max, want, got[MAX_GOT];
    void     *tasks[MAX_GOT];
    queue_t  *q;
    uint64_t  tq;

    tq = queue_handle();
    max = (int[]) { 1, 2, 5, 100, 0, -1, INT_MAX, INT_MIN }[below(8)];

    q = model_queue(m, tq);

    if (max < 0) {
        want = 0;

    } else if (q == NULL) {
        want = -1;

    } else {
        q->polled = q->polled_here = true;
        want = 0;

        while (want == 0 && max && q->nwaiting) {
            n = q->nwaiting < max ? q->nwaiting : max;
            want = model_pop(m, q, n, got);
        }

        if (want == 0 && q->nwaiting == 0 && q->closed) {
            want = -1;
            q->told = true;
            pass_on(q);
        }
    }

    require(resty_ffi_poll_batch(pointer(tq), tasks, max, 0) == want);

    for (i = 0; i < want; i++) {
        require(number(tasks[i]) == m->tasks[got[i]].handle);
    }
}


void
task_poll(void)
{
    int       got[MAX_GOT];
    bool      any;
    queue_t  *q;
    uint64_t  tq, want;

    tq = queue_handle();
    q = model_queue(m, tq);
    want = 0;

    if (q) {
        any = false;

        for (int i = 0; i < q->nwaiting; i++) {
            any |= !m->tasks[q->waiting[i]].cancelled
                   && m->tasks[q->waiting[i]].deadline != 1;
        }

        /* it would sleep */
        if (!any && !q->closed) {
            return;
        }

        q->polled = q->polled_here = true;

        while (q->nwaiting && want == 0) {
            if (model_pop(m, q, 1, got)) {
                want = m->tasks[got[0]].handle;
            }
        }

        if (want == 0) {
            q->told = true;
            pass_on(q);
        }
    }

    require(number(ngx_http_lua_ffi_task_poll(pointer(tq))) == want);
}


static void *
visit(void *tq)
{
    void  *tasks[1];

    (void) resty_ffi_poll_batch(tq, tasks, 1, 0);

    return NULL;
}


void
poll_elsewhere(void)
{
    queue_t   *q;
    uint64_t   tq;
    pthread_t  thread;

    tq = queue_handle();
    q = model_queue(m, tq);

    if (q) {
        if (q->nwaiting) {
            return;
        }

        q->polled = true;
        if (q->closed) {
            pass_on(q);
        }
    }

    (void) drain();
    require(pthread_create(&thread, NULL, visit, pointer(tq)) == 0);
    require(pthread_join(thread, NULL) == 0);
    require(drain() == (q && !q->polled_here));
}


void
poll_events(void)
{
    int       i, max, n;
    void     *tasks[MAX_GOT];
    queue_t  *q;
    uint64_t  tq;

    tq = queue_handle();
    max = (int[]) { 0, 1, 100, -1 }[below(4)];
    q = model_queue(m, tq);

    n = resty_ffi_poll_events(pointer(tq), tasks, max, max & 1);

    if (q == NULL) {
        require(n == 0);
        return;
    }

    q->watch = max & 1 ? BRIDGE_WATCH_OWN : BRIDGE_WATCH_ANY;
    require(n == (max < 0 ? 0 : max < q->nevents ? max : q->nevents));

    for (i = 0; i < n; i++) {
        require(number(tasks[i]) == m->tasks[q->events[i]].handle);
        m->tasks[q->events[i]].in_events = false;
    }

    q->nevents -= n;
    memmove(q->events, q->events + n, (size_t) q->nevents * sizeof(int));
    q->kicked |= q->watch == BRIDGE_WATCH_ANY && q->nevents;
}


void
event_loop(void)
{
    int       fd, armed;
    void     *tq;
    queue_t  *q;
    uint64_t  count;

    tq = pointer(queue_handle());
    q = model_queue(m, number(tq));

    switch (below(3)) {

    case 0:
        fd = resty_ffi_eventfd(tq);
        require((fd >= 0) == (q != NULL));
        if (q) {
            require(q->fd == -1 || q->fd == fd);
            q->fd = fd;
            require((read(fd, &count, sizeof(count)) > 0) == q->readable);
            q->readable = false;
        }
        break;

    case 1:
        armed = 0;
        if (q) {
            q->readable = false;
        }
        if (q && q->nwaiting == 0 && !q->closed) {
            armed = !q->kicked;
            q->armed |= armed;
            q->kicked = false;
        }
        require(resty_ffi_arm(tq) == armed);
        break;

    default:
        resty_ffi_kick(tq);
        if (q) {
            model_kick(q);
        }
    }
}


void
say(void)
{
    int          option, len;
    void        *tq;
    char        *name;
    size_t       n;
    double       got, want;
    queue_t     *q;

    tq = pointer(queue_handle());
    q = model_queue(m, number(tq));

    switch (below(4)) {

    case 0:
        option = (int) byte() - 128;
        want = q && option == RESTY_FFI_THREADS && !isnan(q->threads)
               ? q->threads : -7;
        got = resty_ffi_option(tq, option, -7);
        require(got == want);
        break;

    case 1:
        n = length();
        name = below(4) ? malloc(n + 1) : NULL;
        if (name) {
            memset(name, 'n', n);
            name[n] = '\0';
        }
        resty_ffi_name(tq, name);
        free(name);
        break;

    case 2:
        len = (int[]) { 60000, 0, -1, INT_MIN }[below(4)];
        resty_ffi_default_timeout(tq, len);
        require(q == NULL
                || atomic_load(&q->queue->timeout) == (len > 0 ? len : 0));
        resty_ffi_buffer_requests(tq);
        require(q == NULL || atomic_load(&q->queue->whole));
        break;

    default:
        len = (int[]) { 7, 0, -1, INT_MIN }[below(4)];
        resty_ffi_log((int) byte() - 128, below(4) ? "message" : NULL,
                      len);
    }
}
