/* SPDX-License-Identifier: BSD-2-Clause */

#include "request.h"

#include <stdlib.h>

#include "resty_ffi.h"


typedef struct {
    PyObject_HEAD
    char        *bytes;     /* malloc'ed; NULL: the request was nil */
    Py_ssize_t   len;
} request_t;


static void
request_dealloc(request_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    free(self->bytes);
    type->tp_free(self);
    Py_DECREF(type);
}


static int
request_getbuffer(request_t *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *) self,
                             self->bytes ? self->bytes : "", self->len, 1,
                             flags);
}


static PyType_Slot  slots[] = {
    { Py_tp_dealloc, request_dealloc },
    { Py_bf_getbuffer, request_getbuffer },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Request",
    .basicsize = sizeof(request_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};


PyObject *
request_type_new(void)
{
    return PyType_FromSpec(&spec);
}


PyObject *
request_view(PyTypeObject *type, void *task)
{
    int         len;
    PyObject   *view;
    request_t  *request;

    request = (request_t *) type->tp_alloc(type, 0);
    if (request == NULL) {
        return NULL;
    }

    request->bytes = resty_ffi_take_req(task, &len);
    request->len = request->bytes ? len : 0;

    if (request->bytes == NULL && len) {
        Py_DECREF(request);
        return PyErr_NoMemory();
    }

    view = PyMemoryView_FromObject((PyObject *) request);
    Py_DECREF(request);

    return view;
}
