/* SPDX-License-Identifier: BSD-2-Clause */

#include "resty_ffi.h"

#include "abi.h"
#include "answer.h"
#include "file.h"
#include "head.h"


const resty_ffi_head_t *
resty_ffi_head(void *tsk)
{
    return (const void *) bridge_task_web(bridge_host(), bridge_number(tsk));
}


int
resty_ffi_send_head(void *tsk, int status, const resty_ffi_header_t *headers,
    size_t n)
{
    return bridge_head_send(bridge_host(), bridge_number(tsk), status,
                            headers, n);
}


int
resty_ffi_send_file(void *tsk, int fd, int64_t offset, int64_t len)
{
    return bridge_file_send(bridge_host(), bridge_number(tsk), fd, offset,
                            len);
}


int
resty_ffi_send_trailers(void *tsk, const resty_ffi_header_t *headers, size_t n)
{
    return bridge_head_send_trailers(bridge_host(), bridge_number(tsk),
                                     headers, n);
}
