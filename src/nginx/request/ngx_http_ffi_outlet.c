/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "file.h"
#include "ngx_http_ffi_lent.h"
#include "ngx_http_ffi_outlet.h"


/* of one buffer: filters may count its bytes in 32 bits, as gzip does */
#define NGX_HTTP_FFI_MAX_BUF  ((size_t) 1 << 30)


static void ngx_http_ffi_outlet_cleanup(void *data);
static ngx_int_t ngx_http_ffi_outlet_add(ngx_http_ffi_outlet_t *o,
    const char *bytes, size_t len, bridge_part_t *part, bridge_task_t *t);
static void ngx_http_ffi_outlet_append(ngx_http_ffi_outlet_t *o,
    ngx_chain_t *first, ngx_chain_t **last, off_t len);
static ngx_buf_t *ngx_http_ffi_outlet_last(ngx_http_ffi_outlet_t *o);
static ngx_int_t ngx_http_ffi_outlet_filter(ngx_http_ffi_outlet_t *o);
static void ngx_http_ffi_outlet_no_delay(ngx_http_ffi_outlet_t *o);
static void ngx_http_ffi_outlet_give_back(ngx_http_ffi_outlet_t *o,
    ngx_chain_t *cl, ngx_uint_t delivered);
static void ngx_http_ffi_outlet_leave_open(ngx_http_request_t *r);
static void ngx_http_ffi_outlet_reset(ngx_connection_t *c);


ngx_int_t
ngx_http_ffi_outlet_init(ngx_http_ffi_outlet_t *o, ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_ffi_outlet_cleanup;
    cln->data = o;

    o->request = r;
    o->last_out = &o->out;
    o->last_busy = &o->busy;

    return NGX_OK;
}


/* no filter looks at a buffer any more */
static void
ngx_http_ffi_outlet_cleanup(void *data)
{
    ngx_http_ffi_outlet_release(data);
    ngx_http_ffi_outlet_abandon(data);
}


ngx_int_t
ngx_http_ffi_outlet_part(ngx_http_ffi_outlet_t *o, bridge_part_t *part)
{
    ngx_chain_t  *cl;

    if (bridge_part_is_file(part)) {
        cl = ngx_http_ffi_lent_file(o->request, &o->free, part);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        ((ngx_http_ffi_lent_t *) cl->buf)->part = part;
        ngx_http_ffi_outlet_append(o, cl, &cl->next, (off_t) part->len);

        return NGX_OK;
    }

    return ngx_http_ffi_outlet_add(o, part->bytes, part->len, part, NULL);
}


ngx_int_t
ngx_http_ffi_outlet_answer(ngx_http_ffi_outlet_t *o, bridge_task_t *t)
{
    return ngx_http_ffi_outlet_add(o, t->rsp, t->rsp_len, NULL, t);
}


/* part or t goes with the last of as many buffers as it takes */
static ngx_int_t
ngx_http_ffi_outlet_add(ngx_http_ffi_outlet_t *o, const char *bytes,
    size_t len, bridge_part_t *part, bridge_task_t *t)
{
    size_t                n, left;
    ngx_chain_t          *cl, *first, **last;
    ngx_http_ffi_lent_t  *lent;

    first = NULL;
    last = &first;
    left = len;

    do {
        n = ngx_min(left, NGX_HTTP_FFI_MAX_BUF);

        cl = ngx_http_ffi_lent_bytes(o->request, &o->free, bytes, n);

        if (cl == NULL) {
            *last = o->free;
            o->free = first;
            return NGX_ERROR;
        }

        *last = cl;
        last = &cl->next;

        bytes += n;
        left -= n;

    } while (left);

    ngx_http_ffi_outlet_append(o, first, last, (off_t) len);

    /* buffers are released in order */

    lent = (ngx_http_ffi_lent_t *) cl->buf;
    lent->part = part;
    lent->task = t;

    return NGX_OK;
}


static void
ngx_http_ffi_outlet_append(ngx_http_ffi_outlet_t *o, ngx_chain_t *first,
    ngx_chain_t **last, off_t len)
{
    *o->last_out = first;
    o->last_out = last;

    o->held += len;
    o->bytes += len;
}


ngx_int_t
ngx_http_ffi_outlet_write(ngx_http_ffi_outlet_t *o, ngx_uint_t flush)
{
    ngx_int_t   rc;
    ngx_buf_t  *last;

    last = ngx_http_ffi_outlet_last(o);

    if (last == NULL && !ngx_http_ffi_outlet_blocked(o)) {
        return NGX_OK;
    }

    if (last && flush) {
        last->flush = 1;

        ngx_http_ffi_outlet_no_delay(o);
    }

    rc = ngx_http_ffi_outlet_filter(o);

    if (rc == NGX_ERROR || rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ffi_outlet_flush(ngx_http_ffi_outlet_t *o)
{
    ngx_int_t  rc;

    ngx_http_ffi_outlet_no_delay(o);

    o->writing = 1;

    rc = ngx_http_send_special(o->request, NGX_HTTP_FLUSH);

    o->writing = 0;

    return rc == NGX_ERROR || rc >= NGX_HTTP_SPECIAL_RESPONSE
           ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_ffi_outlet_finish(ngx_http_ffi_outlet_t *o)
{
    ngx_buf_t           *last;
    ngx_http_request_t  *r;

    r = o->request;
    last = ngx_http_ffi_outlet_last(o);

    if (last == NULL) {
        return ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    if (r == r->main && !r->post_action) {
        last->last_buf = 1;

    } else {
        last->last_in_chain = 1;
    }

    return ngx_http_ffi_outlet_filter(o);
}


/* of what was not handed to the filters */
static ngx_buf_t *
ngx_http_ffi_outlet_last(ngx_http_ffi_outlet_t *o)
{
    ngx_chain_t  *cl;

    if (o->out == NULL) {
        return NULL;
    }

    for (cl = o->out; cl->next; cl = cl->next) { /* void */ }

    return cl->buf;
}


static ngx_int_t
ngx_http_ffi_outlet_filter(ngx_http_ffi_outlet_t *o)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    out = o->out;

    ngx_log_debug3(NGX_LOG_DEBUG_HTTP, o->request->connection->log, 0,
                   "ffi: to the filters: held %O, new:%d, busy:%d",
                   o->held, out != NULL, o->busy != NULL);

    o->writing = 1;

    rc = ngx_http_output_filter(o->request, out);

    o->writing = 0;

    if (out) {
        *o->last_busy = out;
        o->last_busy = o->last_out;
        o->out = NULL;
        o->last_out = &o->out;
    }

    ngx_http_ffi_outlet_release(o);

    return rc;
}


/* what is flushed is not to wait in the kernel for what comes next */
static void
ngx_http_ffi_outlet_no_delay(ngx_http_ffi_outlet_t *o)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(o->request, ngx_http_core_module);

    if (clcf->tcp_nodelay && ngx_http_ffi_outlet_active(o)) {
        (void) ngx_tcp_nodelay(o->request->connection);
    }
}


void
ngx_http_ffi_outlet_release(ngx_http_ffi_outlet_t *o)
{
    ngx_chain_t  *cl;

    while (o->busy && ngx_buf_size(o->busy->buf) == 0) {
        cl = o->busy;
        o->busy = cl->next;

        if (o->busy == NULL) {
            o->last_busy = &o->busy;
        }

        ngx_http_ffi_outlet_give_back(o, cl, 1);
    }
}


void
ngx_http_ffi_outlet_drop(ngx_http_ffi_outlet_t *o)
{
    ngx_chain_t  *cl;

    while (o->out) {
        cl = o->out;
        o->out = cl->next;

        ngx_http_ffi_outlet_give_back(o, cl, 0);
    }

    o->last_out = &o->out;
}


void
ngx_http_ffi_outlet_abandon(ngx_http_ffi_outlet_t *o)
{
    ngx_chain_t  *cl;

    ngx_http_ffi_outlet_drop(o);

    while (o->busy) {
        cl = o->busy;
        o->busy = cl->next;

        ngx_http_ffi_outlet_give_back(o, cl, 0);
    }

    o->last_busy = &o->busy;
}


static void
ngx_http_ffi_outlet_give_back(ngx_http_ffi_outlet_t *o, ngx_chain_t *cl,
    ngx_uint_t delivered)
{
    ngx_http_ffi_lent_t  *lent;

    lent = (ngx_http_ffi_lent_t *) cl->buf;

    o->held -= lent->size;

    cl->next = o->free;
    o->free = cl;

    if (lent->part) {
        bridge_part_free(bridge_host(), lent->part, delivered);

    } else if (lent->task) {
        bridge_task_free(bridge_host(), lent->task, delivered);
    }
}


off_t
ngx_http_ffi_outlet_unsent(ngx_http_ffi_outlet_t *o)
{
    ngx_http_ffi_lent_t  *first;

    if (o->busy == NULL) {
        return o->held;
    }

    first = (ngx_http_ffi_lent_t *) o->busy->buf;

    return o->held - (first->size - ngx_buf_size(&first->buf));
}


ngx_uint_t
ngx_http_ffi_outlet_active(ngx_http_ffi_outlet_t *o)
{
    return o->request->connection->data == o->request;
}


ngx_uint_t
ngx_http_ffi_outlet_blocked(ngx_http_ffi_outlet_t *o)
{
    return o->busy
           || (o->request->connection->buffered
               && ngx_http_ffi_outlet_active(o));
}


void
ngx_http_ffi_outlet_break(ngx_http_ffi_outlet_t *o)
{
    o->broken = 1;

    if (o->request == o->request->main) {
        ngx_http_ffi_outlet_leave_open(o->request);
    }
}


void
ngx_http_ffi_outlet_break_page(ngx_http_ffi_outlet_t *o)
{
    o->broken = 1;

    /* of a page the last buffer may have gone before us, to wait for us */

    if (o->request != o->request->main) {
        o->request->connection->error = 1;
    }

    ngx_http_ffi_outlet_leave_open(o->request->main);
}


static void
ngx_http_ffi_outlet_leave_open(ngx_http_request_t *r)
{
    r->keepalive = 0;

    if (r->http_version <= NGX_HTTP_VERSION_11
        && !r->chunked
        && r->headers_out.content_length_n < 0)
    {
        ngx_http_ffi_outlet_reset(r->connection);
    }
}


/* its end would be taken for the response's */
static void
ngx_http_ffi_outlet_reset(ngx_connection_t *c)
{
    struct linger  linger;

    linger.l_onoff = 1;
    linger.l_linger = 0;

    if (setsockopt(c->fd, SOL_SOCKET, SO_LINGER, (const void *) &linger,
                   sizeof(struct linger))
        == -1)
    {
        ngx_connection_error(c, ngx_socket_errno,
                             "setsockopt(SO_LINGER) failed");
    }

    c->error = 1;
}
