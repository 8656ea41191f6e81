/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_sema.h"


#define NGX_FFI_LUA_MAX_FREE  4096


static ngx_ffi_lua_sema_t *ngx_ffi_lua_sema_get(void);
static void ngx_ffi_lua_sema_spend(ngx_ffi_lua_sema_t *s);
static void ngx_ffi_lua_sema_sweep(ngx_event_t *ev);
static void ngx_ffi_lua_sema_destroy(ngx_queue_t *semas);
static void ngx_ffi_lua_set_end(ngx_event_t *ev,
    ngx_event_handler_pt handler, ngx_msec_t ms);
static void ngx_ffi_lua_end_waits(ngx_event_t *ev);
static void ngx_ffi_lua_abort_waits(ngx_event_t *ev);
static void ngx_ffi_lua_end_each(const char *why);
static ngx_uint_t ngx_ffi_lua_has_no_client(ngx_http_request_t *r);


static ngx_queue_t   ngx_ffi_lua_used_semas;
static ngx_queue_t   ngx_ffi_lua_free_semas;
static ngx_queue_t   ngx_ffi_lua_spent_semas;
static ngx_uint_t    ngx_ffi_lua_nfree;
static ngx_event_t   ngx_ffi_lua_sweep_event;
static ngx_event_t   ngx_ffi_lua_end_event;
static ngx_event_t   ngx_ffi_lua_abort_event;
static ngx_uint_t    ngx_ffi_lua_ended;
static ngx_uint_t    ngx_ffi_lua_aborted;

static ngx_connection_t  ngx_ffi_lua_no_conn;


ngx_int_t
ngx_ffi_lua_can_wait(lua_State *L, ngx_http_request_t *r, u_char *err,
    size_t *errlen)
{
    ngx_int_t            rc;
    ngx_ffi_lua_sema_t  *s;

    s = ngx_ffi_lua_sema_get();
    if (s == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "no memory") - err;
        return NGX_ERROR;
    }

    /* an empty semaphore that is not waited for: just the phase's check */

    rc = ngx_http_lua_ffi_sema_wait(r, s->sem, 0, err, errlen);

    ngx_ffi_lua_sema_put(s);

    if (rc == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if (!lua_isyieldable(L)) {
        *errlen = ngx_snprintf(err, *errlen,
                               "cannot yield here: inside require, a "
                               "metamethod, a comparison function or "
                               "another C function")
                  - err;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_ffi_lua_sema_t *
ngx_ffi_lua_sema_wait(lua_State *L, ngx_http_request_t *r, ngx_msec_t ms,
    u_char *err, size_t *errlen)
{
    ngx_int_t            rc;
    ngx_ffi_lua_sema_t  *s;

    if (ngx_ffi_lua_waits_ended(r, ms)) {
        *errlen = ngx_snprintf(err, *errlen, "shutting down") - err;
        return NULL;
    }

    if (!lua_isyieldable(L)) {
        (void) ngx_ffi_lua_can_wait(L, r, err, errlen);
        return NULL;
    }

    s = ngx_ffi_lua_sema_get();
    if (s == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "no memory") - err;
        return NULL;
    }

    /* a timer also where there is no deadline: it is what keeps a worker
     * that quits from leaving before the answer */

    if (ms == 0 || ms > NGX_MAX_INT32_VALUE) {
        ms = NGX_MAX_INT32_VALUE;
    }

    rc = ngx_http_lua_ffi_sema_wait(r, s->sem, (int) ms, err, errlen);

    if (rc != NGX_AGAIN) {
        if (rc != NGX_ERROR) {
            *errlen = ngx_snprintf(err, *errlen, "semaphore is not empty")
                      - err;
        }

        ngx_ffi_lua_sema_put(s);
        return NULL;
    }

    s->co = L;
    s->request = r;
    s->ended = NULL;
    s->posted = 0;
    s->taken = 0;
    s->bounded = ms < NGX_MAX_INT32_VALUE;

    return s;
}


ngx_int_t
ngx_ffi_lua_sema_reserve(void)
{
    ngx_ffi_lua_sema_t  *s;

    s = ngx_ffi_lua_sema_get();
    if (s == NULL) {
        return NGX_ERROR;
    }

    ngx_ffi_lua_sema_put(s);

    return NGX_OK;
}


static ngx_ffi_lua_sema_t *
ngx_ffi_lua_sema_get(void)
{
    char                *errmsg;
    ngx_queue_t         *q;
    ngx_ffi_lua_sema_t  *s;

    if (ngx_ffi_lua_used_semas.next == NULL) {
        ngx_queue_init(&ngx_ffi_lua_used_semas);
        ngx_queue_init(&ngx_ffi_lua_free_semas);
        ngx_queue_init(&ngx_ffi_lua_spent_semas);
    }

    if (!ngx_queue_empty(&ngx_ffi_lua_free_semas)) {
        q = ngx_queue_head(&ngx_ffi_lua_free_semas);
        ngx_queue_remove(q);
        ngx_ffi_lua_nfree--;

        s = ngx_queue_data(q, ngx_ffi_lua_sema_t, queue);

    } else {
        s = ngx_calloc(sizeof(ngx_ffi_lua_sema_t), ngx_cycle->log);
        if (s == NULL) {
            return NULL;
        }

        if (ngx_http_lua_ffi_sema_new(&s->sem, 0, &errmsg) != NGX_OK) {
            ngx_free(s);
            return NULL;
        }
    }

    ngx_queue_insert_tail(&ngx_ffi_lua_used_semas, &s->queue);

    return s;
}


void
ngx_ffi_lua_sema_put(ngx_ffi_lua_sema_t *s)
{
    ngx_queue_remove(&s->queue);
    s->co = NULL;

    /*
     * One that was posted in vain would not wait the next time; one that is
     * waited for is needed by the lua module's cleanup.
     */

    if (ngx_http_lua_ffi_sema_count(s->sem) != 0
        || ngx_ffi_lua_nfree == NGX_FFI_LUA_MAX_FREE)
    {
        ngx_ffi_lua_sema_spend(s);
        return;
    }

    ngx_queue_insert_head(&ngx_ffi_lua_free_semas, &s->queue);
    ngx_ffi_lua_nfree++;
}


ngx_int_t
ngx_ffi_lua_sema_resume(ngx_ffi_lua_sema_t *s)
{
    if (s->posted) {
        return NGX_OK;
    }

    if (ngx_http_lua_ffi_sema_count(s->sem) == 0) {
        return NGX_DECLINED;
    }

    /*
     * The semaphore's handler takes one of the two when it resumes the
     * coroutine; the other one can be taken only after that.
     */

    s->posted = 1;
    ngx_http_lua_ffi_sema_post(s->sem, 2);

    return NGX_OK;
}


ngx_uint_t
ngx_ffi_lua_sema_waits(ngx_ffi_lua_sema_t *s)
{
    u_char  err[64];
    size_t  len;

    if (!s->posted) {
        return ngx_http_lua_ffi_sema_count(s->sem) < 0;
    }

    if (!s->taken) {
        len = sizeof(err);
        s->taken = ngx_http_lua_ffi_sema_wait(s->request, s->sem, 0, err,
                                              &len)
                   != NGX_DECLINED;
    }

    return !s->taken;
}


ngx_uint_t
ngx_ffi_lua_sema_raised(lua_State *L, ngx_http_request_t *r)
{
    ngx_queue_t         *q;
    ngx_ffi_lua_sema_t  *s;

    if (ngx_ffi_lua_used_semas.next == NULL) {
        return 0;
    }

    for (q = ngx_queue_head(&ngx_ffi_lua_used_semas);
         q != ngx_queue_sentinel(&ngx_ffi_lua_used_semas);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_ffi_lua_sema_t, queue);

        if (s->co != L || ngx_ffi_lua_sema_left(s)) {
            continue;
        }

        s->request = r;

        if (ngx_ffi_lua_sema_waits(s)) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_ffi_lua_sema_left(ngx_ffi_lua_sema_t *s)
{
    /* what was posted, and nobody has taken */

    return s->taken
           || ngx_http_lua_ffi_sema_count(s->sem) == (s->posted ? 2 : 0);
}


static void
ngx_ffi_lua_sema_spend(ngx_ffi_lua_sema_t *s)
{
    ngx_event_t  *ev;

    ngx_queue_insert_tail(&ngx_ffi_lua_spent_semas, &s->queue);

    ev = &ngx_ffi_lua_sweep_event;

    ev->handler = ngx_ffi_lua_sema_sweep;
    ev->log = ngx_cycle->log;

    /*
     * The semaphore's handler, which may be running, looks at it again: so
     * behind all semaphores that have been posted so far.
     */

    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    ngx_post_event(ev, &ngx_posted_events);
}


static void
ngx_ffi_lua_sema_sweep(ngx_event_t *ev)
{
    (void) ev;

    ngx_ffi_lua_sema_destroy(&ngx_ffi_lua_spent_semas);
}


static void
ngx_ffi_lua_sema_destroy(ngx_queue_t *semas)
{
    ngx_queue_t         *q;
    ngx_ffi_lua_sema_t  *s;

    while (!ngx_queue_empty(semas)) {
        q = ngx_queue_head(semas);
        ngx_queue_remove(q);

        s = ngx_queue_data(q, ngx_ffi_lua_sema_t, queue);

        ngx_http_lua_ffi_sema_gc(s->sem);
        ngx_free(s);
    }
}


void
ngx_ffi_lua_end_waits_after(ngx_msec_t ms)
{
    ngx_ffi_lua_set_end(&ngx_ffi_lua_end_event,
                        ngx_ffi_lua_end_waits, ms);
}


void
ngx_ffi_lua_abort_waits_after(ngx_msec_t ms)
{
    ngx_ffi_lua_set_end(&ngx_ffi_lua_abort_event,
                        ngx_ffi_lua_abort_waits, ms);
}


static void
ngx_ffi_lua_set_end(ngx_event_t *ev, ngx_event_handler_pt handler,
    ngx_msec_t ms)
{
    if (ev->timer_set) {
        return;
    }

    /* debug messages of timers look into a connection */
    ngx_ffi_lua_no_conn.fd = (ngx_socket_t) -1;

    ev->handler = handler;
    ev->data = &ngx_ffi_lua_no_conn;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, ms);
}


static void
ngx_ffi_lua_end_waits(ngx_event_t *ev)
{
    (void) ev;

    ngx_ffi_lua_ended = 1;

    ngx_ffi_lua_end_each("shutting down");
}


static void
ngx_ffi_lua_abort_waits(ngx_event_t *ev)
{
    (void) ev;

    ngx_ffi_lua_aborted = 1;

    ngx_ffi_lua_end_each("aborted");
}


static void
ngx_ffi_lua_end_each(const char *why)
{
    ngx_queue_t         *q;
    ngx_ffi_lua_sema_t  *s;

    if (ngx_ffi_lua_used_semas.next == NULL) {
        return;
    }

    for (q = ngx_queue_head(&ngx_ffi_lua_used_semas);
         q != ngx_queue_sentinel(&ngx_ffi_lua_used_semas);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_ffi_lua_sema_t, queue);

        /* who is resumed already has another reason; who does not wait may
         * have no request any more */

        if (!s->posted
            && ngx_http_lua_ffi_sema_count(s->sem) < 0
            && ngx_ffi_lua_waits_ended(s->request, s->bounded)
            && ngx_ffi_lua_sema_resume(s) == NGX_OK)
        {
            s->ended = why;
        }
    }
}


ngx_uint_t
ngx_ffi_lua_waits_ended(ngx_http_request_t *r, ngx_msec_t ms)
{
    return ngx_ffi_lua_ended
           || (ngx_ffi_lua_aborted
               && ms == 0
               && ngx_ffi_lua_has_no_client(r));
}


/* the lua module makes a request for each timer, on no socket */
static ngx_uint_t
ngx_ffi_lua_has_no_client(ngx_http_request_t *r)
{
    return r->connection->fd == (ngx_socket_t) -1;
}


void
ngx_ffi_lua_semas_exit(void)
{
    if (ngx_ffi_lua_used_semas.next == NULL) {
        return;
    }

    ngx_ffi_lua_sema_destroy(&ngx_ffi_lua_used_semas);
    ngx_ffi_lua_sema_destroy(&ngx_ffi_lua_free_semas);
    ngx_ffi_lua_sema_destroy(&ngx_ffi_lua_spent_semas);

    ngx_ffi_lua_nfree = 0;
}
