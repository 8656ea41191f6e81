/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_ENVIRON_H
#define PYTHON_ENVIRON_H

/* The head of a web request as WSGI has it.  GIL held. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "resty_ffi.h"

#include "names.h"

#define ENVIRON_KEYS   12
#define ENVIRON_WORDS  14

/*
 * What all environs share; zeroed before the first use.  Nothing changes it
 * after environ_init.
 */
typedef struct {
    PyObject  *base;                    /* dict: what is the same in all */
    PyObject  *keys[ENVIRON_KEYS];
    PyObject  *words[ENVIRON_WORDS];    /* values that are frequent */
    PyObject  *on;                      /* the str "on" */
    names_t    names;
} environ_shared_t;

/* base is copied.  -1 with an exception set. */
int environ_init(environ_shared_t *shared, PyObject *base);
void environ_clear(environ_shared_t *shared);

/*
 * A copy of base with what is the request's: CGI's variables, wsgi.url_scheme,
 * HTTP_... (fields of one name joined), and what nginx.conf says.  A new dict,
 * or NULL with an exception set.
 */
PyObject *environ_new(const environ_shared_t *shared,
    const resty_ffi_head_t *head);

#endif /* PYTHON_ENVIRON_H */
