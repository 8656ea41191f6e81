/* SPDX-License-Identifier: BSD-2-Clause */

#include "websocket_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resty_ffi.h"


/* larger messages are sent from where they are written, and not copied */
#define MAX_COPIED  1024

/* smaller ones do not gain by it */
#define MIN_PACKED  64


static void
free_frame(void *frame, int delivered)
{
    (void) delivered;

    free(frame);
}


/* len bytes from begin on, in what was malloc'ed and is taken over */
static int
send_frame(websocket_t *self, unsigned char *frame, unsigned char *begin,
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
send_packed(websocket_t *self, frames_opcode_t opcode, const char *data,
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
send_message(websocket_t *self, frames_opcode_t opcode, const char *data,
    size_t len)
{
    int             rc;
    size_t          n;
    unsigned char  *frame, small[FRAMES_HEAD_MAX + MAX_COPIED];

    if (self->closing) {
        return EPIPE;
    }

    rc = websocket_flush(self);
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
send_text(websocket_t *self, PyObject *text)
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
send_bytes(websocket_t *self, PyObject *bytes)
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


int
websocket_send(websocket_t *self, PyObject *message)
{
    PyObject  *data;

    if (!PyDict_Check(message)) {
        PyErr_Format(PyExc_TypeError, "a message is %.100s, not dict",
                     Py_TYPE(message)->tp_name);
        return -1;
    }

    data = item(message, self->shared->bytes);

    if (data) {
        return send_bytes(self, data);
    }

    data = PyErr_Occurred() ? NULL : item(message, self->shared->text);

    if (data) {
        return send_text(self, data);
    }

    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError,
                        "'websocket.send' has neither bytes nor text");
    }

    return -1;
}
