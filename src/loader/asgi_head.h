/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_ASGI_HEAD_H
#define PYTHON_ASGI_HEAD_H

/* The head of an answer, and its trailers, as ASGI has them. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/*
 * GIL held.  Sends it: status, an int; headers, any iterable of pairs of
 * bytes.  0, or EPIPE where nobody waits for the answer; -1 with an exception
 * set that names what is wrong.
 */
int asgi_head_send(void *task, PyObject *status, PyObject *headers);

/* The same of a WebSocket that is accepted. */
int asgi_upgrade_send(void *task, PyObject *headers);

/* The same of early hints, before it. */
int asgi_hints_send(void *task, PyObject *headers);

/* The same of trailers, which follow its body. */
int asgi_trailers_send(void *task, PyObject *headers);

#endif /* PYTHON_ASGI_HEAD_H */
