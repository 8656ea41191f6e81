/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "ngx_ffi_lua_unbuffered.h"
#include "ngx_http_ffi_body.h"


struct ngx_ffi_lua_unbuffered_s {
    ngx_http_request_t         *request;
    ngx_http_request_body_t    *rb;
    ngx_buf_t                  *buf;      /* rb's, which is not to change */
    ngx_chain_t                *bufs;     /* that the caller has */
    ngx_event_handler_pt        handler;  /* of c->read, before ours */
    ngx_http_event_handler_pt   read;     /* of the request */
    ngx_ffi_lua_arrived_pt      arrived;
    void                       *data;
    unsigned                    held:1;
    unsigned                    ended:1;
};


static void ngx_ffi_lua_unbuffered_begun(ngx_http_request_t *r);
static void ngx_ffi_lua_unbuffered_event(ngx_event_t *rev);
static void ngx_ffi_lua_unbuffered_request_event(ngx_http_request_t *r);
static ngx_uint_t ngx_ffi_lua_unbuffered_reads(ngx_ffi_lua_unbuffered_t *u);
static const char *ngx_ffi_lua_unbuffered_why(ngx_http_request_t *r,
    ngx_int_t rc);
static void ngx_ffi_lua_unbuffered_forgo(ngx_http_request_t *r);
static void ngx_ffi_lua_unbuffered_cleanup(void *data);


ngx_ffi_lua_unbuffered_t *
ngx_ffi_lua_unbuffered_of(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_ffi_lua_unbuffered_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_ffi_lua_unbuffered_has(ngx_ffi_lua_unbuffered_t *u,
    ngx_http_request_body_t *rb)
{
    return u->rb == rb;
}


ngx_uint_t
ngx_ffi_lua_unbuffered_reads_on(ngx_ffi_lua_unbuffered_t *u)
{
    return !u->ended;
}


ngx_ffi_lua_unbuffered_t *
ngx_ffi_lua_unbuffered_begin(ngx_http_request_t *r,
    ngx_ffi_lua_arrived_pt arrived, void *data, const char **why)
{
    ngx_int_t                  rc;
    ngx_event_t               *rev;
    ngx_http_cleanup_t        *cln;
    ngx_ffi_lua_unbuffered_t  *u;
    ngx_http_event_handler_pt  write;

    cln = ngx_http_cleanup_add(r, sizeof(ngx_ffi_lua_unbuffered_t));
    if (cln == NULL) {
        *why = "no memory";
        return NULL;
    }

    u = cln->data;
    ngx_memzero(u, sizeof(ngx_ffi_lua_unbuffered_t));

    u->request = r;
    u->arrived = arrived;
    u->data = data;
    u->read = r->read_event_handler;
    write = r->write_event_handler;

    cln->handler = ngx_ffi_lua_unbuffered_cleanup;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_ffi_lua_unbuffered_begun);

    if (rc < NGX_HTTP_SPECIAL_RESPONSE) {
        r->main->count--;
    }

    if (rc == NGX_AGAIN && !r->request_body_no_buffering) {

        /* HTTP/2: all of it is there, and nginx would go on in an event */

        rc = ngx_http_read_unbuffered_request_body(r);
    }

    r->read_event_handler = u->read;
    r->write_event_handler = write;

    u->rb = r->request_body;

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        u->ended = 1;
        *why = ngx_ffi_lua_unbuffered_why(r, rc);
        ngx_ffi_lua_unbuffered_forgo(r);
        return NULL;
    }

    if (!r->reading_body) {
        u->rb->temp_file = NULL;
        u->ended = 1;
        return u;
    }

    rev = r->connection->read;

    u->buf = u->rb->buf;
    u->handler = rev->handler;

    rev->handler = ngx_ffi_lua_unbuffered_event;
    r->read_event_handler = ngx_ffi_lua_unbuffered_request_event;

    return u;
}


/* nginx calls one; all that follows is done without */
static void
ngx_ffi_lua_unbuffered_begun(ngx_http_request_t *r)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "lua ffi: request body begun, more of it: %d",
                   r->reading_body);
}


static void
ngx_ffi_lua_unbuffered_event(ngx_event_t *rev)
{
    const char                *why;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_ffi_lua_unbuffered_t  *u;

    c = rev->data;
    r = c->data;
    u = ngx_ffi_lua_unbuffered_of(r->main);

    if (u == NULL) {

        /* the request is being terminated */

        return;
    }

    if (c->close || u->ended) {

        /* where OpenSSL had put it aside, it may come back late */

        rev->handler = u->handler;
        rev->handler(rev);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    why = NULL;

    if (u->held) {
        if (!ngx_http_ffi_body_client_gone(u->request)) {
            ngx_ffi_lua_unbuffered_hold(u);
            return;
        }

        why = ngx_ffi_lua_unbuffered_why(u->request, NGX_HTTP_BAD_REQUEST);
    }

    u->arrived(u->data, why);
}


/*
 * nginx takes the event back when a subrequest ends with an error, and lua
 * code's next phase takes the request's; not both.
 */
static void
ngx_ffi_lua_unbuffered_request_event(ngx_http_request_t *r)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

    rev->handler = ngx_ffi_lua_unbuffered_event;
    rev->handler(rev);
}


/* whether the events are ours, or can be again: the request is not over */
static ngx_uint_t
ngx_ffi_lua_unbuffered_reads(ngx_ffi_lua_unbuffered_t *u)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = u->request;
    rev = r->connection->read;

    if (rev->handler == u->handler
        && r->read_event_handler == ngx_ffi_lua_unbuffered_request_event)
    {
        rev->handler = ngx_ffi_lua_unbuffered_event;
    }

    return rev->handler == ngx_ffi_lua_unbuffered_event;
}


ngx_int_t
ngx_ffi_lua_unbuffered_read(ngx_ffi_lua_unbuffered_t *u,
    ngx_chain_t **bufs, const char **why)
{
    ngx_int_t            rc;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = u->request;
    u->held = 0;

    while (u->bufs) {
        cl = u->bufs;
        u->bufs = cl->next;
        cl->buf->pos = cl->buf->last;
        ngx_free_chain(r->pool, cl);
    }

    if (!u->ended && u->rb->bufs == NULL) {

        if (!ngx_ffi_lua_unbuffered_reads(u)) {
            return NGX_AGAIN;
        }

        if (r->request_body != u->rb
            || u->rb->buf != u->buf
            || !r->request_body_no_buffering)
        {
            *why = "the request body was used by other code";
            return NGX_ERROR;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc != NGX_OK && rc != NGX_AGAIN) {
            *why = ngx_ffi_lua_unbuffered_why(r, rc);
            return NGX_ERROR;
        }

        if (!r->reading_body) {
            ngx_ffi_lua_unbuffered_end(u);
        }
    }

    u->bufs = u->rb->bufs;
    u->rb->bufs = NULL;
    *bufs = u->bufs;

    if (u->bufs) {
        return NGX_OK;
    }

    return u->ended ? NGX_DONE : NGX_AGAIN;
}


void
ngx_ffi_lua_unbuffered_hold(ngx_ffi_lua_unbuffered_t *u)
{
    if (u->ended || !ngx_ffi_lua_unbuffered_reads(u)) {
        return;
    }

    u->held = 1;
    ngx_http_ffi_body_hold(u->request->connection->read);
}


static const char *
ngx_ffi_lua_unbuffered_why(ngx_http_request_t *r, ngx_int_t rc)
{
    if (r->connection->error) {
        return "client closed the connection";
    }

    switch (rc) {

    case NGX_HTTP_BAD_REQUEST:
        return "invalid request body";

    case NGX_HTTP_REQUEST_TIME_OUT:

        /* an answer is possible still, and nginx may linger */
        r->connection->read->timedout = 0;

        return "client timed out";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "request body too large";

    default:
        return "the request body cannot be read";
    }
}


void
ngx_ffi_lua_unbuffered_end(ngx_ffi_lua_unbuffered_t *u)
{
    ngx_event_t         *rev;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    if (u->ended) {
        return;
    }

    u->ended = 1;

    r = u->request;
    c = r->connection;
    rev = c->read;

    if (r->read_event_handler == ngx_ffi_lua_unbuffered_request_event) {
        r->read_event_handler = u->read;
    }

    if (r->reading_body) {
        ngx_ffi_lua_unbuffered_forgo(r);
    }

    if (rev->handler != ngx_ffi_lua_unbuffered_event) {
        return;
    }

    rev->handler = u->handler;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    /* who waits for the client to go may have missed that */

    if (rev->ready || c->error) {
        ngx_post_event(rev, &ngx_posted_events);
    }
}


/* what comes is no other request, and nobody reads it */
static void
ngx_ffi_lua_unbuffered_forgo(ngx_http_request_t *r)
{
    r->keepalive = 0;

#if (NGX_HTTP_V2)
    if (r->stream) {
        r->stream->skip_data = 1;
    }
#endif
}


static void
ngx_ffi_lua_unbuffered_cleanup(void *data)
{
    ngx_ffi_lua_unbuffered_end(data);
}
