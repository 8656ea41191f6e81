/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_FIELD_NAMES_H
#define PYTHON_FIELD_NAMES_H

/*
 * Names of fields as bytes, as ASGI has them.  Those that come again and again
 * are made once.  Clients choose the names, so there is room for so many, and
 * a new one takes the place of another.
 *
 * GIL held.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define FIELD_NAMES  256

/* Zeroed before the first use. */
typedef struct {
    PyObject  *names[FIELD_NAMES];  /* bytes, each where its hash tells, or
                                       NULL */
} field_names_t;

void field_names_clear(field_names_t *known);

/* A name of len bytes.  A new reference; NULL with an exception set. */
PyObject *field_names_get(field_names_t *known, const char *name,
    uint32_t len);

#endif /* PYTHON_FIELD_NAMES_H */
