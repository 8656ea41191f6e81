/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_WSGI_HEAD_H
#define PYTHON_WSGI_HEAD_H

/*
 * `_resty_ffi.WsgiHead`: status and headers of an answer, as start_response
 * gets them, and checked as PEP 3333 wants them.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *wsgi_head_type_new(void);

#endif /* PYTHON_WSGI_HEAD_H */
