/* SPDX-License-Identifier: BSD-2-Clause */

#include "streams.h"

#include <stdint.h>

#include "resty_ffi.h"

#include "clock.h"
#include "number.h"


#define BUCKETS     256
#define MAX_EVENTS  64

#define SWEEP_NS    1000000000

/* its caller has a timer of its own, which tells of the timeout first */
#define OVERDUE_MS  500

/* how long nobody looks whether a caller has moved, where no event tells */
#define ASK_MS      10


struct streams_s {
    PyObject_HEAD
    runtime_t  *runtime;            /* a reference */
    stream_t   *first;              /* those that want a turn, in order */
    stream_t  **last;
    stream_t   *parked[BUCKETS];
    size_t      nparked;
    int64_t     swept;
};


static stream_t **
bucket_of(streams_t *streams, const void *task)
{
    uint64_t  hash;

    hash = (uint64_t) (uintptr_t) task * UINT64_C(0x9e3779b97f4a7c15);

    return &streams->parked[hash >> 56];
}


streams_t *
streams_new(runtime_t *runtime)
{
    streams_t  *streams;

    streams = (streams_t *) runtime->streams_type->tp_alloc(
                                                runtime->streams_type, 0);
    if (streams == NULL) {
        return NULL;
    }

    streams->runtime = (runtime_t *) Py_NewRef(runtime);
    streams->last = &streams->first;
    streams->swept = clock_ns();

    return streams;
}


runtime_t *
streams_runtime(const streams_t *streams)
{
    return streams->runtime;
}


bool
streams_open(const streams_t *streams)
{
    return streams->first || streams->nparked;
}


bool
streams_ready(const streams_t *streams)
{
    return streams->first != NULL;
}


void
streams_add(streams_t *streams, stream_t *stream)
{
    stream->next = NULL;
    *streams->last = stream;
    streams->last = &stream->next;
}


static stream_t *
take_first(streams_t *streams)
{
    stream_t  *stream;

    stream = streams->first;
    streams->first = stream->next;

    if (streams->first == NULL) {
        streams->last = &streams->first;
    }

    return stream;
}


static void
park(streams_t *streams, stream_t *stream)
{
    stream_t  **bucket;

    bucket = bucket_of(streams, stream->task);
    stream->next = *bucket;
    *bucket = stream;
    streams->nparked++;
}


/* takes one out of its bucket */
static void
unpark(streams_t *streams, stream_t **where)
{
    stream_t  *stream;

    stream = *where;
    *where = stream->next;
    streams->nparked--;
    streams_add(streams, stream);
}


static void
give_turn(streams_t *streams, bool gone)
{
    stream_t  *stream;

    stream = take_first(streams);

    switch (stream->turn(streams, stream, gone)) {

    case STREAM_READY:
        streams_add(streams, stream);
        break;

    case STREAM_PARKED:
        park(streams, stream);
        break;

    default: /* STREAM_ENDED */
        break;
    }
}


static size_t
count_ready(const streams_t *streams)
{
    size_t           n;
    const stream_t  *stream;

    n = 0;

    for (stream = streams->first; stream; stream = stream->next) {
        n++;
    }

    return n;
}


static void
unpark_all(streams_t *streams)
{
    size_t  i;

    for (i = 0; i < BUCKETS && streams->nparked; i++) {
        while (streams->parked[i]) {
            unpark(streams, &streams->parked[i]);
        }
    }
}


static bool
is_overdue(void *task, int64_t ms)
{
    int64_t  deadline;

    deadline = resty_ffi_deadline(task);

    return deadline && ms >= deadline + OVERDUE_MS;
}


/* a Lua thread that was killed tells nobody */
static void
sweep(streams_t *streams)
{
    size_t      i, n;
    int64_t     ms;
    stream_t  **where;

    ms = streams->swept / 1000000;

    for (i = 0; i < BUCKETS; i++) {
        where = &streams->parked[i];

        while (*where) {
            if (is_overdue((*where)->task, ms)) {
                unpark(streams, where);

            } else {
                where = &(*where)->next;
            }
        }
    }

    for (n = count_ready(streams); n; n--) {
        if (is_overdue(streams->first->task, ms)) {
            give_turn(streams, true);

        } else {
            streams_add(streams, take_first(streams));
        }
    }
}


void
streams_run(streams_t *streams)
{
    int64_t  began;

    if (!streams_open(streams)) {
        return;
    }

    began = clock_ns();

    if (began - streams->swept >= SWEEP_NS) {
        streams->swept = began;
        sweep(streams);
    }

    while (streams->first) {
        give_turn(streams, false);

        if (clock_ns() - began >= STREAMS_TURN_NS) {
            break;
        }
    }
}


void
streams_wake(streams_t *streams, void *task)
{
    stream_t  **where;

    where = bucket_of(streams, task);

    while (*where && (*where)->task != task) {
        where = &(*where)->next;
    }

    if (*where) {
        unpark(streams, where);
    }
}


void
streams_hear(streams_t *streams)
{
    int    i, n;
    void  *tasks[MAX_EVENTS];

    do {
        n = resty_ffi_poll_events(streams->runtime->tq, tasks, MAX_EVENTS, 1);

        for (i = 0; i < n; i++) {
            streams_wake(streams, tasks[i]);
        }

    } while (n == MAX_EVENTS);
}


static void
end_all(streams_t *streams)
{
    size_t  n;

    unpark_all(streams);

    for (n = count_ready(streams); n; n--) {
        give_turn(streams, true);
    }
}


/* waits for any one that is parked, and has all look for themselves */
static void
ask(streams_t *streams)
{
    int        event;
    size_t     i;
    void      *task;

    for (i = 0; streams->parked[i] == NULL; i++) {
        /* void */
    }

    task = streams->parked[i]->task;
    event = streams->parked[i]->waits_for;

    Py_BEGIN_ALLOW_THREADS
    (void) resty_ffi_wait(task, event, ASK_MS);
    Py_END_ALLOW_THREADS

    unpark_all(streams);
}


void
streams_finish(streams_t *streams)
{
    while (streams_open(streams)) {

        if (resty_ffi_exiting()) {
            end_all(streams);
            break;
        }

        if (!streams_ready(streams)) {
            ask(streams);
        }

        streams_run(streams);
        replies_collect(streams->runtime->replies);
    }
}


static void
streams_dealloc(streams_t *self)
{
    PyTypeObject  *type = Py_TYPE(self);

    end_all(self);
    Py_DECREF(self->runtime);
    type->tp_free(self);
    Py_DECREF(type);
}


static PyObject *
get_open(streams_t *self, void *closure)
{
    (void) closure;

    return PyBool_FromLong(streams_open(self));
}


static PyObject *
run(streams_t *self, PyObject *unused)
{
    (void) unused;

    streams_run(self);

    return PyBool_FromLong(streams_ready(self));
}


static PyObject *
wake(streams_t *self, PyObject *number)
{
    void  *task;

    if (number == Py_None) {
        unpark_all(self);
        Py_RETURN_NONE;
    }

    if (!number_handle(number, &task)) {
        return NULL;
    }

    streams_wake(self, task);

    Py_RETURN_NONE;
}


static PyObject *
end(streams_t *self, PyObject *unused)
{
    (void) unused;

    end_all(self);

    Py_RETURN_NONE;
}


static PyGetSetDef  getset[] = {
    { "open", (getter) get_open, NULL, "Whether there are any.", NULL },
    { NULL, NULL, NULL, NULL, NULL }
};


static PyMethodDef  methods[] = {
    { "run", (PyCFunction) run, METH_NOARGS,
      "run() -> bool\n\nGive turns for a moment; whether to call again." },
    { "wake", (PyCFunction) wake, METH_O,
      "wake(task: int | None, /) -> None\n\nHave the stream of a task take "
      "its turn, where it is one of these; None: all of them." },
    { "end", (PyCFunction) end, METH_NOARGS,
      "end() -> None\n\nEnd all, as if nobody waited for them." },
    { NULL, NULL, 0, NULL }
};


static PyType_Slot  slots[] = {
    { Py_tp_dealloc, streams_dealloc },
    { Py_tp_getset, getset },
    { Py_tp_methods, methods },
    { 0, NULL }
};


static PyType_Spec  spec = {
    .name = "_resty_ffi.Streams",
    .basicsize = sizeof(streams_t),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};


PyObject *
streams_type_new(void)
{
    return PyType_FromSpec(&spec);
}
