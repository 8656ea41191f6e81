#ifndef _NGX_HTTP_FFI_START_H_INCLUDED_
#define _NGX_HTTP_FFI_START_H_INCLUDED_

/* The time between libffi_init and the answer to who waits for a load. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


/* Handler of the start task, whose data is the runtime. */
void ngx_http_ffi_start_answered(bridge_task_t *t);

/*
 * Answers t, which must be lent, when the runtime has started or failed:
 * with status 0, or with 1 and the reason.
 */
ngx_int_t ngx_http_ffi_notify_started(ngx_http_ffi_runtime_t *rt,
    bridge_task_t *t);

/* The same at once, for all of them: rt is not STARTING any more. */
void ngx_http_ffi_notify_loaders(ngx_http_ffi_runtime_t *rt);

/*
 * Holds up the worker until rt has started or failed, at most ms
 * milliseconds (0: no bound).  rt stays valid until the next load.
 */
void ngx_http_ffi_wait_started(ngx_http_ffi_runtime_t *rt,
    ngx_msec_t ms);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_START_H_INCLUDED_ */
