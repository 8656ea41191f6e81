/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <errno.h>

#include "abi.h"
#include "input.h"
#include "ngx_ffi_lua_body.h"
#include "ngx_ffi_lua_unbuffered.h"
#include "ngx_http_ffi_body.h"


typedef struct {
    ngx_ffi_lua_stream_t      *stream;      /* NULL: ended */
    ngx_http_request_t        *request;
    ngx_http_request_body_t   *rb;          /* NULL: there is none */
    ngx_ffi_lua_unbuffered_t  *unbuffered;  /* NULL: it was read before */
    ngx_chain_t               *bufs;        /* there are so far */
    u_char                    *pos;         /* of the first of them */
    off_t                      size;        /* of all of them */
    off_t                      offset;
    ngx_event_t                next;        /* feeds on */
} ngx_ffi_lua_body_t;


static const char *ngx_ffi_lua_body_refuse(ngx_http_request_t *r);
static ngx_uint_t ngx_ffi_lua_body_is_sent(ngx_http_request_t *r);
static ngx_ffi_lua_body_t *ngx_ffi_lua_body_new(ngx_http_request_t *r);
static void ngx_ffi_lua_body_room(ngx_ffi_lua_stream_t *s);
static void ngx_ffi_lua_body_next(ngx_event_t *ev);
static void ngx_ffi_lua_body_arrived(void *data, const char *why);
static const char *ngx_ffi_lua_body_go_on(ngx_ffi_lua_body_t *b);
static ngx_int_t ngx_ffi_lua_body_more(ngx_ffi_lua_body_t *b,
    const char **why);
static void ngx_ffi_lua_body_have(ngx_ffi_lua_body_t *b, ngx_chain_t *bufs);
static ngx_uint_t ngx_ffi_lua_body_changed(ngx_ffi_lua_body_t *b);
static off_t ngx_ffi_lua_body_size(ngx_chain_t *cl);
static ngx_int_t ngx_ffi_lua_body_write(ngx_ffi_lua_body_t *b,
    const char **why);
static void ngx_ffi_lua_body_end(ngx_ffi_lua_body_t *b);
static void ngx_ffi_lua_body_cleanup(void *data);


const char *
ngx_ffi_lua_body_feed(ngx_ffi_lua_stream_t *s, ngx_http_request_t *r)
{
    const char          *why;
    ngx_ffi_lua_body_t  *b;

    why = ngx_ffi_lua_body_refuse(r);
    if (why) {
        return why;
    }

    b = ngx_ffi_lua_body_new(r);
    if (b == NULL) {
        return "no memory";
    }

    b->stream = s;
    b->request = r;

    b->next.handler = ngx_ffi_lua_body_next;
    b->next.data = b;
    b->next.log = r->connection->log;

    s->room = ngx_ffi_lua_body_room;
    s->room_data = b;

    why = NULL;

    if (r->request_body || !ngx_ffi_lua_body_is_sent(r)) {
        b->rb = r->request_body;
        ngx_ffi_lua_body_have(b, b->rb ? b->rb->bufs : NULL);

    } else {
        b->unbuffered = ngx_ffi_lua_unbuffered_begin(r,
                                         ngx_ffi_lua_body_arrived, b, &why);
    }

    if (why == NULL) {
        why = ngx_ffi_lua_body_go_on(b);
    }

    if (why) {
        ngx_ffi_lua_body_end(b);
    }

    return why;
}


ngx_uint_t
ngx_ffi_lua_body_arrives(ngx_http_request_t *r)
{
    ngx_ffi_lua_unbuffered_t  *u;

    u = ngx_ffi_lua_unbuffered_of(r->main);

    return u
           && ngx_ffi_lua_unbuffered_has(u, r->request_body)
           && ngx_ffi_lua_unbuffered_reads_on(u);
}


static const char *
ngx_ffi_lua_body_refuse(ngx_http_request_t *r)
{
    ngx_http_request_body_t   *rb;
    ngx_ffi_lua_unbuffered_t  *u;

    if (r->connection->fd == (ngx_socket_t) -1) {
        return "no request body here";
    }

    rb = r->request_body;

    if (rb == NULL) {

        if (!ngx_ffi_lua_body_is_sent(r)) {
            return NULL;
        }

        if (r != r->main) {
            return "the request body was not read before the subrequest";
        }

#if (NGX_HTTP_V2)
        if (r->stream && r->stream->skip_data) {
            return "the request body was discarded";
        }
#endif

        return r->discard_body ? "the request body was discarded" : NULL;
    }

    u = ngx_ffi_lua_unbuffered_of(r->main);

    if (u && ngx_ffi_lua_unbuffered_has(u, rb)) {
        return "the request body was given to a stream before";
    }

    if (r->discard_body) {
        return "the request body was discarded";
    }

    if (rb->rest > 0) {
        return "the request body is being read by other code";
    }

    if (r->headers_in.content_length_n > 0
        && ngx_ffi_lua_body_size(rb->bufs) == 0)
    {
        return "the request body was read by other code";
    }

    return NULL;
}


static ngx_uint_t
ngx_ffi_lua_body_is_sent(ngx_http_request_t *r)
{
    return r->headers_in.content_length_n > 0 || r->headers_in.chunked;
}


/* in the memory of the main request, which may have had others */
static ngx_ffi_lua_body_t *
ngx_ffi_lua_body_new(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;
    ngx_ffi_lua_body_t  *b;

    for (cln = r->main->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_ffi_lua_body_cleanup) {
            b = cln->data;

            if (b->stream == NULL) {
                ngx_memzero(b, sizeof(ngx_ffi_lua_body_t));
                return b;
            }
        }
    }

    cln = ngx_http_cleanup_add(r->main, sizeof(ngx_ffi_lua_body_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_ffi_lua_body_cleanup;
    b = cln->data;
    ngx_memzero(b, sizeof(ngx_ffi_lua_body_t));

    return b;
}


static void
ngx_ffi_lua_body_room(ngx_ffi_lua_stream_t *s)
{
    ngx_ffi_lua_body_t  *b;

    b = s->room_data;

    if (s->task == NULL || s->answered) {
        ngx_ffi_lua_body_end(b);
        return;
    }

    ngx_post_event((&b->next), &ngx_posted_events);
}


static void
ngx_ffi_lua_body_next(ngx_event_t *ev)
{
    ngx_ffi_lua_body_t  *b;

    b = ev->data;

    ngx_http_set_log_request(b->request->connection->log, b->request);

    ngx_ffi_lua_body_arrived(b, NULL);
}


static void
ngx_ffi_lua_body_arrived(void *data, const char *why)
{
    ngx_ffi_lua_body_t    *b;
    ngx_ffi_lua_stream_t  *s;

    b = data;
    s = b->stream;

    if (why == NULL) {
        why = ngx_ffi_lua_body_go_on(b);
    }

    if (why) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, b->request->connection->log, 0,
                       "lua ffi: request body failed: %s", why);

        ngx_ffi_lua_body_end(b);
        ngx_ffi_lua_stream_close(s, why);
    }
}


/* why it fails; NULL where it does not */
static const char *
ngx_ffi_lua_body_go_on(ngx_ffi_lua_body_t *b)
{
    off_t        size, offset;
    ngx_int_t    rc;
    const char  *why;

    size = 0;

    do {
        offset = b->offset;

        if (offset == b->size) {
            rc = ngx_ffi_lua_body_more(b, &why);

        } else {
            rc = ngx_ffi_lua_body_write(b, &why);
            size += b->offset - offset;
        }

    } while (rc == NGX_OK && size < NGX_HTTP_FFI_BODY_TURN);

    switch (rc) {

    case NGX_OK:
        ngx_post_event((&b->next), &ngx_posted_next_events);
        return NULL;

    case NGX_AGAIN:
        return NULL;

    case NGX_DONE:
        b->stream->finished = 1;
        bridge_stream_finish(bridge_host(), b->stream->task);
        ngx_ffi_lua_body_end(b);
        return NULL;

    case NGX_DECLINED:
        ngx_ffi_lua_body_end(b);
        return NULL;

    default: /* NGX_ERROR */
        return why;
    }
}


static ngx_int_t
ngx_ffi_lua_body_more(ngx_ffi_lua_body_t *b, const char **why)
{
    ngx_int_t     rc;
    ngx_chain_t  *bufs;

    if (b->unbuffered == NULL) {
        return NGX_DONE;
    }

    bufs = NULL;
    rc = ngx_ffi_lua_unbuffered_read(b->unbuffered, &bufs, why);

    ngx_ffi_lua_body_have(b, bufs);

    return rc;
}


static void
ngx_ffi_lua_body_have(ngx_ffi_lua_body_t *b, ngx_chain_t *bufs)
{
    b->bufs = bufs;
    b->pos = bufs ? bufs->buf->pos : NULL;
    b->size = ngx_ffi_lua_body_size(bufs);
    b->offset = 0;
}


/* whether code of others has set, meanwhile, one that was read before */
static ngx_uint_t
ngx_ffi_lua_body_changed(ngx_ffi_lua_body_t *b)
{
    if (b->unbuffered) {
        return 0;
    }

    return b->request->request_body != b->rb
           || b->rb->bufs != b->bufs
           || b->bufs->buf->pos != b->pos
           || ngx_ffi_lua_body_size(b->bufs) != b->size;
}


static off_t
ngx_ffi_lua_body_size(ngx_chain_t *cl)
{
    off_t  size;

    for (size = 0; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    return size;
}


/*
 * Writes a part.  NGX_AGAIN: there is no room; NGX_DECLINED: nobody reads it;
 * NGX_ERROR: *why.
 */
static ngx_int_t
ngx_ffi_lua_body_write(ngx_ffi_lua_body_t *b, const char **why)
{
    off_t         skip;
    size_t        len;
    ngx_chain_t  *cl;

    if (ngx_ffi_lua_body_changed(b)) {
        *why = "the request body was used by other code";
        return NGX_ERROR;
    }

    skip = b->offset;

    for (cl = b->bufs; skip >= ngx_buf_size(cl->buf); cl = cl->next) {
        skip -= ngx_buf_size(cl->buf);
    }

    switch (ngx_http_ffi_body_write(b->stream->task, cl->buf, skip, &len)) {

    case 0:
        b->offset += (off_t) len;
        b->stream->held = 0;
        b->stream->moved = 1;
        return NGX_OK;

    case EAGAIN:
        b->stream->held = 1;

        if (b->unbuffered) {
            ngx_ffi_lua_unbuffered_hold(b->unbuffered);
        }

        return NGX_AGAIN;

    case EPIPE:
        return NGX_DECLINED;

    case EIO:
        *why = "the request body cannot be read";
        return NGX_ERROR;

    default: /* ENOMEM */
        *why = "no memory";
        return NGX_ERROR;
    }
}


static void
ngx_ffi_lua_body_end(ngx_ffi_lua_body_t *b)
{
    b->stream->room = NULL;
    b->stream = NULL;

    if (b->next.posted) {
        ngx_delete_posted_event((&b->next));
    }

    if (b->unbuffered) {
        ngx_ffi_lua_unbuffered_end(b->unbuffered);
    }
}


static void
ngx_ffi_lua_body_cleanup(void *data)
{
    ngx_ffi_lua_body_t  *b = data;

    if (b->stream) {
        ngx_ffi_lua_body_end(b);
    }
}
