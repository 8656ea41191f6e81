/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <errno.h>

#include "abi.h"
#include "input.h"
#include "ngx_http_ffi_body.h"
#include "ngx_http_ffi_pass_body.h"


static ngx_uint_t ngx_http_ffi_pass_body_is_buffered(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_body_more(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_body_write(ngx_http_ffi_pass_t *p,
    off_t *written);
static void ngx_http_ffi_pass_body_next(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_body_hold(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_body_end(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_body_event(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ffi_pass_client_gone(ngx_http_request_t *r);


ngx_int_t
ngx_http_ffi_pass_body_read(ngx_http_ffi_pass_t *p,
    ngx_http_client_body_handler_pt handler)
{
    ngx_http_request_t  *r;

    r = p->request;

    /* somebody has some of it, whose request was redirected here, or who has
     * made this one */

    p->read_before = r->main->reading_body;

    if (r->request_body == NULL && !ngx_http_ffi_pass_body_is_buffered(p)) {
        r->request_body_no_buffering = 1;
    }

    return ngx_http_read_client_request_body(r, handler);
}


static ngx_uint_t
ngx_http_ffi_pass_body_is_buffered(ngx_http_ffi_pass_t *p)
{
    ngx_http_request_t      *r;
    ngx_http_ffi_runtime_t  *rt;

    if (p->conf->request_buffering != NGX_CONF_UNSET) {
        return p->conf->request_buffering;
    }

    r = p->request;

    if (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked) {
        return 0;
    }

    rt = ngx_http_ffi_target_runtime(p->target, r->connection->log);

    return rt && rt->state == NGX_HTTP_FFI_READY
           ? atomic_load_explicit(&rt->requests->whole, memory_order_relaxed)
           : p->target->request_buffering;
}


void
ngx_http_ffi_pass_body_begin(ngx_http_ffi_pass_t *p)
{
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = p->request;

    if (p->read_before || r->request_body == NULL) {
        return;
    }

    p->bufs = r->request_body->bufs;

    if (r->reading_body) {
        p->unbuffered = 1;
        p->feeding = 1;
        r->request_body->bufs = NULL;
        return;
    }

    for (cl = p->bufs; cl; cl = cl->next) {
        if (ngx_buf_size(cl->buf)) {
            p->feeding = 1;
        }
    }
}


ngx_int_t
ngx_http_ffi_pass_body_feed(ngx_http_ffi_pass_t *p)
{
    off_t      written;
    ngx_int_t  rc;

    p->held = 0;
    p->feed = 0;

    if (!p->feeding) {
        ngx_http_ffi_pass_body_end(p);
        return NGX_OK;
    }

    p->request->read_event_handler = ngx_http_ffi_pass_body_event;
    written = 0;

    do {
        rc = p->bufs ? ngx_http_ffi_pass_body_write(p, &written)
                     : ngx_http_ffi_pass_body_more(p);

    } while (rc == NGX_OK && written < NGX_HTTP_FFI_BODY_TURN);

    switch (rc) {

    case NGX_OK:
        p->feed = 1;
        ngx_http_ffi_pass_post_later(p);
        return NGX_OK;

    case NGX_AGAIN:
        return NGX_OK;

    case NGX_DONE:
        bridge_stream_finish(bridge_host(), p->task);
        ngx_http_ffi_pass_body_end(p);
        return NGX_OK;

    case NGX_DECLINED:
        ngx_http_ffi_pass_body_end(p);
        return NGX_OK;

    default:
        return rc;
    }
}


/* NGX_DONE at the end of the body */
static ngx_int_t
ngx_http_ffi_pass_body_more(ngx_http_ffi_pass_t *p)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = p->request;

    if (!p->unbuffered || !r->reading_body) {
        return NGX_DONE;
    }

    rc = ngx_http_read_unbuffered_request_body(r);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    p->bufs = r->request_body->bufs;
    r->request_body->bufs = NULL;

    return p->bufs || !r->reading_body ? NGX_OK : NGX_AGAIN;
}


/*
 * Writes a part.  NGX_AGAIN: there is no room; NGX_DECLINED: nobody reads it
 * any more.
 */
static ngx_int_t
ngx_http_ffi_pass_body_write(ngx_http_ffi_pass_t *p, off_t *written)
{
    size_t      len;
    ngx_buf_t  *b;

    b = p->bufs->buf;

    if (p->offset == ngx_buf_size(b)) {
        ngx_http_ffi_pass_body_next(p);
        return NGX_OK;
    }

    switch (ngx_http_ffi_body_write(p->task, b, p->offset, &len)) {

    case 0:
        p->touched = ngx_current_msec;
        p->offset += (off_t) len;
        *written += (off_t) len;
        return NGX_OK;

    case EAGAIN:
        ngx_http_ffi_pass_body_hold(p);
        return NGX_AGAIN;

    case EPIPE:
        return NGX_DECLINED;

    default: /* EIO, ENOMEM */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


static void
ngx_http_ffi_pass_body_next(ngx_http_ffi_pass_t *p)
{
    ngx_chain_t  *cl;

    cl = p->bufs;

    p->bufs = cl->next;
    p->offset = 0;

    /* nginx reads on into the same one */

    if (p->unbuffered) {
        cl->buf->pos = cl->buf->last;
        ngx_free_chain(p->request->pool, cl);
    }
}


static void
ngx_http_ffi_pass_body_hold(ngx_http_ffi_pass_t *p)
{
    ngx_event_t  *rev;

    p->held = 1;
    rev = p->request->connection->read;

    if (rev->pending_eof
        && !p->conf->ignore_client_abort
        && ngx_http_ffi_outlet_active(&p->outlet))
    {
        ngx_post_event(rev, &ngx_posted_events);
    }

    if (p->unbuffered) {
        ngx_http_ffi_body_hold(rev);
    }
}


static void
ngx_http_ffi_pass_body_end(ngx_http_ffi_pass_t *p)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = p->request;
    rev = r->connection->read;

    if (p->unbuffered && rev->timer_set) {
        ngx_del_timer(rev);
    }

    p->feeding = 0;
    ngx_http_ffi_pass_watch(p);

    /* its end may have been seen already */

    if (rev->ready && ngx_http_ffi_outlet_active(&p->outlet)) {
        ngx_post_event(rev, &ngx_posted_events);
    }
}


static void
ngx_http_ffi_pass_body_event(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_ffi_pass_t  *p;

    p = ngx_http_ffi_pass_get(r);

    if (p == NULL || p->task == NULL) {
        return;
    }

    if (!p->held) {
        rc = ngx_http_ffi_pass_body_feed(p);

        if (rc != NGX_OK) {
            ngx_http_ffi_pass_fail(p, rc);
        }

        return;
    }

    if (!p->conf->ignore_client_abort && ngx_http_ffi_pass_client_gone(r)) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "client prematurely closed connection");
        ngx_http_ffi_pass_finalize(p, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    ngx_http_ffi_pass_body_hold(p);
}


static ngx_uint_t
ngx_http_ffi_pass_client_gone(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

    /* one that says nothing more is gone, as for upstreams */

    if (r->http_version <= NGX_HTTP_VERSION_11 && c->read->pending_eof) {
        c->error = 1;
    }

    return ngx_http_ffi_body_client_gone(r);
}
