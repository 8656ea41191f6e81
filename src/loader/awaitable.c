/* SPDX-License-Identifier: BSD-2-Clause */

#include "awaitable.h"


typedef enum { CREATED, SLOW, ENDED } state_t;

typedef struct {
    PyObject_HEAD
    exchange_t  *exchange;
    PyObject    *message;       /* to be sent, or NULL */
    PyObject    *coroutine;     /* has its place where it is SLOW; else what
                                   tells of one that has ended, or NULL */
    int          sends;
    state_t      state;
} awaitable_t;


PyObject *
awaitable_new(exchange_t *exchange, PyObject *message)
{
    awaitable_t   *self;
    PyTypeObject  *type = exchange->owner->awaitable_type;

    self = (awaitable_t *) type->tp_alloc(type, 0);

    if (self) {
        self->exchange = (exchange_t *) Py_NewRef(exchange);
        self->message = Py_XNewRef(message);
        self->sends = message != NULL;
    }

    return (PyObject *) self;
}


/* the coroutine of Python's way; name: of its method */
static PyObject *
call(awaitable_t *self, int name)
{
    PyObject  *message;
    PyObject  *args[2] = { (PyObject *) self->exchange, NULL };

    if (self->exchange == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "it is garbage");
        return NULL;
    }

    message = self->message ? self->message : Py_None;
    args[1] = name == EXCHANGE_SEND ? message : NULL;

    return PyObject_VectorcallMethod(self->exchange->owner->names[name], args,
                                     (args[1] ? 2 : 1)
                                     | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}


/* -1 with an exception set */
static int
become(awaitable_t *self, int name)
{
    PyObject  *coroutine;

    coroutine = call(self, name);
    if (coroutine == NULL) {
        return -1;
    }

    Py_XSETREF(self->coroutine, coroutine);
    Py_CLEAR(self->message);
    self->state = SLOW;

    return 0;
}


static int
become_slow(awaitable_t *self)
{
    return become(self, self->sends ? EXCHANGE_SEND : EXCHANGE_RECEIVE);
}


static void
end(awaitable_t *self)
{
    self->state = ENDED;
    Py_CLEAR(self->message);
}


static int
has_ended(awaitable_t *self)
{
    if (self->state != ENDED) {
        return 0;
    }

    PyErr_SetString(PyExc_RuntimeError,
                    "cannot reuse already awaited coroutine");
    return 1;
}


static PySendResult
begin(awaitable_t *self, PyObject **result)
{
    int            rc;
    exchange_rc_t  found;

    /* iterating over headers may run whatever it likes */

    self->state = ENDED;

    found = self->sends ? exchange_send(self->exchange, self->message)
                        : exchange_receive(self->exchange, result);

    switch (found) {

    case EXCHANGE_DONE:
        if (self->sends) {
            *result = Py_NewRef(Py_None);
        }

        end(self);
        return PYGEN_RETURN;

    case EXCHANGE_SLOW:
        rc = become_slow(self);
        break;

    case EXCHANGE_PAUSE_NOW:
        rc = become(self, EXCHANGE_PAUSE);
        break;

    default: /* EXCHANGE_ERROR */
        rc = -1;
    }

    if (rc == -1) {
        end(self);
        return PYGEN_ERROR;
    }

    return PyIter_Send(self->coroutine, Py_None, result);
}


static PySendResult
awaitable_am_send(awaitable_t *self, PyObject *value, PyObject **result)
{
    *result = NULL;

    if (has_ended(self)) {
        return PYGEN_ERROR;
    }

    if (self->state == CREATED && value == Py_None) {
        return begin(self, result);
    }

    /* a value that is none raises there */

    if (self->state == CREATED && become_slow(self) == -1) {
        return PYGEN_ERROR;
    }

    return PyIter_Send(self->coroutine, value, result);
}


/* what it returns is a dict or None: neither a tuple nor an exception */
static PyObject *
send(awaitable_t *self, PyObject *value)
{
    PyObject  *result;

    if (awaitable_am_send(self, value, &result) == PYGEN_RETURN) {
        PyErr_SetObject(PyExc_StopIteration, result);
        Py_CLEAR(result);
    }

    return result;
}


static PyObject *
awaitable_iternext(awaitable_t *self)
{
    PyObject  *result;

    if (awaitable_am_send(self, Py_None, &result) == PYGEN_RETURN) {

        if (result != Py_None) {
            PyErr_SetObject(PyExc_StopIteration, result);
        }

        Py_CLEAR(result);
    }

    return result;
}


static PyObject *
throw(awaitable_t *self, PyObject *args)
{
    PyObject  *method, *result;

    if (has_ended(self) || (self->state == CREATED && become_slow(self) == -1))
    {
        return NULL;
    }

    method = PyObject_GetAttrString(self->coroutine, "throw");
    if (method == NULL) {
        return NULL;
    }

    result = PyObject_Call(method, args, NULL);
    Py_DECREF(method);

    return result;
}


static PyObject *
close_it(awaitable_t *self, PyObject *unused)
{
    (void) unused;

    if (self->state == SLOW) {
        return PyObject_CallMethod(self->coroutine, "close", NULL);
    }

    end(self);

    Py_RETURN_NONE;
}


/* what Python's own coroutine tells of itself, which then takes over */
static PyObject *
look_into(awaitable_t *self, void *name)
{
    PyObject  *closed;

    if (self->coroutine == NULL && self->state == CREATED) {
        if (become_slow(self) == -1) {
            return NULL;
        }

    } else if (self->coroutine == NULL) {
        self->coroutine = call(self, self->sends ? EXCHANGE_SEND
                                                 : EXCHANGE_RECEIVE);
        closed = self->coroutine
                 ? PyObject_CallMethod(self->coroutine, "close", NULL) : NULL;

        if (closed == NULL) {
            Py_CLEAR(self->coroutine);
            return NULL;
        }

        Py_DECREF(closed);
    }

    return PyObject_GetAttrString(self->coroutine, name);
}


static int
awaitable_traverse(awaitable_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->exchange);
    Py_VISIT(self->message);
    Py_VISIT(self->coroutine);
    return 0;
}


static int
awaitable_clear(awaitable_t *self)
{
    self->state = ENDED;

    Py_CLEAR(self->exchange);
    Py_CLEAR(self->message);
    Py_CLEAR(self->coroutine);

    return 0;
}


/* Python warns of coroutines that nobody has awaited */
static void
warn(awaitable_t *self)
{
    PyObject  *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);

    /* it warns in its turn; without memory nobody does */

    if (become_slow(self) == -1) {
        PyErr_Clear();
    }

    Py_CLEAR(self->coroutine);
    PyErr_Restore(type, value, traceback);
}


static void
awaitable_dealloc(awaitable_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    if (self->state == CREATED && self->exchange) {
        warn(self);
    }

    (void) awaitable_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyGetSetDef  getset[] = {
    { "cr_await", (getter) look_into, NULL, NULL, "cr_await" },
    { "cr_code", (getter) look_into, NULL, NULL, "cr_code" },
    { "cr_frame", (getter) look_into, NULL, NULL, "cr_frame" },
    { "cr_origin", (getter) look_into, NULL, NULL, "cr_origin" },
    { "cr_running", (getter) look_into, NULL, NULL, "cr_running" },
    { "cr_suspended", (getter) look_into, NULL, NULL, "cr_suspended" },
    { "__name__", (getter) look_into, NULL, NULL, "__name__" },
    { "__qualname__", (getter) look_into, NULL, NULL, "__qualname__" },
    { NULL, NULL, NULL, NULL, NULL }
};


static PyMethodDef  methods[] = {
    { "send", (PyCFunction) send, METH_O, "As a coroutine's." },
    { "throw", (PyCFunction) throw, METH_VARARGS, "As a coroutine's." },
    { "close", (PyCFunction) close_it, METH_NOARGS, "As a coroutine's." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_dealloc, awaitable_dealloc },
    { Py_tp_traverse, awaitable_traverse },
    { Py_tp_clear, awaitable_clear },
    { Py_tp_iter, PyObject_SelfIter },
    { Py_tp_iternext, awaitable_iternext },
    { Py_am_await, PyObject_SelfIter },
    { Py_am_send, awaitable_am_send },
    { Py_tp_getset, getset },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Awaitable",
    .basicsize = sizeof(awaitable_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};


PyObject *
awaitable_type_new(void)
{
    return PyType_FromSpec(&spec);
}
