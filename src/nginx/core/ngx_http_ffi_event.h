#ifndef _NGX_HTTP_FFI_EVENT_H_INCLUDED_
#define _NGX_HTTP_FFI_EVENT_H_INCLUDED_

/* The eventfd in nginx's loop, and what it brings: answers and log lines. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "bridge.h"
#include "task.h"

#pragma GCC visibility push(hidden)


/*
 * bridge_task_t.data points to one of these, first in its own struct, or is
 * NULL where nobody waits.  The handler owns the drained task.
 */
typedef struct {
    void  (*handler)(bridge_task_t *t);
} ngx_http_ffi_caller_t;


/*
 * Who calls runtimes, and is told when the worker begins to quit: abort, ms
 * after which it lets nobody wait without a deadline or a client, end, ms
 * after which it lets nobody wait, 0 for no bound.
 */
typedef struct ngx_http_ffi_quit_s  ngx_http_ffi_quit_t;

struct ngx_http_ffi_quit_s {
    void                  (*handler)(ngx_msec_t abort, ngx_msec_t end);
    ngx_http_ffi_quit_t  *next;
};


/*
 * Makes this process one that can call runtimes: eventfd, bridge, SIGCHLD.
 * Does nothing the second time.  NGX_ERROR where there is no connection or
 * descriptor left.
 */
ngx_int_t ngx_http_ffi_event_init(void);

/* In init_process: has q, which stays, told. */
void ngx_http_ffi_on_quit(ngx_http_ffi_quit_t *q);

/* Whether this process has been made one. */
ngx_uint_t ngx_http_ffi_event_ready(void);

/*
 * Hands each answer that has come to its handler, and writes the lines for
 * error.log: what was logged before an answer is there before its handler
 * runs.  Resumes no coroutine: that happens in posted events.
 */
void ngx_http_ffi_event_drain(void);

/*
 * Sleeps until something has come, at most ms milliseconds, and drains.
 * Holds up the worker: only for loads that cannot yield, and for exits.
 */
void ngx_http_ffi_event_wait(ngx_msec_t ms);

/* In exit_process, once no answer is of interest any more. */
void ngx_http_ffi_event_close(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_EVENT_H_INCLUDED_ */
