/* SPDX-License-Identifier: BSD-2-Clause */

#include "runtime_type.h"

#include <stdint.h>
#include <stdlib.h>
#include <structmember.h>

#include "resty_ffi.h"

#include "call.h"
#include "dispatch.h"
#include "request.h"
#include "streams.h"


/* a request's time, as nginx's upstreams have it */
#define TIMEOUT_MS  60000


static PyObject *
runtime_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    unsigned long long   tq;
    runtime_t           *self;
    PyObject            *handler, *methods, *coroutines, *answers, *run;
    PyObject            *call_var, *context, *renew, *readers;
    int                  view;

    static char  *names[] = {
        "tq", "handler", "methods", "coroutines", "answers", "run",
        "call_var", "context", "renew", "view", "readers", NULL
    };

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KOOOOOOO!OpO!:Runtime",
                                     names, &tq, &handler, &methods,
                                     &coroutines, &answers, &run, &call_var,
                                     &PyContext_Type, &context, &renew, &view,
                                     &PyDict_Type, &readers))
    {
        return NULL;
    }

    if ((methods != Py_None && !PyDict_Check(methods))
        || !PyAnySet_Check(coroutines))
    {
        PyErr_SetString(PyExc_TypeError, "methods must be a dict or None, "
                        "coroutines a set");
        return NULL;
    }

    self = (runtime_t *) type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }

    self->tq = (void *) (uintptr_t) tq;
    self->handler = handler == Py_None ? NULL : Py_NewRef(handler);
    self->methods = methods == Py_None ? NULL : Py_NewRef(methods);
    self->coroutines = Py_NewRef(coroutines);
    self->answers = Py_NewRef(answers);
    self->run = Py_NewRef(run);
    self->call_var = Py_NewRef(call_var);
    self->context = Py_NewRef(context);
    self->renew = renew == Py_None ? NULL : Py_NewRef(renew);
    self->view = view;
    self->readers = PyDict_GET_SIZE(readers) ? Py_NewRef(readers) : NULL;

    resty_ffi_default_timeout(self->tq, TIMEOUT_MS);

    self->replies = replies_new(self->tq);
    if (self->replies == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }

    self->tasks = PyDict_New();
    self->done = PyUnicode_InternFromString("done");
    self->call_type = (PyTypeObject *) call_type_new();
    self->request_type = (PyTypeObject *) request_type_new();
    self->streams_type = (PyTypeObject *) streams_type_new();

    if (self->tasks == NULL || self->done == NULL
        || self->call_type == NULL
        || self->request_type == NULL
        || self->streams_type == NULL)
    {
        Py_DECREF(self);
        return NULL;
    }

    return (PyObject *) self;
}


static int
runtime_traverse(runtime_t *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->call_type);
    Py_VISIT(self->request_type);
    Py_VISIT(self->streams_type);
    Py_VISIT(self->handler);
    Py_VISIT(self->methods);
    Py_VISIT(self->coroutines);
    Py_VISIT(self->answers);
    Py_VISIT(self->run);
    Py_VISIT(self->call_var);
    Py_VISIT(self->context);
    Py_VISIT(self->renew);
    Py_VISIT(self->spawn);
    Py_VISIT(self->adopt);
    Py_VISIT(self->submit);
    Py_VISIT(self->iterate);
    Py_VISIT(self->readers);
    Py_VISIT(self->tasks);
    return 0;
}


static int
runtime_clear(runtime_t *self)
{
    Py_CLEAR(self->call_type);
    Py_CLEAR(self->request_type);
    Py_CLEAR(self->streams_type);
    Py_CLEAR(self->handler);
    Py_CLEAR(self->methods);
    Py_CLEAR(self->coroutines);
    Py_CLEAR(self->answers);
    Py_CLEAR(self->run);
    Py_CLEAR(self->call_var);
    Py_CLEAR(self->context);
    Py_CLEAR(self->renew);
    Py_CLEAR(self->spawn);
    Py_CLEAR(self->adopt);
    Py_CLEAR(self->submit);
    Py_CLEAR(self->iterate);
    Py_CLEAR(self->readers);
    Py_CLEAR(self->tasks);
    Py_CLEAR(self->done);
    return 0;
}


static void
runtime_dealloc(runtime_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    PyObject_GC_UnTrack(self);

    if (self->replies) {
        replies_close(self->replies);
        self->replies = NULL;
    }

    (void) runtime_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyObject *
collect(runtime_t *self, PyObject *unused)
{
    (void) unused;

    replies_collect(self->replies);

    return PyBool_FromLong(replies_outstanding(self->replies) != 0);
}


static PyObject *
new_streams(runtime_t *self, PyObject *unused)
{
    (void) unused;

    return (PyObject *) streams_new(self);
}


static PyObject *
outstanding(runtime_t *self, void *closure)
{
    (void) closure;

    return PyBool_FromLong(replies_outstanding(self->replies) != 0);
}


static PyMemberDef  members[] = {
    { "spawn", T_OBJECT, offsetof(runtime_t, spawn), 0,
      "Makes a task of a coroutine; set by the event loop's thread." },
    { "adopt", T_OBJECT, offsetof(runtime_t, adopt), 0,
      "adopt(call, awaitable, task): has a future that a plain method has "
      "returned answer the call, and says whether it is one; as spawn." },
    { "submit", T_OBJECT, offsetof(runtime_t, submit), 0,
      "submit(function, argument) to a thread pool; for plain methods." },
    { "iterate", T_OBJECT, offsetof(runtime_t, iterate), 0,
      "iterate(call, generator, task): has an asynchronous generator that a "
      "plain method has returned answer the call; as spawn." },
    { "tasks", T_OBJECT, offsetof(runtime_t, tasks), READONLY,
      "The asyncio tasks that have not answered yet, by handle." },
    { NULL, 0, 0, 0, NULL }
};


static PyGetSetDef  getset[] = {
    { "outstanding", (getter) outstanding, NULL,
      "Whether answers have not been collected.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};


static PyMethodDef  methods[] = {
    { "serve", (PyCFunction) dispatch_serve, METH_VARARGS,
      "serve(batch: int, patience: float, /) -> None\n\n"
      "Answer calls on this thread until the runtime is unloaded. patience: "
      "seconds to wait for the GIL before it counts as contended." },
    { "accept", (PyCFunction) dispatch_accept, METH_VARARGS,
      "accept(limit: int, streams: Streams, /) -> int\n\nStart the calls "
      "that wait, on the event loop's thread, whose streams are given. "
      "1: the eventfd tells of more; 0: call again; -1: unloaded. OSError: "
      "the eventfd has been closed." },
    { "answer", (PyCFunction) dispatch_answer, METH_VARARGS,
      "answer(task: int, streams: Streams, /) -> None\n\nAnswer one call on "
      "this thread, whose streams are given." },
    { "streams", (PyCFunction) new_streams, METH_NOARGS,
      "streams() -> Streams\n\nThose of the calling thread." },
    { "events", (PyCFunction) dispatch_events, METH_NOARGS,
      "events() -> list[int]\n\nCalls about which something is new since "
      "the last time; some may have been answered." },
    { "cancel", (PyCFunction) dispatch_cancel, METH_O,
      "cancel(task: int, /) -> None\n\nAnswer a call whose asyncio task was "
      "cancelled before it ran." },
    { "fileno", (PyCFunction) dispatch_fileno, METH_NOARGS,
      "fileno() -> int\n\nThe eventfd of the queue." },
    { "notify", (PyCFunction) dispatch_notify, METH_NOARGS,
      "notify() -> None\n\nMake the eventfd readable." },
    { "collect", (PyCFunction) collect, METH_NOARGS,
      "collect() -> bool\n\nGive back what has been delivered; whether "
      "answers are still on their way." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_new, runtime_new },
    { Py_tp_dealloc, runtime_dealloc },
    { Py_tp_traverse, runtime_traverse },
    { Py_tp_clear, runtime_clear },
    { Py_tp_members, members },
    { Py_tp_getset, getset },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Runtime",
    .basicsize = sizeof(runtime_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};


PyObject *
runtime_type_new(void)
{
    return PyType_FromSpec(&spec);
}
