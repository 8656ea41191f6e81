/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_HANDLER_H
#define PYTHON_HANDLER_H

/*
 * From a task to the method of the class that answers it, and what that
 * returned to an answer.  GIL held.
 */

#include "runtime.h"

/*
 * A borrowed reference; NULL where the call has been answered: nobody waits
 * for it any more, or there is no such method.
 */
PyObject *handler_of(runtime_t *self, void *task);

/*
 * What a handler is called with: bytes, or a view of the request where the
 * class asks for one.  A new reference; NULL with an exception set.
 */
PyObject *handler_request(runtime_t *self, void *task);

/*
 * Has this thread enter a context that is one call's own.  A new reference,
 * for PyContext_Exit; NULL with an exception set, and no context entered.
 */
PyObject *handler_enter_context(runtime_t *self);

/*
 * Calls a plain handler, and answers with what it returned or raised; a
 * future that it returned is the event loop's to answer with.
 */
void handler_call(runtime_t *self, void *task, PyObject *handler);

#endif /* PYTHON_HANDLER_H */
