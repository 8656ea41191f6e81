/* SPDX-License-Identifier: BSD-2-Clause */

#include "builtin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "resty_ffi.h"

#include "call.h"
#include "environs.h"
#include "exchanges.h"
#include "fatal.h"
#include "heads.h"
#include "number.h"
#include "runtime_type.h"
#include "web_head.h"
#include "websocket_type.h"
#include "wsgi_head.h"


/* whose stacks are worth a look */
#define MAX_POLLERS  64


PyDoc_STRVAR(log_doc,
"log(level: int, text: str, task: int = 0, /) -> None\n\n"
"Write to nginx's error.log; levels as in resty_ffi.h (3 crit … 8 debug).\n"
"task: whose line it is; 0: that of the call this thread answers, if any.");

static PyObject *
builtin_log(PyObject *self, PyObject *args)
{
    int                  level;
    PyObject            *text, *bytes;
    Py_ssize_t           len;
    unsigned long long   task;

    (void) self;

    task = 0;

    if (!PyArg_ParseTuple(args, "iU|K:log", &level, &text, &task)) {
        return NULL;
    }

    bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (bytes == NULL) {
        return NULL;
    }

    len = PyBytes_GET_SIZE(bytes);
    resty_ffi_log_of(task ? (void *) (uintptr_t) task : call_task(), level,
                     PyBytes_AS_STRING(bytes),
                     len < INT_MAX ? (int) len : INT_MAX);
    Py_DECREF(bytes);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(log_level_doc,
"log_level() -> int\n\n"
"Of nginx's most verbose error_log: lines above it reach none.");

static PyObject *
builtin_log_level(PyObject *self, PyObject *none)
{
    (void) self;
    (void) none;

    return PyLong_FromLong(resty_ffi_log_level());
}


PyDoc_STRVAR(method_doc,
"method(task: int, /) -> str\n\n"
"The Lua method's name of a call without an answer; \"\": it has none.");

static PyObject *
builtin_method(PyObject *self, PyObject *number)
{
    int          len;
    void        *task;
    const char  *name;

    (void) self;

    if (!number_handle(number, &task)) {
        return NULL;
    }

    name = resty_ffi_method(task, &len);

    return PyUnicode_DecodeUTF8(name ? name : "", name ? len : 0,
                                "backslashreplace");
}


PyDoc_STRVAR(task_doc,
"task() -> int\n\n"
"The task of the call this thread answers; 0: of none.");

static PyObject *
builtin_task(PyObject *self, PyObject *none)
{
    (void) self;
    (void) none;

    return PyLong_FromVoidPtr(call_task());
}


PyDoc_STRVAR(started_doc,
"started(tq: int, error: str | None, /) -> None\n\n"
"Report the end of a load: error is what Lua is told, None: it takes calls.");

static PyObject *
builtin_started(PyObject *self, PyObject *args)
{
    static const char  internal[] =
        "ffi_python3: internal error: see error.log";

    void                *queue;
    PyObject            *error, *bytes;
    unsigned long long   tq;

    (void) self;

    if (!PyArg_ParseTuple(args, "KO:started", &tq, &error)) {
        return NULL;
    }

    queue = (void *) (uintptr_t) tq;

    if (error == Py_None) {
        resty_ffi_started(queue, 0, NULL, 0);
        Py_RETURN_NONE;
    }

    bytes = PyUnicode_AsEncodedString(error, "utf-8", "backslashreplace");

    if (bytes == NULL) {
        PyErr_WriteUnraisable(NULL);
        resty_ffi_started(queue, 1, internal, sizeof(internal) - 1);
        Py_RETURN_NONE;
    }

    resty_ffi_started(queue, 1, PyBytes_AS_STRING(bytes),
                      (int) PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(option_doc,
"option(tq: int, which: int, missing: float, /) -> float\n\n"
"An option of ngx.load_ffi; `which` as in resty_ffi.h.");

static PyObject *
builtin_option(PyObject *self, PyObject *args)
{
    int                  which;
    double               missing;
    unsigned long long   tq;

    (void) self;

    if (!PyArg_ParseTuple(args, "Kid:option", &tq, &which, &missing)) {
        return NULL;
    }

    return PyFloat_FromDouble(
               resty_ffi_option((void *) (uintptr_t) tq, which,
                                missing));
}


PyDoc_STRVAR(deadline_doc,
"deadline(task: int, /) -> float | None\n\n"
"When a task's caller stops waiting, in time.monotonic() seconds.");

static PyObject *
builtin_deadline(PyObject *self, PyObject *number)
{
    void     *task;
    int64_t   ms;

    (void) self;

    if (!number_handle(number, &task)) {
        return NULL;
    }

    ms = resty_ffi_deadline(task);
    if (ms == 0) {
        Py_RETURN_NONE;
    }

    return PyFloat_FromDouble((double) ms / 1000);
}


PyDoc_STRVAR(name_doc,
"name(tq: int, name: str, /) -> None\n\n"
"What error.log calls the runtime; and the running thread, in ps and top.");

static PyObject *
builtin_name(PyObject *self, PyObject *args)
{
    const char          *name;
    unsigned long long   tq;

    (void) self;

    if (!PyArg_ParseTuple(args, "Ks:name", &tq, &name)) {
        return NULL;
    }

    resty_ffi_name((void *) (uintptr_t) tq, name);
    (void) prctl(PR_SET_NAME, name);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(quiet_doc,
"quiet(tq: int, us: int, /) -> None\n\n"
"Have a thread that is busy wake nginx up for answers that often at most.");

static PyObject *
builtin_quiet(PyObject *self, PyObject *args)
{
    int        us;
    void      *tq;
    PyObject  *number;

    (void) self;

    if (!PyArg_ParseTuple(args, "Oi:quiet", &number, &us)
        || !number_handle(number, &tq))
    {
        return NULL;
    }

    resty_ffi_quiet(tq, us);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(buffer_doc,
"buffer_requests(tq: int, /) -> None\n\n"
"Have nginx read web requests as a whole before it passes them on.");

static PyObject *
builtin_buffer_requests(PyObject *self, PyObject *number)
{
    void  *tq;

    (void) self;

    if (!number_handle(number, &tq)) {
        return NULL;
    }

    resty_ffi_buffer_requests(tq);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(accept_upgrades_doc,
"accept_upgrades(tq: int, /) -> None\n\n"
"Have nginx offer an upgrade to web requests that ask for a WebSocket.");

static PyObject *
builtin_accept_upgrades(PyObject *self, PyObject *number)
{
    void  *tq;

    (void) self;

    if (!number_handle(number, &tq)) {
        return NULL;
    }

    resty_ffi_accept_upgrades(tq);

    Py_RETURN_NONE;
}


PyDoc_STRVAR(upgradable_doc,
"upgradable(task: int, /) -> bool\n\n"
"Whether a web request asks for a WebSocket, and may have one.");

static PyObject *
builtin_upgradable(PyObject *self, PyObject *number)
{
    const resty_ffi_head_t  *head;

    (void) self;

    head = web_head(number);

    return head ? PyBool_FromLong(head->flags & RESTY_FFI_UPGRADE) : NULL;
}


PyDoc_STRVAR(pollers_doc,
"pollers(tq: int, /) -> list[int]\n\n"
"Native ids of live threads that have polled a queue; 0: any queue.");

static PyObject *
builtin_pollers(PyObject *self, PyObject *number)
{
    int        i, n;
    int        tids[MAX_POLLERS];
    void      *tq;
    PyObject  *list, *tid;

    (void) self;

    if (!number_handle(number, &tq)) {
        return NULL;
    }

    n = resty_ffi_pollers(tq, tids, MAX_POLLERS);

    list = PyList_New(n);
    if (list == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        tid = PyLong_FromUnsignedLong((unsigned long) tids[i]);
        if (tid == NULL) {
            Py_DECREF(list);
            return NULL;
        }

        PyList_SET_ITEM(list, i, tid);
    }

    return list;
}


PyDoc_STRVAR(send_file_doc,
"send_file(task: int, fd: int, offset: int, length: int, /) -> int\n\n"
"Send a range of a file as a part of an answer; fd stays the caller's. 0, or\n"
"the number of the error for which it was not.");

static PyObject *
builtin_send_file(PyObject *self, PyObject *args)
{
    int                  fd, rc, own;
    long long            offset, length;
    unsigned long long   task;

    (void) self;

    if (!PyArg_ParseTuple(args, "KiLL:send_file", &task, &fd, &offset,
                          &length))
    {
        return NULL;
    }

    own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own == -1) {
        return PyLong_FromLong(errno);
    }

    rc = resty_ffi_send_file((void *) (uintptr_t) task, own, offset, length);

    if (rc != 0) {
        (void) close(own);
    }

    return PyLong_FromLong(rc);
}


PyDoc_STRVAR(gone_doc,
"gone(task: int, /) -> bool\n\n"
"Whether nobody waits for a task's answer any more, or it has been answered.");

static PyObject *
builtin_gone(PyObject *self, PyObject *number)
{
    void  *task;

    (void) self;

    if (!number_handle(number, &task)) {
        return NULL;
    }

    return PyBool_FromLong(resty_ffi_cancelled(task));
}


PyDoc_STRVAR(exiting_doc,
"exiting() -> bool\n\nWhether the worker process is about to leave.");

static PyObject *
builtin_exiting(PyObject *self, PyObject *unused)
{
    (void) self;
    (void) unused;

    return PyBool_FromLong(resty_ffi_exiting());
}


PyDoc_STRVAR(exit_deadline_doc,
"exit_deadline() -> float\n\nWhen a worker that leaves waits no longer, in "
"time.monotonic() seconds; 0: it does not leave.");

static PyObject *
builtin_exit_deadline(PyObject *self, PyObject *unused)
{
    (void) self;
    (void) unused;

    return PyFloat_FromDouble((double) resty_ffi_exit_deadline() / 1000);
}


/* takes type over, which may be NULL */
static int
add_type(PyObject *module, PyObject *type)
{
    int  rc;

    if (type == NULL) {
        return -1;
    }

    rc = PyModule_AddType(module, (PyTypeObject *) type);
    Py_DECREF(type);

    return rc;
}


static int
builtin_exec(PyObject *module)
{
    return add_type(module, runtime_type_new()) == -1
           || add_type(module, heads_type_new()) == -1
           || add_type(module, exchange_type_new()) == -1
           || add_type(module, exchanges_type_new()) == -1
           || add_type(module, environs_type_new()) == -1
           || add_type(module, wsgi_head_type_new()) == -1
           || add_type(module, websockets_type_new()) == -1
           ? -1 : 0;
}


PyDoc_STRVAR(watch_fatal_doc,
"watch_fatal() -> None\n\n"
"Have a signal that ends the worker leave in error.log where it came.");

static PyObject *
builtin_watch_fatal(PyObject *self, PyObject *none)
{
    (void) self;
    (void) none;

    return fatal_watch() == 0 ? Py_NewRef(Py_None) : NULL;
}


static PyMethodDef  methods[] = {
    { "accept_upgrades", builtin_accept_upgrades, METH_O,
      accept_upgrades_doc },
    { "quiet", builtin_quiet, METH_VARARGS, quiet_doc },
    { "buffer_requests", builtin_buffer_requests, METH_O, buffer_doc },
    { "current", call_current, METH_NOARGS,
      "current() -> Call | None\n\nThe call this thread answers, if any." },
    { "deadline", builtin_deadline, METH_O, deadline_doc },
    { "exit_deadline", builtin_exit_deadline, METH_NOARGS,
      exit_deadline_doc },
    { "exiting", builtin_exiting, METH_NOARGS, exiting_doc },
    { "gone", builtin_gone, METH_O, gone_doc },
    { "name", builtin_name, METH_VARARGS, name_doc },
    { "option", builtin_option, METH_VARARGS, option_doc },
    { "pollers", builtin_pollers, METH_O, pollers_doc },
    { "send_file", builtin_send_file, METH_VARARGS, send_file_doc },
    { "upgradable", builtin_upgradable, METH_O, upgradable_doc },
    { "started", builtin_started, METH_VARARGS, started_doc },
    { "log", builtin_log, METH_VARARGS, log_doc },
    { "log_level", builtin_log_level, METH_NOARGS, log_level_doc },
    { "method", builtin_method, METH_O, method_doc },
    { "task", builtin_task, METH_NOARGS, task_doc },
    { "watch_fatal", builtin_watch_fatal, METH_NOARGS, watch_fatal_doc },
    { NULL, NULL, 0, NULL }
};


static PyModuleDef_Slot  slots[] = {
    { Py_mod_exec, builtin_exec },
    { 0, NULL }
};


static PyModuleDef  module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_resty_ffi",
    .m_doc = "The part of resty_ffi that is built into libffi_python3.",
    .m_methods = methods,
    .m_slots = slots,
};


PyObject *
builtin_init(void)
{
    return PyModuleDef_Init(&module);
}
