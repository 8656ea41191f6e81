#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handle.h"
#include "queue.h"
#include "threads.h"


typedef struct seen_s  seen_t;

struct seen_s {
    seen_t    *next;
    bridge_t  *bridge;
    uint64_t   queue;
};


static pthread_once_t          once = PTHREAD_ONCE_INIT;
static pthread_key_t           key;
static _Thread_local uint64_t  last_polled;
static _Thread_local uint64_t  last_told;


/* how many there are then; -1 where the queue is another one by now */
static int64_t
count(bridge_t *b, uint64_t queue, int n)
{
    uint64_t         threads;
    bridge_queue_t  *q;

    /* found in a poll: the slot is good, whatever its generation is now */

    q = atomic_load_explicit(&b->queues[bridge_handle_slot(queue)],
                             memory_order_acquire);

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

    return (uint32_t) threads + n;
}


static void
desert(bridge_t *b)
{
    if (!atomic_load_explicit(&b->dead, memory_order_relaxed)
        && !atomic_exchange(&b->deserted, true))
    {
        b->wake(b->wake_arg);
    }
}


static void
thread_ends(void *data)
{
    seen_t  *s, *next;

    for (s = data; s; s = next) {
        next = s->next;

        atomic_fetch_sub(&s->bridge->threads, 1);

        if (count(s->bridge, s->queue, -1) == 0) {
            desert(s->bridge);
        }

        free(s);
    }
}


static void
make_key(void)
{
    (void) pthread_key_create(&key, thread_ends);
}


void
bridge_threads_note(bridge_t *b, uint64_t queue)
{
    seen_t  *s, *first;

    if (last_polled == queue) {
        return;
    }

    last_polled = queue;

    pthread_once(&once, make_key);

    first = pthread_getspecific(key);

    for (s = first; s; s = s->next) {
        if (s->queue == queue) {
            return;
        }
    }

    if (count(b, queue, 1) == -1) {
        return;
    }

    s = malloc(sizeof(seen_t));
    if (s == NULL) {
        return;
    }

    atomic_fetch_add(&b->threads, 1);

    s->next = first;
    s->bridge = b;
    s->queue = queue;
    (void) pthread_setspecific(key, s);
}


uint32_t
bridge_threads_alive(bridge_t *b)
{
    return atomic_load(&b->threads);
}


bool
bridge_threads_ended(bridge_t *b)
{
    return atomic_load_explicit(&b->deserted, memory_order_relaxed)
           && atomic_exchange(&b->deserted, false);
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
