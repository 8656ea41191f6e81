/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_STATUS_ACCOUNT_H_INCLUDED_
#define _NGX_HTTP_FFI_STATUS_ACCOUNT_H_INCLUDED_

/*
 * Which blocks the calls of this worker's runtimes count in.
 *
 * A runtime's methods have one each, up to a bound, and where the zone has
 * room; all further ones are "other".  Runtimes of one name count together.
 * Those that the zone has no room for are "other", too.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_http_ffi_runtime.h"
#include "ngx_http_ffi_status_block.h"

#pragma GCC visibility push(hidden)


/* Of one runtime; then "other" */
#define NGX_HTTP_FFI_STATUS_METHODS  32


/*
 * In init_process and exit_process: this worker counts where ffi_status_zone
 * says, zone, which may be NULL.
 */
void ngx_http_ffi_status_start(ngx_shm_zone_t *zone);
void ngx_http_ffi_status_stop(void);

/*
 * t is about to be put to rt; under the method's name, or where that is NULL
 * the task's.
 */
void ngx_http_ffi_status_put(ngx_http_ffi_runtime_t *rt, bridge_task_t *t,
    ngx_str_t *method);

/*
 * A call of rt, which may be NULL, was not made; or it was not put, in spite of
 * ngx_http_ffi_status_put.
 */
void ngx_http_ffi_status_refused(ngx_http_ffi_runtime_t *rt,
    ngx_str_t *method);

/* rt:__reload() has begun to start another one in the place of rt. */
void ngx_http_ffi_status_reloaded(ngx_http_ffi_runtime_t *rt);

/* Sets the gauges of this worker, which is done once a second, too. */
void ngx_http_ffi_status_look(void);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_STATUS_ACCOUNT_H_INCLUDED_ */
