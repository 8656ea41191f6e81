/* SPDX-License-Identifier: BSD-2-Clause */

#include "heads.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"

#include "scope.h"


#define MAX_ON_STACK  32


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


/* NULL with an exception set */
static const resty_ffi_head_t *
head_of(PyObject *number)
{
    void                    *task;
    const resty_ffi_head_t  *head;

    task = PyLong_AsVoidPtr(number);
    if (task == NULL && PyErr_Occurred()) {
        return NULL;
    }

    head = resty_ffi_head(task);
    if (head == NULL) {
        PyErr_SetString(PyExc_ValueError, "no web request");
    }

    return head;
}


static PyObject *
scope(heads_t *self, PyObject *number)
{
    const resty_ffi_head_t  *head;

    head = head_of(number);

    return head ? scope_new(&self->shared, head) : NULL;
}


static PyObject *
params(heads_t *self, PyObject *number)
{
    const resty_ffi_head_t  *head;

    (void) self;

    head = head_of(number);
    if (head == NULL) {
        return NULL;
    }

    if (head->nparams == 0) {
        Py_RETURN_NONE;
    }

    return scope_params(head);
}


/* -1 with an exception set; what is a str has to be Latin-1 */
static int
take_text(PyObject *text, const char *what, const char **data, size_t *len)
{
    char        *bytes;
    Py_ssize_t   size;

    if (PyUnicode_Check(text)) {
        if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
            PyErr_Format(PyExc_ValueError, "a %s of a header has a character "
                         "that is no byte: %R", what, text);
            return -1;
        }

        *data = (const char *) PyUnicode_1BYTE_DATA(text);
        *len = (size_t) PyUnicode_GET_LENGTH(text);
        return 0;
    }

    if (!PyBytes_Check(text)) {
        PyErr_Format(PyExc_TypeError, "a %s of a header is %.100s", what,
                     Py_TYPE(text)->tp_name);
        return -1;
    }

    (void) PyBytes_AsStringAndSize(text, &bytes, &size);

    *data = bytes;
    *len = (size_t) size;

    return 0;
}


/* pairs, a list of sequences; -1 with an exception set */
static int
take_headers(PyObject *pairs, resty_ffi_header_t *headers, PyObject *kept)
{
    int          rc;
    PyObject    *pair;
    Py_ssize_t   i;

    for (i = 0; i < PyList_GET_SIZE(pairs); i++) {
        pair = PySequence_Tuple(PyList_GET_ITEM(pairs, i));
        if (pair == NULL) {
            return -1;
        }

        rc = PyList_Append(kept, pair);
        Py_DECREF(pair);

        if (rc == -1) {
            return -1;
        }

        if (PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_ValueError,
                            "a header is no pair of a name and a value");
            return -1;
        }

        if (take_text(PyTuple_GET_ITEM(pair, 0), "name", &headers[i].name,
                      &headers[i].name_len) == -1
            || take_text(PyTuple_GET_ITEM(pair, 1), "value",
                         &headers[i].value, &headers[i].value_len) == -1)
        {
            return -1;
        }
    }

    return 0;
}


static void
set_refused(int rc)
{
    if (rc == ENOMEM) {
        (void) PyErr_NoMemory();

    } else {
        PyErr_SetString(PyExc_ValueError, "the head of an answer is refused: "
                        "its status is none, a name is no token, or a value "
                        "has a line break or NUL, or all have more than 1 MiB");
    }
}


static PyObject *
send_head(heads_t *self, PyObject *args)
{
    int                  rc, status;
    void                *task;
    PyObject            *number, *given, *pairs, *kept;
    Py_ssize_t           n;
    resty_ffi_header_t  *headers;
    resty_ffi_header_t   few[MAX_ON_STACK];

    (void) self;

    if (!PyArg_ParseTuple(args, "OiO:send", &number, &status, &given)) {
        return NULL;
    }

    task = PyLong_AsVoidPtr(number);
    if (task == NULL && PyErr_Occurred()) {
        return NULL;
    }

    rc = -1;
    headers = few;

    /* any iterable, whose items may be others at the next look */

    pairs = PySequence_List(given);
    kept = PyList_New(0);

    if (pairs == NULL || kept == NULL) {
        goto done;
    }

    n = PyList_GET_SIZE(pairs);

    if (n > MAX_ON_STACK) {
        headers = malloc((size_t) n * sizeof(resty_ffi_header_t));
        if (headers == NULL) {
            (void) PyErr_NoMemory();
            goto done;
        }
    }

    if (take_headers(pairs, headers, kept) == -1) {
        goto done;
    }

    rc = resty_ffi_send_head(task, status, headers, (size_t) n);

    if (rc != 0 && rc != EPIPE) {
        set_refused(rc);
        rc = -1;
    }

done:

    if (headers != few) {
        free(headers);
    }

    Py_XDECREF(pairs);
    Py_XDECREF(kept);

    return rc == -1 ? NULL : PyLong_FromLong(rc);
}


static PyMethodDef  methods[] = {
    { "scope", (PyCFunction) scope, METH_O,
      "scope(task: int, /) -> dict\n\nASGI's scope of a web request, but for "
      "asgi, extensions and state." },
    { "params", (PyCFunction) params, METH_O,
      "params(task: int, /) -> dict[str, str] | None\n\nWhat nginx.conf says "
      "about it." },
    { "send", (PyCFunction) send_head, METH_VARARGS,
      "send(task: int, status: int, headers, /) -> int\n\nSend the head of an "
      "answer; 0, or EPIPE where nobody waits. ValueError, TypeError: it is "
      "none." },
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
