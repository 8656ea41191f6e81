/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_REPLACE_H_INCLUDED_
#define _NGX_HTTP_FFI_REPLACE_H_INCLUDED_

/*
 * A worker that has passed a limit makes way for another: ffi_max_rss,
 * ffi_max_requests.
 *
 * It can only quit; nginx's master then starts its successor.  One leaves at a
 * time, and the next one 10 s after that one's successor has started at the
 * earliest: who leaves is in shared memory, and is not believed where the
 * process has died or should long be gone.  A worker looks once a second.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_conf.h"

#pragma GCC visibility push(hidden)


/*
 * Of a configuration that has been read: sets zone where there is a limit.
 * NGX_ERROR, logged, where that fails.
 */
ngx_int_t ngx_http_ffi_replace_zone(ngx_conf_t *cf,
    ngx_http_ffi_limits_t *limits, void *tag);

/*
 * In init_process, of a worker or a process that is all alone, which only
 * warns: keeps to limits, which stay, from now on.  exit_timeout: ms that the
 * end of runtimes takes at the most.
 */
void ngx_http_ffi_replace_start(ngx_http_ffi_limits_t *limits,
    ngx_msec_t exit_timeout);

/*
 * Whether the worker quits to be replaced: new connections may wait for its
 * successor, so that what stays open for long is to end now.
 */
ngx_uint_t ngx_http_ffi_replace_leaves(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_REPLACE_H_INCLUDED_ */
