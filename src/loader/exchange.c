/* SPDX-License-Identifier: BSD-2-Clause */

#include "exchange.h"

#include <errno.h>

#include "resty_ffi.h"

#include "asgi_head.h"
#include "parts.h"


/* parts that are sent without a look at the loop, as of _streams.py */
#define TURN  32

/* bytes of a message with a part of the body, if one part is not more */
#define MESSAGE  65536


static int
is_name(const exchange_t *self, PyObject *text, int name)
{
    PyObject  *known = self->owner->names[name];

    return text == known || PyUnicode_Compare(text, known) == 0;
}


/* a borrowed reference; missing where there is none, NULL with an exception */
static PyObject *
get(const exchange_t *self, PyObject *message, int name, PyObject *missing)
{
    PyObject  *value;

    value = PyDict_GetItemWithError(message, self->owner->names[name]);

    return value || PyErr_Occurred() ? value : missing;
}


static exchange_rc_t
make_message(exchange_t *self, PyObject *part, PyObject **message)
{
    PyObject   *more, *dict;
    PyObject  **names = self->owner->names;

    more = self->body_ended ? Py_False : Py_True;
    dict = PyDict_New();

    if (dict == NULL
        || PyDict_SetItem(dict, names[EXCHANGE_TYPE],
                          names[EXCHANGE_REQUEST]) == -1
        || PyDict_SetItem(dict, names[EXCHANGE_BODY], part) == -1
        || PyDict_SetItem(dict, names[EXCHANGE_MORE_BODY], more) == -1)
    {
        Py_CLEAR(dict);
    }

    *message = dict;

    return dict ? EXCHANGE_DONE : EXCHANGE_ERROR;
}


static int
is_broken_pipe(void)
{
    if (!PyErr_ExceptionMatches(PyExc_BrokenPipeError)) {
        return 0;
    }

    PyErr_Clear();

    return 1;
}


/*
 * What is there besides a part joins it, so that most bodies are one message,
 * which is the last, and large ones are few: a framework may use a thread for
 * each.
 */
static int
gather(exchange_t *self, PyObject **part)
{
    PyObject  *ahead;

    for ( ;; ) {
        ahead = parts_read_now(self->call->task);

        if (ahead == NULL) {
            return is_broken_pipe() ? 0 : -1;
        }

        if (ahead == Py_None) {
            Py_DECREF(ahead);
            return 0;
        }

        self->body_ended = PyBytes_GET_SIZE(ahead) == 0;

        if (self->body_ended
            || PyBytes_GET_SIZE(*part) + PyBytes_GET_SIZE(ahead) > MESSAGE)
        {
            self->ahead = ahead;
            return 0;
        }

        PyBytes_ConcatAndDel(part, ahead);

        if (*part == NULL) {
            return -1;
        }
    }
}


exchange_rc_t
exchange_receive(exchange_t *self, PyObject **message)
{
    PyObject       *part;
    exchange_rc_t   rc;

    if (self->body_ended || self->state == EXCHANGE_COMPLETE) {
        return EXCHANGE_SLOW;
    }

    part = self->ahead;
    self->ahead = NULL;

    if (part == NULL) {
        part = parts_read_now(self->call->task);
    }

    if (part == NULL) {
        return is_broken_pipe() ? EXCHANGE_SLOW : EXCHANGE_ERROR;
    }

    if (part == Py_None) {
        Py_DECREF(part);
        return EXCHANGE_SLOW;
    }

    self->body_ended = PyBytes_GET_SIZE(part) == 0;

    if (!self->body_ended && gather(self, &part) == -1) {
        Py_XDECREF(part);
        return EXCHANGE_ERROR;
    }

    rc = make_message(self, part, message);
    Py_DECREF(part);

    return rc;
}


/* the head waits for the first part of the body */
static exchange_rc_t
take_head(exchange_t *self, PyObject *message)
{
    PyObject  *status, *headers, *trailers;

    status = get(self, message, EXCHANGE_STATUS, Py_None);
    headers = status ? get(self, message, EXCHANGE_HEADERS, self->owner->none)
                     : NULL;
    trailers = headers ? get(self, message, EXCHANGE_WITH_TRAILERS, Py_False)
                       : NULL;

    if (trailers == NULL) {
        return EXCHANGE_ERROR;
    }

    if (status == Py_None || !PyBool_Check(trailers)) {
        return EXCHANGE_SLOW;
    }

    Py_XSETREF(self->status, Py_NewRef(status));
    Py_XSETREF(self->headers, Py_NewRef(headers));

    self->trailers = trailers == Py_True;
    self->state = EXCHANGE_HEAD;

    return EXCHANGE_DONE;
}


/* where it is EPIPE, Python's way meets it again, and takes its time */
static exchange_rc_t
send_head(exchange_t *self)
{
    int        rc;
    PyObject  *status, *headers;

    /* what iterates over the headers may send, too */

    status = Py_NewRef(self->status);
    headers = Py_NewRef(self->headers);

    rc = asgi_head_send(self->call->task, status, headers);

    Py_DECREF(status);
    Py_DECREF(headers);

    if (rc == 0) {
        self->state = EXCHANGE_PARTS;
    }

    return rc == 0 ? EXCHANGE_DONE : rc == -1 ? EXCHANGE_ERROR : EXCHANGE_SLOW;
}


static exchange_rc_t
send_part(exchange_t *self, PyObject *body)
{
    int  rc;

    if (PyBytes_GET_SIZE(body)) {
        rc = call_try_to_send(self->call, body);

    } else {
        rc = resty_ffi_cancelled(self->call->task) ? EPIPE : 0;
    }

    if (rc != 0) {
        return rc == -1 ? EXCHANGE_ERROR : EXCHANGE_SLOW;
    }

    self->sent++;

    return self->sent % TURN ? EXCHANGE_DONE : EXCHANGE_PAUSE_NOW;
}


static exchange_rc_t
complete(exchange_t *self, PyObject *body)
{
    PyObject  *told;

    if (resty_ffi_cancelled(self->call->task)) {
        return EXCHANGE_SLOW;
    }

    self->state = EXCHANGE_COMPLETE;
    call_answer(self->call, PyBytes_GET_SIZE(body) ? body : Py_None);

    if (self->waiting) {
        told = PyObject_CallMethodOneArg(self->owner->waits,
                                         self->owner->names[EXCHANGE_TELL],
                                         self->number);
        if (told == NULL) {
            return EXCHANGE_ERROR;
        }

        Py_DECREF(told);
    }

    return EXCHANGE_DONE;
}


static exchange_rc_t
take_body(exchange_t *self, PyObject *message)
{
    PyObject       *body, *more;
    exchange_rc_t   rc;

    body = get(self, message, EXCHANGE_BODY, NULL);

    if (body == NULL && PyErr_Occurred()) {
        return EXCHANGE_ERROR;
    }

    more = get(self, message, EXCHANGE_MORE_BODY, Py_False);

    if (more == NULL) {
        return EXCHANGE_ERROR;
    }

    if (body == NULL
        || !PyBytes_CheckExact(body)
        || !PyBool_Check(more)
        || (more == Py_False && self->trailers))
    {
        return EXCHANGE_SLOW;
    }

    /* the message may change while the headers are iterated over */

    Py_INCREF(body);

    rc = self->state == EXCHANGE_HEAD ? send_head(self) : EXCHANGE_DONE;

    if (rc == EXCHANGE_DONE) {
        rc = more == Py_True ? send_part(self, body) : complete(self, body);
    }

    Py_DECREF(body);

    return rc;
}


exchange_rc_t
exchange_send(exchange_t *self, PyObject *message)
{
    PyObject  *kind;

    if (!PyDict_CheckExact(message)) {
        return EXCHANGE_SLOW;
    }

    kind = get(self, message, EXCHANGE_TYPE, Py_None);

    if (kind == NULL) {
        return EXCHANGE_ERROR;
    }

    if (!PyUnicode_CheckExact(kind)) {
        return EXCHANGE_SLOW;
    }

    switch (self->state) {

    case EXCHANGE_NOTHING:
        return is_name(self, kind, EXCHANGE_RESPONSE_START)
               ? take_head(self, message) : EXCHANGE_SLOW;

    case EXCHANGE_HEAD:
    case EXCHANGE_PARTS:
        return is_name(self, kind, EXCHANGE_RESPONSE_BODY)
               ? take_body(self, message) : EXCHANGE_SLOW;

    default:
        return EXCHANGE_SLOW;
    }
}
