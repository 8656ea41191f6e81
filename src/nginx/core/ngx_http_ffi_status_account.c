/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <stdio.h>

#include "ngx_http_ffi_library.h"
#include "ngx_http_ffi_runtimes.h"
#include "ngx_http_ffi_status_account.h"
#include "ngx_http_ffi_status_zone.h"


/* ms between two looks at what is not counted when it happens */
#define NGX_HTTP_FFI_STATUS_LOOK  1000


typedef struct {
    size_t                 len;
    u_char                 name[NGX_HTTP_FFI_STATUS_METHOD];
    ngx_http_ffi_block_t  *block;
} ngx_http_ffi_status_method_t;


/* of all runtimes of a name, until the worker ends */
struct ngx_http_ffi_account_s {
    ngx_queue_t                    queue;
    size_t                         len;
    u_char                         name[NGX_HTTP_FFI_STATUS_RUNTIME];
    ngx_http_ffi_block_t          *other;
    uint64_t                       queued;
    ngx_uint_t                     last;    /* asked for */
    ngx_uint_t                     nmethods;
    ngx_http_ffi_status_method_t   methods[NGX_HTTP_FFI_STATUS_METHODS];
};


static ngx_http_ffi_account_t *ngx_http_ffi_status_account(
    ngx_http_ffi_runtime_t *rt);
static ngx_http_ffi_account_t *ngx_http_ffi_status_account_of(
    ngx_str_t *name);
static void ngx_http_ffi_status_say_full(void);
static ngx_http_ffi_block_t *ngx_http_ffi_status_method(
    ngx_http_ffi_account_t *a, ngx_str_t *method);
static ngx_http_ffi_block_t *ngx_http_ffi_status_new_method(
    ngx_http_ffi_account_t *a, ngx_str_t *method);
static void ngx_http_ffi_status_timer(ngx_event_t *ev);
static void ngx_http_ffi_status_look_at_queues(void);
static void ngx_http_ffi_status_look_at_queue(ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_status_look_at_locks(ngx_http_ffi_runtime_t *rt);
static void ngx_http_ffi_status_look_at_worker(
    ngx_http_ffi_status_worker_t *w);
static void ngx_http_ffi_status_name_worker(ngx_http_ffi_status_worker_t *w);


static ngx_queue_t              ngx_http_ffi_accounts;
static ngx_http_ffi_account_t  *ngx_http_ffi_other;     /* NULL: nothing is
                                                           counted */
static ngx_event_t              ngx_http_ffi_status_event;
static ngx_connection_t         ngx_http_ffi_status_dumb;

static ngx_str_t  ngx_http_ffi_other_name =
    ngx_string(NGX_HTTP_FFI_STATUS_OTHER);


void
ngx_http_ffi_status_start(ngx_shm_zone_t *zone)
{
    ngx_event_t  *ev;

    ngx_http_ffi_status_attach(zone);

    if (ngx_http_ffi_status_zone() == NULL) {
        return;
    }

    ngx_queue_init(&ngx_http_ffi_accounts);

    ngx_http_ffi_other = ngx_http_ffi_status_account_of(
                             &ngx_http_ffi_other_name);

    if (ngx_http_ffi_other == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "FFI017: ffi: "
                      "ffi_status_zone is full: this worker counts "
                      "nothing");
        ngx_http_ffi_status_detach();
        return;
    }

    ngx_http_ffi_released = ngx_http_ffi_status_look_at_locks;

    ngx_http_ffi_status_dumb.fd = (ngx_socket_t) -1;

    ev = &ngx_http_ffi_status_event;

    ev->handler = ngx_http_ffi_status_timer;
    ev->data = &ngx_http_ffi_status_dumb;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_HTTP_FFI_STATUS_LOOK);

    ngx_http_ffi_status_look();
}


void
ngx_http_ffi_status_stop(void)
{
    if (ngx_http_ffi_other) {
        ngx_http_ffi_each_runtime(ngx_http_ffi_status_look_at_locks);
        ngx_http_ffi_released = NULL;
        ngx_http_ffi_other = NULL;
    }

    ngx_http_ffi_status_detach();
}


void
ngx_http_ffi_status_put(ngx_http_ffi_runtime_t *rt, bridge_task_t *t,
    ngx_str_t *method)
{
    ngx_str_t                name;
    uint64_t                 depth;
    ngx_http_ffi_account_t  *a;

    if (ngx_http_ffi_other == NULL) {
        return;
    }

    if (method == NULL) {
        name.data = (u_char *) atomic_load_explicit(&t->method,
                                                    memory_order_relaxed);
        name.len = (size_t) atomic_load_explicit(&t->method_len,
                                                 memory_order_relaxed);
        method = &name;
    }

    a = ngx_http_ffi_status_account(rt);

    ngx_http_ffi_status_begin(t, ngx_http_ffi_status_method(a, method));

    depth = bridge_queue_len(rt->requests) + 1;

    if (depth > ngx_http_ffi_get(&a->other->counts.high_water)) {
        ngx_http_ffi_set(&a->other->counts.high_water, depth);
    }
}


void
ngx_http_ffi_status_refused(ngx_http_ffi_runtime_t *rt, ngx_str_t *method)
{
    ngx_http_ffi_block_t    *b;
    ngx_http_ffi_account_t  *a;

    if (ngx_http_ffi_other == NULL) {
        return;
    }

    a = rt ? ngx_http_ffi_status_account(rt) : ngx_http_ffi_other;
    b = rt ? ngx_http_ffi_status_method(a, method) : a->other;

    ngx_http_ffi_add(&b->counts.outcomes[NGX_HTTP_FFI_CALL_REFUSED], 1);
}


void
ngx_http_ffi_status_reloaded(ngx_http_ffi_runtime_t *rt)
{
    ngx_http_ffi_account_t  *a;

    if (ngx_http_ffi_other) {
        a = ngx_http_ffi_status_account(rt);
        ngx_http_ffi_add(&a->other->counts.reloads, 1);
    }
}


static ngx_http_ffi_account_t *
ngx_http_ffi_status_account(ngx_http_ffi_runtime_t *rt)
{
    ngx_str_t  name;

    if (rt->account == NULL) {
        name = ngx_http_ffi_runtime_name(rt);
        rt->account = ngx_http_ffi_status_account_of(&name);

        if (rt->account == NULL) {
            ngx_http_ffi_status_say_full();
            rt->account = ngx_http_ffi_other;
        }
    }

    return rt->account;
}


/* NULL where there is no room for it */
static ngx_http_ffi_account_t *
ngx_http_ffi_status_account_of(ngx_str_t *name)
{
    size_t                   len;
    ngx_queue_t             *q;
    ngx_http_ffi_block_t    *b;
    ngx_http_ffi_account_t  *a;

    len = ngx_min(name->len, NGX_HTTP_FFI_STATUS_RUNTIME);

    for (q = ngx_queue_head(&ngx_http_ffi_accounts);
         q != ngx_queue_sentinel(&ngx_http_ffi_accounts);
         q = ngx_queue_next(q))
    {
        a = ngx_queue_data(q, ngx_http_ffi_account_t, queue);

        if (a->len == len && ngx_memcmp(a->name, name->data, len) == 0) {
            return a;
        }
    }

    b = ngx_http_ffi_status_block(name, &ngx_http_ffi_other_name);
    if (b == NULL) {
        return NULL;
    }

    a = ngx_calloc(sizeof(ngx_http_ffi_account_t), ngx_cycle->log);
    if (a == NULL) {
        return NULL;
    }

    a->other = b;
    a->len = len;
    ngx_memcpy(a->name, name->data, len);

    ngx_queue_insert_tail(&ngx_http_ffi_accounts, &a->queue);

    return a;
}


/* once in each worker */
static void
ngx_http_ffi_status_say_full(void)
{
    static ngx_uint_t  said;

    if (said) {
        return;
    }

    said = 1;

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "FFI017: ffi: "
                  "ffi_status_zone is full: further runtimes and methods "
                  "count as \"other\"");
}


static ngx_http_ffi_block_t *
ngx_http_ffi_status_method(ngx_http_ffi_account_t *a, ngx_str_t *method)
{
    size_t                         len;
    ngx_uint_t                     i, n;
    ngx_http_ffi_status_method_t  *m;

    len = ngx_min(method->len, NGX_HTTP_FFI_STATUS_METHOD);
    i = a->last;

    for (n = 0; n < a->nmethods; n++) {
        m = &a->methods[i];

        if (m->len == len && ngx_memcmp(m->name, method->data, len) == 0) {
            a->last = i;
            return m->block;
        }

        i = i + 1 < a->nmethods ? i + 1 : 0;
    }

    return ngx_http_ffi_status_new_method(a, method);
}


static ngx_http_ffi_block_t *
ngx_http_ffi_status_new_method(ngx_http_ffi_account_t *a, ngx_str_t *method)
{
    ngx_str_t                      name;
    ngx_http_ffi_status_method_t  *m;

    if (a == ngx_http_ffi_other
        || a->nmethods == NGX_HTTP_FFI_STATUS_METHODS)
    {
        return a->other;
    }

    m = &a->methods[a->nmethods];

    m->len = ngx_min(method->len, NGX_HTTP_FFI_STATUS_METHOD);
    ngx_memcpy(m->name, method->data, m->len);

    name.data = a->name;
    name.len = a->len;

    m->block = ngx_http_ffi_status_block(&name, method);
    if (m->block == NULL) {
        ngx_http_ffi_status_say_full();
        m->block = a->other;
    }

    a->last = a->nmethods++;

    return m->block;
}


static void
ngx_http_ffi_status_timer(ngx_event_t *ev)
{
    ngx_http_ffi_status_look();

    ngx_add_timer(ev, NGX_HTTP_FFI_STATUS_LOOK);
}


void
ngx_http_ffi_status_look(void)
{
    ngx_http_ffi_status_worker_t  *w;

    w = ngx_http_ffi_status_worker();

    if (w == NULL || ngx_http_ffi_other == NULL) {
        return;
    }

    ngx_http_ffi_status_look_at_queues();
    ngx_http_ffi_status_look_at_worker(w);
}


static void
ngx_http_ffi_status_look_at_queues(void)
{
    ngx_queue_t             *q;
    ngx_http_ffi_account_t  *a;

    ngx_http_ffi_each_runtime(ngx_http_ffi_status_look_at_queue);

    for (q = ngx_queue_head(&ngx_http_ffi_accounts);
         q != ngx_queue_sentinel(&ngx_http_ffi_accounts);
         q = ngx_queue_next(q))
    {
        a = ngx_queue_data(q, ngx_http_ffi_account_t, queue);

        ngx_http_ffi_set(&a->other->counts.queued, a->queued);
        a->queued = 0;
    }
}


static void
ngx_http_ffi_status_look_at_queue(ngx_http_ffi_runtime_t *rt)
{
    if (rt->account) {
        rt->account->queued += bridge_queue_len(rt->requests);
        ngx_http_ffi_status_look_at_locks(rt);
    }
}


/* threads of the runtime add to what its queue has, at any time */
static void
ngx_http_ffi_status_look_at_locks(ngx_http_ffi_runtime_t *rt)
{
    uint64_t                locks, us;
    ngx_http_ffi_counts_t  *counts;

    if (rt->account == NULL) {
        return;
    }

    counts = &rt->account->other->counts;

    locks = atomic_load_explicit(&rt->requests->locks, memory_order_relaxed)
            - rt->locks;
    us = (atomic_load_explicit(&rt->requests->lock_ns, memory_order_relaxed)
          - rt->lock_ns)
         / 1000;

    rt->locks += locks;
    rt->lock_ns += us * 1000;

    ngx_http_ffi_add(&counts->locks, locks);
    ngx_http_ffi_add(&counts->lock_us, us);
}


static void
ngx_http_ffi_status_look_at_worker(ngx_http_ffi_status_worker_t *w)
{
    char            text[1024], *p;
    ssize_t         n;
    ngx_fd_t        fd;
    unsigned long   threads, pages;

    if (!w->named) {
        ngx_http_ffi_status_name_worker(w);
    }

    fd = ngx_open_file((u_char *) "/proc/self/stat", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return;
    }

    n = ngx_read_fd(fd, text, sizeof(text) - 1);
    (void) ngx_close_file(fd);

    text[ngx_max(n, 0)] = '\0';

    /* fields 20 and 24; the process's name, in parentheses, is the second */

    p = strrchr(text, ')');

    if (p
        && sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
                  "%*d %*d %*d %*d %lu %*d %*u %*u %lu", &threads, &pages)
           == 2)
    {
        ngx_http_ffi_set(&w->threads, threads);
        ngx_http_ffi_set(&w->resident, (uint64_t) pages * ngx_pagesize);
    }
}


/* what its first runtime runs in */
static void
ngx_http_ffi_status_name_worker(ngx_http_ffi_status_worker_t *w)
{
    const char              *about;
    ngx_queue_t             *q;
    ngx_http_ffi_runtime_t  *rt;

    for (q = ngx_queue_head(&ngx_http_ffi_live);
         q != ngx_queue_sentinel(&ngx_http_ffi_live);
         q = ngx_queue_next(q))
    {
        rt = ngx_queue_data(q, ngx_http_ffi_runtime_t, queue);
        about = ngx_http_ffi_library_about(rt->library);

        if (about) {
            (void) ngx_cpystrn(w->about, (u_char *) about, sizeof(w->about));
            w->named = 1;
            return;
        }
    }
}
