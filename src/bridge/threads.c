/* SPDX-License-Identifier: BSD-2-Clause */

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "threads.h"


typedef bridge_seen_t  seen_t;

struct bridge_seen_s {
    seen_t               *older;    /* in the bridge's list of all */
    seen_t               *next;     /* of the same thread */
    bridge_t             *bridge;
    _Atomic uint64_t      queue;    /* a handle; 0: free */
    _Atomic int           tid;
    bool                  told;     /* the thread's own */
};


/* no handle's value */
#define CLAIMED  1

static pthread_once_t          once = PTHREAD_ONCE_INIT;
static pthread_key_t           key;
static bool                    has_key;
static _Thread_local uint64_t  last_polled;
static _Thread_local uint64_t  last_told;


/* found in a poll: the slot is good, whatever its generation is now */
static bridge_queue_t *
queue_in_slot(bridge_t *b, uint64_t queue)
{
    return atomic_load_explicit(&b->queues[bridge_handle_slot(queue)],
                                memory_order_acquire);
}


/* adds to them; how many live then, -1: the queue is another one by now */
static int64_t
count(bridge_t *b, uint64_t queue, int64_t n)
{
    uint64_t         threads;
    bridge_queue_t  *q;

    q = queue_in_slot(b, queue);
    threads = atomic_load(&q->threads);

    do {
        if (threads >> 32 != bridge_handle_gen(queue)) {
            return -1;
        }
    } while (!atomic_compare_exchange_weak(&q->threads, &threads,
                                           threads + (uint64_t) n));

    if (n > 0) {
        atomic_store(&q->polled, true);
    }

    return (uint16_t) (threads + (uint64_t) n);
}


/* the node that is up already tells of this, too */
static void
last_one_ended(bridge_t *b, uint64_t queue)
{
    bridge_queue_t  *q;

    q = queue_in_slot(b, queue);

    if (!atomic_load_explicit(&b->dead, memory_order_relaxed)
        && !atomic_exchange(&q->is_up, true))
    {
        q->node.kind = BRIDGE_NODE_ORPHAN;
        bridge_up(b, &q->node);
    }
}


static seen_t *
seen_new(bridge_t *b, uint64_t queue)
{
    seen_t    *s;
    uint64_t   none;

    for (s = atomic_load(&b->seen); s; s = s->older) {
        none = 0;

        if (atomic_compare_exchange_strong(&s->queue, &none, CLAIMED)) {
            break;
        }
    }

    if (s == NULL) {
        s = calloc(1, sizeof(seen_t));
        if (s == NULL) {
            return NULL;
        }

        atomic_init(&s->queue, CLAIMED);
        s->bridge = b;
        s->older = atomic_load(&b->seen);

        while (!atomic_compare_exchange_weak(&b->seen, &s->older, s)) {
            /* void */
        }
    }

    atomic_store(&s->tid, bridge_threads_id());
    atomic_store(&s->queue, queue);

    return s;
}


static void
thread_ends(void *data)
{
    seen_t    *s, *next;
    int64_t    n;
    bridge_t  *b;

    for (s = data; s; s = next) {
        next = s->next;
        b = s->bridge;

        atomic_fetch_sub(&b->threads, 1);

        n = s->told ? -BRIDGE_THREAD : -BRIDGE_THREAD - BRIDGE_THREAD_UNTOLD;

        if (count(b, atomic_load(&s->queue), n) == 0) {
            last_one_ended(b, atomic_load(&s->queue));
        }

        atomic_store(&s->queue, 0);
    }
}


static void
make_key(void)
{
    has_key = pthread_key_create(&key, thread_ends) == 0;
}


/* what this thread has of the queue; NULL: nothing */
static seen_t *
find(uint64_t queue)
{
    seen_t  *s;

    s = has_key ? pthread_getspecific(key) : NULL;

    while (s && atomic_load(&s->queue) != queue) {
        s = s->next;
    }

    return s;
}


void
bridge_threads_note(bridge_t *b, uint64_t queue)
{
    seen_t  *s;

    if (last_polled == queue) {
        return;
    }

    last_polled = queue;

    pthread_once(&once, make_key);

    if (find(queue)) {
        return;
    }

    if (count(b, queue, BRIDGE_THREAD + BRIDGE_THREAD_UNTOLD) == -1) {
        return;
    }

    s = has_key ? seen_new(b, queue) : NULL;
    if (s == NULL) {
        return;
    }

    s->next = pthread_getspecific(key);
    s->told = false;

    if (pthread_setspecific(key, s) != 0) {
        atomic_store(&s->queue, 0);
        return;
    }

    atomic_fetch_add(&b->threads, 1);
}


int
bridge_threads_list(bridge_t *b, uint64_t queue, int *tids, int max)
{
    int        i, n, tid;
    seen_t    *s;
    uint64_t   of;

    n = 0;

    for (s = atomic_load(&b->seen); s && n < max; s = s->older) {
        of = atomic_load(&s->queue);

        if (of <= CLAIMED || (queue && of != queue)) {
            continue;
        }

        tid = atomic_load(&s->tid);

        /* it may have become another thread's */

        if (atomic_load(&s->queue) != of) {
            continue;
        }

        for (i = 0; i < n && tids[i] != tid; i++) {
            /* void */
        }

        if (i == n) {
            tids[n++] = tid;
        }
    }

    return n;
}


void
bridge_threads_tell(bridge_t *b, uint64_t queue)
{
    seen_t  *s;

    s = find(queue);

    if (s && !s->told) {
        s->told = true;
        (void) count(b, queue, -BRIDGE_THREAD_UNTOLD);
    }
}


uint32_t
bridge_threads_alive(bridge_t *b)
{
    return atomic_load(&b->threads);
}


bridge_queue_t *
bridge_threads_ended(bridge_node_t *n)
{
    bridge_queue_t  *q;

    q = (bridge_queue_t *) n;
    atomic_store(&q->is_up, false);

    return q;
}


int
bridge_threads_id(void)
{
    static _Thread_local int  id;

    if (id == 0) {
        id = (int) syscall(SYS_gettid);
    }

    return id;
}


bool
bridge_threads_told(uint64_t queue)
{
    bool  told;

    told = last_told == queue;
    last_told = queue;

    return told;
}
