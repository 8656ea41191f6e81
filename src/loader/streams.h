/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef PYTHON_STREAMS_H
#define PYTHON_STREAMS_H

/*
 * `_resty_ffi.Streams`: the calls of one thread that are answered, or whose
 * requests are read, bit by bit.  Each has its turns on that thread and is
 * parked in between, when its caller has to move first; the thread takes other
 * calls then.
 *
 * GIL held, on the thread that they are of.
 */

#include <stdbool.h>

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "runtime.h"

typedef struct stream_s   stream_t;
typedef struct streams_s  streams_t;

/* what has become of a stream in a turn of its own */
typedef enum {
    STREAM_READY,       /* it wants another turn */
    STREAM_PARKED,      /* an event will tell when it does */
    STREAM_ENDED        /* its call is not its own any more, and it is freed */
} stream_state_t;

/*
 * The head of what a stream is.  Its turn takes at most about STREAMS_TURN_NS,
 * where Python lets it.  gone: nobody waits for the answer, so it has to end
 * at once, with an answer all the same.  It leaves no exception set.
 * waits_for: what does not hold for the task while it is parked, of
 * resty_ffi_wait.
 */
struct stream_s {
    stream_t        *next;
    void            *task;
    int              waits_for;
    stream_state_t (*turn)(streams_t *streams, stream_t *stream, bool gone);
};

#define STREAMS_TURN_NS  1000000

/* A new reference, or NULL with an exception set. */
PyObject *streams_type_new(void);

/* The same; of the calling thread. */
streams_t *streams_new(runtime_t *runtime);

/* The runtime whose they are; a borrowed reference. */
runtime_t *streams_runtime(const streams_t *streams);

/* Whether there are any; and whether one wants its turn. */
bool streams_open(const streams_t *streams);
bool streams_ready(const streams_t *streams);

/* Takes a stream over, which gets its first turn in the next streams_run. */
void streams_add(streams_t *streams, stream_t *stream);

/* Gives turns for a moment, and each second ends those that are overdue. */
void streams_run(streams_t *streams);

/* Something is new about a task, which may be none of theirs. */
void streams_wake(streams_t *streams, void *task);

/*
 * Takes what is new about the thread's own calls, for a thread that takes them
 * out of the queue itself.  Polls of the queue return for more from then on.
 */
void streams_hear(streams_t *streams);

/*
 * After the unload, when no events come: runs them until all have ended, or
 * the worker leaves.
 */
void streams_finish(streams_t *streams);

#endif /* PYTHON_STREAMS_H */
