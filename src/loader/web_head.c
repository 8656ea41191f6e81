/* SPDX-License-Identifier: BSD-2-Clause */

#include "web_head.h"

#include "fatal.h"
#include "number.h"


const resty_ffi_head_t *
web_head(PyObject *number)
{
    void                    *task;
    const resty_ffi_head_t  *head;

    if (!number_handle(number, &task)) {
        return NULL;
    }

    head = resty_ffi_head(task);
    if (head == NULL) {
        PyErr_SetString(PyExc_ValueError, "no web request");
        return NULL;
    }

    fatal_note(head);

    return head;
}
