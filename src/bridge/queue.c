/* SPDX-License-Identifier: BSD-2-Clause */

#include <stdlib.h>
#include <string.h>

#include "eventfd.h"
#include "queue.h"


static bridge_queue_t *
add_queue(bridge_t *b)
{
    bridge_queue_t      *q;
    pthread_condattr_t   attr;

    if (b->nqueues == BRIDGE_MAX_QUEUES) {
        return NULL;
    }

    q = calloc(1, sizeof(bridge_queue_t));
    if (q == NULL || pthread_condattr_init(&attr) != 0) {
        free(q);
        return NULL;
    }

    (void) pthread_mutex_init(&q->lock, NULL);
    (void) pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&q->changed, &attr);
    (void) pthread_condattr_destroy(&attr);

    q->slot = b->nqueues;
    atomic_init(&q->gen, 1);
    atomic_init(&q->closed, true);
    atomic_init(&q->fd, -1);
    atomic_store_explicit(&b->queues[b->nqueues++], q, memory_order_release);

    return q;
}


bridge_queue_t *
bridge_queue_new(bridge_t *b, uint32_t limit)
{
    uint32_t         i, size;
    bridge_queue_t  *q;

    size = 1;
    while (size < limit) {
        size <<= 1;
    }

    q = NULL;

    for (i = 0; i < b->nqueues; i++) {
        q = atomic_load_explicit(&b->queues[i], memory_order_relaxed);
        if (!q->in_use) {
            break;
        }
    }

    if (i == b->nqueues) {
        q = add_queue(b);
        if (q == NULL) {
            return NULL;
        }
    }

    q->cells = (bridge_task_t **) calloc(size, sizeof(q->cells[0]));
    if (q->cells == NULL) {
        return NULL;
    }

    q->in_use = true;
    q->stale = false;
    q->data = NULL;
    q->armed = false;
    q->kicked = false;
    q->called = false;
    q->coming = 0;
    q->napping = false;
    q->eager = false;
    q->mask = size - 1;
    q->limit = limit;
    q->cancelled.queue = bridge_queue_handle(q);
    q->cancelled.tasks = 0;
    q->spin = 0;
    q->host_fd = -1;
    q->close_fd = NULL;
    memset(q->options, 0xff, sizeof(q->options));
    atomic_store(&q->has_loop, false);
    atomic_store(&q->polled, false);
    atomic_store(&q->detached, false);
    atomic_store(&q->naming, false);
    atomic_store(&q->named, false);
    atomic_store(&q->watch, 0);
    atomic_store(&q->threads, (uint64_t) atomic_load(&q->gen) << 32);
    atomic_store(&q->timeout, 0);
    atomic_store(&q->whole, false);
    atomic_store(&q->quiet, 0);
    atomic_store(&q->locks, 0);
    atomic_store(&q->lock_ns, 0);
    atomic_store(&q->upgrades, false);
    atomic_store(&q->start, 0);
    atomic_store(&q->head, 0);
    atomic_store(&q->tail, 0);
    atomic_store(&q->closed, false);

    return q;
}


uint64_t
bridge_queue_handle(const bridge_queue_t *q)
{
    return bridge_handle(BRIDGE_KIND_QUEUE, atomic_load(&q->gen), q->slot);
}


bridge_queue_t *
bridge_queue_find(bridge_t *b, uint64_t handle)
{
    bridge_queue_t  *q;

    if (!bridge_handle_is(handle, BRIDGE_KIND_QUEUE)
        || bridge_handle_slot(handle) >= BRIDGE_MAX_QUEUES)
    {
        return NULL;
    }

    q = atomic_load_explicit(&b->queues[bridge_handle_slot(handle)],
                             memory_order_acquire);

    return q && atomic_load(&q->gen) == bridge_handle_gen(handle) ? q : NULL;
}


uint32_t
bridge_queue_len(const bridge_queue_t *q)
{
    return atomic_load_explicit(&q->tail, memory_order_relaxed)
           - atomic_load_explicit(&q->head, memory_order_relaxed);
}


uint32_t
bridge_queue_taken(const bridge_queue_t *q)
{
    return atomic_load_explicit(&q->head, memory_order_relaxed);
}


uint32_t
bridge_queue_cancelled(const bridge_queue_t *q)
{
    return q->cancelled.tasks;
}


bool
bridge_queue_active(bridge_queue_t *q)
{
    bool  armed;

    pthread_mutex_lock(&q->lock);
    armed = q->armed;
    pthread_mutex_unlock(&q->lock);

    return armed || atomic_load(&q->inside);
}


bool
bridge_queue_unanswered(bridge_t *b, const bridge_queue_t *q)
{
    uint32_t        slot;
    uint64_t        handle;
    bridge_task_t  *t;

    handle = bridge_queue_handle(q);

    for (slot = 0; slot < b->ntasks; slot++) {
        t = bridge_task_at(b, slot);

        if (t->queue == handle && bridge_task_holder(t)) {
            return true;
        }
    }

    return false;
}


uint32_t
bridge_queue_threads(const bridge_queue_t *q)
{
    return (uint16_t) atomic_load(&q->threads);
}


bool
bridge_queue_orphaned(const bridge_queue_t *q)
{
    return atomic_load(&q->polled) && bridge_queue_threads(q) == 0;
}


bool
bridge_queue_full(const bridge_queue_t *q)
{
    return bridge_queue_len(q) >= q->limit;
}


int
bridge_queue_pop(bridge_queue_t *q, uint64_t *tasks, int max)
{
    int       n;
    uint32_t  head, tail;

    head = atomic_load_explicit(&q->head, memory_order_relaxed);
    tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    for (n = 0; n < max && head != tail; n++, head++) {
        tasks[n] = (uintptr_t) q->cells[head & q->mask];
    }

    atomic_store_explicit(&q->head, head, memory_order_relaxed);

    return n;
}


bool
bridge_put(bridge_queue_t *q, bridge_task_t *t)
{
    uint32_t  tail;

    if (atomic_load_explicit(&q->closed, memory_order_relaxed)
        || bridge_queue_full(q))
    {
        return false;
    }

    t->queue = bridge_queue_handle(q);
    t->cancelled = &q->cancelled;
    t->taken = bridge_queue_taken(q);

    tail = atomic_load_explicit(&q->tail, memory_order_relaxed);

    pthread_mutex_lock(&q->lock);
    q->cells[tail & q->mask] = t;
    atomic_store_explicit(&q->tail, tail + 1, memory_order_relaxed);
    pthread_mutex_unlock(&q->lock);

    return true;
}


void
bridge_queue_write_fd(bridge_queue_t *q, bool host)
{
    (void) bridge_eventfd_write(host && q->close_fd ? q->host_fd
                                                    : atomic_load(&q->fd));
}


void
bridge_queue_close(bridge_queue_t *q)
{
    bool  armed;

    pthread_mutex_lock(&q->lock);
    atomic_store(&q->closed, true);
    armed = q->armed;
    pthread_mutex_unlock(&q->lock);

    if (armed) {
        bridge_queue_write_fd(q, true);
    }

    pthread_cond_broadcast(&q->changed);
}


bool
bridge_queue_has_event(const bridge_queue_t *q, int tid)
{
    bridge_task_t  *t;

    /* one that is answered may be the host's for long, and nobody asks */

    for (t = q->first_event; t; t = t->event_next) {
        if (bridge_task_holder(t) == tid) {
            return true;
        }
    }

    return false;
}


void
bridge_queue_detach(bridge_queue_t *q)
{
    atomic_store(&q->detached, true);
}


bool
bridge_queue_all_cancelled(const bridge_queue_t *q)
{
    uint32_t        i;
    bridge_task_t  *t;

    /* only the host changes cells, and frees tasks */

    for (i = bridge_queue_taken(q); i != atomic_load(&q->tail); i++) {
        t = q->cells[i & q->mask];

        if (!(atomic_load_explicit(&t->state, memory_order_relaxed)
              & BRIDGE_TASK_CANCEL))
        {
            return false;
        }
    }

    return true;
}


uint32_t
bridge_queue_reject(bridge_t *b, bridge_queue_t *q)
{
    int       got;
    uint32_t  n;
    uint64_t  task;

    for (n = 0; /* void */ ; n++) {
        pthread_mutex_lock(&q->lock);
        got = bridge_queue_pop(q, &task, 1);
        pthread_mutex_unlock(&q->lock);

        if (got == 0) {
            return n;
        }

        bridge_task_reject(b, (bridge_task_t *) (uintptr_t) task);
    }
}


/* what is new about tasks of a queue is told nobody any more */
static void
forget_events(bridge_queue_t *q)
{
    bridge_task_t  *t;

    pthread_mutex_lock(&q->lock);

    for (t = q->first_event; t; t = t->event_next) {
        atomic_store(&t->in_events, false);
    }

    q->first_event = NULL;
    q->last_event = NULL;

    pthread_mutex_unlock(&q->lock);
}


/* whether each thread that is to hear of the close has */
static bool
told(const bridge_queue_t *q)
{
    return atomic_load(&q->detached)
           || (atomic_load(&q->polled)
               && (uint32_t) atomic_load(&q->threads) < BRIDGE_THREAD_UNTOLD);
}


bool
bridge_queue_release(bridge_queue_t *q)
{
    int  fd;

    if (bridge_queue_len(q)) {
        return false;
    }

    /*
     * Loops that have not run since the close learn of it by the eventfd.
     * One that came later, until the handle was stale, never waits for that.
     */

    if (!q->stale && atomic_load(&q->has_loop) && !told(q)) {
        return false;
    }

    if (!q->stale) {
        atomic_fetch_add(&q->gen, 1);
        q->stale = true;

        /* its tasks find it no more, and may end from now on */

        forget_events(q);
    }

    /* a thread that came in with the old generation may still look */

    if (atomic_load(&q->inside)) {
        return false;
    }

    free((void *) q->cells);
    q->cells = NULL;
    q->in_use = false;

    fd = atomic_exchange(&q->fd, -1);

    if (q->close_fd) {
        q->close_fd(fd);
        fd = q->host_fd;
    }

    if (fd != -1) {
        bridge_eventfd_close(fd);
    }

    return true;
}


bridge_queue_t *
bridge_queue_pin(bridge_t *b, uint64_t handle)
{
    bridge_queue_t  *q;

    /* another thread of the parent may have held the lock at the fork */

    if (atomic_load_explicit(&b->dead, memory_order_relaxed)) {
        return NULL;
    }

    q = bridge_queue_find(b, handle);
    if (q == NULL) {
        return NULL;
    }

    atomic_fetch_add(&q->inside, 1);

    /* released in between, perhaps, and in use for another runtime */

    if (atomic_load(&q->gen) != bridge_handle_gen(handle)) {
        bridge_queue_unpin(q);
        return NULL;
    }

    return q;
}


void
bridge_queue_unpin(bridge_queue_t *q)
{
    atomic_fetch_sub(&q->inside, 1);
}
