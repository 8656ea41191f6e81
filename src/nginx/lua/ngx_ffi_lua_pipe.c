/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_ffi_lua_conf.h"
#include "ngx_ffi_lua_deadline.h"
#include "ngx_ffi_lua_host.h"
#include "ngx_ffi_lua_pipe.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_status_block.h"


static ngx_ffi_lua_pipe_t *ngx_ffi_lua_new_pipe(ngx_http_request_t *r);
static void ngx_ffi_lua_pipe_cleanup(void *data);
static void ngx_ffi_lua_pipe_arrived(ngx_ffi_lua_stream_t *s);
static void ngx_ffi_lua_pipe_detach(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_post(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_event(ngx_event_t *ev);
static void ngx_ffi_lua_pipe_write_handler(ngx_http_request_t *r);
static void ngx_ffi_lua_pipe_read_handler(ngx_http_request_t *r);
static void ngx_ffi_lua_pipe_take_handlers(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_put_handlers(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_send(ngx_ffi_lua_pipe_t *p);
static ngx_int_t ngx_ffi_lua_pipe_fetch(ngx_ffi_lua_pipe_t *p);
static ngx_int_t ngx_ffi_lua_pipe_end(ngx_ffi_lua_pipe_t *p);
static ngx_int_t ngx_ffi_lua_pipe_wait(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_timer(ngx_event_t *ev);
static ngx_uint_t ngx_ffi_lua_pipe_is_lost(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_resume(ngx_ffi_lua_pipe_t *p);
static ngx_uint_t ngx_ffi_lua_is_captured(ngx_http_request_t *r);
static void ngx_ffi_lua_pipe_leave(ngx_ffi_lua_pipe_t *p);
static void ngx_ffi_lua_pipe_close(ngx_ffi_lua_pipe_t *p, const char *why);


ngx_ffi_lua_pipe_t *
ngx_ffi_lua_get_pipe(ngx_http_request_t *r, ngx_uint_t create)
{
    ngx_ffi_lua_pipe_t  *p;

    p = ngx_http_get_module_ctx(r, ngx_http_lua_ffi_filter_module);

    if (p == NULL && create) {
        p = ngx_ffi_lua_new_pipe(r);
    }

    return p;
}


static ngx_ffi_lua_pipe_t *
ngx_ffi_lua_new_pipe(ngx_http_request_t *r)
{
    ngx_ffi_lua_pipe_t  *p;
    ngx_http_cleanup_t  *cln;

    p = ngx_pcalloc(r->pool, sizeof(ngx_ffi_lua_pipe_t));
    cln = ngx_http_cleanup_add(r, 0);

    if (p == NULL
        || cln == NULL
        || ngx_http_ffi_outlet_init(&p->outlet, r) != NGX_OK)
    {
        return NULL;
    }

    p->event.data = p;
    p->event.handler = ngx_ffi_lua_pipe_event;
    p->event.log = r->connection->log;

    p->bounds.outlet = &p->outlet;
    p->bounds.timer.data = p;
    p->bounds.timer.handler = ngx_ffi_lua_pipe_timer;
    p->bounds.timer.log = r->connection->log;

    cln->handler = ngx_ffi_lua_pipe_cleanup;
    cln->data = p;

    ngx_http_set_ctx(r, p, ngx_http_lua_ffi_filter_module);

    return p;
}


static void
ngx_ffi_lua_pipe_cleanup(void *data)
{
    ngx_ffi_lua_pipe_t  *p;

    p = data;

    ngx_ffi_lua_pipe_close(p, "the request has ended");
    ngx_ffi_lua_pipe_forget(p);

    if (p->event.posted) {
        ngx_delete_posted_event((&p->event));
    }
}


void
ngx_ffi_lua_pipe_forget(ngx_ffi_lua_pipe_t *p)
{
    if (p->sema) {
        ngx_ffi_lua_sema_put(p->sema);
        p->sema = NULL;
    }

    if (p->error) {
        bridge_task_free(bridge_host(), p->error, 0);
        p->error = NULL;
    }
}


ngx_uint_t
ngx_ffi_lua_pipe_run(ngx_ffi_lua_pipe_t *p, ngx_ffi_lua_stream_t *s)
{
    int64_t  left;

    p->stream = s;
    p->failed = NULL;
    p->bounds.read_timeout = s->read_timeout;
    p->bounds.deadline = 0;
    p->running = 1;
    p->complete = 0;

    p->outlet.bytes = 0;

    if (s->task && s->task->deadline) {
        left = s->task->deadline - ngx_ffi_lua_now();
        p->bounds.deadline = ngx_current_msec
                             + (ngx_msec_t) ngx_max(left, 0);
    }

    s->arrived = ngx_ffi_lua_pipe_arrived;
    s->arrived_data = p;

    ngx_ffi_lua_pipe_send(p);

    return p->running;
}


/* once it is closed the stream may go at any time */
static void
ngx_ffi_lua_pipe_arrived(ngx_ffi_lua_stream_t *s)
{
    ngx_ffi_lua_pipe_t  *p;

    p = s->arrived_data;

    if (s->task == NULL) {
        p->failed = s->closed ? s->closed : "closed";
        ngx_ffi_lua_pipe_detach(p);
    }

    ngx_ffi_lua_pipe_post(p);
}


static void
ngx_ffi_lua_pipe_detach(ngx_ffi_lua_pipe_t *p)
{
    p->stream->arrived = NULL;
    p->stream->arrived_data = NULL;
    p->stream = NULL;
}


/* what comes in one turn of the event loop is sent together */
static void
ngx_ffi_lua_pipe_post(ngx_ffi_lua_pipe_t *p)
{
    if (!p->event.posted) {
        ngx_post_event((&p->event), &ngx_posted_events);
    }
}


static void
ngx_ffi_lua_pipe_event(ngx_event_t *ev)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;
    ngx_ffi_lua_pipe_t  *p;

    p = ev->data;
    r = p->outlet.request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (p->lost) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else {
        ngx_ffi_lua_pipe_send(p);
    }

    ngx_http_run_posted_requests(c);
}


/*
 * The lua module sets and calls the request's handler whenever it resumes
 * another light thread.  So that one is called, too, and ours is put before
 * it again.
 */
static void
ngx_ffi_lua_pipe_write_handler(ngx_http_request_t *r)
{
    ngx_ffi_lua_pipe_t         *p;
    ngx_http_event_handler_pt   handler;

    p = ngx_ffi_lua_get_pipe(r, 0);
    if (p == NULL) {
        return;
    }

    handler = p->handler;

    ngx_ffi_lua_pipe_send(p);

    if (!p->lost) {
        handler(r);
    }
}


/* HTTP/2 tells of the end of a stream here, and nowhere else */
static void
ngx_ffi_lua_pipe_read_handler(ngx_http_request_t *r)
{
    ngx_ffi_lua_pipe_t  *p;

    ngx_http_block_reading(r);

    p = ngx_ffi_lua_get_pipe(r, 0);

    if (p && r->connection->error) {
        ngx_ffi_lua_pipe_send(p);
    }
}


static void
ngx_ffi_lua_pipe_take_handlers(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_request_t  *r;

    r = p->outlet.request;

    if (r->write_event_handler != ngx_ffi_lua_pipe_write_handler) {
        p->handler = r->write_event_handler;
        r->write_event_handler = ngx_ffi_lua_pipe_write_handler;
    }

    /* any other one looks for the end itself, or reads the body */

    if (r->read_event_handler == ngx_http_block_reading) {
        r->read_event_handler = ngx_ffi_lua_pipe_read_handler;
    }
}


static void
ngx_ffi_lua_pipe_put_handlers(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_request_t  *r;

    r = p->outlet.request;

    if (r->write_event_handler == ngx_ffi_lua_pipe_write_handler) {
        r->write_event_handler = p->handler;
    }

    if (r->read_event_handler == ngx_ffi_lua_pipe_read_handler) {
        r->read_event_handler = ngx_http_block_reading;
    }
}


static void
ngx_ffi_lua_pipe_send(ngx_ffi_lua_pipe_t *p)
{
    ngx_int_t  rc;

    if (!ngx_ffi_lua_pipe_runs(p)) {
        return;
    }

    if (p->outlet.request->connection->error) {
        ngx_ffi_lua_pipe_fail(p, "the client has gone");
        return;
    }

    ngx_ffi_lua_pipe_take_handlers(p);

    rc = ngx_ffi_lua_pipe_fetch(p);

    if (rc != NGX_OK) {
        ngx_ffi_lua_pipe_fail(p, rc == NGX_ERROR ? "no memory" : p->failed);
        return;
    }

    rc = ngx_http_ffi_outlet_write(&p->outlet, !p->complete);

    if (rc != NGX_OK || ngx_ffi_lua_pipe_is_lost(p)) {
        ngx_ffi_lua_pipe_fail(p, "the client has gone");
        return;
    }

    if (p->complete
        && ngx_http_ffi_outlet_unsent(&p->outlet) < BRIDGE_STREAM_HIGH)
    {
        /* the rest goes out with the last buffer, or what comes before it */

        ngx_ffi_lua_pipe_leave(p);
        ngx_ffi_lua_pipe_resume(p);
        return;
    }

    if (ngx_ffi_lua_pipe_wait(p) != NGX_OK) {
        ngx_ffi_lua_pipe_fail(p, "the client has gone");
    }
}


static ngx_int_t
ngx_ffi_lua_pipe_wait(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = p->outlet.request;
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_http_ffi_outlet_active(&p->outlet)
        && ngx_handle_write_event(r->connection->write, clcf->send_lowat)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_ffi_lua_bounds_set(&p->bounds);

    return NGX_OK;
}


static void
ngx_ffi_lua_pipe_timer(ngx_event_t *ev)
{
    const char          *why;
    ngx_connection_t    *c;
    ngx_ffi_lua_pipe_t  *p;

    p = ev->data;
    c = p->outlet.request->connection;

    ngx_http_set_log_request(c->log, p->outlet.request);

    /* what is there wins against the deadline */

    ngx_http_ffi_event_drain();

    if (ngx_ffi_lua_pipe_runs(p) && !p->event.posted) {
        why = ngx_ffi_lua_bounds_passed(&p->bounds);

        if (why) {
            ngx_ffi_lua_pipe_fail(p, why);
        }
    }

    ngx_http_run_posted_requests(c);
}


/*
 * Takes what has come.  NGX_DECLINED where that ends without the end of an
 * answer, NGX_ERROR where memory ran out.
 */
static ngx_int_t
ngx_ffi_lua_pipe_fetch(ngx_ffi_lua_pipe_t *p)
{
    bridge_part_t  *part;

    if (p->complete) {
        return NGX_OK;
    }

    if (p->stream == NULL) {
        return NGX_DECLINED;
    }

    while ((part = ngx_ffi_lua_stream_part(p->stream)) != NULL) {

        if (ngx_http_ffi_outlet_part(&p->outlet, part) != NGX_OK) {
            bridge_part_free(bridge_host(), part, 0);
            return NGX_ERROR;
        }

        p->bounds.arrived = 1;
    }

    return p->stream->answered ? ngx_ffi_lua_pipe_end(p) : NGX_OK;
}


static ngx_int_t
ngx_ffi_lua_pipe_end(ngx_ffi_lua_pipe_t *p)
{
    bridge_task_t         *t;
    ngx_ffi_lua_stream_t  *s;

    s = p->stream;

    ngx_ffi_lua_pipe_detach(p);

    t = ngx_ffi_lua_stream_answer(s);

    if (t->rejected || t->rc != 0) {
        p->error = t;
        return NGX_DECLINED;
    }

    p->complete = 1;
    ngx_http_ffi_status_settle(t, NGX_HTTP_FFI_CALL_OK);

    if (t->rsp == NULL || t->rsp_len == 0) {
        bridge_task_free(bridge_host(), t, 1);

    } else if (ngx_http_ffi_outlet_answer(&p->outlet, t) != NGX_OK) {
        bridge_task_free(bridge_host(), t, 0);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_ffi_lua_pipe_runs(ngx_ffi_lua_pipe_t *p)
{
    if (p->running && ngx_ffi_lua_pipe_is_lost(p)) {
        ngx_ffi_lua_pipe_fail(p, "the client has gone");
    }

    if (p->running && p->sema && ngx_ffi_lua_sema_left(p->sema)) {

        /* killed */

        ngx_ffi_lua_pipe_close(p, "aborted");
        ngx_ffi_lua_pipe_forget(p);
    }

    return p->running;
}


void
ngx_ffi_lua_pipe_fail(ngx_ffi_lua_pipe_t *p, const char *why)
{
    if (!p->running) {
        return;
    }

    if (!p->outlet.request->connection->error
        && !ngx_ffi_lua_pipe_is_lost(p))
    {
        (void) ngx_http_ffi_outlet_write(&p->outlet, 1);
    }

    ngx_ffi_lua_pipe_close(p, why);
    ngx_ffi_lua_pipe_resume(p);
}


/* a filter has ended the request, which clears the contexts of all modules */
static ngx_uint_t
ngx_ffi_lua_pipe_is_lost(ngx_ffi_lua_pipe_t *p)
{
    return ngx_ffi_lua_get_pipe(p->outlet.request, 0) != p;
}


static void
ngx_ffi_lua_pipe_resume(ngx_ffi_lua_pipe_t *p)
{
    if (ngx_ffi_lua_pipe_is_lost(p)) {

        /* the lua module has none either, to resume who waits and to go on
         * with: the request ends, but not while somebody sends */

        p->lost = 1;
        p->outlet.request->write_event_handler =
                                              ngx_http_request_empty_handler;
        ngx_ffi_lua_pipe_post(p);

    } else if (p->sema) {
        (void) ngx_ffi_lua_sema_resume(p->sema);
    }
}


/* for any reason but the end of the answer */
static void
ngx_ffi_lua_pipe_close(ngx_ffi_lua_pipe_t *p, const char *why)
{
    ngx_ffi_lua_stream_t  *s;

    if (!p->running) {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, p->outlet.request->connection->log, 0,
                   "lua ffi: pipe ends: %s", why ? why : "failed");

    p->failed = why;

    ngx_ffi_lua_pipe_leave(p);
    ngx_http_ffi_outlet_drop(&p->outlet);

    if (ngx_ffi_lua_is_captured(p->outlet.request)) {
        ngx_http_ffi_outlet_break(&p->outlet);

    } else {
        ngx_http_ffi_outlet_break_page(&p->outlet);
    }

    s = p->stream;

    if (s) {
        ngx_ffi_lua_pipe_detach(p);
        ngx_ffi_lua_stream_close(s, why);
    }
}


/* by Lua, which tells who asked for it that it is truncated */
static ngx_uint_t
ngx_ffi_lua_is_captured(ngx_http_request_t *r)
{
    return r->post_subrequest
           && r->post_subrequest->handler == ngx_http_lua_post_subrequest;
}


static void
ngx_ffi_lua_pipe_leave(ngx_ffi_lua_pipe_t *p)
{
    p->running = 0;

    ngx_ffi_lua_bounds_clear(&p->bounds);

    if (p->event.posted) {
        ngx_delete_posted_event((&p->event));
    }

    ngx_ffi_lua_pipe_put_handlers(p);
}


void
ngx_ffi_lua_pipe_sent(ngx_ffi_lua_pipe_t *p)
{
    ngx_http_ffi_outlet_release(&p->outlet);

    if (p->running) {
        ngx_ffi_lua_pipe_post(p);
    }
}
