/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <poll.h>

#include "abi.h"
#include "end.h"
#include "eventfd.h"
#include "input.h"
#include "log.h"
#include "ngx_http_ffi_event.h"
#include "ngx_http_ffi_log.h"
#include "ngx_http_ffi_status_block.h"
#include "ngx_http_ffi_status_record.h"
#include "quiet.h"
#include "threads.h"


static void ngx_http_ffi_notify_host(void *arg);
static void ngx_http_ffi_take_answer(bridge_task_t *t, int64_t *now);
static void ngx_http_ffi_take_part(bridge_part_t *p);
static void ngx_http_ffi_take_head(bridge_head_t *h);
static void ngx_http_ffi_take_room(bridge_task_t *t);
static void ngx_http_ffi_take_line(bridge_line_t *line);
static void ngx_http_ffi_quiet_handler(ngx_event_t *ev);


static ngx_connection_t   *ngx_http_ffi_conn;
static ngx_fd_t            ngx_http_ffi_fd = -1;
static _Atomic ngx_uint_t  ngx_http_ffi_lost;    /* what fd was, or is to
                                                    other threads */
static void              (*ngx_http_ffi_threads_ended)(void);
static ngx_event_t         ngx_http_ffi_quiet_event;
static ngx_uint_t          ngx_http_ffi_nanswers;


ngx_connection_t *
ngx_http_ffi_event_open(ngx_event_handler_pt handler,
    void (*threads_ended)(void))
{
    int                fd;
    ngx_connection_t  *c;

    fd = bridge_eventfd();
    if (fd == -1) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "FFI011: lua ffi: eventfd() failed");
        return NULL;
    }

    if (!bridge_host_init(ngx_http_ffi_notify_host, NULL)) {
        goto failed;
    }

    bridge_host()->log_level = ngx_http_ffi_log_level();

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        goto failed;
    }

    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->read->handler = handler;

    /* not a client's: shutdown timer and exit checks pass over it */
    c->read->channel = 1;

    /* called, with c->close, when the worker begins to quit */
    c->idle = 1;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_CLEAR_EVENT) != NGX_OK) {
        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        goto failed;
    }

    ngx_http_ffi_conn = c;
    ngx_http_ffi_fd = fd;
    ngx_http_ffi_threads_ended = threads_ended;

    return c;

failed:

    if (close(fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "FFI011: lua ffi: close() failed");
    }

    return NULL;
}


ngx_uint_t
ngx_http_ffi_event_ready(void)
{
    return ngx_http_ffi_conn != NULL;
}


void
ngx_http_ffi_event_close(void)
{
    ngx_connection_t  *c;

    c = ngx_http_ffi_conn;

    if (c) {

        /*
         * The descriptor stays open: a runtime's thread may still write to
         * it, and must not hit one that was opened in its place.
         */

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;
        ngx_http_ffi_conn = NULL;
    }

    if (ngx_http_ffi_quiet_event.timer_set) {
        ngx_del_timer(&ngx_http_ffi_quiet_event);
        bridge_quiet_end(bridge_host());
    }
}


/* any thread */
static void
ngx_http_ffi_notify_host(void *arg)
{
    (void) arg;

    if (!bridge_eventfd_write(ngx_http_ffi_fd)
        && !atomic_exchange(&ngx_http_ffi_lost, 1))
    {
        (void) kill(ngx_pid, SIGQUIT);
    }
}


void
ngx_http_ffi_event_notify(void)
{
    ngx_http_ffi_notify_host(NULL);
}


ngx_uint_t
ngx_http_ffi_event_lost(void)
{
    return atomic_load(&ngx_http_ffi_lost);
}


void
ngx_http_ffi_event_drain(void)
{
    bridge_t       *b;
    int64_t         now;
    uint32_t        lost;
    bridge_node_t  *n, *next;

    b = bridge_host();
    now = 0;

    for (n = bridge_take(b); n; n = next) {
        next = n->next;

        switch (n->kind) {

        case BRIDGE_NODE_LINE:
            ngx_http_ffi_take_line((bridge_line_t *) n);
            break;

        case BRIDGE_NODE_ORPHAN:
            (void) bridge_threads_ended(n);
            ngx_http_ffi_threads_ended();
            break;

        case BRIDGE_NODE_PART:
            ngx_http_ffi_take_part((bridge_part_t *) n);
            break;

        case BRIDGE_NODE_HEAD:
            ngx_http_ffi_take_head((bridge_head_t *) n);
            break;

        case BRIDGE_NODE_ROOM:
            ngx_http_ffi_take_room(bridge_stream_of_room(n));
            break;

        default: /* BRIDGE_NODE_ANSWER */
            ngx_http_ffi_take_answer((bridge_task_t *) n, &now);
        }
    }

    lost = bridge_lines_lost(b);

    if (lost) {
        ngx_http_ffi_log_lost(lost);
    }
}


ngx_uint_t
ngx_http_ffi_event_answers(void)
{
    return ngx_http_ffi_nanswers;
}


static void
ngx_http_ffi_take_answer(bridge_task_t *t, int64_t *now)
{
    ngx_http_ffi_caller_t  *caller;

    /* a load has no queue */

    if (t->queue && !t->rejected) {
        ngx_http_ffi_nanswers++;
    }

    ngx_http_ffi_status_up(t, now);

    caller = t->data;

    if (caller) {
        caller->handler(t);

    } else {
        bridge_task_free(bridge_host(), t, 0);
    }
}


static void
ngx_http_ffi_take_part(bridge_part_t *p)
{
    bridge_task_t          *t;
    ngx_http_ffi_caller_t  *caller;

    /* its answer comes later, so it is there */

    t = bridge_task_find(bridge_host(), p->task);
    caller = t ? t->data : NULL;

    if (t) {
        t->watched = true;
        ngx_http_ffi_status_out(t, p->len);
    }

    if (caller && caller->part) {
        caller->part(t, p);

    } else {
        bridge_part_free(bridge_host(), p, 0);
    }
}


static void
ngx_http_ffi_take_head(bridge_head_t *h)
{
    bridge_task_t          *t;
    ngx_http_ffi_caller_t  *caller;

    t = bridge_task_find(bridge_host(), h->task);
    caller = t ? t->data : NULL;

    if (t) {
        t->watched = true;
    }

    if (caller && caller->head) {
        caller->head(t, h);

    } else {
        bridge_head_free(h);
    }
}


static void
ngx_http_ffi_take_room(bridge_task_t *t)
{
    ngx_http_ffi_caller_t  *caller;

    caller = t->data;

    if (caller && caller->room) {
        caller->room(t);
    }
}


static void
ngx_http_ffi_take_line(bridge_line_t *line)
{
    bridge_task_t          *t;
    ngx_http_ffi_caller_t  *caller;

    if (line->level == BRIDGE_DESCRIPTION) {
        ngx_http_ffi_slow_described(line);
        goto done;
    }

    t = line->task ? bridge_task_find(bridge_host(), line->task) : NULL;
    caller = t ? t->data : NULL;

    ngx_http_ffi_log_line(line, caller && caller->log ? caller->log
                                                      : ngx_cycle->log);

done:

    bridge_line_free(bridge_host(), line);
}


void
ngx_http_ffi_event_look(bridge_queue_t *q)
{
    ngx_event_t  *ev;

    ev = &ngx_http_ffi_quiet_event;

    /* the only one that waits is about to be taken */

    if (ev->timer_set || ngx_http_ffi_conn == NULL || !bridge_quiet_backlog(q)
        || bridge_queue_len(q) == 1)
    {
        return;
    }

    ev->handler = ngx_http_ffi_quiet_handler;
    ev->data = ngx_http_ffi_conn;
    ev->log = ngx_cycle->log;
    ev->cancelable = 1;

    bridge_quiet_begin(bridge_host());
    ngx_add_timer(ev, 1);
}


static void
ngx_http_ffi_quiet_handler(ngx_event_t *ev)
{
    if (bridge_quiet_any(bridge_host())) {
        bridge_quiet_begin(bridge_host());
        ngx_add_timer(ev, 1);

    } else {
        bridge_quiet_end(bridge_host());
    }

    ngx_http_ffi_event_drain();
}


void
ngx_http_ffi_event_wait(ngx_msec_t ms)
{
    uint64_t       n;
    struct pollfd  pfd;

    if (bridge_quiet_begun(bridge_host())) {
        bridge_quiet_end(bridge_host());
        ngx_http_ffi_event_drain();
        return;
    }

    pfd.fd = ngx_http_ffi_fd;
    pfd.events = POLLIN;

    if (poll(&pfd, 1, (int) ngx_min(ms, NGX_MAX_INT32_VALUE)) == 1) {

        /* nginx's loop never reads it (it is edge-triggered); poll needs it */

        if (read(pfd.fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "FFI011: lua ffi: read() from eventfd failed");
        }
    }

    ngx_http_ffi_event_drain();
}
