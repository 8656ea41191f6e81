/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_RUNTIMES_H_INCLUDED_
#define _NGX_HTTP_FFI_RUNTIMES_H_INCLUDED_

/* All runtimes of the worker: what is left of some, and the end of all. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


/* NULL, or called for one before it is freed: its queue is as it was. */
extern void (*ngx_http_ffi_released)(ngx_http_ffi_runtime_t *rt);

/*
 * Releases those that are closing: a queue when nobody is in it; a library,
 * where that was asked for, when in addition each thread that polled has
 * ended.
 */
void ngx_http_ffi_sweep_closing(void);

/* Calls visit with all that are live or closing, which it must not end. */
void ngx_http_ffi_each_runtime(void (*visit)(ngx_http_ffi_runtime_t *rt));

/* Looks after all whose threads may have ended. */
void ngx_http_ffi_check_all_threads(void);

/* Of all that are live: the threads that have polled, and live. */
ngx_int_t ngx_http_ffi_live_threads(void);

/*
 * In exit_process: unloads all, waits until every thread that polled has
 * ended, and lets libraries end: in ms milliseconds, of which they get what
 * is left, at least half or a second.  Threads that have seen the end of their
 * queue, or have no call, and do not end, are not waited for longer than 300
 * ms.  Loads fail from now on.
 */
void ngx_http_ffi_unload_all(ngx_msec_t ms);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_RUNTIMES_H_INCLUDED_ */
