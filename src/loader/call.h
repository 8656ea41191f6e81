/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_CALL_H
#define PYTHON_CALL_H

/*
 * `_resty_ffi.Call`: what a handler can ask about the call it answers, and
 * how an asynchronous one is answered.
 */

#include <stdint.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime.h"

typedef struct {
    PyObject_HEAD
    runtime_t  *runtime;        /* a reference */
    void       *task;
    PyObject   *callbacks;      /* as of reply_tell, or NULL */
    int         answered;
} call_t;

/* GIL held.  A new reference, or NULL with an exception set. */
PyObject *call_type_new(void);

/*
 * GIL held.  The call of a task this thread has; a new reference, or NULL
 * with an exception set.
 */
call_t *call_new(PyTypeObject *type, runtime_t *runtime, void *task);

/*
 * GIL held.  Says which call the running thread is in, for call_current,
 * until call_leave, which returns call (a reference, which it has taken over),
 * or where that was NULL, the Call that was asked for in between, or NULL.
 * They do not nest.
 */
void call_enter(runtime_t *runtime, void *task, call_t *call);
call_t *call_leave(void);

/*
 * GIL held.  The call is about to be answered: nothing can be added to its
 * callbacks any more, which are the caller's now: a list, or NULL.
 */
PyObject *call_end(call_t *call);

/*
 * GIL held, between call_enter and call_leave.  As parts_send_now, with the
 * callbacks that the running thread's call has been given since its last part.
 * They are told where it is not sent, but not at EAGAIN.
 */
int call_send(PyObject *part);

/* The same.  What was EAGAIN will not be sent: its callbacks are told so. */
void call_unsent(void);

/* GIL held.  Whether an object is a Call. */
int call_check(PyObject *object);

/*
 * GIL held.  As the methods _send, which is parts_send_now with an exception
 * where the call has been answered, and _answer of a Call.
 */
int call_try_to_send(call_t *call, PyObject *part);
void call_answer(call_t *call, PyObject *value);

/* The task that the running thread is in, as call_enter says; NULL: none. */
void *call_task(void);

/* The method `_resty_ffi.current`. */
PyObject *call_current(PyObject *module, PyObject *unused);

#endif /* PYTHON_CALL_H */
