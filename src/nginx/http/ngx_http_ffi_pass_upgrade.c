/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <errno.h>

#include "abi.h"
#include "input.h"
#include "ngx_http_ffi_body.h"
#include "ngx_http_ffi_pass_upgrade.h"
#include "ngx_http_ffi_replace.h"
#include "ngx_http_ffi_status_block.h"


/* bytes that are read at once; they are copied then */
#define NGX_HTTP_FFI_UPGRADE_READ   65536

/* ms before the worker leaves */
#define NGX_HTTP_FFI_UPGRADE_LEAVE  1000


static ngx_uint_t ngx_http_ffi_pass_has_token(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *token);
static ngx_uint_t ngx_http_ffi_pass_is_in_list(ngx_str_t *list,
    ngx_str_t *token);
static ngx_int_t ngx_http_ffi_pass_upgrade_more(ngx_http_ffi_pass_t *p,
    ngx_str_t *bytes);
static void ngx_http_ffi_pass_upgrade_hold(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_upgrade_eof(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_upgrade_event(ngx_http_request_t *r);
static void ngx_http_ffi_pass_upgrade_leave(ngx_event_t *ev);
static void ngx_http_ffi_pass_upgrade_tell(ngx_http_ffi_pass_t *p);


static ngx_str_t  ngx_http_ffi_websocket = ngx_string("websocket");

static u_char       ngx_http_ffi_upgrade_buf[NGX_HTTP_FFI_UPGRADE_READ];
static ngx_event_t  ngx_http_ffi_leave_event;
static ngx_uint_t   ngx_http_ffi_leaving;


ngx_uint_t
ngx_http_ffi_pass_asks_for_upgrade(ngx_http_request_t *r)
{
    static ngx_str_t  upgrade = ngx_string("upgrade");
    static ngx_str_t  connection = ngx_string("connection");

    return r->headers_in.upgrade
           && r == r->main
           && r->http_version == NGX_HTTP_VERSION_11
           && r->method == NGX_HTTP_GET
           && r->headers_in.content_length_n <= 0
           && !r->headers_in.chunked
           && ngx_http_ffi_pass_has_token(r, &upgrade,
                                          &ngx_http_ffi_websocket)
           && ngx_http_ffi_pass_has_token(r, &connection, &upgrade);
}


/* whether a field of the name has the token in its list */
static ngx_uint_t
ngx_http_ffi_pass_has_token(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *token)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;
    ngx_list_part_t  *part;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash
                && h[i].key.len == name->len
                && ngx_memcmp(h[i].lowcase_key, name->data, name->len) == 0
                && ngx_http_ffi_pass_is_in_list(&h[i].value, token))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_ffi_pass_is_in_list(ngx_str_t *list, ngx_str_t *token)
{
    u_char  *p, *first, *end, *last;

    p = list->data;
    end = p + list->len;

    for ( ;; ) {

        while (p < end && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        if (p == end) {
            return 0;
        }

        first = p;

        while (p < end && *p != ',') {
            p++;
        }

        last = p;

        while (last[-1] == ' ' || last[-1] == '\t') {
            last--;
        }

        if ((size_t) (last - first) == token->len
            && ngx_strncasecmp(first, token->data, token->len) == 0)
        {
            return 1;
        }
    }
}


ngx_int_t
ngx_http_ffi_pass_upgrade_head(ngx_http_ffi_pass_t *p)
{
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    r = p->request;

    if (r->headers_out.status != NGX_HTTP_SWITCHING_PROTOCOLS) {
        bridge_stream_finish(bridge_host(), p->task);
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "Upgrade");
    h->value = ngx_http_ffi_websocket;

    ngx_str_set(&r->headers_out.status_line, "101 Switching Protocols");
    ngx_http_clear_content_length(r);

    r->keepalive = 0;
    p->upgraded = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_ffi_pass_upgrade_begin(ngx_http_ffi_pass_t *p)
{
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = p->request;
    c = r->connection;

    c->log->action = "passing an upgraded connection on";

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->tcp_nodelay) {
        (void) ngx_tcp_nodelay(c);
    }

    if (ngx_http_send_special(r, NGX_HTTP_FLUSH) == NGX_ERROR) {
        ngx_http_ffi_pass_lost(p, NGX_ERROR);
        return NGX_ERROR;
    }

    r->read_event_handler = ngx_http_ffi_pass_upgrade_event;

    /* what came behind the request's head; and it may be over already */

    p->feed = 1;

    if (ngx_http_ffi_leaving) {
        ngx_http_ffi_pass_upgrade_tell(p);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_ffi_pass_upgrade_read(ngx_http_ffi_pass_t *p)
{
    size_t      read;
    ngx_int_t   rc;
    ngx_str_t   bytes;

    p->held = 0;
    p->feed = 0;

    if (p->eof) {
        return NGX_OK;
    }

    for (read = 0; read < NGX_HTTP_FFI_BODY_TURN; read += bytes.len) {

        switch (bridge_stream_may_write(bridge_host(), p->task)) {

        case 0:
            break;

        case EAGAIN:
            ngx_http_ffi_pass_upgrade_hold(p);
            return NGX_OK;

        default: /* EPIPE */
            return NGX_OK;
        }

        rc = ngx_http_ffi_pass_upgrade_more(p, &bytes);

        if (rc != NGX_OK) {
            return rc == NGX_AGAIN ? NGX_OK : rc;
        }

        switch (bridge_stream_write(bridge_host(), p->task,
                                    (char *) bytes.data, bytes.len))
        {
        case ENOMEM:
            return NGX_HTTP_INTERNAL_SERVER_ERROR;

        case 0:
            ngx_http_ffi_status_in(p->task, bytes.len);
            p->touched = ngx_current_msec;
            break;

        default: /* EPIPE */
            p->touched = ngx_current_msec;
            break;
        }
    }

    p->feed = 1;
    ngx_http_ffi_pass_post_later(p);

    return NGX_OK;
}


/* NGX_AGAIN: there is nothing, or the end has come; or a status */
static ngx_int_t
ngx_http_ffi_pass_upgrade_more(ngx_http_ffi_pass_t *p, ngx_str_t *bytes)
{
    ssize_t            n;
    ngx_buf_t         *b;
    ngx_connection_t  *c;

    b = p->request->header_in;

    if (b->pos < b->last) {
        bytes->data = b->pos;
        bytes->len = b->last - b->pos;
        b->pos = b->last;
        return NGX_OK;
    }

    c = p->request->connection;

    n = c->read->ready ? c->recv(c, ngx_http_ffi_upgrade_buf,
                                 NGX_HTTP_FFI_UPGRADE_READ)
                       : NGX_AGAIN;

    if (n > 0) {
        bytes->data = ngx_http_ffi_upgrade_buf;
        bytes->len = (size_t) n;
        return NGX_OK;
    }

    if (n == NGX_AGAIN) {
        return ngx_handle_read_event(c->read, 0) == NGX_OK
               ? NGX_AGAIN : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* what it has sent before is the runtime's all the same */

    ngx_http_ffi_pass_upgrade_eof(p);

    return NGX_AGAIN;
}


static void
ngx_http_ffi_pass_upgrade_hold(ngx_http_ffi_pass_t *p)
{
    p->held = 1;

    ngx_http_ffi_body_hold(p->request->connection->read);
}


static void
ngx_http_ffi_pass_upgrade_eof(ngx_http_ffi_pass_t *p)
{
    p->eof = 1;
    p->touched = ngx_current_msec;

    bridge_stream_finish(bridge_host(), p->task);

    p->request->read_event_handler = ngx_http_block_reading;
    ngx_http_ffi_body_hold(p->request->connection->read);
}


static void
ngx_http_ffi_pass_upgrade_event(ngx_http_request_t *r)
{
    ngx_int_t             rc;
    ngx_http_ffi_pass_t  *p;

    p = ngx_http_ffi_pass_get(r);

    if (p == NULL || p->task == NULL) {
        return;
    }

    if (p->held) {
        ngx_http_ffi_pass_upgrade_hold(p);
        return;
    }

    rc = ngx_http_ffi_pass_upgrade_read(p);

    if (rc != NGX_OK) {
        ngx_http_ffi_pass_finalize(p, NGX_ERROR);
    }
}


void
ngx_http_ffi_pass_upgrade_expire(ngx_http_ffi_pass_t *p)
{
    ngx_log_error(NGX_LOG_INFO, p->request->connection->log, NGX_ETIMEDOUT,
                  "FFI060: ffi: "
                  "upgraded connection to \"%V\" has been silent",
                  &p->target->name);

    p->request->connection->timedout = 1;

    ngx_http_ffi_status_settle(p->task, NGX_HTTP_FFI_CALL_TIMEOUT);
    ngx_http_ffi_pass_finalize(p, NGX_ERROR);
}


void
ngx_http_ffi_pass_upgrade_quit(ngx_msec_t abort, ngx_msec_t end)
{
    ngx_msec_t    ms;
    ngx_event_t  *ev;

    (void) abort;

    ev = &ngx_http_ffi_leave_event;

    if (end == 0 || ev->timer_set || ngx_http_ffi_leaving) {
        return;
    }

    ev->handler = ngx_http_ffi_pass_upgrade_leave;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    ms = end > NGX_HTTP_FFI_UPGRADE_LEAVE
         ? end - NGX_HTTP_FFI_UPGRADE_LEAVE : 0;

    ngx_add_timer(ev, ngx_http_ffi_replace_leaves() ? 0 : ms);
}


static void
ngx_http_ffi_pass_upgrade_leave(ngx_event_t *ev)
{
    (void) ev;

    ngx_http_ffi_leaving = 1;

    ngx_http_ffi_pass_each(ngx_http_ffi_pass_upgrade_tell);
}


static void
ngx_http_ffi_pass_upgrade_tell(ngx_http_ffi_pass_t *p)
{
    if (p->upgraded && p->task && !p->answered) {
        bridge_stream_tell_leaving(bridge_host(), p->task);
    }
}
