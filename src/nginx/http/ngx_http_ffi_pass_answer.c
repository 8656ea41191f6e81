/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "abi.h"
#include "end.h"
#include "ngx_http_ffi_pass_accel.h"
#include "ngx_http_ffi_pass_answer.h"
#include "ngx_http_ffi_pass_body.h"
#include "ngx_http_ffi_pass_fields.h"
#include "ngx_http_ffi_pass_hints.h"
#include "ngx_http_ffi_pass_page.h"
#include "ngx_http_ffi_pass_upgrade.h"
#include "ngx_http_ffi_status_block.h"


/* bytes of an error's text in error.log */
#define NGX_HTTP_FFI_PASS_TEXT  1024


static void ngx_http_ffi_pass_part(bridge_task_t *t, bridge_part_t *part);
static void ngx_http_ffi_pass_room(bridge_task_t *t);
static void ngx_http_ffi_pass_head_came(bridge_task_t *t, bridge_head_t *h);
static void ngx_http_ffi_pass_event(ngx_event_t *ev);
static void ngx_http_ffi_pass_go_on(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_append(bridge_head_t **list,
    bridge_head_t **last, bridge_head_t *h);
static ngx_int_t ngx_http_ffi_pass_flush_head(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_send_head(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_finish(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_failed(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_add_trailers(ngx_http_ffi_pass_t *p);
static void ngx_http_ffi_pass_send_rest(ngx_http_ffi_pass_t *p);
static ngx_int_t ngx_http_ffi_pass_take_last(ngx_http_ffi_pass_t *p);
static ngx_uint_t ngx_http_ffi_pass_answer_is_good(ngx_http_ffi_pass_t *p);
static size_t ngx_http_ffi_pass_first_line(const char *text, size_t len);
static ngx_int_t ngx_http_ffi_pass_check_length(ngx_http_ffi_pass_t *p,
    ngx_uint_t complete);
static void ngx_http_ffi_pass_write(ngx_http_ffi_pass_t *p,
    ngx_uint_t progress);
static void ngx_http_ffi_pass_writer(ngx_http_request_t *r);


void
ngx_http_ffi_pass_expect(ngx_http_ffi_pass_t *p)
{
    p->caller.part = ngx_http_ffi_pass_part;
    p->caller.room = ngx_http_ffi_pass_room;
    p->caller.head = ngx_http_ffi_pass_head_came;

    p->event.handler = ngx_http_ffi_pass_event;
    p->request->write_event_handler = ngx_http_ffi_pass_writer;
}


static void
ngx_http_ffi_pass_part(bridge_task_t *t, bridge_part_t *part)
{
    ngx_http_ffi_pass_t  *p;

    p = t->data;

    /* nothing follows one that got lost */

    if (p->no_body || p->lost || p->nomem) {
        bridge_part_free(bridge_host(), part, p->no_body);
        p->touched = ngx_current_msec;
        return;
    }

    if (ngx_http_ffi_outlet_part(&p->outlet, part) != NGX_OK) {
        p->nomem = 1;
        bridge_part_free(bridge_host(), part, 0);
    }

    ngx_http_ffi_pass_post(p);
}


static void
ngx_http_ffi_pass_room(bridge_task_t *t)
{
    ngx_http_ffi_pass_t  *p;

    p = t->data;
    p->feed = 1;

    ngx_http_ffi_pass_post(p);
}


static void
ngx_http_ffi_pass_head_came(bridge_task_t *t, bridge_head_t *h)
{
    ngx_http_ffi_pass_t  *p;

    p = t->data;

    if (h->status == 0) {
        ngx_http_ffi_pass_append(&p->trailers, &p->last_trailers, h);

    } else if (h->status == NGX_HTTP_FFI_PASS_HINTS) {
        ngx_http_ffi_pass_append(&p->hints, &p->last_hints, h);

    } else {
        p->head = h;
    }

    ngx_http_ffi_pass_post(p);
}


static void
ngx_http_ffi_pass_append(bridge_head_t **list, bridge_head_t **last,
    bridge_head_t *h)
{
    h->node.next = NULL;

    if (*list) {
        (*last)->node.next = &h->node;

    } else {
        *list = h;
    }

    *last = h;
}


static void
ngx_http_ffi_pass_event(ngx_event_t *ev)
{
    ngx_connection_t     *c;
    ngx_http_ffi_pass_t  *p;

    p = ev->data;
    c = p->request->connection;

    ngx_http_set_log_request(c->log, p->request);

    ngx_http_ffi_pass_go_on(p);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_ffi_pass_go_on(ngx_http_ffi_pass_t *p)
{
    ngx_int_t  rc;

    p->touched = ngx_current_msec;

    if (p->hints && ngx_http_ffi_pass_send_hints(p) != NGX_OK) {
        return;
    }

    if (p->head && !p->head_sent && ngx_http_ffi_pass_send_head(p) != NGX_OK) {
        return;
    }

    if (p->nomem) {
        ngx_http_ffi_pass_fail(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (p->answered) {
        ngx_http_ffi_pass_finish(p);
        return;
    }

    if (p->feed && (p->feeding || p->upgraded)) {
        rc = p->upgraded ? ngx_http_ffi_pass_upgrade_read(p)
                         : ngx_http_ffi_pass_body_feed(p);

        if (rc != NGX_OK) {
            ngx_http_ffi_pass_fail(p, rc);
            return;
        }
    }

    if (p->lost) {
        if (!p->feeding) {
            ngx_http_ffi_pass_lost(p, NGX_ERROR);
        }

        return;
    }

    if (!p->head_sent || p->no_body) {
        return;
    }

    if (ngx_http_ffi_pass_check_length(p, 0) != NGX_OK) {
        ngx_http_ffi_pass_fail(p, NGX_HTTP_BAD_GATEWAY);
        return;
    }

    if (p->outlet.bytes == 0
        && !p->upgraded
        && ngx_http_ffi_pass_flush_head(p) != NGX_OK)
    {
        ngx_http_ffi_pass_lost(p, NGX_ERROR);
        return;
    }

    ngx_http_ffi_pass_write(p, 0);
}


/* in the next turn, so that most heads go with what comes behind them */
static ngx_int_t
ngx_http_ffi_pass_flush_head(ngx_http_ffi_pass_t *p)
{
    if (!p->head_alone) {
        p->head_alone = 1;
        ngx_http_ffi_pass_post_later(p);
        return NGX_OK;
    }

    if (p->head_flushed) {
        return NGX_OK;
    }

    p->head_flushed = 1;

    return ngx_http_ffi_outlet_flush(&p->outlet);
}


/* NGX_ERROR: the request has been finalized */
static ngx_int_t
ngx_http_ffi_pass_send_head(ngx_http_ffi_pass_t *p)
{
    ngx_int_t            rc;
    const char          *why;
    ngx_http_request_t  *r;

    r = p->request;

    if (ngx_http_ffi_pass_accel(p) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_ffi_pass_fields(r, p->head, p->conf->hide_headers, &why);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "FFI050: ffi: \"%V\" has answered with %s",
                      &p->target->name, why);

        ngx_http_ffi_pass_finalize(p, NGX_HTTP_BAD_GATEWAY);
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_http_ffi_pass_finalize(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_ERROR;
    }

    if (p->upgrade && ngx_http_ffi_pass_upgrade_head(p) != NGX_OK) {
        ngx_http_ffi_pass_finalize(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return NGX_ERROR;
    }

    p->length = r->headers_out.content_length_n;
    p->head_sent = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR) {
        ngx_http_ffi_pass_lost(p, rc);
        return NGX_ERROR;
    }

    if (rc > NGX_OK || r->post_action) {
        ngx_http_ffi_pass_finalize(p, rc);
        return NGX_ERROR;
    }

    if (p->upgraded) {
        return ngx_http_ffi_pass_upgrade_begin(p);
    }

    if (r->header_only) {
        p->no_body = 1;
        ngx_http_ffi_outlet_drop(&p->outlet);
    }

    return NGX_OK;
}


static void
ngx_http_ffi_pass_finish(ngx_http_ffi_pass_t *p)
{
    ngx_int_t  rc;

    if (!ngx_http_ffi_pass_answer_is_good(p)) {
        ngx_http_ffi_status_settle(p->task,
                                   p->task->rejected
                                   ? NGX_HTTP_FFI_CALL_REFUSED
                                   : NGX_HTTP_FFI_CALL_ERROR);
        ngx_http_ffi_pass_failed(p);
        return;
    }

    if (p->no_body || p->lost) {
        ngx_http_ffi_pass_finalize(p, p->lost ? NGX_ERROR : NGX_OK);
        return;
    }

    if (ngx_http_ffi_pass_take_last(p) != NGX_OK) {
        ngx_http_ffi_pass_fail(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    if (ngx_http_ffi_pass_check_length(p, 1) != NGX_OK) {
        ngx_http_ffi_pass_fail(p, NGX_HTTP_BAD_GATEWAY);
        return;
    }

    if (ngx_http_ffi_pass_add_trailers(p) != NGX_OK) {
        ngx_http_ffi_pass_fail(p, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    rc = ngx_http_ffi_outlet_finish(&p->outlet);

    if (rc == NGX_ERROR) {
        ngx_http_ffi_pass_lost(p, rc);

    } else {
        ngx_http_ffi_pass_finalize(p, rc);
    }
}


static void
ngx_http_ffi_pass_failed(ngx_http_ffi_pass_t *p)
{
    ngx_int_t       status;
    ngx_str_t       text;
    bridge_task_t  *t;

    t = p->task;
    status = t->rc >= 500 && t->rc < 600 ? t->rc : NGX_HTTP_BAD_GATEWAY;

    if (!p->head_sent) {
        text.data = (u_char *) t->rsp;
        text.len = t->rsp ? t->rsp_len : 0;

        ngx_http_ffi_pass_finalize(p, ngx_http_ffi_pass_page(p->request,
                                                             status, &text));
        return;
    }

    ngx_http_ffi_pass_send_rest(p);
    ngx_http_ffi_pass_fail(p, status);
}


static ngx_int_t
ngx_http_ffi_pass_add_trailers(ngx_http_ffi_pass_t *p)
{
    bridge_head_t  *h;

    for (h = p->trailers; h; h = (bridge_head_t *) h->node.next) {
        if (ngx_http_ffi_pass_list(&p->request->headers_out.trailers, h,
                                   p->conf->hide_headers)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what has come with a failure, and before it, is the client's */
static void
ngx_http_ffi_pass_send_rest(ngx_http_ffi_pass_t *p)
{
    if (p->head_sent
        && !p->no_body
        && !p->lost
        && (p->length < 0 || p->outlet.bytes <= p->length))
    {
        (void) ngx_http_ffi_outlet_write(&p->outlet, 1);
    }
}


/* the bytes of the answer itself */
static ngx_int_t
ngx_http_ffi_pass_take_last(ngx_http_ffi_pass_t *p)
{
    bridge_task_t  *t;

    t = p->task;

    ngx_http_ffi_status_settle(t, p->length < 0
                                  || p->outlet.bytes + (off_t) t->rsp_len
                                     == p->length
                                  ? NGX_HTTP_FFI_CALL_OK
                                  : NGX_HTTP_FFI_CALL_ERROR);

    if (t->rsp == NULL || t->rsp_len == 0) {
        p->task = NULL;
        bridge_task_free(bridge_host(), t, 1);
        return NGX_OK;
    }

    if (ngx_http_ffi_outlet_answer(&p->outlet, t) != NGX_OK) {
        return NGX_ERROR;
    }

    p->task = NULL;
    t->data = NULL;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_ffi_pass_answer_is_good(ngx_http_ffi_pass_t *p)
{
    size_t          len;
    bridge_task_t  *t;

    t = p->task;

    if (t->rejected) {
        ngx_log_error(NGX_LOG_ERR, p->request->connection->log, 0,
                      "FFI054: ffi: "
                      "\"%V\" has ended and did not take the request",
                      &p->target->name);
        return 0;
    }

    if (t->rc != 0) {
        len = ngx_http_ffi_pass_first_line(t->rsp, t->rsp_len);

        ngx_log_error(NGX_LOG_ERR, p->request->connection->log, 0,
                      "FFI051: ffi: \"%V\" has failed with status %d%s%*s",
                      &p->target->name, t->rc, len ? ": " : "", len,
                      t->rsp ? t->rsp : "");
        return 0;
    }

    if (!p->head_sent) {
        ngx_log_error(NGX_LOG_ERR, p->request->connection->log, 0,
                      "FFI052: ffi: \"%V\" has answered without a head",
                      &p->target->name);
        return 0;
    }

    return 1;
}


/* its length */
static size_t
ngx_http_ffi_pass_first_line(const char *text, size_t len)
{
    size_t  n;

    if (text == NULL) {
        return 0;
    }

    len = ngx_min(len, NGX_HTTP_FFI_PASS_TEXT);

    for (n = 0; n < len; n++) {
        if ((u_char) text[n] < ' ') {
            break;
        }
    }

    return n;
}


static ngx_int_t
ngx_http_ffi_pass_check_length(ngx_http_ffi_pass_t *p, ngx_uint_t complete)
{
    off_t  bytes;

    bytes = p->outlet.bytes;

    if (p->length < 0
        || bytes == p->length
        || (bytes < p->length && !complete))
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, p->request->connection->log, 0,
                  "FFI053: ffi: "
                  "\"%V\" has sent %O bytes%s after a Content-Length "
                  "of %O",
                  &p->target->name, bytes, complete ? "" : " or more",
                  p->length);

    return NGX_ERROR;
}


/* progress: the client has taken something */
static void
ngx_http_ffi_pass_write(ngx_http_ffi_pass_t *p, ngx_uint_t progress)
{
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    if (ngx_http_ffi_outlet_write(&p->outlet, 1) != NGX_OK) {
        ngx_http_ffi_pass_lost(p, NGX_ERROR);
        return;
    }

    if (!ngx_http_ffi_outlet_active(&p->outlet)) {
        return;
    }

    r = p->request;
    wev = r->connection->write;

    if (!ngx_http_ffi_outlet_blocked(&p->outlet)) {
        if (wev->timer_set && !wev->delayed) {
            ngx_del_timer(wev);
        }

        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed && (progress || !wev->timer_set)) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_ffi_pass_finalize(p, NGX_ERROR);
    }
}


static void
ngx_http_ffi_pass_writer(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_ffi_pass_t       *p;
    ngx_http_core_loc_conf_t  *clcf;

    p = ngx_http_ffi_pass_get(r);

    if (p == NULL || p->task == NULL || p->lost) {
        return;
    }

    c = r->connection;
    wev = c->write;
    p->touched = ngx_current_msec;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;

        ngx_http_ffi_pass_lost(p, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (wev->delayed || !p->head_sent || p->no_body) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_ffi_pass_finalize(p, NGX_ERROR);
        }

        return;
    }

    ngx_http_ffi_pass_write(p, 1);
}
