/* SPDX-License-Identifier: BSD-2-Clause */

#include "websocket_type.h"

#include <errno.h>
#include <structmember.h>

#include "resty_ffi.h"

#include "asgi_head.h"
#include "number.h"
#include "websocket.h"
#include "websocket_send.h"


/* bytes of messages that wait, below which more are taken */
#define LOW  16384


static PyObject *
hear(websocket_t *self, PyObject *unused)
{
    (void) unused;

    if (!self->leaving
        && resty_ffi_wait(self->task, RESTY_FFI_LEAVING, 0)
           == RESTY_FFI_LEAVING)
    {
        self->leaving = 1;
    }

    (void) websocket_flush(self);
    websocket_take(self);

    return PyLong_FromLong(self->ended || self->leaving ? 2
                           : self->count != 0);
}


static PyObject *
next(websocket_t *self, PyObject *unused)
{
    PyObject  *message;

    (void) unused;

    message = websocket_pop(self);

    if (message == NULL || (self->paused && self->waiting <= LOW)) {
        websocket_take(self);
    }

    if (message == NULL) {
        message = websocket_pop(self);
    }

    return message ? message : Py_NewRef(Py_None);
}


static PyObject *
send(websocket_t *self, PyObject *message)
{
    int  rc;

    rc = websocket_send(self, message);

    if (rc == ENOMEM) {
        return PyErr_NoMemory();
    }

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyObject *
ping(websocket_t *self, PyObject *unused)
{
    bool                  heard;
    websocket_control_t  *control;

    (void) unused;

    heard = self->heard || self->paused;
    self->heard = 0;

    websocket_settle(self);

    if (!self->closing) {
        control = &self->controls[WEBSOCKET_PING];
        control->len = frames_control(control->bytes, FRAMES_PING, NULL, 0);
        (void) websocket_flush(self);
    }

    return PyBool_FromLong(heard);
}


static PyObject *
close_socket(websocket_t *self, PyObject *args)
{
    int          code;
    const char  *reason;
    Py_ssize_t   len;

    if (!PyArg_ParseTuple(args, "is#:close", &code, &reason, &len)) {
        return NULL;
    }

    if (!frames_is_code(code) && code != FRAMES_NO_CODE) {
        return PyErr_Format(PyExc_ValueError, "%d is no code that a WebSocket "
                            "may be closed with", code);
    }

    if (!self->closing) {
        websocket_close(self, code, reason, (size_t) len);

        while (self->count) {
            Py_DECREF(websocket_pop(self));
        }

        websocket_take(self);
    }

    Py_RETURN_NONE;
}


static PyObject *
rest(websocket_t *self, PyObject *unused)
{
    int            i;
    size_t         len;
    unsigned char  bytes[WEBSOCKET_CONTROLS * FRAMES_CONTROL_MAX];

    (void) unused;

    len = 0;

    for (i = 0; i < WEBSOCKET_CONTROLS; i++) {
        memcpy(bytes + len, self->controls[i].bytes, self->controls[i].len);
        len += self->controls[i].len;
        self->controls[i].len = 0;
    }

    self->closing = true;

    if (!self->ended) {
        websocket_end(self, FRAMES_ABNORMAL);
    }

    if (len == 0) {
        Py_RETURN_NONE;
    }

    return PyBytes_FromStringAndSize((char *) bytes, (Py_ssize_t) len);
}


static int
socket_traverse(websocket_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->shared);
    return 0;
}


static int
socket_clear(websocket_t *self)
{
    (void) self;

    return 0;
}


static void
socket_dealloc(websocket_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    websocket_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyMemberDef  socket_members[] = {
    { "ended", T_BOOL, offsetof(websocket_t, ended), READONLY,
      "Whether nothing more comes, and code says why." },
    { "leaving", T_BOOL, offsetof(websocket_t, leaving), READONLY,
      "Whether the worker leaves." },
    { "code", T_INT, offsetof(websocket_t, code), READONLY,
      "Of the close frame that has ended it; 1005: it had none; 1006: none "
      "came; 1002, 1007, 1009, 1011: what came was wrong." },
    { "reason", T_OBJECT, offsetof(websocket_t, reason), READONLY,
      "Of that close frame, or None." },
    { NULL, 0, 0, 0, NULL }
};


static PyMethodDef  socket_methods[] = {
    { "hear", (PyCFunction) hear, METH_NOARGS,
      "hear() -> int\n\nTake what has come, and answer pings. 2: it has "
      "ended, or the worker leaves; 1: messages wait; 0: nothing is new." },
    { "next", (PyCFunction) next, METH_NOARGS,
      "next() -> dict | None\n\nThe next message, as ASGI has it; None: it "
      "has not come." },
    { "send", (PyCFunction) send, METH_O,
      "send(message: dict, /) -> int\n\nSend what it has; 0, or EAGAIN: "
      "there is no room now, or EPIPE: it is closed, or nobody is there." },
    { "ping", (PyCFunction) ping, METH_NOARGS,
      "ping() -> bool\n\nSend a ping; whether anything has come since the "
      "last one, or waits to be taken." },
    { "close", (PyCFunction) close_socket, METH_VARARGS,
      "close(code: int, reason: str, /) -> None\n\nSend a close frame, "
      "unless there was one. What comes before the other one is thrown "
      "away." },
    { "rest", (PyCFunction) rest, METH_NOARGS,
      "rest() -> bytes | None\n\nWhat has not been sent, for the end of the "
      "answer: it is closed then." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  socket_slots[] = {
    { Py_tp_dealloc, socket_dealloc },
    { Py_tp_traverse, socket_traverse },
    { Py_tp_clear, socket_clear },
    { Py_tp_members, socket_members },
    { Py_tp_methods, socket_methods },
    { 0, NULL }
};


static PyType_Spec  socket_spec = {
    .name = "_resty_ffi.WebSocket",
    .basicsize = sizeof(websocket_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = socket_slots,
};


static PyObject *
shared_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    websockets_t  *self;

    if (!PyArg_ParseTuple(args, ":WebSockets")
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    self = (websockets_t *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }

    self->socket_type = (PyTypeObject *) PyType_FromSpec(&socket_spec);
    self->type = PyUnicode_InternFromString("type");
    self->receive = PyUnicode_InternFromString("websocket.receive");
    self->text = PyUnicode_InternFromString("text");
    self->bytes = PyUnicode_InternFromString("bytes");
    self->deflate = deflate_new();

    if (self->socket_type == NULL || self->type == NULL
        || self->receive == NULL || self->text == NULL || self->bytes == NULL)
    {
        Py_CLEAR(self);

    } else if (self->deflate == NULL) {
        Py_CLEAR(self);
        (void) PyErr_NoMemory();
    }

    return (PyObject *) self;
}


static int
shared_traverse(websockets_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->socket_type);
    return 0;
}


static int
shared_clear(websockets_t *self)
{
    Py_CLEAR(self->socket_type);
    return 0;
}


static void
shared_dealloc(websockets_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    (void) shared_clear(self);
    Py_XDECREF(self->type);
    Py_XDECREF(self->receive);
    Py_XDECREF(self->text);
    Py_XDECREF(self->bytes);
    deflate_free(self->deflate);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyObject *
accept_socket(websockets_t *self, PyObject *args)
{
    int           bits, rc;
    void         *task;
    PyObject     *number, *headers;
    Py_ssize_t    max_size;
    websocket_t  *socket;

    if (!PyArg_ParseTuple(args, "OOni:accept", &number, &headers, &max_size,
                          &bits)
        || !number_handle(number, &task))
    {
        return NULL;
    }

    if (max_size < 0 || (size_t) max_size > DEFLATE_MAX
        || (bits && (bits < DEFLATE_MIN_BITS || bits > DEFLATE_MAX_BITS)))
    {
        PyErr_SetString(PyExc_ValueError, "a size, or a window, that cannot "
                        "be");
        return NULL;
    }

    socket = (websocket_t *) self->socket_type->tp_alloc(self->socket_type, 0);
    if (socket == NULL) {
        return NULL;
    }

    socket->shared = (websockets_t *) Py_NewRef(self);
    socket->task = task;
    socket->bits = bits;
    socket->heard = 1;
    socket->frames.max_size = (size_t) max_size;
    socket->frames.deflate = bits != 0;

    rc = asgi_upgrade_send(task, headers);

    if (rc) {
        Py_DECREF(socket);
        return rc == -1 ? NULL : Py_NewRef(Py_None);
    }

    return (PyObject *) socket;
}


static PyMethodDef  shared_methods[] = {
    { "accept", (PyCFunction) accept_socket, METH_VARARGS,
      "accept(task: int, headers, max_size: int, bits: int, /) -> WebSocket | "
      "None\n\nUpgrade the connection of a web request, with these headers; "
      "None: nobody is there. bits: the window with which messages are "
      "compressed; 0: they are not, either way." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  shared_slots[] = {
    { Py_tp_new, shared_new },
    { Py_tp_dealloc, shared_dealloc },
    { Py_tp_traverse, shared_traverse },
    { Py_tp_clear, shared_clear },
    { Py_tp_methods, shared_methods },
    { 0, NULL }
};


static PyType_Spec  shared_spec = {
    .name = "_resty_ffi.WebSockets",
    .basicsize = sizeof(websockets_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = shared_slots,
};


PyObject *
websockets_type_new(void)
{
    return PyType_FromSpec(&shared_spec);
}
