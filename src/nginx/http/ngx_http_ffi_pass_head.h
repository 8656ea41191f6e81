/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_PASS_HEAD_H_INCLUDED_
#define _NGX_HTTP_FFI_PASS_HEAD_H_INCLUDED_

/* A request's head, as resty_ffi.h has it. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "task.h"

#pragma GCC visibility push(hidden)


/*
 * A task with r's head, not queued.  has_body: where that is not so, fields
 * that speak of one are left out.  flags: the head's.  NULL where memory or
 * slots ran out.
 */
bridge_task_t *ngx_http_ffi_pass_task(ngx_http_request_t *r,
    ngx_uint_t has_body, uint32_t flags);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_PASS_HEAD_H_INCLUDED_ */
