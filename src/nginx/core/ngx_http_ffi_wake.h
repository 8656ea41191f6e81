/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_WAKE_H_INCLUDED_
#define _NGX_HTTP_FFI_WAKE_H_INCLUDED_

/*
 * When runtimes are woken for the calls that wait in their queues, and for
 * what nginx has to tell them besides.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "wake.h"

#pragma GCC visibility push(hidden)


/* Of a runtime.  Zeroed at first, but for its queue. */
typedef struct {
    ngx_queue_t      queue;     /* of those that are to be woken */
    ngx_uint_t       ncalls;    /* for how much; 0: not in queue */
    bridge_queue_t  *requests;
} ngx_http_ffi_wake_t;


/*
 * Wakes the runtime for what has been put into its queue when nginx has
 * handled the events at hand, or after some more calls: a wake-up is a
 * system call, and one does for all.
 */
void ngx_http_ffi_wake_later(ngx_http_ffi_wake_t *wake);

/* Before *wake goes. */
void ngx_http_ffi_wake_cancel(ngx_http_ffi_wake_t *wake);

/* Wakes all that are to be woken: before the worker blocks. */
void ngx_http_ffi_wake_now(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_WAKE_H_INCLUDED_ */
