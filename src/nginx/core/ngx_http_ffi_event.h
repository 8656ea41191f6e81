/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_EVENT_H_INCLUDED_
#define _NGX_HTTP_FFI_EVENT_H_INCLUDED_

/* The eventfd in nginx's loop, and what it brings: answers and log lines. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "bridge.h"
#include "head.h"
#include "send.h"
#include "task.h"

#pragma GCC visibility push(hidden)


/*
 * bridge_task_t.data points to one of these, first in its own struct, or is
 * NULL where nobody waits.  handler owns the task, which has its answer, part
 * the part, which is to be given back, head the head, likewise; room: the task
 * may be written to.  log is where lines of the task go.  All but the first may
 * be NULL.  None is called from within a bridge function.
 */
typedef struct {
    void  (*handler)(bridge_task_t *t);
    void  (*part)(bridge_task_t *t, bridge_part_t *p);
    void  (*room)(bridge_task_t *t);
    void  (*head)(bridge_task_t *t, bridge_head_t *h);
    ngx_log_t  *log;
} ngx_http_ffi_caller_t;


/*
 * Makes the eventfd and the bridge, once.  handler gets the events of the
 * connection that is returned, and is called with c->close when the worker
 * begins to quit; threads_ended is called by a drain where the last thread of
 * some runtime has ended.  NULL where there is no connection or descriptor
 * left.
 */
ngx_connection_t *ngx_http_ffi_event_open(ngx_event_handler_pt handler,
    void (*threads_ended)(void));

/* Whether there is one: this process can call runtimes. */
ngx_uint_t ngx_http_ffi_event_ready(void);

/* Has the handler called soon. */
void ngx_http_ffi_event_notify(void);

/*
 * Whether other code has closed the descriptor.  The worker is told to quit
 * when that is noticed.
 */
ngx_uint_t ngx_http_ffi_event_lost(void);

/*
 * Hands each answer that has come to its handler, and writes the lines for
 * error.log: what was logged before an answer is there before its handler
 * runs.  Resumes no coroutine: that happens in posted events.
 */
void ngx_http_ffi_event_drain(void);

/* How many answers of runtimes to calls and web requests have come. */
ngx_uint_t ngx_http_ffi_event_answers(void);

/*
 * Sleeps until something has come, at most ms milliseconds, and drains.
 * Holds up the worker: only for loads that cannot yield, and for exits.
 */
void ngx_http_ffi_event_wait(ngx_msec_t ms);

/*
 * Calls wait in q, and a runtime may be too busy to tell of each answer: looks
 * for answers every millisecond, until no calls wait.
 */
void ngx_http_ffi_event_look(bridge_queue_t *q);

/* In exit_process, once no answer is of interest any more. */
void ngx_http_ffi_event_close(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_EVENT_H_INCLUDED_ */
