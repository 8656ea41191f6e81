/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_DRAIN_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_DRAIN_H_INCLUDED_

/*
 * Answers that nobody waits for, and whose runtime is not told so: it may end
 * as it wants.  What it sends is thrown away.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "task.h"

#pragma GCC visibility push(hidden)


/*
 * Takes over a task that was put to a queue and has not come up, and whose
 * request has been written.  The runtime is told that nobody waits if it
 * sends nothing for ms milliseconds (0: no bound), or more than max bytes
 * (-1: no bound).  name: for error.log; it stays.
 */
void ngx_http_ffi_pass_drain(bridge_task_t *t, ngx_str_t *name, ngx_msec_t ms,
    off_t max);

/* Logs that t, which has its answer, has failed, if it has. */
void ngx_http_ffi_pass_drained(bridge_task_t *t, ngx_str_t *name);

/* In exit_process, before runtimes are unloaded: tells them all. */
void ngx_http_ffi_pass_drain_end_all(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_DRAIN_H_INCLUDED_ */
