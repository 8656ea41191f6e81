/* SPDX-License-Identifier: BSD-2-Clause */

#include "exchanges.h"

#include <structmember.h>

#include "awaitable.h"


static PyObject *
receive(exchange_t *self, PyObject *unused)
{
    (void) unused;

    return awaitable_new(self, NULL);
}


static int
exchange_traverse(exchange_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->call);
    Py_VISIT(self->shared);
    Py_VISIT(self->ahead);
    Py_VISIT(self->status);
    Py_VISIT(self->headers);
    return 0;
}


/*
 * Of what every exchange has, whose methods may still be called, only what may
 * lead back to it.
 */
static int
exchange_clear(exchange_t *self)
{
    Py_CLEAR(self->ahead);
    Py_CLEAR(self->status);
    Py_CLEAR(self->headers);
    return 0;
}


static void
exchange_dealloc(exchange_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    (void) exchange_clear(self);

    Py_XDECREF(self->number);
    Py_XDECREF(self->call);
    Py_XDECREF(self->shared);
    Py_XDECREF(self->owner);

    type->tp_free(self);
    Py_DECREF(type);
}


static int
is_base_of(const PyTypeObject *type)
{
    return type->tp_base
           && type->tp_base->tp_dealloc == (destructor) exchange_dealloc;
}


static PyMemberDef  exchange_members[] = {
    { "_call", T_OBJECT, offsetof(exchange_t, call), READONLY, NULL },
    { "_number", T_OBJECT, offsetof(exchange_t, number), READONLY, NULL },
    { "_shared", T_OBJECT, offsetof(exchange_t, shared), READONLY, NULL },
    { "_ahead", T_OBJECT, offsetof(exchange_t, ahead), 0, NULL },
    { "_status", T_OBJECT, offsetof(exchange_t, status), 0, NULL },
    { "_headers", T_OBJECT, offsetof(exchange_t, headers), 0, NULL },
    { "_sent", T_PYSSIZET, offsetof(exchange_t, sent), 0, NULL },
    { "_waiting", T_PYSSIZET, offsetof(exchange_t, waiting), 0, NULL },
    { "_body_ended", T_BOOL, offsetof(exchange_t, body_ended), 0, NULL },
    { "_told", T_BOOL, offsetof(exchange_t, told), 0, NULL },
    { "_trailers", T_BOOL, offsetof(exchange_t, trailers), 0, NULL },
    { "state", T_INT, offsetof(exchange_t, state), 0, NULL },
    { NULL, 0, 0, 0, NULL }
};


static PyMethodDef  exchange_methods[] = {
    { "receive", (PyCFunction) receive, METH_NOARGS, "As ASGI has it." },
    { "send", (PyCFunction) awaitable_new, METH_O, "As ASGI has it." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  exchange_slots[] = {
    { Py_tp_dealloc, exchange_dealloc },
    { Py_tp_traverse, exchange_traverse },
    { Py_tp_clear, exchange_clear },
    { Py_tp_members, exchange_members },
    { Py_tp_methods, exchange_methods },
    { 0, NULL }
};


static PyType_Spec  exchange_spec = {
    .name = "_resty_ffi.Exchange",
    .basicsize = sizeof(exchange_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = exchange_slots,
};


PyObject *
exchange_type_new(void)
{
    return PyType_FromSpec(&exchange_spec);
}


static int
take_names(exchanges_t *self)
{
    static const char *const  names[EXCHANGE_NAMES] = {
        "type", "body", "more_body", "status", "headers", "trailers",
        "http.request", "http.response.start", "http.response.body",
        "_receive", "_send", "_pause", "tell"
    };

    int  i;

    for (i = 0; i < EXCHANGE_NAMES; i++) {
        self->names[i] = PyUnicode_InternFromString(names[i]);
        if (self->names[i] == NULL) {
            return -1;
        }
    }

    return 0;
}


static PyObject *
exchanges_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject      *shared;
    exchanges_t   *self;
    PyTypeObject  *exchange;

    if (!PyArg_ParseTuple(args, "O!O:Exchanges", &PyType_Type, &exchange,
                          &shared)
        || (kwargs && PyDict_GET_SIZE(kwargs)))
    {
        return NULL;
    }

    if (!is_base_of(exchange)) {
        PyErr_SetString(PyExc_TypeError, "no class of exchanges");
        return NULL;
    }

    self = (exchanges_t *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }

    self->type = (PyTypeObject *) Py_NewRef(exchange);
    self->shared = Py_NewRef(shared);
    self->awaitable_type = (PyTypeObject *) awaitable_type_new();

    if (self->awaitable_type) {
        self->none = PyTuple_New(0);
    }

    if (self->none) {
        self->waits = PyObject_GetAttrString(shared, "waits");
    }

    if (self->waits == NULL || take_names(self) == -1) {
        Py_CLEAR(self);
    }

    return (PyObject *) self;
}


static PyObject *
new_exchange(exchanges_t *self, PyObject *const *args, Py_ssize_t nargs)
{
    call_t      *call;
    exchange_t  *exchange;

    if (nargs != 2 || !call_check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "new() takes a Call, and a body that "
                        "it does not look at");
        return NULL;
    }

    call = (call_t *) args[0];

    exchange = (exchange_t *) self->type->tp_alloc(self->type, 0);
    if (exchange == NULL) {
        return NULL;
    }

    exchange->owner = (exchanges_t *) Py_NewRef(self);
    exchange->call = (call_t *) Py_NewRef(call);
    exchange->shared = Py_NewRef(self->shared);
    exchange->number = PyLong_FromVoidPtr(call->task);

    if (exchange->number == NULL) {
        Py_CLEAR(exchange);
    }

    return (PyObject *) exchange;
}


static int
exchanges_traverse(exchanges_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->type);
    Py_VISIT(self->awaitable_type);
    Py_VISIT(self->shared);
    Py_VISIT(self->waits);
    return 0;
}


static int
exchanges_clear(exchanges_t *self)
{
    Py_CLEAR(self->shared);
    Py_CLEAR(self->waits);
    return 0;
}


static void
exchanges_dealloc(exchanges_t *self)
{
    int            i;
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    (void) exchanges_clear(self);

    for (i = 0; i < EXCHANGE_NAMES; i++) {
        Py_XDECREF(self->names[i]);
    }

    Py_XDECREF(self->none);
    Py_XDECREF(self->awaitable_type);
    Py_XDECREF(self->type);

    type->tp_free(self);
    Py_DECREF(type);
}


static PyMethodDef  methods[] = {
    { "new", (PyCFunction) (void (*)(void)) new_exchange, METH_FASTCALL,
      "new(call: Call, body: bytes | None, /) -> Exchange\n\nThat of a web "
      "request, which is body's reader." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_new, exchanges_new },
    { Py_tp_dealloc, exchanges_dealloc },
    { Py_tp_traverse, exchanges_traverse },
    { Py_tp_clear, exchanges_clear },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Exchanges",
    .basicsize = sizeof(exchanges_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};


PyObject *
exchanges_type_new(void)
{
    return PyType_FromSpec(&spec);
}
