/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_TASK_H
#define BRIDGE_TASK_H

/* One request and its answer, as the host has it; see answer.h. */

#include "handle.h"

#pragma GCC visibility push(hidden)

/* shorter ones, with their NUL, need no allocation */
#define BRIDGE_INLINE_REQ     160
#define BRIDGE_INLINE_METHOD  32

/* of a traceparent, which has 55 bytes in its first version */
#define BRIDGE_TRACE_LEN      64

/* low byte of bridge_task_t.state; the generation stands above */
enum {
    BRIDGE_TASK_FREE     = 0,
    BRIDGE_TASK_QUEUED   = 1,
    BRIDGE_TASK_POLLED   = 2,
    BRIDGE_TASK_ANSWERED = 3,
    BRIDGE_TASK_PHASE    = 3,
    BRIDGE_TASK_CANCEL   = 4,   /* flag: nobody waits for the answer */
    BRIDGE_TASK_STREAM   = 8    /* flag: its stream is in use */
};

#define BRIDGE_TASK_GEN_SHIFT  8

/*
 * Called once on the host thread when the answer's bytes are no longer
 * needed.  delivered: whether a caller got them.  Must not block.
 */
typedef void (*bridge_release_pt)(void *arg, int delivered);

/*
 * The host's own.  How many tasks of a queue were cancelled and are not freed;
 * one that outlives the queue counts nowhere.
 */
typedef struct {
    uint64_t              queue;    /* its handle */
    uint32_t              tasks;
} bridge_cancelled_t;

/* a part of a request that has not been read */
typedef struct bridge_input_s  bridge_input_t;

/* see stream.h */
typedef struct {
    pthread_mutex_t       lock;
    pthread_cond_t        changed;

    /* set by the host before the task is put to a queue */
    size_t                high;     /* 0: the default */
    _Atomic bool          input;    /* the request goes on in parts */

    /* under the lock */
    size_t                unreleased;
    size_t                unread;
    bridge_input_t       *first;
    bridge_input_t      **last;
    bool                  headless; /* no part goes before its head */
    bool                  upgrade;  /* the head may have status 101 */
    bool                  leaving;  /* the host's process leaves soon */
    bool                  finished; /* no more input will be written */
    bool                  full;     /* a send is to be told to go on */
    bool                  starved;  /* a read is to be told to go on */
    bool                  blocked;  /* the host is to be told to go on */
    bool                  room_up;  /* the node */
    bridge_node_t         room;     /* comes up as BRIDGE_NODE_ROOM */
} bridge_stream_t;

/* comes up as BRIDGE_NODE_ANSWER */
struct bridge_task_s {
    bridge_node_t         node;
    _Atomic uint64_t      state;
    void                 *data;     /* the host's own */
    void                 *account;  /* likewise: where it counts, or NULL */
    bool                  watched;  /* likewise: whether it is slow is known */
    bool                  settled;  /* likewise: it has been told how t ends */
    uint32_t              slot;

    /* us of CLOCK_MONOTONIC; 0: not yet, or nobody has looked */
    int64_t               put_at;   /* by the host, as it likes */
    int64_t               taken_at; /* out of its queue, by a poll; for the
                                       host once it has come up */

    _Atomic int64_t       deadline; /* ms of CLOCK_MONOTONIC; 0: none */
    uint64_t              queue;    /* handle of the queue it was pushed to */
    bridge_cancelled_t   *cancelled;    /* that queue's */
    uint32_t              taken;    /* out of that queue by then */
    _Atomic int           tid;      /* the thread that took it; 0: none yet */

    _Atomic bool          web;      /* req is a resty_ffi_head_t */
    _Atomic bool          no_method;    /* its runtime has none of that name */
    _Atomic int           req_len;  /* -1: the request was nil */
    _Atomic int           method_len;
    _Atomic(char *)       req;
    _Atomic(char *)       method;
    char                  req_buf[BRIDGE_INLINE_REQ];
    char                  method_buf[BRIDGE_INLINE_METHOD];
    _Atomic int           trace_len;    /* 0: none */
    char                  trace[BRIDGE_TRACE_LEN];

    /* the answer: written by who claimed it, read by the host then */
    int                   rc;
    bool                  rejected; /* came back from its queue unanswered */
    size_t                rsp_len;
    const char           *rsp;      /* NULL: none */
    bridge_release_pt     release;
    void                 *release_arg;

    /* under the queue's lock: its place in the list of events */
    bridge_task_t        *event_next;
    bridge_task_t        *event_prev;
    _Atomic bool          in_events;

    bridge_stream_t       stream;
};

/*
 * Host thread.  A task with copies of the request (NULL: nil) and of the
 * method's name (may be NULL), not queued.  NULL where memory or slots
 * (BRIDGE_MAX_TASKS) ran out.
 */
bridge_task_t *bridge_task_new(bridge_t *b, const char *req, size_t len,
    const char *method, size_t method_len);

/*
 * Host thread.  The same of a web request, whose head, len bytes with a NUL
 * behind them, is malloc'ed, and taken over if a task is returned.
 * bridge_stream_open must follow.
 */
bridge_task_t *bridge_task_new_web(bridge_t *b, char *head, size_t len);

/*
 * Host thread, before the task is put to a queue.  Has it carry a traceparent,
 * of which nothing is checked but its length: longer ones are left out.
 */
void bridge_task_set_trace(bridge_task_t *t, const char *trace, size_t len);

/*
 * Host thread, for end.c.  Ends a task whose answer has been released, and
 * that has no events and no stream any more.
 */
void bridge_task_recycle(bridge_t *b, bridge_task_t *t);

/*
 * Host thread.  What a runtime is given for the task; and the part of it
 * that is exact in a double.
 */
uint64_t bridge_task_handle(const bridge_task_t *t);
uint64_t bridge_task_id(const bridge_task_t *t);

/* Host thread.  The task of a handle or id; NULL if stale. */
bridge_task_t *bridge_task_find(bridge_t *b, uint64_t id);

/* Any thread.  The task in a slot, free or not; NULL from b->ntasks on. */
bridge_task_t *bridge_task_at(bridge_t *b, uint32_t slot);

/* Any thread.  The thread that has the task; 0 where none has. */
int bridge_task_holder(const bridge_task_t *t);

/*
 * Host thread.  Marks a task that is not queued as taken by a runtime, so
 * that it may be answered (a start is such a task).
 */
void bridge_task_lend(bridge_task_t *t);

/*
 * Host thread, for end.c.  From now on no poll hands it out; whether a
 * runtime has it, and did not know yet.
 */
bool bridge_task_mark_cancelled(bridge_task_t *t);

/*
 * The thread that has taken t out of its queue, and its id.  Takes it from
 * QUEUED to POLLED; false where it was cancelled or its deadline has passed
 * (now in ms of CLOCK_MONOTONIC): it has gone back to the host then.
 */
bool bridge_task_take(bridge_t *b, bridge_task_t *t, int64_t now, int tid,
    uint64_t *handle);

/* The same thread.  Gives t back to the host without an answer. */
void bridge_task_reject(bridge_t *b, bridge_task_t *t);

/*
 * Any thread.  A copy with a NUL behind it, in buf where that has the room;
 * else malloc'ed, NULL where memory ran out.
 */
char *bridge_task_text(char *buf, size_t room, const char *text, size_t len);

/* Any thread.  The task of a handle, with its state; NULL if stale. */
bridge_task_t *bridge_task_of(bridge_t *b, uint64_t handle, uint64_t *state);


/* Any thread.  With what was written before. */
static inline uint64_t
bridge_task_state(const bridge_task_t *t)
{
    return atomic_load_explicit(&t->state, memory_order_acquire);
}


/* of a state */

static inline uint32_t
bridge_task_gen(uint64_t state)
{
    return (uint32_t) (state >> BRIDGE_TASK_GEN_SHIFT);
}


static inline unsigned
bridge_task_phase(uint64_t state)
{
    return (unsigned) (state & BRIDGE_TASK_PHASE);
}


/* whether it is of a task with this handle that has no answer */
static inline bool
bridge_task_is_polled(uint64_t state, uint64_t handle)
{
    return bridge_task_gen(state) == bridge_handle_gen(handle)
           && bridge_task_phase(state) == BRIDGE_TASK_POLLED;
}

#pragma GCC visibility pop

#endif /* BRIDGE_TASK_H */
