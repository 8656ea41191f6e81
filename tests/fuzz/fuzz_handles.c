/*
 * A runtime that does what it likes with handles, beside a host that behaves:
 * the input is a program of operations of both, on one thread.  The model
 * says what each must come to.
 */

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

#include "resty_ffi.h"

#include "abi.h"
#include "done.h"
#include "threads.h"

#define MAX_GOT   (MAX_TASKS + 1)
#define FAR_AWAY  INT64_MAX


typedef struct {
    const uint8_t *p;
    const uint8_t *end;
} input_t;


static bridge_t  *b;
static model_t   *m;
static input_t    in;


static unsigned
byte(void)
{
    return in.p < in.end ? *in.p++ : 0;
}


static unsigned
below(unsigned n)
{
    return byte() % n;
}


/* mostly small, around the sizes at which the bridge changes its ways */
static size_t
length(void)
{
    static const int  sizes[] = { 0, 1, 31, 32, 159, 160, 161, MAX_BODY };

    unsigned  n;

    n = byte();

    return n < 128 ? n : (size_t) sizes[n % 8];
}


static void *
pointer(uint64_t handle)
{
    return (void *) (uintptr_t) handle;
}


static uint64_t
number(const void *handle)
{
    return (uint64_t) (uintptr_t) handle;
}


/* one that was given out, for either kind; now good or stale */
static uint64_t
given(void)
{
    unsigned  n;

    n = byte();

    if (n % 4 == 0 && m->nqueues) {
        return m->queues[n / 4 % (unsigned) m->nqueues].handle;
    }

    return m->ntasks ? m->tasks[n % (unsigned) m->ntasks].handle : 0;
}


static uint64_t
invented(void)
{
    int       i;
    uint64_t  handle;

    switch (below(4)) {

    case 0:
        return given() ^ UINT64_C(1) << below(64);

    case 1:
        return byte();

    case 2:
        return given() + byte() - 128;

    default:
        for (i = 0, handle = 0; i < 8; i++) {
            handle = handle << 8 | byte();
        }

        return handle;
    }
}


static uint64_t
task_handle(void)
{
    unsigned  n;

    n = byte();

    if (n < 200 && m->ntasks) {
        return m->tasks[n % (unsigned) m->ntasks].handle;
    }

    return n < 220 ? given() : invented();
}


static uint64_t
queue_handle(void)
{
    unsigned  n;

    n = byte();

    if (n < 200 && m->nqueues) {
        return m->queues[n % (unsigned) m->nqueues].handle;
    }

    return n < 220 ? given() : invented();
}


static queue_t *
any_queue(void)
{
    queue_t  *q;

    if (m->nqueues == 0) {
        return NULL;
    }

    q = &m->queues[below((unsigned) m->nqueues)];

    return q->live ? q : NULL;
}


/* ---- the host */

static void
wake(void *arg)
{
    (void) arg;
}


static void
new_queue(void)
{
    queue_t  *q;

    if (m->nqueues == MAX_QUEUES) {
        return;
    }

    q = &m->queues[m->nqueues++];

    *q = (queue_t) { .live = true, .fd = -1, .start = -1,
                     .limit = 1 + below(40), .threads = NAN };
    q->queue = bridge_queue_new(b, q->limit);
    require(q->queue);

    if (below(2)) {
        q->threads = byte();
        q->queue->options[RESTY_FFI_THREADS] = q->threads;
    }

    q->handle = bridge_queue_handle(q->queue);
}


static task_t *
new_task(int queue)
{
    size_t   len, method_len;
    task_t  *t;

    if (m->ntasks == MAX_TASKS) {
        return NULL;
    }

    t = &m->tasks[m->ntasks++];
    *t = (task_t) { .state = QUEUED, .queue = queue };

    t->nil = below(8) == 0;
    len = t->nil ? 0 : length();
    t->req_len = (int) len;
    memset(t->req, (int) byte(), len);

    method_len = length();
    t->method_len = (int) method_len;
    memset(t->method, 'm', method_len);

    t->task = bridge_task_new(b, t->nil ? NULL : t->req, len, t->method,
                              method_len);
    require(t->task);

    t->handle = bridge_task_handle(t->task);

    return t;
}


static void
free_task(task_t *t, bool delivered)
{
    bridge_task_free(b, t->task, delivered);
    t->state = GONE;
    require(t->released == t->has_release);
    require(!t->released || t->delivered == delivered);
}


static void
push(void)
{
    bool      room;
    task_t   *t;
    queue_t  *q;

    q = any_queue();
    t = q ? new_task((int) (q - m->queues)) : NULL;
    if (t == NULL) {
        return;
    }

    t->deadline = (int64_t[]) { 0, 1, FAR_AWAY, FAR_AWAY }[below(4)];
    t->task->deadline = t->deadline;

    room = !q->closed && (uint32_t) q->nwaiting < q->limit;
    require(bridge_push(q->queue, t->task) == room);

    if (!room) {
        free_task(t, false);
        return;
    }

    q->waiting[q->nwaiting++] = (int) (t - m->tasks);
    model_signal(q);
}


static void
start(void)
{
    task_t   *t;
    queue_t  *q;

    q = any_queue();
    if (q == NULL || q->start != -1) {
        return;
    }

    t = new_task(-1);
    if (t == NULL) {
        return;
    }

    bridge_task_lend(t->task);
    t->state = POLLED;
    q->start = (int) (t - m->tasks);
    atomic_store(&q->queue->start, t->handle);
}


static void
cancel(void)
{
    task_t  *t;

    if (m->ntasks == 0) {
        return;
    }

    t = &m->tasks[byte() % (unsigned) m->ntasks];

    if (t->state != GONE && t->queue != -1) {
        bridge_task_cancel(b, t->task);
        model_cancel(m, t);
    }
}


static void
drain(void)
{
    int             i;
    task_t         *t;
    bridge_task_t  *task, *next;

    for (i = 0, task = bridge_done_take(b); task; task = next, i++) {
        next = task->next;

        require(i < m->ndone);
        t = &m->tasks[m->done[i]];

        require(t->task == task && t->state == ANSWERED);
        require(task->dropped == t->dropped);
        require(t->dropped || task->rc == t->rc);
        require((task->rsp != NULL) == t->has_rsp);
        require(task->rsp_len == t->rsp_len);
        require(!t->has_rsp || memcmp(task->rsp, t->rsp, t->rsp_len) == 0);

        free_task(t, !t->cancelled);
    }

    require(i == m->ndone);
    m->ndone = 0;
}


static void
close_queue(queue_t *q)
{
    bridge_queue_close(q->queue);
    q->closed = true;
    q->readable |= q->armed && q->fd != -1;
}


static void
drop(queue_t *q)
{
    int  i, n, ngot, got[MAX_GOT];

    n = q->nwaiting;
    ngot = 0;

    /* one at a time: they are answered in the order of the queue */
    while (q->nwaiting) {
        if (model_pop(m, q, 1, got)) {
            m->tasks[got[0]].dropped = true;
            model_done(m, &m->tasks[got[0]]);
        }
    }

    require(bridge_queue_drop(b, q->queue) == (uint32_t) n);

    for (i = 0; i < ngot; i++) {
        model_done(m, &m->tasks[got[i]]);
    }
}


static void
release_queue(queue_t *q)
{
    bool  gone;

    if (!q->closed) {
        return;
    }

    gone = q->nwaiting == 0
           && (q->fd == -1 || q->told || (q->polled && !q->polled_here));

    require(bridge_queue_release(q->queue) == gone);
    q->live = !gone;
}


static void
take_lines(void)
{
    int             n;
    uint32_t        lost;
    bridge_line_t  *line, *next;

    n = 0;

    for (line = bridge_log_take(b, &lost); line; line = next, n++) {
        next = line->next;
        require(line->text[line->len] == '\0');
        free(line);
    }

    require(n <= BRIDGE_LOG_MAX && (lost == 0 || n == BRIDGE_LOG_MAX));
}


/* ---- the runtime */

static void
poll_batch(void)
{
    int       i, n, max, want, got[MAX_GOT];
    void     *tasks[MAX_GOT];
    queue_t  *q;
    uint64_t  tq;

    tq = queue_handle();
    max = (int[]) { 1, 2, 5, 100, 0, -1, INT_MAX, INT_MIN }[below(8)];

    q = model_queue(m, tq);

    if (max < 1) {
        want = 0;

    } else if (q == NULL) {
        want = -1;

    } else {
        q->polled = q->polled_here = true;
        want = 0;

        while (want == 0 && q->nwaiting) {
            n = q->nwaiting < max ? q->nwaiting : max;
            want = model_pop(m, q, n, got);
        }

        if (want == 0 && q->closed) {
            want = -1;
            q->told = true;
        }
    }

    require(ngx_http_lua_ffi_poll_batch(pointer(tq), tasks, max, 0) == want);

    for (i = 0; i < want; i++) {
        require(number(tasks[i]) == m->tasks[got[i]].handle);
    }
}


static void
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
            q->kicked = false;
        }
    }

    require(number(ngx_http_lua_ffi_task_poll(pointer(tq))) == want);
}


static void *
visit(void *tq)
{
    void  *tasks[1];

    (void) ngx_http_lua_ffi_poll_batch(tq, tasks, 1, 0);

    return NULL;
}


/* by a thread that ends then; only where it gets none */
static void
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
        q->told |= q->closed;
    }

    (void) bridge_threads_ended(b);
    require(pthread_create(&thread, NULL, visit, pointer(tq)) == 0);
    require(pthread_join(thread, NULL) == 0);
    require(bridge_threads_ended(b) == (q && !q->polled_here));
}


static void
look(void)
{
    int          len, *plen, left;
    void        *tsk;
    task_t      *t;
    const char  *text;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    len = -1;
    plen = below(4) ? &len : NULL;

    switch (below(5)) {

    case 0:
        text = ngx_http_lua_ffi_get_req(tsk, plen);
        require((text != NULL) == (t && !t->nil));
        left = text ? t->req_len : 0;
        require(!text || (memcmp(text, t->req, (size_t) left) == 0
                          && text[left] == '\0'));
        break;

    case 1:
        text = ngx_http_lua_ffi_take_req(tsk, plen);
        require((text != NULL) == (t && !t->nil));
        left = text ? t->req_len : 0;
        if (text) {
            require(memcmp(text, t->req, (size_t) left) == 0
                    && text[left] == '\0');
            t->nil = true;
        }
        free((char *) text);
        break;

    case 2:
        text = ngx_http_lua_ffi_method(tsk, plen);
        require((text != NULL) == (t != NULL));
        left = text ? t->method_len : 0;
        require(!text || (memcmp(text, t->method, (size_t) left) == 0
                          && text[left] == '\0'));
        break;

    case 3:
        require(ngx_http_lua_ffi_deadline(tsk) == (t ? t->deadline : 0));
        return;

    default:
        require(ngx_http_lua_ffi_cancelled(tsk) == (!t || t->cancelled));
        return;
    }

    require(plen == NULL || len == left);
}


/* the model's side of an answer, to a task that waits for one or NULL */
static void
answered(task_t *t, int rc, const char *rsp, size_t len)
{
    if (t == NULL) {
        return;
    }

    t->rc = rc;
    t->has_rsp = rsp != NULL;
    t->rsp_len = rsp ? len : 0;
    if (t->rsp_len) {
        memcpy(t->rsp, rsp, len);
    }

    model_done(m, t);
}


static void
respond(void)
{
    int       rc, rsp_len;
    char     *rsp;
    void     *tsk;
    size_t    n, len;
    task_t   *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte() - 128;
    n = length();

    rsp = n ? malloc(n) : NULL;
    if (rsp) {
        memset(rsp, 'r', n);
    }

    rsp_len = (int) n;
    len = n;

    switch (below(4)) {

    case 0:
        /* a C string, which may lack its NUL */
        rsp_len = 0;
        if (rsp && below(2)) {
            len = below((unsigned) n);
            rsp[len] = '\0';
        }
        break;

    case 1:
        rsp_len = (int[]) { -1, INT_MIN }[below(2)];
        answered(t, rc, NULL, 0);
        t = NULL;
        break;

    default:
        break;
    }

    answered(t, rc, rsp, len);
    ngx_http_lua_ffi_respond(tsk, rc, rsp, rsp_len);
}


/* NULL: of an answer that is refused */
static int  refused;

static void
release(void *arg, int delivered)
{
    task_t  *t = arg;

    if (t == NULL) {
        require(delivered == 0);
        refused++;
        return;
    }

    t->released++;
    t->delivered = delivered;
}


static void
respond_ref(void)
{
    static char  body[MAX_BODY];

    int      rc;
    bool     with;
    void    *tsk;
    char    *rsp;
    size_t   n;
    task_t  *t;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte();
    n = length();
    rsp = below(4) ? body : NULL;
    n = rsp ? n : 0;
    with = below(4) != 0;

    if (t) {
        t->has_release = with;
    }

    answered(t, rc, rsp, n);

    refused = 0;
    ngx_http_lua_ffi_respond_ref(tsk, rc, rsp, n, with ? release : NULL, t);
    require(refused == (with && t == NULL));
}


static void
respond_copy(void)
{
    int          rc, left;
    char         body[MAX_BODY];
    void        *tsk;
    size_t       n;
    task_t      *t;
    const char  *rsp;

    tsk = pointer(task_handle());
    t = model_polled(m, number(tsk));
    rc = (int) byte();
    n = length();
    rsp = body;
    memset(body, 'c', n);

    switch (below(8)) {

    case 0:
        rsp = NULL;
        break;

    case 1:
        /* part of the request, whose place the answer may take */
        rsp = ngx_http_lua_ffi_get_req(tsk, &left);
        if (rsp) {
            n = n < (size_t) left ? n : (size_t) left;
            rsp += (size_t) left - n;
        }
        break;

    case 2:
        /* no memory is this large */
        n = SIZE_MAX - below(2);
        answered(t, rc, NULL, 0);
        t = NULL;
        break;

    default:
        break;
    }

    answered(t, rc, rsp, n);
    ngx_http_lua_ffi_respond_copy(tsk, rc, rsp, n);
}


static void
started(void)
{
    int         rc, len;
    void       *tq;
    task_t     *t;
    queue_t    *q;
    const char *err;

    tq = pointer(queue_handle());
    q = model_queue(m, number(tq));
    rc = (int) below(2);
    err = below(4) ? "reason" : NULL;
    len = (int[]) { 6, 1, 0, -1 }[below(4)];

    t = NULL;

    if (q && q->start != -1) {
        t = &m->tasks[q->start];
        t = t->state == POLLED ? t : NULL;
        q->start = -1;
    }

    answered(t, rc, rc && len > 0 ? err : NULL, (size_t) len);
    ngx_http_lua_ffi_started(tq, rc, err, len);
}


static void
poll_cancelled(void)
{
    int       i, j, max, n;
    void     *tasks[MAX_GOT];
    queue_t  *q;
    uint64_t  tq;

    tq = queue_handle();
    max = (int[]) { 0, 1, 100, -1 }[below(4)];
    q = model_queue(m, tq);

    n = ngx_http_lua_ffi_poll_cancelled(pointer(tq), tasks, max);

    if (q == NULL) {
        require(n == 0);
        return;
    }

    q->watched = true;
    require(n == (max < 0 ? 0 : max < q->nnotices ? max : q->nnotices));

    for (i = 0; i < n; i++) {
        for (j = 0; j < q->nnotices; j++) {
            if (m->tasks[q->notices[j]].handle == number(tasks[i])) {
                break;
            }
        }

        require(j < q->nnotices);
        q->notices[j] = q->notices[--q->nnotices];
    }
}


static void
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
        fd = ngx_http_lua_ffi_eventfd(tq);
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
        if (q && q->nwaiting == 0 && !q->closed) {
            q->armed = true;
            armed = !q->kicked;
            q->kicked = false;
        }
        require(ngx_http_lua_ffi_arm(tq) == armed);
        break;

    default:
        ngx_http_lua_ffi_kick(tq);
        if (q) {
            q->kicked = true;
            model_signal(q);
        }
    }
}


static void
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

    switch (below(3)) {

    case 0:
        option = (int) byte() - 128;
        want = q && option == RESTY_FFI_THREADS && !isnan(q->threads)
               ? q->threads : -7;
        got = ngx_http_lua_ffi_option(tq, option, -7);
        require(got == want);
        break;

    case 1:
        n = length();
        name = below(4) ? malloc(n + 1) : NULL;
        if (name) {
            memset(name, 'n', n);
            name[n] = '\0';
        }
        ngx_http_lua_ffi_name(tq, name);
        free(name);
        break;

    default:
        len = (int[]) { 7, 0, -1, INT_MIN }[below(4)];
        ngx_http_lua_ffi_log((int) byte() - 128, below(4) ? "message" : NULL,
                             len);
    }
}


/* ---- the program */

const char *__asan_default_options(void);

/* a length that no memory has is to give NULL, as without the sanitizer */
const char *
__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}



static void
step(void)
{
    queue_t  *q;

    switch (below(16)) {

    case 0:
        new_queue();
        break;

    case 1:
    case 2:
        push();
        break;

    case 3:
        cancel();
        break;

    case 4:
        drain();
        break;

    case 5:
        q = any_queue();
        if (q) {
            switch (below(4)) {
            case 0:
                close_queue(q);
                break;
            case 1:
                drop(q);
                break;
            case 2:
                bridge_queue_forget(q->queue);
                q->told = true;
                break;
            default:
                release_queue(q);
                break;
            }
        }
        break;

    case 6:
        poll_batch();
        break;

    case 7:
        look();
        break;

    case 8:
        respond();
        break;

    case 9:
        respond_ref();
        break;

    case 10:
        respond_copy();
        break;

    case 11:
        poll_cancelled();
        break;

    case 12:
        event_loop();
        break;

    case 13:
        task_poll();
        break;

    case 14:
        if (below(2)) {
            say();
        } else {
            take_lines();
        }
        break;

    default:
        switch (below(4)) {
        case 0:
            start();
            break;
        case 1:
            poll_elsewhere();
            break;
        default:
            started();
        }
    }
}


/* as a worker leaves: everything is given back */
static void
finish(void)
{
    int      i;
    queue_t *q;

    for (i = 0; i < m->nqueues; i++) {
        q = &m->queues[i];

        if (q->live) {
            close_queue(q);
            drop(q);
            bridge_queue_forget(q->queue);
            q->told = true;
        }
    }

    for (i = 0; i < m->ntasks; i++) {
        if (m->tasks[i].state == POLLED) {
            ngx_http_lua_ffi_respond(pointer(m->tasks[i].handle), 0, NULL, 0);
            answered(&m->tasks[i], 0, NULL, 0);
        }
    }

    drain();
    take_lines();

    for (i = 0; i < m->nqueues; i++) {
        if (m->queues[i].live) {
            release_queue(&m->queues[i]);
            require(!m->queues[i].live);
        }
    }

    require(b->live_tasks == 0);
}


/* on a thread of its own, so that the polls of an input end with it */
static void *
run(void *arg)
{
    (void) arg;

    while (in.p < in.end) {
        step();
        model_compare(m, b);
    }

    finish();

    return NULL;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static model_t  model;

    pthread_t  thread;

    if (b == NULL) {
        bridge_host_init(wake, NULL);
        b = bridge_host();
    }

    m = &model;
    m->ntasks = 0;
    m->nqueues = 0;
    m->ndone = 0;

    in = (input_t) { data, data + size };

    require(pthread_create(&thread, NULL, run, NULL) == 0);
    require(pthread_join(thread, NULL) == 0);

    return 0;
}
