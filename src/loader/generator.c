/* SPDX-License-Identifier: BSD-2-Clause */

#include "generator.h"

#include <errno.h>
#include <stdlib.h>

#include "resty_ffi.h"

#include "clock.h"
#include "thread.h"


typedef struct {
    stream_t   stream;
    PyObject  *generator;
    PyObject  *context;
    PyObject  *part;        /* what is to be sent first, or NULL */
    call_t    *call;        /* or NULL */
} generator_t;

/* how a turn has ended */
typedef enum {
    READY,
    PARKED,
    RETURNED,               /* with a result */
    RAISED,                 /* the exception is set */
    REFUSED,                /* the same, but the generator has not ended */
    GONE                    /* the same, but none is set */
} end_t;


/* takes part; READY where it was sent */
static end_t
send_part(generator_t *g, PyObject *part)
{
    int    rc;
    end_t  end;

    rc = call_send(part);

    switch (rc) {

    case 0:
        end = READY;
        break;

    case EAGAIN:
        g->part = part;
        return PARKED;

    case EINVAL: /* nothing, before the head of an answer to a web request */
        end = READY;
        break;

    case EPIPE:
        end = GONE;
        break;

    default: /* -1 */
        end = REFUSED;
    }

    Py_DECREF(part);

    return end;
}


/* in its context */
static end_t
run(generator_t *g, PyObject **result)
{
    end_t      end;
    int64_t    until;
    PyObject  *part;

    until = clock_ns() + STREAMS_TURN_NS;
    part = g->part;
    g->part = NULL;

    do {
        if (part == NULL) {
            PySendResult  got = PyIter_Send(g->generator, Py_None, &part);

            thread_end_child();

            if (got != PYGEN_NEXT) {
                *result = part;
                return got == PYGEN_RETURN ? RETURNED : RAISED;
            }
        }

        end = send_part(g, part);
        part = NULL;

    } while (end == READY && clock_ns() < until);

    return end;
}


/* in its context; an exception that is set stays, and is told first */
static end_t
close_generator(const generator_t *g, end_t end)
{
    PyObject  *type, *value, *traceback, *closed;

    PyErr_Fetch(&type, &value, &traceback);

    closed = PyObject_CallMethod(g->generator, "close", NULL);

    thread_end_child();

    if (type) {
        if (closed == NULL) {
            PyErr_WriteUnraisable(g->generator);
        }

        PyErr_Restore(type, value, traceback);

    } else if (closed == NULL) {
        end = RAISED;
    }

    Py_XDECREF(closed);

    return end;
}


static end_t
run_in_context(runtime_t *runtime, generator_t *g, bool gone,
    PyObject **result)
{
    end_t  end;

    if (PyContext_Enter(g->context) == -1) {
        return RAISED;
    }

    call_enter(runtime, g->stream.task, g->call);

    end = gone ? GONE : run(g, result);

    if (end == GONE || end == REFUSED) {
        call_unsent();
        end = close_generator(g, end);
    }

    g->call = call_leave();

    if (PyContext_Exit(g->context) == -1) {
        Py_CLEAR(*result);
        end = RAISED;
    }

    return end;
}


static void
answer(runtime_t *runtime, generator_t *g, end_t end, PyObject *result)
{
    void      *task = g->stream.task;
    PyObject  *callbacks;

    /* by itself, with something to do yet */

    if (g->call && g->call->answered) {
        if (end == RAISED || end == REFUSED) {
            PyErr_WriteUnraisable(g->generator);
        }

        return;
    }

    callbacks = g->call ? call_end(g->call) : NULL;

    switch (end) {

    case RETURNED:
        runtime_answer(runtime, task, result, callbacks);
        break;

    case GONE:
        if (reply_send(runtime->replies, task, 1, Py_None, callbacks) == 0) {
            break;
        }

        /* fall through */

    default: /* RAISED, REFUSED */
        runtime_fail_current(runtime, task, callbacks);
    }

    Py_XDECREF(callbacks);
}


static void
generator_free(generator_t *g)
{
    Py_DECREF(g->generator);
    Py_DECREF(g->context);
    Py_XDECREF(g->part);
    Py_XDECREF(g->call);
    free(g);
}


static stream_state_t
turn(streams_t *streams, stream_t *stream, bool gone)
{
    end_t         end;
    PyObject     *result;
    runtime_t    *runtime = streams_runtime(streams);
    generator_t  *g = (generator_t *) stream;

    result = NULL;
    end = run_in_context(runtime, g, gone, &result);

    if (end == READY) {
        return STREAM_READY;
    }

    if (end == PARKED) {
        return STREAM_PARKED;
    }

    answer(runtime, g, end, result);

    Py_XDECREF(result);
    generator_free(g);

    return STREAM_ENDED;
}


int
generator_start(streams_t *streams, void *task, PyObject *generator,
    PyObject *context, call_t *call)
{
    generator_t  *g;

    g = malloc(sizeof(generator_t));
    if (g == NULL) {
        PyErr_NoMemory();
        return -1;
    }

    g->stream.task = task;
    g->stream.waits_for = RESTY_FFI_WRITABLE;
    g->stream.turn = turn;
    g->generator = Py_NewRef(generator);
    g->context = Py_NewRef(context);
    g->part = NULL;
    g->call = (call_t *) Py_XNewRef(call);

    streams_add(streams, (stream_t *) g);

    return 0;
}
