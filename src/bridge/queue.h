/* SPDX-License-Identifier: BSD-2-Clause */

#ifndef BRIDGE_QUEUE_H
#define BRIDGE_QUEUE_H

/*
 * A runtime's request queue: a bounded ring with one producer, the host
 * thread, and any number of consumers, under one mutex.  Consumers sleep on
 * its condition variable, or arm the eventfd for their event loop.
 *
 * Who holds the lock does no system call and calls nobody.  The host may
 * have to wait for a consumer that was preempted while it held it.
 */

#include <pthread.h>

#include "task.h"

#pragma GCC visibility push(hidden)

#define BRIDGE_QUEUE_MAX   ((1u << 20) - 1)
#define BRIDGE_QUEUE_NAME  64

#define BRIDGE_QUEUE_OPTIONS  5

/* in bridge_queue_t.threads */
#define BRIDGE_THREAD         ((int64_t) 1)
#define BRIDGE_THREAD_UNTOLD  ((int64_t) 1 << 16)

/* comes up as BRIDGE_NODE_ORPHAN, see bridge_threads_ended */
struct bridge_queue_s {
    bridge_node_t              node;

    /* under the lock; where a glance will do, atomic ones also without it */
    pthread_mutex_t            lock;
    pthread_cond_t             changed;
    bridge_task_t            **cells;
    bridge_task_t             *first_event;  /* see events.h */
    bridge_task_t             *last_event;
    _Atomic uint32_t           head;     /* consumers take from here */
    _Atomic uint32_t           tail;     /* the host puts here */
    uint32_t                   mask;
    _Atomic bool               closed;
    bool                       armed;    /* a loop waits on the eventfd */
    bool                       kicked;   /* a poll is to return early */
    bool                       called;   /* a sleeper was signalled, and none
                                            has woken up yet */
    int                        coming;   /* the thread that a poll for none has
                                            told of tasks, until it polls
                                            again; 0: none */
    uint32_t                   sleepers;
    bool                       napping;  /* one of them will look by itself */
    bool                       eager;    /* who came last found a task: those
                                            at work are slow, or blocked */

    _Atomic bool               is_up;    /* the node */
    _Atomic uint64_t           threads;  /* their generation (32 bits), those
                                            of the live pollers that have not
                                            been told (16), live ones (16) */
    _Atomic uint64_t           start;    /* handle of the start task, or 0 */
    _Atomic uint32_t           gen;
    _Atomic uint32_t           inside;   /* threads that have it pinned */
    _Atomic int                fd;       /* the eventfd, or -1: as threads of
                                            the runtime have it */
    _Atomic int                timeout;  /* ms a call waits, by default; 0:
                                            no bound */
    _Atomic bool               whole;    /* it wants web requests so */
    _Atomic uint32_t           quiet;    /* us between two notifications of a
                                            thread, see quiet.h; 0: none */
    _Atomic uint64_t           locks;    /* times that its threads have waited
                                            for their interpreter's lock */
    _Atomic uint64_t           lock_ns;  /* and for how long in all */
    _Atomic bool               upgrades; /* it knows what an upgrade is */
    _Atomic bool               has_loop; /* somebody waits on the eventfd */
    _Atomic bool               polled;   /* by any thread, ever */
    _Atomic bool               detached;
    _Atomic bool               naming;
    _Atomic bool               named;    /* name is there to be read */
    _Atomic int                watch;    /* BRIDGE_WATCH_…: who takes events */
    char                       name[BRIDGE_QUEUE_NAME];

    /* set by the host before the queue's handle is given out */
    uint32_t                   spin;     /* us a poll spins before it sleeps */
    double                     options[BRIDGE_QUEUE_OPTIONS];

    /* the host's own */
    void                      *data;
    void                     (*close_fd)(int fd);  /* closes fd, which is no
                                            descriptor of the host's; NULL */
    int                        host_fd;  /* the eventfd as the host has it,
                                            where close_fd is set */
    uint32_t                   slot;
    uint32_t                   limit;
    bool                       in_use;
    bool                       stale;    /* its handle, as release began */
    bridge_cancelled_t         cancelled;
};

/*
 * Host thread.  A queue in which at most limit (1..BRIDGE_QUEUE_MAX) tasks
 * wait; NULL where memory ran out or there are BRIDGE_MAX_QUEUES.
 */
bridge_queue_t *bridge_queue_new(bridge_t *b, uint32_t limit);

/* Host thread.  What a runtime is given for the queue. */
uint64_t bridge_queue_handle(const bridge_queue_t *q);

/*
 * Any thread.  The queue of a handle, NULL if it is stale.  The result may
 * be reused for another runtime at any time, so only host code that holds
 * the queue, and code that checks again, may rely on it.
 */
bridge_queue_t *bridge_queue_find(bridge_t *b, uint64_t handle);

/*
 * Any thread.  The queue of a handle, kept from being released until
 * bridge_queue_unpin; NULL if the handle is stale, or in a child after fork,
 * where the lock may be held for ever.
 */
bridge_queue_t *bridge_queue_pin(bridge_t *b, uint64_t handle);
void bridge_queue_unpin(bridge_queue_t *q);

/* Host thread.  Whether one more task would be refused. */
bool bridge_queue_full(const bridge_queue_t *q);

/*
 * Host thread.  Hands t over and wakes nobody, which bridge_queue_wake must do
 * soon.  false where the queue is full or closed: t stays the host's then.
 */
bool bridge_put(bridge_queue_t *q, bridge_task_t *t);

/* Host thread.  How many tasks wait. */
uint32_t bridge_queue_len(const bridge_queue_t *q);

/* Host thread.  How many tasks have been taken out, modulo 2^32. */
uint32_t bridge_queue_taken(const bridge_queue_t *q);

/*
 * Host thread.  How many of the tasks put to the queue were cancelled and
 * have not come back: they wait in it still, or a runtime has them.
 */
uint32_t bridge_queue_cancelled(const bridge_queue_t *q);

/*
 * Host thread.  Whether somebody is in a poll, or an event loop has yet to be
 * told that tasks wait: what waits is then about to be taken.  A loop that
 * was armed at the close counts from then on.
 */
bool bridge_queue_active(bridge_queue_t *q);

/*
 * Host thread.  Whether some task that was taken from the queue has no answer
 * yet.  Looks at every task there is.
 */
bool bridge_queue_unanswered(bridge_t *b, const bridge_queue_t *q);

/*
 * Host thread.  Live threads that have ever polled the queue; also after
 * its release, until it is reused.
 */
uint32_t bridge_queue_threads(const bridge_queue_t *q);

/*
 * Host thread.  Whether threads have polled the queue, and all of them have
 * ended: nobody is going to take what waits.
 */
bool bridge_queue_orphaned(const bridge_queue_t *q);

/*
 * Host thread.  No more pushes; what waits may still be polled, then each
 * poll ends at once.
 */
void bridge_queue_close(bridge_queue_t *q);

/*
 * Host thread.  Its runtime takes no part any more (it could not start): a
 * release need not wait until it has been told of the close.
 */
void bridge_queue_detach(bridge_queue_t *q);

/*
 * Host thread.  Gives a closed queue back for reuse; false while a thread
 * is in a poll, tasks wait in it, or, where it has an eventfd, no poll has
 * returned -1 to some thread that has polled it and lives: try again later.
 * Its handle is stale from the first time on that none of the last two was
 * the case.
 */
bool bridge_queue_release(bridge_queue_t *q);

/*
 * With the lock held.  Takes up to max tasks, as addresses, out of the queue;
 * returns how many.
 */
int bridge_queue_pop(bridge_queue_t *q, uint64_t *tasks, int max);

/* Host thread.  Whether each task that waits in the queue was cancelled. */
bool bridge_queue_all_cancelled(const bridge_queue_t *q);

/*
 * Host thread.  Takes what waits in a queue back from it, as a consumer
 * would: they come up, marked as rejected.  Returns how many.
 */
uint32_t bridge_queue_reject(bridge_t *b, bridge_queue_t *q);

/*
 * With the lock held.  Whether the thread tid has events of its own, of tasks
 * that are not answered.
 */
bool bridge_queue_has_event(const bridge_queue_t *q, int tid);

/*
 * Any thread that has the queue pinned.  Makes its eventfd readable; host:
 * whether it is the host that calls.
 */
void bridge_queue_write_fd(bridge_queue_t *q, bool host);

#pragma GCC visibility pop

#endif /* BRIDGE_QUEUE_H */
