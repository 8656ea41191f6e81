/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_NAMES_H
#define PYTHON_NAMES_H

/*
 * The variables of CGI that fields of requests become: "accept-language" is
 * HTTP_ACCEPT_LANGUAGE.  Those of fields that clients often send are made once.
 *
 * GIL held.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NAMES_SLOTS  128    /* a power of two */

/* Zeroed before the first use; nothing changes it after names_init. */
typedef struct {
    PyObject    *variables[NAMES_SLOTS];    /* interned str, or NULL */
    const char  *fields[NAMES_SLOTS];
} names_t;

/* -1 with an exception set. */
int names_init(names_t *names);
void names_clear(names_t *names);

/*
 * The variable of a field, whose name has len bytes and is in lower case.  A
 * new reference; NULL with an exception set.
 */
PyObject *names_get(const names_t *names, const char *name, size_t len);

#endif /* PYTHON_NAMES_H */
