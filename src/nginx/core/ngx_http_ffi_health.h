/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_HEALTH_H_INCLUDED_
#define _NGX_HTTP_FFI_HEALTH_H_INCLUDED_

/*
 * Whether a runtime still takes calls.
 *
 * One is stuck where calls wait and none has been taken for a second or
 * longer, and for longer than a call waits.  It is so until one is taken.
 *
 * One that does not answer what it takes gets no more than max_queue calls
 * (or some, where that is few) beyond those whose callers wait no more.
 *
 * One has ended where threads have polled its queue and none of them lives.
 * It is so until another one polls.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"

#pragma GCC visibility push(hidden)


/*
 * Why a call that waits ms milliseconds (0: no bound) would wait in vain;
 * NULL where it would not.  Before each call.
 */
const char *ngx_http_ffi_unfit(ngx_http_ffi_runtime_t *rt,
    ngx_msec_t ms);

/* The deadline of t has passed, and no thread of rt has taken it. */
void ngx_http_ffi_not_taken(ngx_http_ffi_runtime_t *rt,
    bridge_task_t *t);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_HEALTH_H_INCLUDED_ */
