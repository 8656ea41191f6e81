/* SPDX-License-Identifier: BSD-2-Clause */

#include "heads.h"

#include <errno.h>

#include "resty_ffi.h"

#include "asgi_head.h"
#include "number.h"
#include "scope.h"
#include "web_head.h"


typedef struct {
    PyObject_HEAD
    scope_shared_t  shared;
} heads_t;


static PyObject *
heads_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    heads_t  *self;

    if (!PyArg_ParseTuple(args, ":Heads")
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    self = (heads_t *) type->tp_alloc(type, 0);

    if (self && scope_init(&self->shared) == -1) {
        Py_CLEAR(self);
    }

    return (PyObject *) self;
}


static int
heads_traverse(heads_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return scope_traverse(&self->shared, visit, arg);
}


static int
heads_clear(heads_t *self)
{
    scope_clear(&self->shared);
    return 0;
}


static void
heads_dealloc(heads_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void) heads_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static int
has_args(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given == wanted) {
        return 1;
    }

    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments", name, wanted);
    return 0;
}


static PyObject *
scope(heads_t *self, PyObject *const *args, Py_ssize_t nargs)
{
    const resty_ffi_head_t  *head;

    if (!has_args("scope", nargs, 2)) {
        return NULL;
    }

    head = web_head(args[0]);
    if (head == NULL) {
        return NULL;
    }

    return scope_new(&self->shared, head, args[1]);
}


static PyObject *
send_head(heads_t *self, PyObject *const *args, Py_ssize_t nargs)
{
    int    rc;
    void  *task;

    (void) self;

    if (!has_args("send", nargs, 3)) {
        return NULL;
    }

    if (!number_handle(args[0], &task)) {
        return NULL;
    }

    rc = asgi_head_send(task, args[1], args[2]);

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyObject *
send_others(PyObject *args, int (*send)(void *task, PyObject *headers))
{
    int        rc;
    void      *task;
    PyObject  *number, *headers;

    if (!PyArg_ParseTuple(args, "OO", &number, &headers)) {
        return NULL;
    }

    if (!number_handle(number, &task)) {
        return NULL;
    }

    rc = send(task, headers);

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyObject *
send_hints(heads_t *self, PyObject *args)
{
    (void) self;

    return send_others(args, asgi_hints_send);
}


static PyObject *
send_trailers(heads_t *self, PyObject *args)
{
    (void) self;

    return send_others(args, asgi_trailers_send);
}


static PyObject *
send_file(heads_t *self, PyObject *args)
{
    int        rc, fd;
    void      *task;
    PyObject  *number;
    long long  len;

    (void) self;

    if (!PyArg_ParseTuple(args, "OiL:send_file", &number, &fd, &len)) {
        return NULL;
    }

    if (!number_handle(number, &task)) {
        return NULL;
    }

    rc = resty_ffi_send_file(task, fd, 0, len);

    if (rc == ENOMEM) {
        return PyErr_NoMemory();
    }

    if (rc == EINVAL) {
        PyErr_SetString(PyExc_ValueError, "no regular file, open for reading, "
                        "or no head before it");
        return NULL;
    }

    return PyLong_FromLong(rc);
}


static PyMethodDef  methods[] = {
    { "scope", (PyCFunction) (void (*)(void)) scope, METH_FASTCALL,
      "scope(task: int, state: dict | None, /) -> dict\n\nASGI's scope of a "
      "web request, with a copy of the lifespan's state." },
    { "send", (PyCFunction) (void (*)(void)) send_head, METH_FASTCALL,
      "send(task: int, status: int, headers, /) -> int\n\nSend the head of "
      "an answer; 0, or EPIPE where nobody waits. ValueError, TypeError: it "
      "is none." },
    { "send_hints", (PyCFunction) send_hints, METH_VARARGS,
      "send_hints(task: int, headers, /) -> int\n\nThe same of early hints." },
    { "send_trailers", (PyCFunction) send_trailers, METH_VARARGS,
      "send_trailers(task: int, headers, /) -> int\n\nThe same of trailers." },
    { "send_file", (PyCFunction) send_file, METH_VARARGS,
      "send_file(task: int, fd: int, length: int, /) -> int\n\nSend that "
      "much of a file; 0, and fd is taken over, or EAGAIN, EPIPE, EMFILE. "
      "ValueError: it is none." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_new, heads_new },
    { Py_tp_dealloc, heads_dealloc },
    { Py_tp_traverse, heads_traverse },
    { Py_tp_clear, heads_clear },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Heads",
    .basicsize = sizeof(heads_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};


PyObject *
heads_type_new(void)
{
    return PyType_FromSpec(&spec);
}
