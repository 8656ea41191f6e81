/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_GATHER_H
#define PYTHON_GATHER_H

/* Requests in parts, for handlers that want them in one piece. */

#include "streams.h"

/*
 * Called on the thread of streams with the whole request, bytes; the task is
 * its own from then on.  It leaves no exception set.
 */
typedef void (*gather_then_t)(streams_t *streams, void *task,
    PyObject *handler, PyObject *body);

/*
 * GIL held.  Gathers the request of a task in turns of streams, then calls
 * then; or answers the task where its caller goes.  A reference of handler is
 * kept.  -1 with an exception set where memory ran out.
 */
int gather_start(streams_t *streams, void *task, PyObject *handler,
    gather_then_t then);

#endif /* PYTHON_GATHER_H */
