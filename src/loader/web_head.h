/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WEB_HEAD_H
#define PYTHON_WEB_HEAD_H

/* The head of a web request, for a thread that begins to answer it. */

#include "resty_ffi.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * GIL held.  Of the task whose address number is; from now on the request is
 * the calling thread's last, see fatal_note.  The bridge owns what is
 * returned, see resty_ffi_head.  NULL with an exception set: number is none,
 * or the task no web request.
 */
const resty_ffi_head_t *web_head(PyObject *number);

#endif /* PYTHON_WEB_HEAD_H */
