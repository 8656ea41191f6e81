/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PYTHON_RESTART_H_INCLUDED_
#define _NGX_HTTP_FFI_PYTHON_RESTART_H_INCLUDED_

/*
 * A fresh worker in the place of one where no application has started: an
 * interpreter does not import a module a second time as it did the first.
 *
 * The worker quits of itself, and nginx's master starts another: after 1 s,
 * and after twice as long each time that fails again, 30 s at most.  How often
 * it has failed is in shared memory, of the worker's number; a reload begins
 * anew.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#pragma GCC visibility push(hidden)


/* Shared memory of a configuration that is read; NULL where it fails. */
ngx_shm_zone_t *ngx_http_ffi_python_restart_zone(ngx_conf_t *cf, void *tag);

/* In a worker of that configuration: an application has started; or has not. */
void ngx_http_ffi_python_started(ngx_shm_zone_t *zone);
void ngx_http_ffi_python_not_started(ngx_shm_zone_t *zone);

/* How many seconds to wait after so many failures before the last one. */
ngx_msec_t ngx_http_ffi_python_delay(ngx_uint_t failures);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PYTHON_RESTART_H_INCLUDED_ */
