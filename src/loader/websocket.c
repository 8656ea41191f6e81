/* SPDX-License-Identifier: BSD-2-Clause */

#include "websocket.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"


/* bytes of messages that wait, and what each counts for besides */
#define HIGH          65536
#define MESSAGE_COST  128

#define MIN_ROOM  4


void
websocket_end(websocket_t *self, int code)
{
    self->ended = 1;
    self->code = code;

    frames_clear(&self->frames);
    free(self->part);
    self->part = NULL;
}


int
websocket_flush(websocket_t *self)
{
    int                   i, rc;
    websocket_control_t  *control;

    for (i = 0; i < WEBSOCKET_CONTROLS; i++) {
        control = &self->controls[i];

        if (control->len == 0) {
            continue;
        }

        rc = resty_ffi_send_copy(self->task, control->bytes, control->len);

        if (rc == EAGAIN) {
            return rc;
        }

        control->len = 0;

        if (rc) {
            return rc;
        }
    }

    return 0;
}


void
websocket_close(websocket_t *self, int code, const char *reason, size_t len)
{
    websocket_control_t  *control;

    if (self->closing) {
        return;
    }

    control = &self->controls[WEBSOCKET_CLOSE];
    control->len = frames_close(control->bytes, code, reason, len);
    self->closing = true;

    (void) websocket_flush(self);
}


/* it ends because of what has come, or since there was no memory for it */
static void
fail(websocket_t *self, int code)
{
    websocket_close(self, code, NULL, 0);
    websocket_end(self, code);
}


/* {"type": "websocket.receive", key: value}; takes value over */
static PyObject *
make_message(websocket_t *self, PyObject *key, PyObject *value)
{
    PyObject      *message;
    websockets_t  *shared = self->shared;

    message = value ? PyDict_New() : NULL;

    if (message
        && (PyDict_SetItem(message, shared->type, shared->receive) == -1
            || PyDict_SetItem(message, key, value) == -1))
    {
        Py_CLEAR(message);
    }

    Py_XDECREF(value);

    return message;
}


/* takes dict over; -1 with an exception set */
static int
push(websocket_t *self, PyObject *dict, size_t cost)
{
    size_t                i, room;
    websocket_message_t  *messages;

    if (self->count == self->room) {
        room = self->room ? 2 * self->room : MIN_ROOM;

        messages = malloc(room * sizeof(websocket_message_t));
        if (messages == NULL) {
            Py_DECREF(dict);
            (void) PyErr_NoMemory();
            return -1;
        }

        for (i = 0; i < self->count; i++) {
            messages[i] = self->messages[(self->first + i) % self->room];
        }

        free(self->messages);

        self->messages = messages;
        self->room = room;
        self->first = 0;
    }

    messages = &self->messages[(self->first + self->count) % self->room];
    messages->dict = dict;
    messages->cost = cost;

    self->count++;
    self->waiting += cost;

    return 0;
}


PyObject *
websocket_pop(websocket_t *self)
{
    websocket_message_t  *message;

    if (self->count == 0) {
        return NULL;
    }

    message = &self->messages[self->first];

    self->first = (self->first + 1) % self->room;
    self->count--;
    self->waiting -= message->cost;

    return message->dict;
}


/* -1 with an exception set */
static int
add_message(websocket_t *self, const unsigned char *data, size_t len)
{
    bool           text;
    PyObject      *message, *value;
    websockets_t  *shared = self->shared;

    text = self->frames.opcode == FRAMES_TEXT;

    value = text ? PyUnicode_DecodeUTF8((const char *) data, (Py_ssize_t) len,
                                        NULL)
                 : PyBytes_FromStringAndSize((const char *) data,
                                             (Py_ssize_t) len);

    message = make_message(self, text ? shared->text : shared->bytes, value);

    return message ? push(self, message, len + MESSAGE_COST) : -1;
}


static void
take_message(websocket_t *self)
{
    int             rc;
    size_t          len;
    unsigned char  *data;

    if (self->closing) {
        return;
    }

    if (!self->frames.compressed) {
        rc = add_message(self, self->frames.data, self->frames.len);

    } else {
        rc = deflate_unpack(self->shared->deflate, self->frames.data,
                            self->frames.len, self->frames.max_size, &data,
                            &len);
        if (rc) {
            fail(self, rc == E2BIG ? FRAMES_TOO_BIG
                       : rc == EINVAL ? FRAMES_PROTOCOL : FRAMES_INTERNAL);
            return;
        }

        rc = add_message(self, data, len);
        free(data);
    }

    if (rc == -1) {
        fail(self, PyErr_ExceptionMatches(PyExc_ValueError)
                   ? FRAMES_BAD_TEXT : FRAMES_INTERNAL);
        PyErr_Clear();
    }
}


static void
take_control(websocket_t *self)
{
    websocket_control_t  *control;
    frames_t             *f = &self->frames;

    switch (f->opcode) {

    case FRAMES_PING:
        if (!self->closing) {
            control = &self->controls[WEBSOCKET_PONG];
            control->len = frames_control(control->bytes, FRAMES_PONG,
                                          f->data, f->len);
            (void) websocket_flush(self);
        }

        break;

    case FRAMES_CLOSE:
        Py_XSETREF(self->reason,
                   PyUnicode_DecodeUTF8((const char *) f->data,
                                        (Py_ssize_t) f->len, NULL));
        if (self->reason == NULL) {
            PyErr_Clear();
        }

        self->last = f->code;
        break;

    default: /* FRAMES_PONG */
        break;
    }
}


/* false: there is nothing more for now */
static bool
take_part(websocket_t *self)
{
    int     rc;
    size_t  len;

    rc = resty_ffi_read(self->task, &self->part, &len);

    if (rc == EAGAIN) {
        return false;
    }

    if (self->part == NULL) {
        websocket_end(self, self->last ? self->last : FRAMES_ABNORMAL);
        return false;
    }

    self->heard = 1;
    self->at = (unsigned char *) self->part;
    self->end = self->at + len;

    return true;
}


/* an application that answers each message may do so before it ends */
void
websocket_settle(websocket_t *self)
{
    if (self->last && !self->ended) {
        websocket_close(self, self->last, NULL, 0);
        websocket_end(self, self->last);
    }
}


void
websocket_take(websocket_t *self)
{
    self->paused = false;

    while (!self->ended) {

        if (self->last && self->count == 0) {
            websocket_settle(self);
            return;
        }

        if (self->waiting >= HIGH && !self->closing) {
            self->paused = true;
            return;
        }

        if (self->part == NULL && !take_part(self)) {
            return;
        }

        switch (frames_next(&self->frames, &self->at, self->end)) {

        case FRAMES_GOT_NOTHING:
            free(self->part);
            self->part = NULL;
            break;

        case FRAMES_GOT_MESSAGE:
            take_message(self);
            break;

        case FRAMES_GOT_CONTROL:
            take_control(self);
            break;

        default: /* FRAMES_FAILED */
            self->last = self->frames.code;
        }
    }
}


void
websocket_clear(websocket_t *self)
{
    while (self->count) {
        Py_DECREF(websocket_pop(self));
    }

    free(self->messages);
    free(self->part);
    frames_clear(&self->frames);
    Py_CLEAR(self->reason);
    Py_CLEAR(self->shared);
}
