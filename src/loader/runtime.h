/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_RUNTIME_H
#define PYTHON_RUNTIME_H

/*
 * What a runtime in Python is made of, and how its tasks are answered; see
 * runtime_type.h.
 *
 * GIL held wherever not said otherwise.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "reply.h"

typedef struct {
    PyObject_HEAD
    void          *tq;
    replies_t     *replies;
    PyTypeObject  *call_type;
    PyTypeObject  *request_type;
    PyTypeObject  *streams_type;
    PyObject      *handler;         /* callable for every method, or NULL */
    PyObject      *methods;         /* dict: name to callable, or NULL */
    PyObject      *coroutines;      /* set of callables that are async */
    PyObject      *answers;         /* python/resty_ffi/_answers.py */
    PyObject      *run;             /* makes a coroutine: see spawn */
    PyObject      *call_var;        /* ContextVar */
    PyObject      *context;         /* what that of each call is a copy of */
    PyObject      *renew;           /* to be called in each copy, or NULL */
    PyObject      *spawn;           /* coroutine -> task, or NULL */
    PyObject      *adopt;           /* (call, awaitable, task) -> whether it
                                       is a future, or NULL */
    PyObject      *submit;          /* (task) to a pool, or NULL */
    PyObject      *iterate;         /* (call, asynchronous generator, task):
                                       has it answer, or NULL */
    PyObject      *readers;         /* dict: handler to what makes its first
                                       argument of a Call, or NULL */
    PyObject      *tasks;           /* dict: task handle to asyncio task */
    PyObject      *done;            /* the str "done" */
    unsigned long  loop_thread;     /* PyThread_get_thread_ident, or 0 */
    int            view;
    unsigned       serving;         /* threads in dispatch_serve */
    _Atomic unsigned  taken;        /* tasks, by those; read without the GIL,
                                       too */
} runtime_t;

/*
 * Answers a task with a handler's result, or with the exception it raised;
 * neither fails nor leaves an exception set.  callbacks: as of
 * reply_tell, or NULL.
 */
void runtime_answer(runtime_t *self, void *task, PyObject *value,
    PyObject *callbacks);
void runtime_fail(runtime_t *self, void *task, PyObject *exception,
    PyObject *callbacks);

/* The same with the exception that is set, which it takes. */
void runtime_fail_current(runtime_t *self, void *task, PyObject *callbacks);

/*
 * The exception for a result ("wrong_type") or a part ("wrong_part") that
 * cannot be sent: a new reference, or NULL with an exception set.  task: not
 * answered yet.
 */
PyObject *runtime_wrong(runtime_t *self, void *task, const char *what,
    PyObject *value);

#endif /* PYTHON_RUNTIME_H */
