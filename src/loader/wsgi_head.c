/* SPDX-License-Identifier: BSD-2-Clause */

#include "wsgi_head.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <strings.h>

#include "resty_ffi.h"

#include "number.h"


#define MAX_ON_STACK  32


typedef struct {
    PyObject_HEAD
    int         status;
    PyObject   *headers;        /* tuple of pairs of str */
    Py_ssize_t  length;         /* as Content-Length says; -1: it does not */
} wsgi_head_t;


typedef struct {
    const char  *data;
    size_t       len;
} text_t;


/* of one byte in each character; -1 with an exception set */
static int
take_text(PyObject *str, const char *what, text_t *text)
{
    size_t  i;

    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "start_response: %s is %.100s, not str",
                     what, Py_TYPE(str)->tp_name);
        return -1;
    }

    if (PyUnicode_KIND(str) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "start_response: %s has a character "
                     "that is not of Latin-1: %R", what, str);
        return -1;
    }

    text->data = (const char *) PyUnicode_1BYTE_DATA(str);
    text->len = (size_t) PyUnicode_GET_LENGTH(str);

    for (i = 0; i < text->len; i++) {
        if ((unsigned char) text->data[i] < ' ' || text->data[i] == 127) {
            PyErr_Format(PyExc_ValueError, "start_response: %s has a control "
                         "character: %R", what, str);
            return -1;
        }
    }

    return 0;
}


/* "200 OK"; -1 with an exception set */
static int
take_status(PyObject *str)
{
    text_t       text;
    const char  *p;

    if (take_text(str, "the status", &text) == -1) {
        return -1;
    }

    p = text.data;

    if (text.len < 4 || p[0] < '2' || p[0] > '9' || !Py_ISDIGIT(p[1])
        || !Py_ISDIGIT(p[2]) || p[3] != ' ')
    {
        PyErr_Format(PyExc_ValueError, "start_response: the status is no "
                     "\"200 OK\": %R", str);
        return -1;
    }

    return (p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0';
}


static bool
is(const text_t *name, const char *lower)
{
    return strlen(lower) == name->len
           && strncasecmp(name->data, lower, name->len) == 0;
}


/* they are the server's alone */
static bool
is_hop_by_hop(const text_t *name)
{
    static const char *const  names[] = {
        "connection", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "te", "trailer", "trailers",
        "transfer-encoding", "upgrade"
    };

    size_t  i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (is(name, names[i])) {
            return true;
        }
    }

    return false;
}


static bool
is_token(const text_t *name)
{
    char    c;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!Py_ISALNUM(c) && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) {
            return false;
        }
    }

    return name->len > 0;
}


/* -1 with an exception set */
static int
take_length(wsgi_head_t *self, const text_t *value)
{
    size_t      i;
    Py_ssize_t  length;

    length = value->len ? 0 : -1;

    for (i = 0; i < value->len; i++) {
        if (!Py_ISDIGIT(value->data[i])
            || length > (PY_SSIZE_T_MAX - 9) / 10)
        {
            length = -1;
            break;
        }

        length = length * 10 + value->data[i] - '0';
    }

    if (length == -1 || (self->length != -1 && self->length != length)) {
        PyErr_SetString(PyExc_ValueError, length == -1
                        ? "start_response: Content-Length is no number"
                        : "start_response: Content-Length is there twice");
        return -1;
    }

    self->length = length;

    return 0;
}


/* -1 with an exception set */
static int
check_header(wsgi_head_t *self, PyObject *pair)
{
    text_t     name, value;
    PyObject  *str;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "start_response: a header is no tuple "
                     "of a name and a value: %R", pair);
        return -1;
    }

    str = PyTuple_GET_ITEM(pair, 0);

    if (take_text(str, "the name of a header", &name) == -1
        || take_text(PyTuple_GET_ITEM(pair, 1), "the value of a header",
                     &value) == -1)
    {
        return -1;
    }

    if (!is_token(&name)) {
        PyErr_Format(PyExc_ValueError, "start_response: %R is no name of a "
                     "header", str);
        return -1;
    }

    if (is_hop_by_hop(&name)) {
        PyErr_Format(PyExc_ValueError, "start_response: the header %R is the "
                     "server's alone (hop-by-hop)", str);
        return -1;
    }

    return is(&name, "content-length") ? take_length(self, &value) : 0;
}


static PyObject *
head_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject     *status, *headers;
    Py_ssize_t    i;
    wsgi_head_t  *self;

    if (!PyArg_ParseTuple(args, "OO:WsgiHead", &status, &headers)
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    if (!PyList_Check(headers)) {
        return PyErr_Format(PyExc_TypeError, "start_response: the headers are "
                            "%.100s, not a list", Py_TYPE(headers)->tp_name);
    }

    self = (wsgi_head_t *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }

    self->length = -1;
    self->status = take_status(status);

    if (self->status == -1) {
        goto failed;
    }

    /* a copy: applications may go on with their list */

    self->headers = PyList_AsTuple(headers);
    if (self->headers == NULL) {
        goto failed;
    }

    for (i = 0; i < PyTuple_GET_SIZE(self->headers); i++) {
        if (check_header(self, PyTuple_GET_ITEM(self->headers, i)) == -1) {
            goto failed;
        }
    }

    return (PyObject *) self;

failed:

    Py_DECREF(self);

    return NULL;
}


static int
head_traverse(wsgi_head_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->headers);
    return 0;
}


static int
head_clear(wsgi_head_t *self)
{
    Py_CLEAR(self->headers);
    return 0;
}


static void
head_dealloc(wsgi_head_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void) head_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static void
put_text(PyObject *str, const char **data, size_t *len)
{
    *data = (const char *) PyUnicode_1BYTE_DATA(str);
    *len = (size_t) PyUnicode_GET_LENGTH(str);
}


static PyObject *
send_head(wsgi_head_t *self, PyObject *args)
{
    int                  rc;
    char                 digits[24];
    void                *task;
    PyObject            *number, *pair;
    Py_ssize_t           i, n, length;
    resty_ffi_header_t  *headers;
    resty_ffi_header_t   few[MAX_ON_STACK + 1];

    if (!PyArg_ParseTuple(args, "On:send", &number, &length)) {
        return NULL;
    }

    if (!number_handle(number, &task)) {
        return NULL;
    }

    headers = few;
    n = self->headers ? PyTuple_GET_SIZE(self->headers) : 0;

    if (n > MAX_ON_STACK) {
        headers = malloc(((size_t) n + 1) * sizeof(resty_ffi_header_t));
        if (headers == NULL) {
            return PyErr_NoMemory();
        }
    }

    for (i = 0; i < n; i++) {
        pair = PyTuple_GET_ITEM(self->headers, i);

        put_text(PyTuple_GET_ITEM(pair, 0), &headers[i].name,
                 &headers[i].name_len);
        put_text(PyTuple_GET_ITEM(pair, 1), &headers[i].value,
                 &headers[i].value_len);
    }

    if (length != -1 && self->length == -1) {
        headers[n].name = "Content-Length";
        headers[n].name_len = strlen(headers[n].name);
        headers[n].value = digits;
        headers[n].value_len = (size_t) snprintf(digits, sizeof(digits),
                                                 "%zd", length);
        n++;
    }

    rc = resty_ffi_send_head(task, self->status, headers, (size_t) n);

    if (headers != few) {
        free(headers);
    }

    if (rc == ENOMEM) {
        return PyErr_NoMemory();
    }

    if (rc == EINVAL) {
        PyErr_SetString(PyExc_ValueError,
                        "start_response: more than 1 MiB of headers");
        return NULL;
    }

    return PyLong_FromLong(rc);
}


static PyMemberDef  members[] = {
    { "status", T_INT, offsetof(wsgi_head_t, status), READONLY,
      "200 to 999." },
    { "length", T_PYSSIZET, offsetof(wsgi_head_t, length), READONLY,
      "What Content-Length says, or -1." },
    { NULL, 0, 0, 0, NULL }
};


static PyMethodDef  methods[] = {
    { "send", (PyCFunction) send_head, METH_VARARGS,
      "send(task: int, length: int, /) -> int\n\nSend it; 0, or EPIPE where "
      "nobody waits. length is Content-Length where it has none; -1: none." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_new, head_new },
    { Py_tp_dealloc, head_dealloc },
    { Py_tp_traverse, head_traverse },
    { Py_tp_clear, head_clear },
    { Py_tp_members, members },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.WsgiHead",
    .basicsize = sizeof(wsgi_head_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};


PyObject *
wsgi_head_type_new(void)
{
    return PyType_FromSpec(&spec);
}
