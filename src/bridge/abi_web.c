/* SPDX-License-Identifier: BSD-2-Clause */

#include <string.h>

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


/* "00-" 32 digits "-" 16 digits "-" 2 digits, and more in later versions */
static bool
is_traceparent(const char *text, int len)
{
    int  i;

    static const char  form[] =
        "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";

    if (len < (int) sizeof(form) - 1
        || (len > (int) sizeof(form) - 1 && text[sizeof(form) - 1] != '-'))
    {
        return false;
    }

    for (i = 0; i < (int) sizeof(form) - 1; i++) {
        if (form[i] == '-' ? text[i] != '-'
            : text[i] == '\0' || strchr("0123456789abcdef", text[i]) == NULL)
        {
            return false;
        }
    }

    return true;
}


static const char *
field_of(const resty_ffi_head_t *head, const char *name, int *len)
{
    size_t                    n;
    uint32_t                  i;
    const resty_ffi_field_t  *field;

    n = strlen(name);
    field = RESTY_FFI_FIELDS(head);

    for (i = 0; i < head->nfields; i++, field++) {
        if (field->name.len == n
            && memcmp(RESTY_FFI_TEXT(head, field->name), name, n) == 0)
        {
            *len = (int) field->value.len;
            return RESTY_FFI_TEXT(head, field->value);
        }
    }

    *len = 0;

    return NULL;
}


const char *
resty_ffi_trace(void *tsk, int *len)
{
    const char              *trace;
    const resty_ffi_head_t  *head;

    head = resty_ffi_head(tsk);

    trace = head ? field_of(head, "traceparent", len)
                 : bridge_task_trace(bridge_host(), bridge_number(tsk), len);

    if (trace && is_traceparent(trace, *len)) {
        return trace;
    }

    *len = 0;

    return NULL;
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
