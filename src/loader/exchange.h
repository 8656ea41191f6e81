/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_EXCHANGE_H
#define PYTHON_EXCHANGE_H

/*
 * One web request and its answer.  Here is what ASGI's receive and send do
 * most often, which has nothing to wait for; web/_exchange.py does all of it.
 *
 * GIL held, on the event loop's thread.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "call.h"

/* What has become of the answer; web/_exchange.py has the same. */
enum {
    EXCHANGE_NOTHING, EXCHANGE_HEAD, EXCHANGE_PARTS, EXCHANGE_TRAILERS,
    EXCHANGE_COMPLETE
};

enum {
    EXCHANGE_TYPE, EXCHANGE_BODY, EXCHANGE_MORE_BODY, EXCHANGE_STATUS,
    EXCHANGE_HEADERS, EXCHANGE_WITH_TRAILERS, EXCHANGE_REQUEST,
    EXCHANGE_RESPONSE_START, EXCHANGE_RESPONSE_BODY, EXCHANGE_RECEIVE,
    EXCHANGE_SEND, EXCHANGE_PAUSE, EXCHANGE_TELL, EXCHANGE_NAMES
};

/* What the exchanges of one application share. */
typedef struct {
    PyObject_HEAD
    PyTypeObject  *type;                    /* of the exchanges */
    PyTypeObject  *awaitable_type;
    PyObject      *shared;                  /* Shared of web/_exchange.py */
    PyObject      *waits;                   /* its waits */
    PyObject      *none;                    /* (): the headers of most heads
                                               that have none */
    PyObject      *names[EXCHANGE_NAMES];   /* str */
} exchanges_t;

typedef struct {
    PyObject_HEAD
    exchanges_t  *owner;
    call_t       *call;
    PyObject     *number;       /* the task's handle */
    PyObject     *shared;       /* the owner's */
    PyObject     *ahead;        /* bytes that have been read already, or
                                   NULL */
    PyObject     *status;       /* of a head that is not sent yet */
    PyObject     *headers;
    Py_ssize_t    sent;         /* parts */
    Py_ssize_t    waiting;      /* tasks */
    int           state;
    bool          body_ended;
    bool          told;         /* that nobody waits for the answer */
    bool          trailers;     /* they are to come */
} exchange_t;

typedef enum {
    EXCHANGE_ERROR,     /* with an exception set */
    EXCHANGE_DONE,
    EXCHANGE_PAUSE_NOW, /* done, but other tasks should have their turn */
    EXCHANGE_SLOW       /* nothing was done, or so much that Python's way
                           leads to the same */
} exchange_rc_t;

/* DONE: *message is a new dict. */
exchange_rc_t exchange_receive(exchange_t *self, PyObject **message);

exchange_rc_t exchange_send(exchange_t *self, PyObject *message);

#endif /* PYTHON_EXCHANGE_H */
