/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_ENVIRON_H
#define PYTHON_ENVIRON_H

/* The head of a web request as WSGI has it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "resty_ffi.h"

/*
 * GIL held.  What of WSGI's environ is the request's: CGI's variables,
 * wsgi.url_scheme, HTTP_… (fields of one name joined) and what nginx.conf says
 * besides.  A new dict, or NULL with an exception set.
 */
PyObject *environ_new(const resty_ffi_head_t *head);

#endif /* PYTHON_ENVIRON_H */
