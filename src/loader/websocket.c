/* SPDX-License-Identifier: BSD-2-Clause */

#include "websocket.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <structmember.h>

#include "resty_ffi.h"

#include "asgi_head.h"
#include "deflate.h"
#include "frames.h"
#include "number.h"


/* bytes of messages that wait, and what each counts for besides */
#define HIGH          65536
#define LOW           16384
#define MESSAGE_COST  128

#define MIN_ROOM  4

/* larger messages are sent from where they are written, and not copied */
#define MAX_COPIED  1024

/* smaller ones do not gain by it */
#define MIN_PACKED  64


typedef struct {
    PyObject_HEAD
    PyTypeObject   *socket_type;
    deflate_t      *deflate;
    PyObject       *type;       /* the str "type", and so on */
    PyObject       *receive;
    PyObject       *text;
    PyObject       *bytes;
} shared_t;


enum { PONG, PING, CLOSE, CONTROLS };

/* a control frame that waits for room */
typedef struct {
    unsigned char  bytes[FRAMES_CONTROL_MAX];
    size_t         len;
} control_t;


typedef struct {
    PyObject  *dict;
    size_t     cost;
} message_t;


typedef struct {
    PyObject_HEAD
    shared_t       *shared;
    void           *task;
    frames_t        frames;
    int             bits;       /* of a window, for what goes out; 0: it is
                                   not compressed */
    char           *part;       /* what has come, malloc'ed; NULL: nothing */
    unsigned char  *at;         /* of it, what has not been taken */
    unsigned char  *end;
    message_t      *messages;   /* a ring: those that wait */
    size_t          room;       /* of it: 0, or a power of two */
    size_t          first;
    size_t          count;
    size_t          waiting;    /* their bytes */
    control_t       controls[CONTROLS];
    bool            closing;    /* nothing goes out behind the close frame */
    char            ended;      /* nothing more comes */
    char            heard;      /* something has come since the last ping */
    char            leaving;    /* the worker leaves */
    bool            paused;     /* enough waits */
    int             last;       /* the code with which it is to end when the
                                   messages have been taken; 0: it is not */
    int             code;       /* once it has ended */
    PyObject       *reason;
} socket_t;


static void
end(socket_t *self, int code)
{
    self->ended = 1;
    self->code = code;

    frames_clear(&self->frames);
    free(self->part);
    self->part = NULL;
}


/* 0, or EAGAIN, or another number: it is of no use any more */
static int
send_controls(socket_t *self)
{
    int         i, rc;
    control_t  *control;

    for (i = 0; i < CONTROLS; i++) {
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


static void
send_close(socket_t *self, int code, const char *reason, size_t len)
{
    control_t  *control;

    if (self->closing) {
        return;
    }

    control = &self->controls[CLOSE];
    control->len = frames_close(control->bytes, code, reason, len);
    self->closing = true;

    (void) send_controls(self);
}


/* it ends because of what has come, or since there was no memory for it */
static void
fail(socket_t *self, int code)
{
    send_close(self, code, NULL, 0);
    end(self, code);
}


/* {"type": "websocket.receive", key: value}; takes value over */
static PyObject *
make_message(socket_t *self, PyObject *key, PyObject *value)
{
    PyObject  *message;
    shared_t  *shared = self->shared;

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
push(socket_t *self, PyObject *dict, size_t cost)
{
    size_t      i, room;
    message_t  *messages;

    if (self->count == self->room) {
        room = self->room ? 2 * self->room : MIN_ROOM;

        messages = malloc(room * sizeof(message_t));
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


/* the first one, or NULL */
static PyObject *
pop(socket_t *self)
{
    message_t  *message;

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
add_message(socket_t *self, const unsigned char *data, size_t len)
{
    bool       text;
    PyObject  *message, *value;
    shared_t  *shared = self->shared;

    text = self->frames.opcode == FRAMES_TEXT;

    value = text ? PyUnicode_DecodeUTF8((const char *) data, (Py_ssize_t) len,
                                        NULL)
                 : PyBytes_FromStringAndSize((const char *) data,
                                             (Py_ssize_t) len);

    message = make_message(self, text ? shared->text : shared->bytes, value);

    return message ? push(self, message, len + MESSAGE_COST) : -1;
}


static void
take_message(socket_t *self)
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
take_control(socket_t *self)
{
    control_t  *control;
    frames_t   *f = &self->frames;

    switch (f->opcode) {

    case FRAMES_PING:
        if (!self->closing) {
            control = &self->controls[PONG];
            control->len = frames_control(control->bytes, FRAMES_PONG,
                                          f->data, f->len);
            (void) send_controls(self);
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
take_part(socket_t *self)
{
    int     rc;
    size_t  len;

    rc = resty_ffi_read(self->task, &self->part, &len);

    if (rc == EAGAIN) {
        return false;
    }

    if (self->part == NULL) {
        end(self, self->last ? self->last : FRAMES_ABNORMAL);
        return false;
    }

    self->heard = 1;
    self->at = (unsigned char *) self->part;
    self->end = self->at + len;

    return true;
}


/* an application that answers each message may do so before it ends */
static void
settle(socket_t *self)
{
    if (self->last && !self->ended) {
        send_close(self, self->last, NULL, 0);
        end(self, self->last);
    }
}


/* as far as there is room for messages */
static void
take(socket_t *self)
{
    self->paused = false;

    while (!self->ended) {

        if (self->last && self->count == 0) {
            settle(self);
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


static PyObject *
hear(socket_t *self, PyObject *unused)
{
    (void) unused;

    if (!self->leaving
        && resty_ffi_wait(self->task, RESTY_FFI_LEAVING, 0)
           == RESTY_FFI_LEAVING)
    {
        self->leaving = 1;
    }

    (void) send_controls(self);
    take(self);

    return PyLong_FromLong(self->ended || self->leaving ? 2
                           : self->count != 0);
}


static PyObject *
next(socket_t *self, PyObject *unused)
{
    PyObject  *message;

    (void) unused;

    message = pop(self);

    if (message == NULL || (self->paused && self->waiting <= LOW)) {
        take(self);
    }

    if (message == NULL) {
        message = pop(self);
    }

    return message ? message : Py_NewRef(Py_None);
}


static void
free_frame(void *frame, int delivered)
{
    (void) delivered;

    free(frame);
}


/* len bytes from begin on, in what was malloc'ed and is taken over */
static int
send_frame(socket_t *self, unsigned char *frame, unsigned char *begin,
    size_t len)
{
    int  rc;

    rc = resty_ffi_send(self->task, begin, len, free_frame, frame);

    if (rc) {
        free(frame);
    }

    return rc;
}


static int
send_packed(socket_t *self, frames_opcode_t opcode, const char *data,
    size_t len)
{
    int             rc;
    size_t          packed_len, n;
    unsigned char  *frame, head[FRAMES_HEAD_MAX];

    rc = deflate_pack(self->shared->deflate, self->bits, data, len,
                      FRAMES_HEAD_MAX, &frame, &packed_len);
    if (rc) {
        return rc;
    }

    n = frames_head(head, opcode, true, packed_len);
    memcpy(frame + FRAMES_HEAD_MAX - n, head, n);

    return send_frame(self, frame, frame + FRAMES_HEAD_MAX - n,
                      n + packed_len);
}


static int
send_message(socket_t *self, frames_opcode_t opcode, const char *data,
    size_t len)
{
    int             rc;
    size_t          n;
    unsigned char  *frame, small[FRAMES_HEAD_MAX + MAX_COPIED];

    if (self->closing) {
        return EPIPE;
    }

    rc = send_controls(self);
    if (rc) {
        return rc;
    }

    if (self->bits && len >= MIN_PACKED && len <= DEFLATE_MAX) {
        return send_packed(self, opcode, data, len);
    }

    if (len <= MAX_COPIED) {
        n = frames_head(small, opcode, false, len);

        if (len) {
            memcpy(small + n, data, len);
        }

        return resty_ffi_send_copy(self->task, small, n + len);
    }

    frame = malloc(FRAMES_HEAD_MAX + len);
    if (frame == NULL) {
        return ENOMEM;
    }

    n = frames_head(frame, opcode, false, len);
    memcpy(frame + n, data, len);

    return send_frame(self, frame, frame, n + len);
}


/* an error number, or -1 with an exception set */
static int
send_text(socket_t *self, PyObject *text)
{
    const char  *utf8;
    Py_ssize_t   len;

    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "the text of 'websocket.send' is "
                     "%.100s, not str", Py_TYPE(text)->tp_name);
        return -1;
    }

    utf8 = PyUnicode_AsUTF8AndSize(text, &len);

    return utf8 ? send_message(self, FRAMES_TEXT, utf8, (size_t) len) : -1;
}


static int
send_bytes(socket_t *self, PyObject *bytes)
{
    int        rc;
    Py_buffer  view;

    if (!PyObject_CheckBuffer(bytes)) {
        PyErr_Format(PyExc_TypeError, "the bytes of 'websocket.send' are "
                     "%.100s, not bytes", Py_TYPE(bytes)->tp_name);
        return -1;
    }

    if (PyObject_GetBuffer(bytes, &view, PyBUF_SIMPLE) == -1) {
        return -1;
    }

    rc = send_message(self, FRAMES_BINARY, view.buf, (size_t) view.len);
    PyBuffer_Release(&view);

    return rc;
}


/* what message has of the name; None counts as nothing, which is NULL */
static PyObject *
item(PyObject *message, PyObject *name)
{
    PyObject  *value;

    value = PyDict_GetItemWithError(message, name);

    return value == Py_None ? NULL : value;
}


static PyObject *
send(socket_t *self, PyObject *message)
{
    int        rc;
    PyObject  *data;

    if (!PyDict_Check(message)) {
        return PyErr_Format(PyExc_TypeError, "a message is %.100s, not dict",
                            Py_TYPE(message)->tp_name);
    }

    data = item(message, self->shared->bytes);

    if (data) {
        rc = send_bytes(self, data);

    } else {
        data = PyErr_Occurred() ? NULL : item(message, self->shared->text);

        if (data == NULL) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_ValueError, "'websocket.send' has "
                                "neither bytes nor text");
            }

            return NULL;
        }

        rc = send_text(self, data);
    }

    if (rc == ENOMEM) {
        return PyErr_NoMemory();
    }

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyObject *
ping(socket_t *self, PyObject *unused)
{
    char        heard;
    control_t  *control;

    (void) unused;

    heard = self->heard || self->paused;
    self->heard = 0;

    settle(self);

    if (!self->closing) {
        control = &self->controls[PING];
        control->len = frames_control(control->bytes, FRAMES_PING, NULL, 0);
        (void) send_controls(self);
    }

    return PyBool_FromLong(heard);
}


static PyObject *
close_socket(socket_t *self, PyObject *args)
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
        send_close(self, code, reason, (size_t) len);

        while (self->count) {
            Py_DECREF(pop(self));
        }

        take(self);
    }

    Py_RETURN_NONE;
}


static PyObject *
rest(socket_t *self, PyObject *unused)
{
    int             i;
    size_t          len;
    unsigned char   bytes[CONTROLS * FRAMES_CONTROL_MAX];

    (void) unused;

    len = 0;

    for (i = 0; i < CONTROLS; i++) {
        memcpy(bytes + len, self->controls[i].bytes, self->controls[i].len);
        len += self->controls[i].len;
        self->controls[i].len = 0;
    }

    self->closing = true;

    if (!self->ended) {
        end(self, FRAMES_ABNORMAL);
    }

    if (len == 0) {
        Py_RETURN_NONE;
    }

    return PyBytes_FromStringAndSize((char *) bytes, (Py_ssize_t) len);
}


static int
socket_traverse(socket_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->shared);
    return 0;
}


static int
socket_clear(socket_t *self)
{
    (void) self;

    return 0;
}


static void
socket_dealloc(socket_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    while (self->count) {
        Py_DECREF(pop(self));
    }

    free(self->messages);
    free(self->part);
    frames_clear(&self->frames);
    Py_XDECREF(self->reason);
    Py_DECREF(self->shared);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyMemberDef  socket_members[] = {
    { "ended", T_BOOL, offsetof(socket_t, ended), READONLY,
      "Whether nothing more comes, and code says why." },
    { "leaving", T_BOOL, offsetof(socket_t, leaving), READONLY,
      "Whether the worker leaves." },
    { "code", T_INT, offsetof(socket_t, code), READONLY,
      "Of the close frame that has ended it; 1005: it had none; 1006: none "
      "came; 1002, 1007, 1009, 1011: what came was wrong." },
    { "reason", T_OBJECT, offsetof(socket_t, reason), READONLY,
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
    .basicsize = sizeof(socket_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = socket_slots,
};


static PyObject *
shared_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    shared_t  *self;

    if (!PyArg_ParseTuple(args, ":WebSockets")
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    self = (shared_t *) type->tp_alloc(type, 0);
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
shared_traverse(shared_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->socket_type);
    return 0;
}


static int
shared_clear(shared_t *self)
{
    Py_CLEAR(self->socket_type);
    return 0;
}


static void
shared_dealloc(shared_t *self)
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
accept_socket(shared_t *self, PyObject *args)
{
    int          bits, rc;
    void        *task;
    PyObject    *number, *headers;
    socket_t    *socket;
    Py_ssize_t   max_size;

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

    socket = (socket_t *) self->socket_type->tp_alloc(self->socket_type, 0);
    if (socket == NULL) {
        return NULL;
    }

    socket->shared = (shared_t *) Py_NewRef(self);
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
    .basicsize = sizeof(shared_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = shared_slots,
};


PyObject *
websockets_type_new(void)
{
    return PyType_FromSpec(&shared_spec);
}
