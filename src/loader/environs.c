/* SPDX-License-Identifier: BSD-2-Clause */

#include "environs.h"

#include "environ.h"
#include "web_head.h"


typedef struct {
    PyObject_HEAD
    environ_shared_t  shared;
} environs_t;


static PyObject *
environs_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject    *base;
    environs_t  *self;

    if (!PyArg_ParseTuple(args, "O!:Environs", &PyDict_Type, &base)
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    self = (environs_t *) type->tp_alloc(type, 0);

    if (self && environ_init(&self->shared, base) == -1) {
        Py_CLEAR(self);
    }

    return (PyObject *) self;
}


static int
environs_traverse(environs_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->shared.base);
    return 0;
}


static int
environs_clear(environs_t *self)
{
    environ_clear(&self->shared);
    return 0;
}


static void
environs_dealloc(environs_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);
    (void) environs_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyObject *
new_environ(environs_t *self, PyObject *number)
{
    const resty_ffi_head_t  *head;

    head = web_head(number);
    if (head == NULL) {
        return NULL;
    }

    return environ_new(&self->shared, head);
}


static PyMethodDef  methods[] = {
    { "new", (PyCFunction) new_environ, METH_O,
      "new(task: int, /) -> dict\n\nThe environ of a web request: a copy of "
      "base, with what is the request's, and what nginx.conf says." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_new, environs_new },
    { Py_tp_dealloc, environs_dealloc },
    { Py_tp_traverse, environs_traverse },
    { Py_tp_clear, environs_clear },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Environs",
    .basicsize = sizeof(environs_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};


PyObject *
environs_type_new(void)
{
    return PyType_FromSpec(&spec);
}
