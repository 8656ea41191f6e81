/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_SCOPE_H
#define PYTHON_SCOPE_H

/* The head of a web request as ASGI's scope. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "resty_ffi.h"

/* What all scopes share; zeroed where it is not made. */
typedef struct {
    PyObject  *keys[16];
    PyObject  *type;            /* "http" */
    PyObject  *methods;         /* dict: bytes to str, of those seen */
    PyObject  *names;           /* the same, bytes to bytes: of fields */
} scope_names_t;

/* GIL held.  -1 with an exception set. */
int scope_names_init(scope_names_t *names);
void scope_names_clear(scope_names_t *names);

/*
 * GIL held.  The scope of an HTTP request without "asgi", "extensions" and
 * "state", which are the caller's.  A new dict, or NULL with an exception set.
 */
PyObject *scope_new(scope_names_t *names, const resty_ffi_head_t *head);

#endif /* PYTHON_SCOPE_H */
