/* SPDX-License-Identifier: BSD-2-Clause */

#include "gather.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"

#include "clock.h"


typedef struct {
    stream_t        stream;
    PyObject       *handler;
    PyObject       *parts;      /* a list of bytes */
    gather_then_t   then;
} gather_t;


static int
append(gather_t *g, const char *bytes, size_t len)
{
    int        rc;
    PyObject  *part;

    part = PyBytes_FromStringAndSize(bytes, (Py_ssize_t) len);
    rc = part ? PyList_Append(g->parts, part) : -1;
    Py_XDECREF(part);

    return rc;
}


/*
 * 0 when all is here; an error number of read, or EINPROGRESS where the turn
 * is over before; -1 with an exception set.
 */
static int
read_parts(gather_t *g)
{
    int      rc;
    char    *part;
    size_t   len;
    int64_t  until;

    until = clock_ns() + STREAMS_TURN_NS;

    do {
        rc = resty_ffi_read(g->stream.task, &part, &len);

        if (rc || part == NULL) {
            return rc;
        }

        rc = append(g, part, len);
        free(part);

    } while (rc == 0 && clock_ns() < until);

    return rc == 0 ? EINPROGRESS : rc;
}


static PyObject *
join(const gather_t *g)
{
    PyObject  *nothing, *body;

    nothing = PyBytes_FromStringAndSize(NULL, 0);
    body = nothing ? PyObject_CallMethod(nothing, "join", "(O)", g->parts)
                   : NULL;
    Py_XDECREF(nothing);

    return body;
}


static void
gather_free(gather_t *g)
{
    Py_DECREF(g->handler);
    Py_DECREF(g->parts);
    free(g);
}


static stream_state_t
turn(streams_t *streams, stream_t *stream, bool gone)
{
    int        rc;
    PyObject  *body;
    gather_t  *g = (gather_t *) stream;

    rc = gone ? EPIPE : read_parts(g);

    if (rc == EINPROGRESS) {
        return STREAM_READY;
    }

    if (rc == EAGAIN) {
        return STREAM_PARKED;
    }

    if (rc == EPIPE) {
        ngx_http_lua_ffi_respond(stream->task, 1, NULL, 0);
        gather_free(g);
        return STREAM_ENDED;
    }

    body = rc == 0 ? join(g) : NULL;

    if (body) {
        g->then(streams, stream->task, g->handler, body);
        Py_DECREF(body);

    } else {
        runtime_fail_current(streams_runtime(streams), stream->task, NULL);
    }

    gather_free(g);

    return STREAM_ENDED;
}


int
gather_start(streams_t *streams, void *task, PyObject *handler,
    gather_then_t then)
{
    int        len;
    char      *bytes;
    gather_t  *g;

    g = malloc(sizeof(gather_t));
    if (g == NULL) {
        PyErr_NoMemory();
        return -1;
    }

    g->stream.task = task;
    g->stream.waits_for = RESTY_FFI_READABLE;
    g->stream.turn = turn;
    g->handler = Py_NewRef(handler);
    g->then = then;
    g->parts = PyList_New(0);

    bytes = ngx_http_lua_ffi_get_req(task, &len);

    if (g->parts == NULL || append(g, bytes, (size_t) len) == -1) {
        Py_DECREF(handler);
        Py_XDECREF(g->parts);
        free(g);
        return -1;
    }

    streams_add(streams, &g->stream);

    return 0;
}
