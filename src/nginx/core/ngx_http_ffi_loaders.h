/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_LOADERS_H_INCLUDED_
#define _NGX_HTTP_FFI_LOADERS_H_INCLUDED_

/* Tasks that wait for the start of a runtime. */

#include <ngx_config.h>
#include <ngx_core.h>

#include "task.h"

#pragma GCC visibility push(hidden)


/* Has t, which must be lent, answered; NGX_ERROR where memory ran out. */
ngx_int_t ngx_http_ffi_loaders_add(ngx_queue_t *loaders, bridge_task_t *t);

/* Answers all with the status rc and a copy of why, whose data may be NULL. */
void ngx_http_ffi_loaders_answer(ngx_queue_t *loaders, int rc,
    ngx_str_t *why);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_LOADERS_H_INCLUDED_ */
