/* SPDX-License-Identifier: BSD-2-Clause */

#include <errno.h>

#include "resty_ffi.h"

#include "abi.h"
#include "input.h"
#include "send.h"
#include "stream.h"


_Static_assert((int) RESTY_FFI_WRITABLE == (int) BRIDGE_WRITABLE
               && (int) RESTY_FFI_READABLE == (int) BRIDGE_READABLE
               && (int) RESTY_FFI_GONE == (int) BRIDGE_GONE
               && (int) RESTY_FFI_LEAVING == (int) BRIDGE_LEAVING,
               "as in the ABI");


int
resty_ffi_send(void *tsk, const void *part, size_t len,
    void (*release)(void *arg, int delivered), void *arg)
{
    return bridge_stream_send(bridge_host(), bridge_number(tsk), part, len,
                              false, release, arg);
}


int
resty_ffi_send_copy(void *tsk, const void *part, size_t len)
{
    return bridge_stream_send(bridge_host(), bridge_number(tsk), part, len,
                              true, NULL, NULL);
}


int
resty_ffi_has_parts(void *tsk)
{
    return bridge_stream_has_parts(bridge_host(), bridge_number(tsk));
}


int
resty_ffi_read(void *tsk, char **part, size_t *len)
{
    return bridge_stream_read(bridge_host(), bridge_number(tsk), part, len);
}


int
resty_ffi_wait(void *tsk, int events, int timeout_ms)
{
    return bridge_stream_wait(bridge_host(), bridge_number(tsk), events,
                              timeout_ms);
}
