/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_HANDLER_H
#define PYTHON_HANDLER_H

/*
 * From a task to the method of the class that answers it, and what that
 * returned to an answer.  GIL held.
 */

#include <stdbool.h>

#include "call.h"
#include "streams.h"

/*
 * A borrowed reference; NULL where the call has been answered: nobody waits
 * for it any more, or there is no such method.
 */
PyObject *handler_of(runtime_t *self, void *task);

/*
 * Whether a handler that is called with all of the request at once cannot be
 * called yet, as parts of it are still to come.
 */
bool handler_has_to_wait(runtime_t *self, void *task, PyObject *handler);

/*
 * What a handler is called with: bytes, a view of the request where the class
 * asks for one, or what reads it; *call is made then, where it is NULL.
 * body: the request in one piece where it came in parts, or NULL.  A new
 * reference; NULL with an exception set.
 */
PyObject *handler_request(runtime_t *self, void *task, PyObject *handler,
    PyObject *body, call_t **call);

/*
 * Has this thread enter a context that is one call's own.  A new reference,
 * for PyContext_Exit; NULL with an exception set, and no context entered.
 */
PyObject *handler_enter_context(runtime_t *self);

/*
 * Calls a plain handler, and answers with what it returned or raised.  A
 * generator that it returned becomes one of the thread's streams; a future is
 * the event loop's to answer with.  body as of handler_request.
 */
void handler_call(runtime_t *self, streams_t *streams, void *task,
    PyObject *handler, PyObject *body);

#endif /* PYTHON_HANDLER_H */
