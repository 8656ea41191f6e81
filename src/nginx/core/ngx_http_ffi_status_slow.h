/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_SLOW_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_SLOW_H_INCLUDED_

/*
 * Calls that take longer than ffi_slow_time: what the runtime does for them by
 * then is asked for.  One that has sent a part of its answer is not slow.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/* In init_process, where this worker counts; 0: none is slow. */
void ngx_http_ffi_slow_start(ngx_msec_t slow_time);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_SLOW_H_INCLUDED_ */
