/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef _NGX_HTTP_FFI_LENT_H_INCLUDED_
#define _NGX_HTTP_FFI_LENT_H_INCLUDED_

/*
 * nginx's buffers of what a runtime has lent: they point at its bytes, or at
 * its file.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "send.h"
#include "task.h"

#pragma GCC visibility push(hidden)


typedef struct ngx_http_ffi_file_s  ngx_http_ffi_file_t;


/* a buffer, and what is to be released with it, if it is a part's last */
typedef struct {
    ngx_buf_t             buf;      /* first: ngx_chain_t.buf */
    off_t                 size;     /* of what it had at first */
    bridge_part_t        *part;
    bridge_task_t        *task;
    ngx_http_ffi_file_t  *file;     /* its own; NULL: it never had one */
} ngx_http_ffi_lent_t;


/*
 * A chain of one, of *free, or of r's pool; NULL where memory ran out.  Nothing
 * is to be released with it yet.
 */
ngx_chain_t *ngx_http_ffi_lent_bytes(ngx_http_request_t *r,
    ngx_chain_t **free, const char *bytes, size_t len);

/* The same; NULL, too, where part's descriptor got lost, which is logged. */
ngx_chain_t *ngx_http_ffi_lent_file(ngx_http_request_t *r,
    ngx_chain_t **free, bridge_part_t *part);

#pragma GCC visibility pop


#endif /* _NGX_HTTP_FFI_LENT_H_INCLUDED_ */
